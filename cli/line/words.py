"""The table of commands that the shell carries out by itself, about transactions and about the shell.

Nodes do not know them. Commands between `begin` and `commit`, or between `multi` and `exec`, are kept in the shell and
sent as one request, which becomes one entry of the log. So a leader may fail in between, and nothing is lost.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from cli.line.syntax import COMMAND_LINE, Item, arity, parse
from raftdb.commands.spec import Example
from raftdb.errors import RequestRefused

TRANSACTIONS = "transactions"
SHELL = "shell"


@dataclass(frozen=True, slots=True)
class ShellCommand:
    """One command of the shell. `syntax` begins with the name (`cli.line.syntax` reads it), `heading` is its heading in
    help, and `examples` are lines that run in order on an empty database. With `local` it is only in the shell of a
    cluster that `up` started.
    """

    syntax: str
    summary: str
    heading: str = TRANSACTIONS
    examples: tuple[Example, ...] = ()
    local: bool = False

    @property
    def name(self) -> str:
        """The name, which is typed."""
        return self.syntax.split()[0]

    @property
    def items(self) -> tuple[Item, ...]:
        """The syntax after the name."""
        return parse(self.syntax)

    @property
    def command_line_at(self) -> int | None:
        """How many arguments come before an argument that is a command of its own; None if there is no such one."""
        names = list(map(str, self.items))
        return names.index(COMMAND_LINE) if COMMAND_LINE in names else None

    @property
    def arity(self) -> tuple[int, int | None]:
        """The fewest and the most arguments; None is no limit."""
        return arity(self.items)

    def check_arity(self, arguments: Sequence[object]) -> None:
        """Raise `RequestRefused` `wrong_arity` if there are too few arguments or too many."""
        fewest, most = self.arity
        if len(arguments) < fewest or (most is not None and len(arguments) > most):
            hint = f"the syntax is: {self.syntax}"
            raise RequestRefused("wrong_arity", "wrong number of arguments", hint=hint)


WORDS: dict[str, ShellCommand] = {
    word.name: word
    for word in (
        ShellCommand(
            "begin",
            "Open a transaction: reads answer at once, writes wait for commit.",
            examples=(
                Example("begin", "OK"),
                Example("get stock", '""'),
                Example("set stock 9", "QUEUED"),
                Example("get stock", '"9"'),
                Example("rollback", "OK"),
                Example("get stock", '""'),
            ),
        ),
        ShellCommand(
            "commit",
            "Execute the writes as one, or none if a key that was read has changed.",
        ),
        ShellCommand("rollback", "Discard the transaction: nothing of it happens."),
        ShellCommand("show", "Show what the open transaction has read, and what it will write."),
        ShellCommand(
            "multi [atomic]",
            "Queue commands until exec. atomic: if one fails, nothing happens.",
            examples=(
                Example("multi", "OK"),
                Example("incr visits", "QUEUED"),
                Example("get visits", "QUEUED"),
                Example("exec", '1) 1\n2) "1"'),
            ),
        ),
        ShellCommand("exec", "Run the queued commands as one; nil if a watched key has changed."),
        ShellCommand("discard", "Discard the queued commands and the watched keys."),
        ShellCommand("watch KEY [KEY ...]", "Let the next exec run only if these keys stay as they are now."),
        ShellCommand("unwatch", "Forget the watched keys."),
        ShellCommand("help [COMMAND]", "All commands, or one of them with examples.", SHELL),
        ShellCommand("quit", "Leave the shell; so do exit and Ctrl-D.", SHELL),
        ShellCommand("exit", "Leave the shell.", SHELL),
    )
}
"""The table by name, in the order of help."""
