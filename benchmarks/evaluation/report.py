"""The report, as Markdown: what was measured, on what, and what does not hold. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.evaluation.plan import GIB, KIB, MIB

HEADINGS = {
    "consistency": "Consistency",
    "members": "Nodes that come and go",
    "amounts": "Amounts of data",
    "failover": "Failover",
    "networks": "Networks",
}
FAILOVER_S_MAX = 0.5
"""The median that is promised on a local network (design of the timeouts)."""
DIP_SHARE_MIN = 0.1
"""A second in which less than this share of the usual writes is answered is said to be a stop."""


def report_of(head: Mapping[str, Any], parts: Mapping[str, Mapping[str, Any]]) -> str:
    """The whole report. `parts` are the figures of those that were measured."""
    lines = ["# An evaluation of raftdb", "", *_head(head), ""]
    problems = [problem for name, figures in parts.items() for problem in PROBLEMS[name](figures)]
    lines += ["## What does not hold", ""]
    lines += [f"* {problem}" for problem in problems] or ["Nothing was found."]
    missing = [HEADINGS[name].lower() for name in HEADINGS if name not in parts]
    if missing:
        lines += ["", f"Not measured: {', '.join(missing)}."]
    for name, figures in parts.items():
        lines += ["", f"## {HEADINGS[name]}", "", *TEXTS[name](figures)]
        if name in head.get("plots", ()):
            lines += ["", f"![{HEADINGS[name]}]({name}.png)"]
    return "\n".join(lines) + "\n"


def problems_of_consistency(figures: Mapping[str, Any]) -> Iterator[str]:
    """Digests that differ, and what the torture has found."""
    if len(set(figures["digests"].values())) != 1:
        yield f"after a load without faults the states differ at index {figures['index']}: {figures['digests']}"
    code = figures["torture"]["exit_code"]
    if code != 0:
        yield f"`{figures['torture']['command']}` has ended with {code}: see its verdict"


def problems_of_members(figures: Mapping[str, Any]) -> Iterator[str]:
    """Writes that failed, and changes after which writes stopped."""
    failed = sum(phase["failed"] for phase in figures["phases"])
    if failed:
        yield f"{failed} writes failed while the members did not change"
    for change in figures["changes"]:
        share = change["lowest_share"]
        if share is not None and share < DIP_SHARE_MIN:
            yield f"after {change['what']} there was a second with {share:.0%} of the usual writes"


def problems_of_failover(figures: Mapping[str, Any]) -> Iterator[str]:
    """A median that is too long."""
    if figures["median_s"] > FAILOVER_S_MAX:
        yield f"the median failover takes {figures['median_s']} s, longer than {FAILOVER_S_MAX} s"


def problems_of_networks(figures: Mapping[str, Any]) -> Iterator[str]:
    """Networks on which writes failed."""
    for name, row in figures.items():
        failed = row["one_client"]["failed"] + row["many_clients"]["failed"]
        if failed:
            yield f"over the network `{name}` {failed} writes failed"


PROBLEMS = {
    "consistency": problems_of_consistency,
    "members": problems_of_members,
    "amounts": lambda figures: iter(()),
    "failover": problems_of_failover,
    "networks": problems_of_networks,
}


def _head(head: Mapping[str, Any]) -> Iterator[str]:
    machine = ", ".join(f"{name} {value}" for name, value in head["machine"].items())
    sync = head["sync"]
    yield f"* command: `{head['command']}`, seed {head['seed']}, {head['took_s']:.0f} s"
    yield f"* raftdb {head['version']}; {machine}"
    yield f"* fdatasync of 4 KiB: median {sync['median_ms']:.3f} ms, p99 {sync['p99_ms']:.3f} ms"
    yield f"* load of the machine before: {head['load_average']:.1f}; nodes and clients share it"
    yield "* every write is durable on a majority before it is answered"


def _consistency(figures: Mapping[str, Any]) -> Iterator[str]:
    yield f"After {figures['writes']} writes without faults, the states at index {figures['index']}:"
    yield ""
    yield from table(("node", "SHA-256 of the state"), sorted(figures["digests"].items()))
    yield ""
    yield f"Under faults, `{figures['torture']['command']}` (docs/torture.md says what it does and checks):"
    yield ""
    yield from ("```", *figures["torture"]["verdict"].rstrip().splitlines()[-30:], "```")


def _members(figures: Mapping[str, Any]) -> Iterator[str]:
    names = ("nodes", "writes_per_s", "p50_ms", "p99_ms", "max_ms", "failed")
    rows = [[phase[name] for name in names] for phase in figures["phases"]]
    yield from table(("nodes", "writes/s", "p50 ms", "p99 ms", "longest ms", "failed"), rows)
    yield ""
    yield "The fewest writes of a second within five after a change, as a share of the mean before it:"
    yield ""
    changes = [
        (row["what"], row["begin_s"], row["seconds"], _share(row["lowest_share"]))
        for row in figures["changes"]
    ]
    yield from table(("change", "at s", "took s", "lowest"), changes)


def _amounts(figures: Mapping[str, Any]) -> Iterator[str]:
    names = ("write_s", "replicate_s", "catch_up_s", "recover_s", "memory_mib", "disk_mib")
    rows = [
        [f"{row['items']:,}", size(row["value_bytes"]), *(row[name] for name in names)]
        for row in figures["rows"]
    ]
    heads = (
        "values",
        "bytes each",
        "write s",
        "replicate s",
        "catch up s",
        "recover s",
        "memory MiB",
        "disk MiB",
    )
    yield from table(heads, rows)
    yield ""
    yield "Replicate: from the last answer until the follower that was there has all. Catch up: from the start of the"
    yield "one that was away. Recover: from the start of one that was killed, until it has all applied again. Memory"
    yield "and disk are the leader's."


def _failover(figures: Mapping[str, Any]) -> Iterator[str]:
    yield from table(
        ("kills", "median s", "p90 s", "longest s"),
        [[figures["count"], figures["median_s"], figures["p90_s"], figures["longest_s"]]],
    )


def _networks(figures: Mapping[str, Any]) -> Iterator[str]:
    rows = [
        (
            f"{name}: {row['words']}",
            row["formed_s"],
            row["one_client"]["p50_ms"],
            row["many_clients"]["writes_per_s"],
            row["failover"]["median_s"],
            row["failover"]["longest_s"],
        )
        for name, row in figures.items()
    ]
    heads = ("network", "formed s", "a write ms", "writes/s, 16 clients", "failover s", "longest s")
    yield from table(heads, rows)


TEXTS = {
    "consistency": _consistency,
    "members": _members,
    "amounts": _amounts,
    "failover": _failover,
    "networks": _networks,
}


def table(heads: Sequence[object], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    """A table of Markdown."""
    yield "| " + " | ".join(map(str, heads)) + " |"
    yield "|" + "---|" * len(heads)
    for row in rows:
        yield "| " + " | ".join(map(str, row)) + " |"


def size(count: int) -> str:
    """A number of bytes, for people."""
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if count >= unit and count % unit == 0:
            return f"{count // unit} {name}"
    return f"{count} B"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}"
