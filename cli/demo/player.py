"""Plays the steps of a demonstration in order, up to the first that is not as expected, and says the verdict."""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cli.demo.elections import LEADS, Elections, Told
from cli.demo.results import Result
from cli.demo.screen import BOLD, CYAN, GREEN, GREY, RED, YELLOW, Screen, Styled
from cli.demo.stage import Stage
from cli.demo.steps import Demo, Step
from raftdb.errors import RaftdbError

INDENT = 4
TOLD_SHOWN_MAX = 12
"""The lines of a time line beside one step; on a bad network an election may take many votes."""
LINES_SHOWN_MAX = 40
TOOK_SHOWN_S = 0.1
"""A step that takes less is not worth a number."""


@dataclass(frozen=True, slots=True)
class Played:
    """One step as it went: what was shown, its result, and whether that was as expected."""

    step: Step
    commands: tuple[str, ...]
    result: Result
    expected: str
    is_right: bool


class Player:
    """Plays demonstrations on a stage. `pause` is called before each step."""

    def __init__(self, stage: Stage, screen: Screen, *, pause: Callable[[], None] = lambda: None) -> None:
        self.played: list[Played] = []
        self._stage = stage
        self._screen = screen
        self._pause = pause
        self._elections = Elections()
        self._begin_ms = time.time() * 1000
        self._leaders: list[str] = []

    def play(self, demo: Demo) -> bool:
        """Play all steps; whether each of them was as expected."""
        self._screen.line()
        for number, step in enumerate(demo.steps, start=1):
            self._pause()
            if not self._step(number, step):
                break
        return self._verdict(demo)

    def _step(self, number: int, step: Step) -> bool:
        stage, screen = self._stage, self._screen
        began_s = time.monotonic()
        commands: tuple[str, ...] = ()
        try:
            stage.name(step.names)
            says, expected = stage.fill(step.says), stage.fill(step.expects.words)
            screen.paragraph(says, first=f"{number:>2}  ", rest=" " * INDENT, style=BOLD)
            commands = tuple(step.does.shown(stage))
            for command in commands:
                for line in screen.wrapped(command, INDENT):
                    screen.line((" " * INDENT, ""), (line, CYAN))
            result = step.does.run(stage)
            is_right = step.expects.judge(result, stage.fill)
            if step.keeps is not None and (match := re.search(step.keeps, result.text)):
                stage.names.update(match.groupdict())
        except RaftdbError as error:  # there is no leader, for so long that nothing can be asked
            expected = step.expects.words
            result, is_right = Result((error.message,), failed=True), False
        took_s = time.monotonic() - began_s
        self._show(result, expected, is_right, took_s)
        self.played.append(Played(step, commands, result, expected, is_right))
        return is_right

    def _show(self, result: Result, expected: str, is_right: bool, took_s: float) -> None:
        margin = (" " * INDENT, "")
        lines: list[Sequence[Styled]] = [
            [margin, (line, RED if result.failed and not is_right else "")]
            for whole in result.lines[:LINES_SHOWN_MAX]
            for line in self._screen.wrapped(whole, INDENT)
        ]
        if len(result.lines) > LINES_SHOWN_MAX:
            lines.append([margin, (f"and {len(result.lines) - LINES_SHOWN_MAX} lines more", GREY)])
        mark = ("✓ ", GREEN) if is_right else ("✗ ", RED)
        took = f"   {took_s:.2f} s" if took_s >= TOOK_SHOWN_S else ""
        lines.append([margin, mark, (f"expected: {expected}", "" if is_right else RED), (took, GREY)])
        self._screen.beside(lines, self._time_line(), INDENT)
        self._screen.line()

    def _time_line(self) -> list[Styled]:
        told = self._elections.take(self._stage.addresses)
        self._leaders += [f"{each.node} ({each.sentence})" for each in told if each.what == LEADS]
        shown = [self._line_of(each) for each in told[-TOLD_SHOWN_MAX:]]
        if len(told) > TOLD_SHOWN_MAX:
            shown.insert(0, (f"{len(told) - TOLD_SHOWN_MAX} before", GREY))
        return shown

    def _line_of(self, told: Told) -> Styled:
        since_s = (told.time_ms - self._begin_ms) / 1000
        return f"{since_s:7.2f} s  {told.node} {told.sentence}", YELLOW if told.what == LEADS else GREY

    def _verdict(self, demo: Demo) -> bool:
        right = sum(played.is_right for played in self.played)
        whole = len(demo.steps)
        took_s = time.time() - self._begin_ms / 1000
        if right == whole:
            text, style = f"{demo.name}: all {whole} steps were as expected", GREEN
        else:
            text, style = f"{demo.name}: step {right + 1} of {whole} was not as expected", RED
        self._screen.line((text, f"{BOLD};{style}"), (f"   {took_s:.1f} s", GREY))
        if self._leaders:
            self._screen.paragraph(f"leaders: {', then '.join(self._leaders)}", style=GREY)
        return right == whole
