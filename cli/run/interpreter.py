"""Running one command of the shell, for scripts and for the interactive shell.

`Interpreter.run` carries out any command, or raises one of raftdb's errors, so that the shell can go on. Errors of
Python and of the system become raftdb's here (`failures.as_ours`).
"""

import traceback
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

from cli.console.failures import Interrupted, as_ours
from cli.console.output import Output
from cli.console.render import encoded
from cli.line import help_text, vocabulary
from cli.line.dot_words import DOT_WORDS
from cli.line.lexer import Word
from cli.line.words import WORDS
from cli.run.context import LocalControl, Quit
from cli.run.dot_commands import DOT_COMMANDS
from cli.run.executor import Executor
from cli.run.transactions import State, Transactions
from raftdb.client.protocol import Consistency
from raftdb.client.sync_client import Client
from raftdb.commands.spec import COMMANDS, lookup
from raftdb.errors import RaftdbError, RequestRefused


class Interpreter:
    """Executes words against a cluster and prints results on `output`.

    `consistency` is that of reads. `patience` returns the context in which a command of the database runs. With `debug`
    the tracebacks of unforeseen errors are printed. For the others see `Context`.
    """

    def __init__(
        self,
        client: Client,
        output: Output,
        *,
        cluster: LocalControl | None = None,
        consistency: Consistency = "linearizable",
        debug: bool = False,
    ) -> None:
        self.client = client
        self.output = output
        self.cluster = cluster
        self.person: Callable[[str], bool] | None = None
        self.secret: Callable[[str], str] | None = None
        self.user: str | None = None
        self.patience: Callable[[], AbstractContextManager[None]] = nullcontext
        self.is_reading = False
        self._debug = debug
        self._executor = Executor(client, consistency=consistency)

    @property
    def transactions(self) -> Transactions:
        """The open transaction, and the commands that wait in it."""
        return self._executor.transactions

    def run(self, words: Sequence[Word]) -> None:
        """Run one command (at least one word).

        Raises `RaftdbError`; `Quit` if it ends the shell; `Interrupted` after Ctrl-C; `BrokenPipeError` if the reader
        of the results has gone; and no other exception.
        """
        try:
            self._run(words)
        except (RaftdbError, Quit, BrokenPipeError):
            raise
        except Exception as error:
            if self._debug:
                traceback.print_exc()
            raise as_ours(error) from error

    def _run(self, words: Sequence[Word]) -> None:
        name = words[0].text
        if name.startswith(".") and not words[0].quoted:
            self._run_dot_command(name, [word.text for word in words[1:]])
        elif name.lower() in ("quit", "exit"):
            raise Quit
        elif name.lower() == "help":
            WORDS["help"].check_arity(words[1:])
            DOT_COMMANDS[".help"].run(self, [word.text for word in words[1:]])
        else:
            self._run_command(name, [word.value for word in words[1:]])

    def _run_command(self, name: str, arguments: Sequence[bytes]) -> None:
        spec = lookup(name)
        if spec is not None and spec.dangerous:
            question = f"{spec.name} touches more than the keys it names. Go on?"
            if not self._is_wanted(question):
                return
        try:
            with self.patience():
                self._executor.run(name, arguments, self.output)
        except RequestRefused as error:
            raise self._with_next_step(name, arguments, error) from None

    def _run_dot_command(self, name: str, arguments: list[str]) -> None:
        dot = DOT_COMMANDS.get(name.lower())
        if dot is None:
            meant = vocabulary.meant_by(name)
            hint = f"did you mean {meant!r}?" if meant else ".help lists all commands"
            raise RequestRefused("unknown_command", f"unknown dot-command {name[:40]!r}", hint=hint)
        DOT_WORDS[name.lower()].check_arity(arguments)
        if not self._is_wanted(dot.question(self, arguments)):
            return
        try:
            dot.run(self, arguments)
        except Interrupted:  # from a command that this one runs
            raise
        except KeyboardInterrupt:
            raise Interrupted(may_have_changed=dot.changes) from None

    def _is_wanted(self, question: str | None) -> bool:
        """Whether the answer to `question` is yes; True without a question, or without a person to ask."""
        if question is None or self.person is None or self.person(question):
            return True
        self.output.notice("nothing was done")
        return False

    def _with_next_step(self, name: str, arguments: Sequence[bytes], error: RequestRefused) -> RequestRefused:
        """`error`, with the command that was probably meant, without a dot or a space, and with the state of the
        queue."""
        hint = error.hint
        if error.code == "unknown_command":
            meant = vocabulary.meant_by(name)
            if meant is not None and meant not in COMMANDS:
                hint = f"did you mean {meant!r}?"
            elif meant is None:
                hint = help_text.missing_space(name) or "help lists all commands"
        if error.code in ("unknown_command", "wrong_arity"):
            hint = help_text.unseen_space([encoded(name), *arguments]) or hint
        if self.transactions.state is State.DOOMED:
            doomed = "exec will refuse what is queued; discard forgets it"
            hint = f"{hint}; {doomed}" if hint else doomed
        return error if hint == error.hint else RequestRefused(error.code, error.message, hint=hint)
