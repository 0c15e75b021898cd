"""The prompt, or a script, as the commands that run in it see it.

`cli.run.interpreter` is the only implementation. The dot-commands, `.read` and `.watch` use this protocol, so that they
do not import the interpreter, which imports them.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from cli.admin.network import FaultyNetwork
from cli.console.output import Output
from cli.line.lexer import Word
from cli.run.transactions import Transactions
from raftdb.client.sync_client import Client


class Quit(Exception):
    """The prompt or the script is to end."""


class LocalControl(Protocol):
    """The control of the nodes that `raftdb up` started. All methods raise `RaftdbError`."""

    @property
    def node_ids(self) -> Sequence[str]:
        """The ids of all nodes, sorted."""
        ...

    @property
    def running_ids(self) -> Sequence[str]:
        """The ids of the nodes that run and are not paused, sorted."""
        ...

    @property
    def dashboard_url(self) -> str | None:
        """The address of the pages for browsers; None if there are none."""
        ...

    @property
    def network(self) -> FaultyNetwork:
        """The network between the nodes."""
        ...

    def add(self, node_id: str | None = None) -> str:
        """Start one more node, and wait until it is a member; returns its id."""
        ...

    def retire(self, node_id: str) -> str:
        """Stop a node that is a member no more, and delete its data; returns what was done."""
        ...

    def kill(self, node_id: str) -> str:
        """End a node with SIGKILL, as a crash would; returns what was done, for people."""
        ...

    def restart(self, node_id: str) -> str:
        """Start a node, after stopping it cleanly if it runs; returns what was done."""
        ...

    def pause(self, node_id: str) -> str:
        """Pause a node with SIGSTOP; returns what was done."""
        ...

    def resume(self, node_id: str) -> str:
        """Let a paused node go on; returns what was done."""
        ...


class Context(Protocol):
    """A prompt or a script, in which commands are carried out in order.

    `cluster` controls the nodes, if `raftdb up` started them. `person` asks the person at the terminal a question,
    which is answered yes or no; it is None in a script, where commands run without a question. `secret` asks for what
    is not to be seen, and returns it, or the empty string; it is None in a script, too. `user` is who the cluster takes
    the client for, as far as the prompt knows. `is_reading` is True while `.read` reads a file.
    """

    client: Client
    output: Output
    cluster: LocalControl | None
    person: Callable[[str], bool] | None
    secret: Callable[[str], str] | None
    user: str | None
    is_reading: bool

    @property
    def transactions(self) -> Transactions:
        """The open transaction, and the commands that wait in it."""
        ...

    def run(self, words: Sequence[Word]) -> None:
        """Run one command (at least one word).

        Raises `RaftdbError`; `Quit` if the prompt or script is to end; `Interrupted` after Ctrl-C; `BrokenPipeError` if
        the reader of the results has gone; and no other exception.
        """
