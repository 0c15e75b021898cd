"""The commands that the shell carries out by itself: those about transactions, and about the shell. One table.

No node knows their names. What is typed between `begin` and `commit`, or `multi` and `exec`, waits here, in the
shell, and travels as one request, which becomes one entry of the log: so a leader may die in between, and nothing
is lost.
"""

from dataclasses import dataclass

from raftdb.commands.row import Example

TRANSACTIONS = "transactions"
SHELL = "shell"


@dataclass(frozen=True, slots=True)
class ShellWord:
    """One row of the table. `syntax` starts with the name (`cli.line.syntax` says how it is read); `heading` is where
    help shows it; `examples` is a story, its lines run in order on an empty database."""

    syntax: str
    summary: str
    heading: str = TRANSACTIONS
    examples: tuple[Example, ...] = ()

    @property
    def name(self) -> str:
        """What is typed."""
        return self.syntax.split()[0]


WORDS: dict[str, ShellWord] = {
    word.name: word
    for word in (
        ShellWord(
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
        ShellWord(
            "commit",
            "Carry out the writes as one; none if a key that was read changed.",
        ),
        ShellWord("rollback", "Forget the transaction: nothing of it happens."),
        ShellWord("show", "What the open transaction has read, and what it will do."),
        ShellWord(
            "multi [atomic]",
            "Queue commands until exec. atomic: if one fails, nothing happens.",
            examples=(
                Example("multi", "OK"),
                Example("incr visits", "QUEUED"),
                Example("get visits", "QUEUED"),
                Example("exec", '1) 1\n2) "1"'),
            ),
        ),
        ShellWord("exec", "Run the queued commands as one; nil if a watched key has changed."),
        ShellWord("discard", "Forget the queued commands and the watched keys."),
        ShellWord("watch KEY [KEY ...]", "Let the next exec run only if these keys stay as they are now."),
        ShellWord("unwatch", "Forget the watched keys."),
        ShellWord("help [COMMAND]", "All commands, or one of them with examples.", SHELL),
        ShellWord("quit", "Leave the shell; so do exit and Ctrl-D.", SHELL),
        ShellWord("exit", "Leave the shell.", SHELL),
    )
}
"""The table by name, in the order of help."""
