"""The output of `raftdb simulate`: the story of a run, the checks, and the verdict."""

import json
import sys
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TextIO, TypeVar

from raftdb.simulation.cluster import Report, Simulation
from raftdb.simulation.linearizability import Verdict
from raftdb.simulation.options import Options
from raftdb.simulation.recording import RecordedSimulation

NODES_MIN = 1
NODES_MAX = 15
EXIT_PASSED = 0
EXIT_VIOLATION = 1
EXIT_USAGE = 2
RECORDING_SUFFIX = ".json"
_Kind = TypeVar("_Kind", bound=Simulation)
STORY_LINES_MAX = 200
"""Most lines of the story; the file of `explain_path` gets all of them."""

TOLD = (
    *(
        "became leader",
        "became candidate",
        "lost contact",
        "crashes",
        "starts",
        "stays out",
        "has lost",
        "is paused",
    ),
    *(
        "goes on",
        "its disk",
        "is alone",
        "hears nothing",
        "is not heard",
        "is the bridge",
        "are apart",
        "do not hear",
    ),
    *("needs a snapshot", "installs a snapshot", "snapshot installed"),
    *("is asked", "learner has caught up", "is to take over", "is removed", "it was removed"),
    *("is half open", "all faults are over", "a bit of its log", "conflict"),
)
"""Lines of the trace with one of these texts are the story."""

CHECKS = (
    "at most one leader in a term",
    "an index and a term name the same entry on every node",
    "a committed entry stays, is on a majority's disks, and every later leader has it",
    "leaders commit by counting only entries of their own term",
    "a node sends nothing before it is synced, and synced writes survive a crash",
    "terms, commit and applied indexes never go back",
    "a snapshot replaces a log only if it is needed, and is the state that the log would have made",
    "members change one at a time, each change on top of a committed one; a removed id stays out",
    "votes and disks that count are those of the voters that the log names",
    "every node applies the same entries in the same order, to the same effect",
    "an acknowledged write is in the log at its index; a read sees every write acknowledged before it",
    "each message of a queue is in one state, or has left it in one way; of a group one at most is in flight",
    "at no entry is a lock held exclusively and by another, or beyond its limit; tokens grow, and fences hold",
    "nobody waits for a lock that is free, and no owners wait for one another in a circle",
    "a key that is bound to a session is there as long as that, and every request that a leader holds is answered",
    "after the faults there is one leader, which every member follows, and every request is answered",
)
"""The checks of every run, as they are printed."""


def simulate(
    seed: int, nodes: int, steps: int, explain_path: str | None = None, out: TextIO | None = None
) -> int:
    """Run one seed and print its story, the checks and the verdict to `out` (standard output by default).

    `explain_path` names a file for the full trace: text, or a recording for pages if it ends in `.json`. Returns 0 if
    every check held, 1 if one was broken, and 2 if the arguments make no sense. Raises `OSError` if the file cannot be
    written.
    """
    output: TextIO = sys.stdout if out is None else out
    if not NODES_MIN <= nodes <= NODES_MAX or steps < 1:
        print(f"raftdb simulate: from {NODES_MIN} to {NODES_MAX} nodes, and at least 1 step", file=output)
        return EXIT_USAGE
    if explain_path is None:
        report = _run(Simulation, seed, nodes, steps, output, lambda line: None)[1]
    else:
        with Path(explain_path).open("w", encoding="utf-8") as trace:
            if explain_path.endswith(RECORDING_SUFFIX):
                simulation, report = _run(RecordedSimulation, seed, nodes, steps, output, lambda line: None)
                simulation.recorder.verdict = report.violation
                json.dump(simulation.recorder.recording(), trace, separators=(",", ":"))
            else:
                explain = partial(print, file=trace)
                report = _run(Simulation, seed, nodes, steps, output, explain)[1]
                print(f"verdict: {report.violation or 'every check held'}", file=trace)
    _print_end(report, output)
    if explain_path is not None:
        print(f"\nthe whole trace is in {explain_path}", file=output)
    return EXIT_PASSED if report.passed else EXIT_VIOLATION


def _run(
    kind: type[_Kind], seed: int, nodes: int, steps: int, out: TextIO, explain: Callable[[str], None]
) -> tuple[_Kind, Report]:
    told = 0

    def listen(now_us: int, who: str, text: str) -> None:
        nonlocal told
        line = f"{now_us / 1e6:10.6f}  {who:7} {text}"
        explain(line)
        if any(part in text for part in TOLD):
            told += 1
            if told <= STORY_LINES_MAX:
                print(line, file=out)

    simulation = kind(seed, nodes=nodes, steps=steps, listener=listen)
    print(f"seed {seed}: {nodes} nodes, {steps} steps with faults, then peace", file=out)
    print(describe_options(simulation.options) + "\n", file=out)
    report = simulation.run()
    if told > STORY_LINES_MAX:
        print(f"{'':12}... and {told - STORY_LINES_MAX} more such lines", file=out)
    return simulation, report


def describe_options(options: Options) -> str:
    """The options of a run, in two lines: the speeds, and the faults that are on."""
    timeout_ms = options.election_timeout_ticks * options.tick_us / 1000
    on = [
        f"{field.name.replace('_', ' ')} {getattr(options.faults, field.name)}"
        for field in fields(options.faults)
        if getattr(options.faults, field.name)
    ]
    return (
        f"election timeout {timeout_ms:.0f} ms, frames take {options.delay_us / 1000} ms, syncs "
        f"{options.sync_us / 1000} ms, {options.clients} clients\nfaults: {', '.join(on) or 'none'}"
    )


def _print_end(report: Report, out: TextIO) -> None:
    struck = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in report.faults.items())
    print(f"\n{report.steps} steps in {report.virtual_us / 1e6:.1f} s of virtual time", file=out)
    print(f"  elections   {report.leaders} leaders, the last term is {report.terms}", file=out)
    print(f"  log         {report.committed} entries committed", file=out)
    print(
        f"  clients     {report.writes} writes and {report.reads} reads answered, {report.unknown} outcomes unknown, "
        f"{report.refused} surely not executed",
        file=out,
    )
    if report.options.workers:
        became = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in report.messages.items())
        print(f"  queues      {sum(report.messages.values())} messages: {became or 'none'}", file=out)
    if report.options.lockers:
        held = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in report.locks.items())
        print(f"  locks       {held or 'nobody got one'}", file=out)
    if report.options.observers:
        print(f"  watches     {report.changes_told} changes told", file=out)
    if report.options.keepers or report.options.waiters:
        print(f"  sessions    {report.bound} keys bound, {report.ended} ended with their sessions", file=out)
        print(f"  waiting     {report.served} requests served, {report.in_vain} held in vain", file=out)
    done = ", ".join(f"{name} {count}" for name, count in report.operations.items())
    print(f"  operators   {done or 'asked for nothing'}", file=out)
    print(f"  compaction  {report.compactions} trims, {report.installs} snapshots installed", file=out)
    print(f"  network     {report.frames} frames sent", file=out)
    print(f"  faults      {struck or 'none'}", file=out)
    for node, why in report.lost_nodes.items():
        print(f"  lost        {node}: {why}", file=out)
    if not report.passed:
        print(f"\nBROKEN: {report.violation}", file=out)
        print(f"repeat with: raftdb simulate --seed {report.seed} --nodes {report.options.nodes} "
              f"--steps {report.options.steps}", file=out)  # fmt: skip
        return
    print("\nchecked after every step, or at the end:", file=out)
    for check in CHECKS:
        print(f"  ok       {check}", file=out)
    operations = sum(finding.operations for finding in report.findings)
    searched = f"the answers about {len(report.findings)} keys ({operations} operations) are linearizable"
    if report.linearizable is Verdict.UNKNOWN:
        given_up = sum(finding.verdict is Verdict.UNKNOWN for finding in report.findings)
        print(f"  unknown  {searched}: the search gave up on {given_up} of them", file=out)
    else:
        print(f"  ok       {searched}", file=out)
    print(f"  well {report.settled_us / 1e6:.2f} s after the last fault", file=out)
    print(f"\nevery check held (fingerprint {report.fingerprint:08x})", file=out)
