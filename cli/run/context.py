"""What the prompt, or a script, is to whatever is carried out in it. A leaf: nothing is done here.

`cli.run.interpreter` is the one that there is; the commands with a dot, files that are read and repetition know only
this much of it, and so none of them needs the interpreter, which needs them all.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from cli.console.output import Output
from cli.line.lexer import Word
from cli.run.transactions import Transactions
from raftdb.client.sync_client import Client


class Quit(Exception):
    """The prompt, or the script, is asked to end."""


class LocalControl(Protocol):
    """What may be done to the processes of a cluster that `raftdb up` started. Errors are `RaftdbError`."""

    @property
    def node_ids(self) -> Sequence[str]:
        """The ids of all nodes, sorted."""
        ...

    @property
    def running_ids(self) -> Sequence[str]:
        """The ids of the nodes that run and are not paused, sorted."""
        ...

    def kill(self, node_id: str) -> str:
        """End a node with SIGKILL, as a crash would; what was done, for people."""
        ...

    def restart(self, node_id: str) -> str:
        """Start a node (stopping it cleanly first if it runs); what was done."""
        ...

    def pause(self, node_id: str) -> str:
        """Stop a node's clock and sockets with SIGSTOP; what was done."""
        ...

    def resume(self, node_id: str) -> str:
        """Let a paused node go on; what was done."""
        ...


class Context(Protocol):
    """Where commands are carried out one after the other.

    `cluster`: the control of local nodes, if `raftdb up` started them. `person`: how to ask somebody at a terminal
    yes or no; None in a script, which is not asked. `is_reading`: a file is being read.
    """

    client: Client
    output: Output
    cluster: LocalControl | None
    person: Callable[[str], bool] | None
    is_reading: bool

    @property
    def transactions(self) -> Transactions:
        """Which transaction is open, and what waits in it."""
        ...

    def run(self, words: Sequence[Word]) -> None:
        """Run one command (at least one word).

        Raises `RaftdbError`; `Quit` if no other is to follow; `Interrupted` for Ctrl-C; `BrokenPipeError` if whoever
        read the results has gone; and no other exception.
        """
