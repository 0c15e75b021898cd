"""What is remembered of a Redis client from one command to the next, and what its commands may ask of this node."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from raftdb.frontend.redis.cursors import Cursors
from raftdb.frontend.redis.watching import Watched

NAME_BYTES_MAX = 1024
"""Longest name that a client gives itself, or its library."""


class Facts(Protocol):
    """What commands that are answered here may ask of the node and of its listener."""

    cursors: Cursors
    """Those of SCAN."""

    @property
    def sessions(self) -> Iterable["Session"]:
        """All connected clients."""
        ...

    @property
    def settings(self) -> Mapping[str, str]:
        """What CONFIG GET shows, by name."""
        ...

    def status(self) -> Mapping[str, Any]:
        """The status of the node."""
        ...

    def counts(self) -> Mapping[str, int]:
        """What the listener has counted, by Redis' names."""
        ...


@dataclass(slots=True, eq=False)
class Session:
    """The state of one connection. `version` is that of the protocol. `queued` are the requests since MULTI, None
    outside a transaction; `queue_failed`: one of them was refused."""

    id: int
    facts: Facts
    address: str
    local_address: str
    now: Callable[[], float]
    version: int = 2
    name: bytes = b""
    library_name: bytes = b""
    library_version: bytes = b""
    queued: list[list[bytes]] | None = None
    queued_bytes: int = 0
    queue_failed: bool = False
    watched: Watched = field(default_factory=Watched)
    is_ending: bool = False
    begun: float = 0.0
    last_command: str = "NULL"
    last_used: float = 0.0

    def __post_init__(self) -> None:
        """The clock begins to run."""
        self.begun = self.last_used = self.now()

    def leave_transaction(self) -> None:
        """Forget what is queued, and what is watched."""
        self.queued, self.queued_bytes, self.queue_failed = None, 0, False
        self.watched.clear()

    def reset(self) -> None:
        """Be as a new connection is."""
        self.leave_transaction()
        self.version, self.name = 2, b""
