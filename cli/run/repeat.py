"""`.watch`: repeating one command until Ctrl-C. On a terminal each answer replaces the last one."""

import io
import os
import shutil
from collections.abc import Sequence
from time import sleep, strftime

from cli.console import render
from cli.console.failures import INTERRUPTED_WRITE, Interrupted
from cli.console.output import Output, is_terminal
from cli.line.lexer import Word
from cli.line.numbers import parse_seconds
from cli.line.words import TRANSACTIONS, WORDS
from cli.run.context import Context
from raftdb.errors import RaftdbError, RequestRefused

SECONDS_MIN = 0.1
SECONDS_MAX = 86_400.0
_NOT_REPEATED = frozenset({".watch", ".read", ".quit", "quit", "exit"})


def repeat(context: Context, interval: str, command: Sequence[str]) -> None:
    """Run `command` every `interval` seconds until Ctrl-C, which also ends a script in which it is.

    An error is shown like an answer, because the cluster may be back soon; only `RequestRefused`, for a malformed
    command, ends the repetition.
    """
    try:
        seconds = parse_seconds(interval, SECONDS_MIN, SECONDS_MAX)
    except ValueError as error:
        raise RequestRefused("bad_request", str(error), hint="for example: .watch 2 get visits") from None
    name = command[0].lower()
    word = WORDS.get(name)
    if name in _NOT_REPEATED or (word is not None and word.heading == TRANSACTIONS):
        raise RequestRefused("bad_request", f"{name} cannot be repeated")
    if context.transactions.is_open:
        raise RequestRefused(
            "bad_request",
            "a transaction is open: it reads everything once",
            hint="commit or roll it back first",
        )
    words = [Word(text.encode("utf-8", "surrogateescape"), 0, 0, quoted=False) for text in command]
    screen = _Screen(
        context.output, f"every {seconds:g} s: {' '.join(map(render.word, (w.value for w in words)))}"
    )
    try:
        while True:
            if screen.is_over:
                screen.show(_answer(context, words))
            else:
                _run(context, words)
            sleep(seconds)
    except KeyboardInterrupt as interrupt:
        if context.person is None:
            raise
        context.output.text("")  # a line end after the ^C that the terminal shows
        if isinstance(interrupt, Interrupted) and interrupt.may_have_changed:
            context.output.notice(INTERRUPTED_WRITE)


def _answer(context: Context, words: Sequence[Word]) -> str:
    """The output of the command, as text."""
    stream = io.StringIO()
    output = context.output
    context.output = Output(output.format, stream=stream, errors=stream)
    try:
        _run(context, words)
    finally:
        context.output = output
    return stream.getvalue()


def _run(context: Context, words: Sequence[Word]) -> None:
    """Run the command, and show an error like an answer."""
    try:
        context.run(words)
    except RequestRefused:
        raise
    except RaftdbError as error:
        context.output.failure(error, words[0].text, program=None)


class _Screen:
    """Shows answers in the same place, with a head. `is_over` is True on a terminal that can do that."""

    def __init__(self, output: Output, head: str) -> None:
        self._output = output
        self._head = head
        self._lines = 0
        self.is_over = is_terminal(output.stream) and os.environ.get("TERM") != "dumb"

    def show(self, text: str) -> None:
        """Show an answer in place of the last one."""
        size = shutil.get_terminal_size()
        head = f"{self._head} · {strftime('%H:%M:%S')} · Ctrl-C ends it"
        # Lines that do not fit would scroll away, and the next answer could not replace them.
        lines = [head, *text.rstrip("\n").split("\n")][: max(size.lines - 1, 1)]
        fitting = "\n".join(render.fit(line, size.columns - 1) for line in lines)
        if self._lines:
            self._output.control(f"\x1b[{self._lines}A\r\x1b[J")
        self._lines = len(lines)
        self._output.text(fitting)
