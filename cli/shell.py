"""The interactive shell: a prompt_toolkit session around `interpreter`. Scripts do not come here."""

import os
from collections.abc import Callable, Sequence

from prompt_toolkit import PromptSession
from prompt_toolkit.input import Input
from prompt_toolkit.output import ColorDepth
from prompt_toolkit.output import Output as TerminalOutput
from prompt_toolkit.styles import Style

from cli import RAFTDB_VERSION, render
from cli.completer import HintProcessor, ShellCompleter, tab_bindings
from cli.dot_commands import Quit
from cli.failures import EXIT_OK, EXIT_USAGE, CommandError, describe
from cli.history import ShellHistory, history_path
from cli.interpreter import Interpreter
from cli.lexer import LexError, split
from raftdb.errors import RaftdbError

PROMPT = "> "
_STYLE = Style.from_dict({"hint": "ansibrightblack", "prompt": "bold"})


class Shell:
    """A prompt for a person.

    `history`, `input` and `terminal` are the user's own by default. `after_line`: called
    after each line, for news about the cluster.
    """

    def __init__(
        self,
        interpreter: Interpreter,
        *,
        history: ShellHistory | None = None,
        input: Input | None = None,
        terminal: TerminalOutput | None = None,
        after_line: Callable[[], None] | None = None,
    ) -> None:
        self._interpreter = interpreter
        self._after_line = after_line
        self._node_ids: tuple[str, ...] = ()
        self._history = history or ShellHistory(history_path())
        completer = ShellCompleter(nodes=self._nodes, local=interpreter.cluster is not None)
        self._session: PromptSession[str] = PromptSession(
            [("class:prompt", PROMPT)],
            history=self._history,
            completer=completer,
            key_bindings=tab_bindings(completer),
            complete_while_typing=True,
            input_processors=[HintProcessor()],
            style=_STYLE,
            color_depth=ColorDepth.DEPTH_1_BIT if os.environ.get("NO_COLOR") else None,
            input=input,
            output=terminal,
        )

    def run(self) -> int:
        """Greet, then read and run lines until `.quit` or Ctrl-D; the exit code. Ctrl-C clears the line."""
        self._interpreter.output.text(self.banner())
        while True:
            try:
                line = self._session.prompt()
            except KeyboardInterrupt:
                continue
            except EOFError:
                return EXIT_OK
            self._history.save()
            try:
                self._run_line(line)
            except KeyboardInterrupt:
                self._interpreter.output.notice("interrupted: a write that was sent may still take effect")
            except Quit:
                return EXIT_OK
            if self._after_line is not None:
                self._after_line()

    def leave(self) -> bool:
        """End the shell as Ctrl-D would, from a signal handler; False if it is not at its prompt."""
        application = self._session.app
        if not application.is_running:
            return False
        application.exit(exception=EOFError())
        return True

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

    def _tell(self, error: RaftdbError, what: str) -> None:
        self._interpreter.output.error(describe(error, what, program=None))

    def _nodes(self) -> Sequence[str]:
        cluster = self._interpreter.cluster
        return self._node_ids if cluster is None else cluster.node_ids

    def banner(self) -> str:
        """Who is there, who leads, and three things to try."""
        try:
            status = self._interpreter.client.status()
        except RaftdbError as error:
            self._interpreter.output.error(describe(error, "connect", program=None))
            return f"raftdb {RAFTDB_VERSION}: commands will be tried all the same. .help lists them"
        self._node_ids = tuple(sorted(member.id for member in status.members))
        leader = None if status.leader is None else status.leader.id
        addresses = sorted((member.id, member.http) for member in status.members)
        tries = [("set greeting hello", "store a value; get greeting reads it back")]
        if self._interpreter.cluster is not None and leader is not None:
            tries.append((f".kill {leader}", "crash the leader; get greeting still answers"))
        else:
            tries.append((".nodes", "see all nodes and how far each has come"))
        tries.append((".help", "all commands; Ctrl-D leaves"))
        title = f"raftdb {RAFTDB_VERSION}" + ("" if leader else ", no leader at the moment")
        lines = [title, render.nodes(addresses, leader), "try:"]
        size = max(render.width(command) for command, _ in tries)
        lines += [f"  {command:<{size}}   {description}" for command, description in tries]
        return "\n".join(lines)
