"""Runs one command of the shell, of the database or with a dot: shared by scripts and the interactive
shell."""

from collections.abc import Sequence

from cli import help_text
from cli.dot_commands import DOT_COMMANDS, LocalControl, unknown_dot_command
from cli.lexer import Word
from cli.oneshot import execute
from cli.output import Output
from raftdb.client.sync_client import Client
from raftdb.commands.spec import lookup, suggest_name
from raftdb.errors import RaftdbError, RequestRefused


class Interpreter:
    """Executes words against a cluster and prints results on `output`.

    `cluster`: the control of local nodes, if `raftdb up` started them. `consistency`: of reads.
    """

    def __init__(
        self,
        client: Client,
        output: Output,
        *,
        cluster: LocalControl | None = None,
        consistency: str = "linearizable",
    ) -> None:
        self.client = client
        self.output = output
        self.cluster = cluster
        self._consistency = consistency

    def run(self, words: Sequence[Word]) -> None:
        """Run one command (at least one word). Raises `RaftdbError`, or `Quit` if it ends the shell."""
        name = words[0].text
        if name.startswith(".") and not words[0].quoted:
            self._run_dot_command(name, [word.text for word in words[1:]])
            return
        try:
            answer = execute(
                self.client, name, [word.value for word in words[1:]], consistency=self._consistency
            )
        except RequestRefused as error:
            raise _with_better_hint(name, error) from None
        self.output.answer(answer)

    def _run_dot_command(self, name: str, arguments: list[str]) -> None:
        dot = DOT_COMMANDS.get(name.lower())
        if dot is None:
            raise unknown_dot_command(name)
        fewest, most = dot.arity
        if not fewest <= len(arguments) <= most:
            raise RequestRefused(
                "wrong_arity", "wrong number of arguments", hint=f"the syntax is: {dot.syntax}"
            )
        dot.run(self, arguments)


def _with_better_hint(name: str, error: RaftdbError) -> RaftdbError:
    """`error`, with the dot that was forgotten (people type `help` and `quit`), or the space."""
    if error.code != "unknown_command" or lookup(name) is not None:
        return error
    meant = {"exit": ".quit", "?": ".help"}.get(name.lower(), f".{name.lower()}")
    if meant in DOT_COMMANDS:
        return RequestRefused(error.code, error.message, hint=f"did you mean {meant!r}?")
    hint = None if suggest_name(name) else help_text.missing_space(name)
    return RequestRefused(error.code, error.message, hint=hint) if hint else error
