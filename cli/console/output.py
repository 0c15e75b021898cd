"""Printing results and errors: typed on a terminal, raw in a pipe, JSON on request."""

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TextIO

from cli.console import render
from cli.console.failures import EXIT_FAILED, CommandError, body_of, describe
from cli.console.render import encoded
from raftdb.errors import RaftdbError

FORMATS = ("table", "json", "raw")
"""The forms of results."""
_RED = b"31"
_YELLOW = b"33"
_GREY = b"90"
_UTF8 = re.compile("utf-?8", re.IGNORECASE)


class Output:
    """Prints results on `stream` and errors on `errors`, by default stdout and stderr.

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
        """The stream of results. It is looked up each time, because tests and prompt_toolkit exchange `sys.stdout`."""
        return self._stream or sys.stdout

    @property
    def errors(self) -> TextIO:
        """The stream of errors and notices."""
        return self._errors or sys.stderr

    def table(self, headers: Sequence[str], rows: Sequence[Sequence[str]], body: object) -> None:
        """Print rows: as a table with headers, raw with tabs between cells, or `body` as JSON."""
        if self.format == "json":
            self.json(body)
        elif self.format == "raw":
            self._put(encoded("".join("\t".join(row) + "\n" for row in rows)))
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
            # A field is one line, even if a node's value contains line ends.
            lines = (f"{name:<{size}}  {render.printable(value)}".rstrip() for name, value in fields.items())
            self.text("\n".join(lines))

    def json(self, body: object) -> None:
        """Print `body` as one line of JSON."""
        self._put(_json_line(body, self.stream))

    def raw(self, data: bytes) -> None:
        """Print bytes as they are, and a line end."""
        self._put(data + b"\n")

    def text(self, text: str) -> None:
        """Print lines for people. Control characters are escaped, because parts may come from others."""
        self._put(_lines(text, self.stream))

    def control(self, codes: str) -> None:
        """Send control codes to a terminal."""
        self._put(codes.encode("ascii"))

    def failure(self, error: RaftdbError, what: str, *, program: str | None = "raftdb") -> None:
        """Print an error of `what` on the stream of errors, for people (see `failures.describe`), or as JSON if results
        are JSON."""
        if self.format == "json":
            self._tell(_json_line(body_of(error, what), self.errors))
        else:
            self.error(describe(error, what, program=program))

    def error(self, text: str) -> None:
        """Print a text of `failures.describe`, in colour on a terminal: `error:` in red, the hint in grey."""
        lines = _lines(text, self.errors)
        if uses_colour(self.errors):
            first, *rest = lines.splitlines()
            first = first.replace(b"error:", b"\x1b[%bmerror:\x1b[0m" % _RED, 1)
            lines = b"".join([first + b"\n", *(b"\x1b[%bm%b\x1b[0m\n" % (_GREY, line) for line in rest)])
        self._tell(lines)

    def news(self, text: str) -> None:
        """Print a line about an event in the cluster, in colour on a terminal."""
        line = _lines(text, self.errors)
        self._tell(b"\x1b[%bm%b\x1b[0m\n" % (_YELLOW, line[:-1]) if uses_colour(self.errors) else line)

    def notice(self, text: str) -> None:
        """Print a line on the stream of errors."""
        self._tell(_lines(text, self.errors))

    def _tell(self, data: bytes) -> None:
        """Write to the stream of errors. A failure of that is ignored, because the exit code still shows the error."""
        with suppress(OSError):
            _write(self.errors, data)

    def _put(self, data: bytes) -> None:
        """Write results. Raises `CommandError` if they cannot be written, and `BrokenPipeError`."""
        try:
            _write(self.stream, data)
        except BrokenPipeError:
            raise
        except OSError as error:
            reason = (error.strerror or "unknown reason").lower()
            raise CommandError(
                "output", f"the result cannot be written: {reason}", exit_code=EXIT_FAILED
            ) from error


def _lines(text: str, stream: TextIO) -> bytes:
    """Text for people in the encoding of a stream, with a line end; characters that it cannot show are escaped."""
    lines = "\n".join(map(render.printable, text.split("\n")))
    return f"{lines}\n".encode(stream.encoding or "utf-8", "backslashreplace")


def _json_line(body: object, stream: TextIO) -> bytes:
    """One line of JSON, which is UTF-8, and ASCII with escapes if the locale has another encoding.

    Control characters that JSON allows unescaped (C1, bidirectional controls) are escaped, because a terminal would
    obey them.
    """
    # A text stream without a buffer, such as StringIO, has no encoding, although its type has one.
    is_utf8 = _UTF8.fullmatch(str(stream.encoding or "utf-8")) is not None
    text = json.dumps(body, ensure_ascii=not is_utf8, default=dict)
    if not text.isprintable():
        text = "".join(
            character if character.isprintable() else json.dumps(character)[1:-1] for character in text
        )
    return text.encode("ascii" if not is_utf8 else "utf-8") + b"\n"


def _write(stream: TextIO, data: bytes) -> None:
    """Flush the stream, and write bytes to its buffer, or as text if it has none."""
    stream.flush()
    buffer = getattr(stream, "buffer", None)
    if buffer is None:
        stream.write(data.decode("utf-8", "backslashreplace"))
    else:
        buffer.write(data)
    stream.flush()


def is_terminal(stream: TextIO) -> bool:
    """True if `stream` is a terminal; False if it is closed."""
    try:
        return stream.isatty()
    except (AttributeError, ValueError):
        return False


def terminal_columns() -> int:
    """The width of the terminal; without one, the value of `COLUMNS`, or 80."""
    import shutil  # slow to import, and only help needs it

    return shutil.get_terminal_size().columns


def uses_colour(stream: TextIO) -> bool:
    """Whether colours may be written to `stream` (https://no-color.org)."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
