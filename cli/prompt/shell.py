"""The interactive shell: a prompt_toolkit session that runs lines by `interpreter`. Scripts do not use it."""

import os
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

from prompt_toolkit import PromptSession
from prompt_toolkit.application import Application, run_in_terminal
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.formatted_text.utils import fragment_list_width
from prompt_toolkit.input import Input, create_input
from prompt_toolkit.output import ColorDepth
from prompt_toolkit.output import Output as TerminalOutput
from prompt_toolkit.styles import Style

from cli import RAFTDB_VERSION
from cli.console import render
from cli.console.failures import (
    EXIT_OK,
    EXIT_USAGE,
    INTERRUPTED,
    INTERRUPTED_WRITE,
    CommandError,
    Interrupted,
    as_ours,
)
from cli.line.lexer import LexError, split
from cli.prompt import key_bindings, status_line
from cli.prompt.completer import HintProcessor, ShellCompleter, ShellLexer
from cli.prompt.finder import Finder
from cli.prompt.history import ShellHistory
from cli.prompt.monitor import Monitor
from cli.prompt.pasting import PastingInput
from cli.prompt.patience import Patience
from cli.run.context import Quit
from cli.run.interpreter import Interpreter
from raftdb.errors import RaftdbError, Unauthenticated

_STYLE = Style.from_dict(
    {
        "prompt": "bold",
        "prompt.user": "nobold",
        "prompt.begin": "ansiyellow",
        "prompt.multi": "ansiyellow",
        "prompt.doomed": "ansired",
        "prompt.continuation": "ansibrightblack",
        "hint": "ansibrightblack",
        "auto-suggestion": "ansibrightblack",
        "line.command": "ansicyan",
        "line.unknown": "ansired",
        "line.option": "ansimagenta",
        "line.string": "ansigreen",
        "line.number": "ansiblue",
        "line.comment": "ansibrightblack",
        "line.error": "ansired underline",
        "bottom-toolbar": "noreverse ansibrightblack",
        "bar.bad": "ansired",
        "bar.open": "ansiyellow",
    }
)

PROMPT_FAILURES_MAX = 5
"""Failures of the prompt in a row after which the shell ends, because they would go on for ever."""


class Shell:
    """The interactive shell.

    `history`, `input` and `terminal` are the user's own by default. `take_news` returns lines to show; it is called
    after each line and when the cluster changes. `session` reads a line.
    """

    def __init__(
        self,
        interpreter: Interpreter,
        *,
        history: ShellHistory | None = None,
        input: Input | None = None,
        terminal: TerminalOutput | None = None,
        take_news: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self._interpreter = interpreter
        self._transactions = interpreter.transactions
        self._ask_for_news = take_news
        self._history = history or ShellHistory.of_user()
        self._input, self._terminal = PastingInput(input or create_input()), terminal
        self._color_depth = ColorDepth.DEPTH_1_BIT if os.environ.get("NO_COLOR") else None
        self._news: deque[str] = deque()
        self._was_warned = False
        self._is_ended = False
        self._prompt_failures = 0
        self._question: Application[str] | None = None
        self._first_leader: str | None = None  # until the monitor has a view
        client = interpreter.client
        self.monitor = Monitor(
            client.addresses,
            tls=client.tls,
            credentials=client.credentials,
            changed=self._take_change,
            news=self._take_news,
        )
        self._finder = Finder(lambda: self.monitor.addresses, tls=client.tls, credentials=client.credentials)
        completer = ShellCompleter(
            nodes=self._nodes, finder=self._finder, local=interpreter.cluster is not None
        )
        self.session: PromptSession[str] = PromptSession(
            self._prompt,
            prompt_continuation=lambda columns, *_: FormattedText(status_line.continuation(columns)),
            bottom_toolbar=lambda: FormattedText(status_line.toolbar(self.monitor.view, self._transactions)),
            history=self._history,
            completer=completer,
            lexer=ShellLexer(),
            auto_suggest=AutoSuggestFromHistory(),
            key_bindings=key_bindings.bindings(completer),
            complete_while_typing=True,
            search_ignore_case=True,
            input_processors=[HintProcessor(lambda: fragment_list_width(self._prompt()))],
            style=_STYLE,
            color_depth=self._color_depth,
            input=self._input,
            output=terminal,
        )

    def run(self) -> int:
        """Print the banner, then read and run lines until `.quit` or Ctrl-D; returns the exit code. Ctrl-C clears the
        line."""
        self._interpreter.person = self._ask
        self._interpreter.secret = self._ask_secret
        self._interpreter.patience = lambda: Patience(self._say_what_is_waited_for)
        self._interpreter.output.text(self.banner())
        if self._history.problem is not None:
            self._interpreter.output.notice(f"lines are not kept for later: {self._history.problem}")
        self.monitor.start()
        try:
            while not self._is_ended:
                self._run_next_line()
        finally:
            self.monitor.stop()
            self._finder.stop()
        return EXIT_OK

    def _run_next_line(self) -> None:
        """Read one line, or a block of lines, and run it."""
        self._tell_news()
        try:
            line = self.session.prompt()
        except KeyboardInterrupt:
            return
        except EOFError:
            self._end()
            return
        except OSError:  # the terminal has gone
            self._was_warned = True
            self._end()
            return
        except Exception as error:
            self._prompt_failures += 1
            if self._prompt_failures == PROMPT_FAILURES_MAX:
                raise
            self._tell(as_ours(error), "prompt")
            return
        self._prompt_failures = 0
        self._history.save()
        try:
            self._run_line(line)
            self._was_warned = False
        except KeyboardInterrupt as interrupt:
            may_have_changed = isinstance(interrupt, Interrupted) and interrupt.may_have_changed
            # A line of its own, because the terminal shows ^C.
            self._interpreter.output.notice(f"\n{INTERRUPTED_WRITE if may_have_changed else INTERRUPTED}")
        except Quit:
            self._end()

    def _end(self) -> None:
        """End the shell; with an open transaction, only at the second time in a row."""
        if not self._transactions.is_open:
            self._is_ended = True
            return
        output = self._interpreter.output
        if self._was_warned:
            self._is_ended = True
            self._transactions.clear()
            output.notice("rolled back: nothing of the transaction happened")
        else:
            self._was_warned = True
            output.notice(
                f"a transaction is open, {status_line.waiting(self._transactions)}: "
                "once more leaves and forgets it"
            )

    @property
    def asks(self) -> bool:
        """Whether it is waiting for the answer to a question."""
        return self._question is not None and self._question.is_running

    def leave(self) -> bool:
        """End the shell as Ctrl-D does, from a signal handler. Returns False if it is not reading from the terminal."""
        for application in (self.session.app, *([self._question] if self._question else [])):
            if application.is_running and application.loop is not None:
                self._was_warned = self._is_ended = True  # without a warning
                application.loop.call_soon_threadsafe(_end_input, application)
                return True
        return False

    def _run_line(self, line: str) -> None:
        """Run the commands of one line up to the first error."""
        what = "syntax"
        try:
            for words in split(line):
                what = words[0].text
                self._interpreter.run(words)
        except LexError as error:
            self._tell(CommandError("syntax", str(error), exit_code=EXIT_USAGE), what)
        except RaftdbError as error:
            self._tell(error, what)

    def _say_what_is_waited_for(self) -> None:
        view = self.monitor.view
        reason = "no node leads" if self._leader() is None else "no answer yet"
        if view is not None and view.is_slow:
            reason += ", and the network is slow"
        self._interpreter.output.news(f"-- waiting: {reason}. Ctrl-C stops waiting")

    def _tell(self, error: RaftdbError, what: str) -> None:
        self._interpreter.output.failure(error, what, program=None)

    def _ask(self, question: str) -> bool:
        """Ask a question; True if the answer is yes."""
        return self._answer(f"{question} [y/N] ").strip().lower() in ("y", "yes")

    def _ask_secret(self, question: str) -> str:
        """Ask for a secret, which is not shown; empty without an answer."""
        return self._answer(question, is_secret=True)

    def _answer(self, question: str, *, is_secret: bool = False) -> str:
        """The person's answer; empty if there is none."""
        asking: PromptSession[str] = PromptSession(
            color_depth=self._color_depth, input=self._input, output=self._terminal
        )
        self._question = asking.app
        try:
            return asking.prompt(question, is_password=is_secret)
        except (KeyboardInterrupt, EOFError, OSError):
            if self._is_ended:  # after a signal the rest of the line is not run
                raise Quit from None
            return ""
        finally:
            self._question = None

    def _prompt(self) -> FormattedText:
        user = self._interpreter.user
        return FormattedText(status_line.prompt(self._leader(), self._transactions.state, user))

    def _leader(self) -> str | None:
        view = self.monitor.view
        return self._first_leader if view is None else view.leader

    def _nodes(self) -> Sequence[str]:
        cluster = self._interpreter.cluster
        return self.monitor.node_ids if cluster is None else cluster.node_ids

    def _take_change(self) -> None:
        """Show the monitor's new view; called in its threads."""
        with suppress(RuntimeError):  # the prompt has ended just now
            self.session.app.invalidate()
        self._in_prompt(self._look_for_news)

    def _take_news(self, line: str) -> None:
        """Show a line above the prompt, or before the next one if none is open; called in threads of the monitor."""
        self._news.append(line)
        self._in_prompt(self._look_for_news)

    def _in_prompt(self, call: Callable[[], None]) -> None:
        """Call `call` soon in the loop of the prompt, if one is open."""
        application = self.session.app
        if application.is_running and application.loop is not None:
            with suppress(RuntimeError):  # the prompt has ended just now
                application.loop.call_soon_threadsafe(call, context=application.context)

    def _look_for_news(self) -> None:
        """Print news above the prompt."""
        self._news += self._ask_for_news()
        if self._news:
            run_in_terminal(self._tell_news)

    def _tell_news(self) -> None:
        self._news += self._ask_for_news()
        while self._news:
            self._interpreter.output.news(f"-- {self._news.popleft()}")

    def banner(self) -> str:
        """The greeting: the nodes, which one leads, and three commands to try."""
        client = self._interpreter.client
        try:
            status = client.status()
            self._interpreter.user = None if client.credentials.is_empty else client.whoami()
        except RaftdbError as error:
            if isinstance(error, Unauthenticated):
                client.credentials.replace()  # else each command would be one more wrong password
            self._interpreter.output.failure(error, "connect", program=None)
            return f"raftdb {RAFTDB_VERSION}: commands will be tried all the same. help lists them"
        leader = self._first_leader = None if status.leader is None else status.leader.id
        addresses = sorted((member.id, member.http) for member in status.members)
        tries = [("set greeting hello", "store a value; get greeting reads it back")]
        if self._interpreter.cluster is not None and leader is not None:
            tries.append((f".kill {leader}", "crash the leader; get greeting still answers"))
        else:
            tries.append((".nodes", "see all nodes and how far each has come"))
        tries.append(("help", "all commands; Tab completes; Ctrl-D leaves"))
        title = f"raftdb {RAFTDB_VERSION}" + ("" if leader else ", no leader at the moment")
        lines = [title, render.nodes(addresses, leader)]
        if self._interpreter.cluster is not None and self._interpreter.cluster.dashboard_url is not None:
            lines.append(f"dashboard: {self._interpreter.cluster.dashboard_url}")
        lines.append("try:")
        size = max(render.width(command) for command, _ in tries)
        lines += [f"  {command:<{size}}   {description}" for command, description in tries]
        return "\n".join(lines)


def _end_input(application: Application[str]) -> None:
    """End the input of an application, unless it has ended already."""
    if application.future is not None and not application.future.done():
        application.exit(exception=EOFError())
