"""What a run has found, in plain words."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cli.torture.recorder import ENDINGS, Ending
from cli.torture.workload import Checked, Problem

PROBLEMS_SHOWN_MAX = 10
"""Problems that a verdict shows, those of all kinds before more of one; `problems.txt` has all."""
PROBLEM_SHOWN_MAX = 300
"""Characters of a problem that it shows."""


@dataclass(slots=True, kw_only=True)
class Verdict:
    """The outcome of a run. `checked` is by workload; `agreed_index` and `digests` are those of the end."""

    seed: int
    nodes: int
    folder: Path
    elapsed_s: float = 0.0
    is_interrupted: bool = False
    rounds: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    operations: Mapping[str, Counter[Ending]] = field(default_factory=dict)
    longest_silence_s: float = 0.0
    longest_recovery_s: float = 0.0
    elections: int = 0
    checked: dict[str, Checked] = field(default_factory=dict)
    agreed_index: int = 0
    digests: Mapping[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether no promise was broken."""
        return not self.problems

    def take(self, workload: str, checked: Checked) -> None:
        """Add what the check of one round has found."""
        before = self.checked.get(workload, Checked(parts=0))
        self.checked[workload] = Checked(
            (), before.parts + checked.parts, before.undecided + checked.undecided
        )
        self.problems += [
            Problem(f"{workload}: {problem.text}", problem.part) for problem in checked.problems
        ]

    def lines(self) -> Iterator[str]:
        """The verdict, for people."""
        ended = ", ended early by a signal" if self.is_interrupted else ""
        length = f"{duration(self.elapsed_s)} in {_several(self.rounds, 'round')}{ended}"
        yield f"seed {self.seed}, {self.nodes} nodes, {length}"
        yield f"  faults: {sum(self.faults.values())}: {_counts(self.faults) or 'none'}"
        total = sum(self.operations.values(), Counter())
        yield f"  operations: {sum(total.values())}, of which were"
        for ending, words in ENDINGS.items():
            yield f"    {total[ending]:>8}  {share(total[ending], sum(total.values())):>6}  {words}"
        for name, counts in self.operations.items():
            yield f"    {name}: {_counts({str(ending): counts[ending] for ending in Ending})}"
        yield f"  elections won: {self.elections}"
        yield f"  longest time without an acknowledged write: {self.longest_silence_s:.1f} s"
        yield f"  longest time from the last fault until all nodes agreed: {self.longest_recovery_s:.1f} s"
        yield from self._lines_of_checks()
        yield from self._conclusion()

    def _lines_of_checks(self) -> Iterator[str]:
        for name, checked in self.checked.items():
            what = CHECKS.get(name, "checked")
            undecided = (
                f"; of {checked.undecided} of {checked.parts} keys nothing is known, for there were too many orders"
                if checked.undecided
                else ""
            )
            yield f"  {name}: {what}{undecided}"
        if self.digests:
            same = "the same" if len(set(self.digests.values())) == 1 else "NOT the same"
            yield f"  states: on the disks of all {len(self.digests)} nodes, as of index {self.agreed_index}, {same}"

    def _conclusion(self) -> Iterator[str]:
        if self.is_clean:
            yield "verdict: no promise was broken"
            return
        yield f"verdict: {_several(len(self.problems), 'problem')} found"
        for problem in self._some_of_each_kind():
            text = problem.text
            yield f"  - {text if len(text) <= PROBLEM_SHOWN_MAX else f'{text[:PROBLEM_SHOWN_MAX]} ...'}"
            if problem.part:
                yield f"    shown by {_several(len(problem.part), 'operation')}, see violations.jsonl"
        if len(self.problems) > PROBLEMS_SHOWN_MAX:
            yield f"  - and {len(self.problems) - PROBLEMS_SHOWN_MAX} more, see problems.txt"
        yield f"everything needed to look into it is in {self.folder}"

    def _some_of_each_kind(self) -> list[Problem]:
        """The problems that are shown: the first of each workload, then the second, and so on."""
        seen: Counter[str] = Counter()
        ranked = []
        for place, problem in enumerate(self.problems):
            kind = problem.text.partition(":")[0]
            ranked.append((seen[kind], place))
            seen[kind] += 1
        return [self.problems[place] for _, place in sorted(ranked)[:PROBLEMS_SHOWN_MAX]]


CHECKS = {
    "registers": "each key is searched for an order of all its commands that explains every answer",
    "lists": "all transactions of a round are searched for a serial order that explains every read",
    "bank": "every look at all accounts found all the money, and no debt",
    "queue": "each message put was delivered, and acknowledged once, groups in order",
    "locks": "tokens only grow, and nobody wrote under a lock that was somebody else's by then",
}
"""What was checked of each workload."""


def duration(seconds: float) -> str:
    """A time for people: `9:58`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def share(part: int, whole: int) -> str:
    """A share in percent."""
    return f"{100 * part / whole:.1f} %" if whole else "-"


def _several(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def problem_texts(problems: Sequence[Problem]) -> str:
    """All problems, a paragraph each."""
    return "\n\n".join(problem.text for problem in problems) + "\n"
