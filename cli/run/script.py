"""Scripts of the shell: `-c`, `-f FILE`, or commands on stdin, without a prompt or a banner.

Scripts are UTF-8, and may begin with its byte order mark, which editors on some systems write.
"""

import codecs
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from cli.console.failures import EXIT_FAILED, EXIT_OK, EXIT_USAGE, CommandError, as_ours, exit_code_of, reason
from cli.console.paths import typed_path
from cli.line.lexer import LexError, split
from cli.run.context import Context, Quit
from raftdb.errors import RaftdbError, RequestRefused
from raftdb.limits import COMMAND_BYTES_CEILING

LINE_BYTES_MAX = 4 * COMMAND_BYTES_CEILING + 4096
"""Longest line of a script: the largest command with each of its bytes as `\\xNN`."""
_MARK = codecs.BOM_UTF8.decode()


def lines_of_text(text: str) -> Iterator[tuple[str, str]]:
    """Each (place, line) of the text of `-c`, with an empty place, which error messages do not need."""
    return (("", line) for line in text.removeprefix(_MARK).split("\n"))


def lines_of_stream(stream: BinaryIO, name: str) -> Iterator[tuple[str, str]]:
    """Each (place, line) of a file or pipe, as soon as the line arrives, because a program may wait for its answer.

    Raises `CommandError` for a line over `LINE_BYTES_MAX`, and for a text with the byte order mark of UTF-16.
    """
    for number, line in enumerate(iter(lambda: stream.readline(LINE_BYTES_MAX + 1), b""), start=1):
        place = f"{name}:{number}"
        if len(line) > LINE_BYTES_MAX:
            raise CommandError(
                place, f"a line has more than {LINE_BYTES_MAX} bytes", exit_code=EXIT_FAILED, code="too_large"
            )
        if number == 1 and line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise CommandError(
                place, "the script is UTF-16", exit_code=EXIT_USAGE, hint="save it as UTF-8, and run it again"
            )
        text = line.rstrip(b"\r\n").decode("utf-8", "surrogateescape")
        yield place, text.removeprefix(_MARK) if number == 1 else text


def run_script(context: Context, lines: Iterable[tuple[str, str]], *, keep_going: bool = False) -> int:
    """Run the commands of all lines, in order; returns the exit code of the first error, or 0.

    It stops at the first error unless `keep_going`. If a line cannot be split none of its commands runs. A transaction
    that is open at the end is an error, and nothing of it happens.
    """
    exit_code = _run_lines(context, lines, keep_going=keep_going)
    if context.transactions.is_open:
        opened_by = context.transactions.opened_by
        context.transactions.clear()
        error = CommandError(
            opened_by,
            "the script ended in the middle of its transaction, of which nothing happened",
            exit_code=EXIT_FAILED,
        )
        context.output.failure(error, opened_by)
        exit_code = exit_code or EXIT_FAILED
    return exit_code


def _run_lines(context: Context, lines: Iterable[tuple[str, str]], *, keep_going: bool) -> int:
    exit_code = EXIT_OK
    try:
        for place, line in lines:
            for error, what in _run_line(context, place, line):
                context.output.failure(error, what)
                exit_code = exit_code or exit_code_of(error)
                if not keep_going:
                    return exit_code
    except Quit:
        pass
    except BrokenPipeError:
        raise
    except (RaftdbError, OSError) as error:  # the script cannot be read any further
        context.output.failure(as_ours(error), "script")
        exit_code = exit_code or exit_code_of(as_ours(error))
    return exit_code


def _run_line(context: Context, place: str, line: str) -> Iterator[tuple[RaftdbError, str]]:
    """Run one line, and yield each error with the command that failed; the rest of the line runs if the caller goes
    on."""
    prefix = f"{place}: " if place else ""
    try:
        commands = split(line)
    except LexError as error:
        what = place or "syntax"
        yield CommandError(what, str(error), exit_code=EXIT_USAGE), what
        return
    for words in commands:
        try:
            context.run(words)
        except RaftdbError as error:
            yield error, prefix + words[0].text


def run_file(context: Context, name: str) -> None:
    """`.read`: run the commands of a file in the shell, up to the first error, which is raised with its place.

    A transaction that is open at the end stays open.
    """
    if context.is_reading:
        raise RequestRefused("bad_request", "a file that .read reads cannot contain .read")
    context.is_reading = True
    try:
        with open_script(name, ".read") as stream:
            for place, line in lines_of_stream(stream, name):
                for error, what in _run_line(context, place, line):
                    raise CommandError(
                        what,
                        error.message,
                        exit_code=exit_code_of(error),
                        hint=error.hint,
                        code=error.code,
                    ) from error
    finally:
        context.is_reading = False


def open_script(name: str, what: str) -> BinaryIO:
    """Open a file of commands. Raises `CommandError` if it cannot be read."""
    path = typed_path(name, what)
    try:
        return path.open("rb")
    except OSError as error:
        raise CommandError(what, f"cannot read {reason(error)}", exit_code=EXIT_USAGE) from None
