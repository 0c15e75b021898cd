"""The terminal of a demonstration: lines in colours that are legible on light and dark, and the recording of them.

A recording has the form asciicast, version 2 (https://docs.asciinema.org/manual/asciicast/v2/): a line of JSON with the
size of the terminal, then a line for each text, with the seconds since the start.
"""

import json
import os
import shutil
import textwrap
import time
from collections.abc import Callable, Sequence
from typing import TextIO

from cli.console.output import uses_colour
from cli.console.render import fit, printable, width

COLUMNS_MAX = 120
"""Lines that are longer are hard to read."""
COLUMNS_BESIDE = 100
"""From so many on there is room for a second column."""
LINES_DEFAULT = 30
BOLD, RED, GREEN, YELLOW, CYAN, GREY = "1", "31", "32", "33", "36", "90"
"""Codes of styles that every terminal shows legibly, whatever its background."""

Styled = tuple[str, str]
"""A text without control characters, and its style; an empty one is plain."""


class Screen:
    """Writes to `stream`, and to `record` as well, if there is one. `title` is that of the recording."""

    def __init__(
        self,
        stream: TextIO,
        *,
        record: TextIO | None = None,
        title: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream
        self._record = record
        self._clock = clock
        self._begin_s = clock()
        self._has_colour = uses_colour(stream)
        size = shutil.get_terminal_size()
        self.columns = min(size.columns, COLUMNS_MAX)
        if record is not None:
            head = {"version": 2, "width": self.columns, "height": LINES_DEFAULT, "title": title}
            record.write(json.dumps({**head, "timestamp": int(time.time()), "idle_time_limit": 3}) + "\n")

    def wrapped(self, text: str, indent: int) -> list[str]:
        """A text that must be read whole, in pieces that fit beside an indentation."""
        room = max(self.columns - indent, 1)
        text = printable(text)
        return [text[begin : begin + room] for begin in range(0, len(text), room)] or [""]

    def line(self, *pieces: Styled) -> None:
        """Write one line. It is cut at the edge of the terminal."""
        left = self.columns
        kept = []
        for text, style in pieces:
            text = fit(printable(text), left)
            left -= width(text)
            kept.append((text, style))
        self._write(kept)

    def paragraph(self, text: str, *, first: str = "", rest: str = "", style: str = "") -> None:
        """Write a text in lines as long as the terminal is wide, the first after `first`, the others after `rest`."""
        for number, line in enumerate(textwrap.wrap(text, self.columns - len(rest)) or [""]):
            self.line((rest if number else first, ""), (line, style))

    def beside(self, left: Sequence[Sequence[Styled]], right: Sequence[Styled], indent: int) -> None:
        """Write two columns, or the right one below the left one if there is no room."""
        half = self.columns * 3 // 5
        if self.columns < COLUMNS_BESIDE or any(width("".join(t for t, _ in line)) >= half for line in left):
            for line in left:
                self.line(*line)
            for text, style in right:
                self.line((" " * indent + "│ ", GREY), (text, style))
            return
        for number in range(max(len(left), len(right))):
            pieces = list(left[number]) if number < len(left) else []
            if number < len(right):
                gap = " " * (half - width("".join(text for text, _ in pieces)))
                pieces += [(f"{gap}│ ", GREY), right[number]]
            self.line(*pieces)

    def _write(self, pieces: Sequence[Styled]) -> None:
        plain = "".join(text for text, _ in pieces).rstrip()
        coloured = "".join(f"\x1b[{style}m{text}\x1b[0m" if style else text for text, style in pieces)
        self._stream.write(f"{coloured if self._has_colour else plain}\n")
        self._stream.flush()
        if self._record is not None:
            shown = plain if os.environ.get("NO_COLOR") else coloured
            event = [round(self._clock() - self._begin_s, 6), "o", f"{shown}\r\n"]
            self._record.write(json.dumps(event, ensure_ascii=False) + "\n")
            self._record.flush()
