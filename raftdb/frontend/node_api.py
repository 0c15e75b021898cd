"""The node as a frontend sees it: a Protocol, so that frontends can be tested without a node."""

from collections.abc import Awaitable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from raftdb.core.events import Change
from raftdb.errors import LeaderHint
from raftdb.impairment import NetworkChange
from raftdb.machine.operations import ClientOperation, SessionOperation
from raftdb.machine.service import Command, Query
from raftdb.machine.users.rights import Need
from raftdb.node.chronicle import Chronicle
from raftdb.node.effects import OnAnswer
from raftdb.node.history import History
from raftdb.node.turn import Answer

Consistency = Literal["linearizable", "stale"]
"""How fresh a read must be. Writes are always linearizable."""


class Backup(NamedTuple):
    """A file with a consistent copy of the state, and the index and term of its last entry."""

    path: Path
    index: int  # type: ignore[assignment]  # hides tuple.index
    term: int


class Node(Protocol):
    """One running node, as its frontends see it. All methods are called on the event loop's thread."""

    def execute(
        self, operation: ClientOperation | Query, *, consistency: Consistency, user: bytes | None = None
    ) -> Awaitable[Answer]:
        """Execute `operation`, on behalf of a user where there are users. The result is independent of frontends
        (`raftdb.machine.reply.Result`). The index is that at which the operation took effect, or, for a read, the
        applied index that it saw.

        Raises `RequestRefused`, `Unavailable`, `OutcomeUnknown` or `ReplyError`. Always ends in bounded time.
        """
        ...

    def wait(
        self,
        operation: Command | SessionOperation,
        on_answer: OnAnswer,
        *,
        wait_ms: int,
        user: bytes | None = None,
    ) -> int:
        """Execute `operation` once it can be served, and hold it until then: see `raftdb.node.held`."""
        ...

    def check(self, user: bytes | None, *needs: Need) -> None:
        """Raise `RequestRefused` (`unauthenticated`, `forbidden`) unless the user may do this; for what is no
        operation. Or Unavailable."""

    def leave(self, request_id: int) -> None:
        """The client of a request that may be held has gone."""

    def submit(
        self,
        operation: ClientOperation | Query,
        on_answer: OnAnswer,
        *,
        stale: bool = False,
        user: bytes | None = None,
    ) -> None:
        """The same by callback: see `raftdb.node.driver.Driver.submit`."""

    def request_log(self, first: int | None, limit: int) -> Awaitable[Mapping[str, object]]:
        """At most `limit` entries of the log from index `first` on, in the shape of GET /v1/request_log."""
        ...

    def checkpoint(self) -> Awaitable[int]:
        """Make the state durable and compact the log now; returns the index up to which the state is durable."""
        ...

    def backup(self) -> AbstractAsyncContextManager[Backup]:
        """Make a verified backup of the present state. Its file exists until the context ends. Raises `Unavailable`."""
        ...

    def status(self) -> Mapping[str, Any]:
        """The body of GET /v1/status."""
        ...

    @property
    def chronicle(self) -> Chronicle:
        """What happens on this node, for people."""
        ...

    def log_shape(self) -> Mapping[str, Any]:
        """Where the log begins and ends, how far it is durable, committed and applied, and its newest terms."""
        ...

    def figures(self) -> Mapping[str, Any]:
        """Plain numbers that change all the time, for curves."""
        ...

    def election_timer(self) -> Mapping[str, Any] | None:
        """How long this node has heard no leader, and after how long it stands for election, in ms; None while it
        leads."""
        ...

    def membership(self) -> Mapping[str, object]:
        """The body of GET /v1/members."""
        ...

    def change_members(self, change: Change, *, force: bool) -> Awaitable[Answer]:
        """Make one change of the members; the answer's value is a `MembersChanged` of `raftdb.node.membership`.

        Raises `Unavailable`, `OutcomeUnknown`, or `RequestRefused` with the reason. `force` overrides what only keeps
        people from harm.
        """
        ...

    def transfer(self, target: str | None) -> Awaitable[LeaderHint]:
        """Let `target` lead (None: the voter with the most entries); returns its addresses. Raises as
        `change_members`."""
        ...

    def network(self) -> Mapping[str, object]:
        """The body of GET /v1/network. Raises `RequestRefused` if this node injects no faults."""
        ...

    def change_network(self, change: NetworkChange) -> None:
        """Set the conditions of this node's links. Raises as `network`."""

    @property
    def cluster_id(self) -> str:
        """The name of the cluster, which a restored one does not share with that of the backup."""
        ...

    @property
    def history(self) -> History:
        """What was applied here lately."""
        ...

    @property
    def election_timeout_s(self) -> float:
        """How long a follower here waits for a leader, at least."""
        ...

    def is_leader(self) -> bool:
        """True while this node leads, as far as it knows."""
        ...

    def leader_hint(self) -> LeaderHint | None:
        """The leader, as far as this node knows; None if it knows none."""
