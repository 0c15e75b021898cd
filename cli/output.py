"""Where results and errors go and in which form: typed on a terminal, raw in a pipe, JSON on request."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TextIO

from cli import render
from cli.failures import EXIT_FAILED, CommandError

_RED = "31"
_GREY = "90"


class Output:
    """Prints results on `stream` and errors on `errors` (default: the process' own).

    `format` is `table` (typed values), `json` or `raw`; None chooses `table` on a terminal and `raw`
    elsewhere. Colours are used on a terminal only, and not at all if `NO_COLOR` is set to anything.
    """

    def __init__(
        self, format: str | None = None, *, stream: TextIO | None = None, errors: TextIO | None = None
    ) -> None:
        self._stream = stream
        self._errors = errors
        self.format = format or ("table" if is_terminal(self.stream) else "raw")

    @property
    def stream(self) -> TextIO:
        """Where results go. Looked up each time: tests and prompt_toolkit exchange `sys.stdout`."""
        return self._stream or sys.stdout

    @property
    def errors(self) -> TextIO:
        """Where errors and notices go."""
        return self._errors or sys.stderr

    def table(self, headers: Sequence[str], rows: Sequence[Sequence[str]], body: object) -> None:
        """Print rows: as a table with headers, raw with tabs between cells, or `body` as JSON."""
        if self.format == "json":
            self.json(body)
        elif self.format == "raw":
            self._put("".join("\t".join(row) + "\n" for row in rows).encode(errors="surrogateescape"))
        else:
            self.text(render.table(headers, rows))

    def fields(self, fields: Mapping[str, str], body: object) -> None:
        """Print named values, one per line."""
        if self.format == "json":
            self.json(body)
        elif self.format == "raw":
            self.table((), list(fields.items()), body)
        else:
            size = max(map(render.width, fields), default=0)
            self.text("\n".join(f"{name:<{size}}  {value}".rstrip() for name, value in fields.items()))

    def json(self, body: object) -> None:
        """Print `body` as one line of JSON."""
        self.text(json.dumps(body, ensure_ascii=False, default=dict))

    def raw(self, data: bytes) -> None:
        """Print bytes as they are, and a line end."""
        self._put(data + b"\n")

    def text(self, text: str) -> None:
        """Print a line, or lines, for people."""
        self._put(f"{text}\n".encode(self.stream.encoding or "utf-8", "backslashreplace"))

    def error(self, text: str) -> None:
        """Print what `failures.describe` made: the word `error:` in red, the hint in grey, where colours are
        wanted."""
        if uses_colour(self.errors):
            first, *rest = text.split("\n")
            first = first.replace("error:", f"\x1b[{_RED}merror:\x1b[0m", 1)
            text = "\n".join([first, *(f"\x1b[{_GREY}m{line}\x1b[0m" for line in rest)])
        self.notice(text)

    def notice(self, text: str) -> None:
        """Print a line on the stream of errors. If nobody can be told, nobody is: the exit code still says it."""
        with suppress(OSError):
            _write(self.errors, f"{text}\n".encode(self.errors.encoding or "utf-8", "backslashreplace"))

    def _put(self, data: bytes) -> None:
        """Write results. Raises `CommandError` if they cannot be written, or `BrokenPipeError`."""
        try:
            _write(self.stream, data)
        except BrokenPipeError:
            raise
        except OSError as error:
            reason = (error.strerror or "unknown reason").lower()
            raise CommandError(
                "output", f"the result cannot be written: {reason}", exit_code=EXIT_FAILED
            ) from error


def _write(stream: TextIO, data: bytes) -> None:
    """Write bytes behind whatever text the stream still holds; a stream without bytes below gets text."""
    stream.flush()
    buffer = getattr(stream, "buffer", None)
    if buffer is None:
        stream.write(data.decode("utf-8", "backslashreplace"))
    else:
        buffer.write(data)
    stream.flush()


def is_terminal(stream: TextIO) -> bool:
    """True if a person reads `stream`; a closed one is none."""
    try:
        return stream.isatty()
    except (AttributeError, ValueError):
        return False


def uses_colour(stream: TextIO) -> bool:
    """Whether colours may be written to `stream` (https://no-color.org)."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
