"""The report: what a part has found, and all of it as Markdown. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.evaluation.plan import PARTS, Job


@dataclass(frozen=True, slots=True)
class Table:
    """A table; each row has as many cells as there are columns."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Series:
    """A line of a plot, or its points."""

    label: str
    points: Sequence[tuple[float, float]]
    style: str = "-"
    """As matplotlib writes it: `-` a line, `o-` with points, `.` points alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One pair of axes. `marks` are moments with what happened then; logarithmic axes are named in `logarithmic`."""

    x: str
    y: str
    series: Sequence[Series]
    marks: Sequence[tuple[float, str]] = ()
    logarithmic: str = ""
    steps: bool = False


@dataclass(frozen=True, slots=True)
class Plot:
    """A picture of panels, one below the other. `name` is that of its file."""

    name: str
    title: str
    panels: Sequence[Panel]


@dataclass(slots=True, kw_only=True)
class Findings:
    """What a part has found under one network."""

    job: Job
    intro: str = ""
    tables: list[tuple[str, Table]] = field(default_factory=list)
    """With a sentence about each."""
    plots: list[Plot] = field(default_factory=list)
    headlines: dict[str, str] = field(default_factory=dict)
    """The few figures that are compared between networks."""
    broken: list[str] = field(default_factory=list)
    """Promises that were not kept."""
    missed: list[str] = field(default_factory=list)
    """What should be better, and is no broken promise: a failover that took long, writes that failed."""
    limits: list[str] = field(default_factory=list)
    """What was not measured, or says less than it seems to."""
    samples: dict[str, Any] = field(default_factory=dict)
    """All that was measured, for those who want to count by themselves."""


@dataclass(slots=True, kw_only=True)
class Evaluation:
    """A whole report. `head` is how and where it was made; `drawn` are the names of the plots that have a file."""

    head: Mapping[str, str]
    findings: list[Findings] = field(default_factory=list)
    limits: list[str] = field(default_factory=list)
    drawn: set[str] = field(default_factory=set)

    @property
    def broken(self) -> list[str]:
        """All promises that were not kept."""
        return [f"{one.job.title}: {text}" for one in self.findings for text in one.broken]


def markdown_table(table: Table) -> list[str]:
    """The lines of a table."""
    lines = [_row(table.columns), _row(["---"] * len(table.columns))]
    return [*lines, *(_row(row) for row in table.rows)]


def in_one_line(text: str) -> str:
    """A text without line breaks, which end what they stand in."""
    return " ".join(text.split())


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(in_one_line(cell).replace("|", "\\|") for cell in cells) + " |"


def markdown(evaluation: Evaluation) -> str:
    """The whole report."""
    lines = ["# An evaluation of raftdb", "", *markdown_table(Table(("", ""), list(evaluation.head.items())))]
    lines += ["", "## In short", "", *_verdict(evaluation), ""]
    for part in PARTS:
        found = [one for one in evaluation.findings if one.job.part == part]
        if found:
            lines += [f"({part}) {PARTS[part]}", "", *markdown_table(comparison(found)), ""]
    lines += ["## What does not hold, and what was not measured", ""]
    missed = [f"{one.job.title}: {text}" for one in evaluation.findings for text in one.missed]
    kinds = {
        "Promises that were not kept": evaluation.broken,
        "What should be better": missed,
        "What was not measured, or says less than it seems to": _all_limits(evaluation),
    }
    for words, texts in kinds.items():
        lines += [f"{words}:", "", *(f"* {in_one_line(text)}" for text in texts or ["nothing"]), ""]
    for one in evaluation.findings:
        lines += [*_section(one, evaluation.drawn), ""]
    return "\n".join(lines).rstrip() + "\n"


def comparison(found: Sequence[Findings]) -> Table:
    """The headlines of one part, a column for each network."""
    names = list(dict.fromkeys(name for one in found for name in one.headlines))
    columns = ("", *(one.job.network.name for one in found))
    return Table(columns, [(name, *(one.headlines.get(name, "-") for one in found)) for name in names])


def _verdict(evaluation: Evaluation) -> list[str]:
    if evaluation.broken:
        return [f"**{len(evaluation.broken)} of the promises were not kept**, see below."]
    if not evaluation.findings:
        return ["Nothing was measured."]
    return ["Of what was checked, every promise was kept."]


def _all_limits(evaluation: Evaluation) -> list[str]:
    own = [f"{one.job.title}: {text}" for one in evaluation.findings for text in one.limits]
    return [*evaluation.limits, *own]


def _section(one: Findings, drawn: set[str]) -> list[str]:
    network = one.job.network
    lines = [
        f"## {one.job.title}",
        "",
        f"Links between the nodes: `{network.conditions}`. {one.intro}".strip(),
    ]
    for words, table in one.tables:
        lines += ["", words, "", *markdown_table(table)]
    for plot in one.plots:
        if plot.name in drawn:
            lines += ["", f"![{plot.title}]({plot.name}.png)"]
    return lines
