"""Part a: clients whose answers are checked, with and without faults, and then the states on the nodes' disks.

That is a run of `raftdb torture` (docs/torture.md), once with its faults and once without.
"""

import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from benchmarks.evaluation.document import Findings, Table
from benchmarks.evaluation.plan import Job
from cli.torture.progress import Progress
from cli.torture.recorder import Ending
from cli.torture.run import Plan, Run
from cli.torture.verdict import CHECKS, Verdict

NODES = 3
DIGEST_SHOWN = 16
"""Characters of a digest that are shown."""


def judge_digests(digests: Mapping[str, str], index: int, *, nodes_min: int) -> list[str]:
    """What is wrong with the digests of the nodes' states at one index; nothing if all have one, and the same."""
    if len(digests) < nodes_min:
        return [f"only {len(digests)} states could be compared, of {nodes_min} nodes or more"]
    without = sorted(node for node, digest in digests.items() if digest.startswith("none"))
    if without:
        return [f"{node} has no state of index {index}: {digests[node]}" for node in without]
    counts = Counter(digests.values())
    if len(counts) == 1:
        return []
    usual = max(sorted(counts), key=lambda digest: counts[digest])
    different = sorted(node for node, digest in digests.items() if digest != usual)
    return [f"at index {index} the state of {', '.join(different)} is not that of the other nodes"]


def measure(job: Job, folder: Path, seed: int) -> Findings:
    """Run both loads. What shows a violation stays in `folder`."""
    findings = Findings(
        job=job,
        intro=(
            f"{NODES} nodes at first; clients of five kinds (docs/torture.md). At the end all nodes are killed, and "
            "the digest (SHA-256 of all keys and values) of each node's state at the same index is compared."
        ),
    )
    for name, seconds in (("without faults", job.sizes.peace_s), ("with faults", job.sizes.faults_s)):
        if not seconds:
            findings.limits.append(f"a load {name} was not run under this network, in this form")
            continue
        plan = Plan(
            seed=seed,
            nodes=NODES,
            seconds=seconds,
            parent=folder,
            faults=name == "with faults",
            network=job.network.conditions,
        )
        verdict = Run(plan, Progress(sys.stderr)).carry_out()
        if verdict.is_interrupted:
            raise KeyboardInterrupt
        report(findings, name, verdict)
    return findings


def report(findings: Findings, name: str, verdict: Verdict) -> None:
    """Add what one load has shown."""
    total = sum(verdict.operations.values(), Counter[Ending]())
    count = sum(total.values())
    wrong = [problem.text for problem in verdict.problems]
    for problem in judge_digests(verdict.digests, verdict.agreed_index, nodes_min=NODES):
        wrong += [problem] if verdict.is_clean else []
    findings.broken += [f"{name}: {text}" for text in wrong]
    rows = [
        ("length", f"{verdict.elapsed_s:.0f} s, {verdict.rounds} round(s)"),
        ("faults", ", ".join(f"{kind} {times}" for kind, times in verdict.faults.items()) or "none"),
        ("operations", ", ".join(f"{ending} {total[ending]}" for ending in Ending)),
        ("elections won", str(verdict.elections)),
        ("longest time without an acknowledged write", f"{verdict.longest_silence_s:.1f} s"),
        ("longest time from the last fault to an agreement", f"{verdict.longest_recovery_s:.1f} s"),
    ]
    for workload, checked in verdict.checked.items():
        undecided = f", undecided {checked.undecided} of {checked.parts}" if checked.undecided else ""
        bad = sum(text.startswith(f"{workload}:") for text in wrong)
        rows.append((f"{workload}: {CHECKS[workload]}", f"{'NO' if bad else 'yes'}{undecided}"))
        if checked.undecided:
            findings.limits.append(
                f"{name}: of {checked.undecided} of {checked.parts} histories of {workload} nothing is known, "
                "because there were too many orders to search"
            )
    for node, digest in sorted(verdict.digests.items()):
        rows.append((f"state of {node} at index {verdict.agreed_index}", f"`{digest[:DIGEST_SHOWN]}`"))
    findings.tables.append((f"A load {name}:", Table(("", name), rows)))
    same = len(set(verdict.digests.values())) == 1 and len(verdict.digests) >= NODES
    findings.headlines |= {
        f"{name}: operations": str(count),
        f"{name}: histories": "broken" if wrong else "as they may be",
        f"{name}: states": "the same on all nodes" if same else "NOT compared or not the same",
        f"{name}: longest time without a write": f"{verdict.longest_silence_s:.1f} s",
    }
    findings.samples[name] = {"verdict": list(verdict.lines()), "digests": dict(verdict.digests)}
