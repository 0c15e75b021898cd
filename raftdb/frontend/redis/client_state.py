"""The state of a Redis client between commands, and the facts about this node that its commands may read."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from raftdb.access.logins import Logins
from raftdb.access.users import Proof
from raftdb.frontend.redis.cursors import Cursors
from raftdb.frontend.redis.watching import Watched

NAME_BYTES_MAX = 1024
"""Longest name of a client, or of its library."""


class Facts(Protocol):
    """The facts about the node and its listener for commands that need no operation."""

    cursors: Cursors
    """The cursors of SCAN."""
    instance: str
    """A name of this listener that no other has, nor the same node after its next start."""

    logins: Logins | None
    """What finds users; None where there are none."""

    @property
    def asks_for_users(self) -> bool:
        """Whether clients have to be users."""
        ...

    @property
    def clients(self) -> Iterable["ClientState"]:
        """All connected clients."""
        ...

    @property
    def settings(self) -> Mapping[str, str]:
        """The settings of CONFIG GET, by name."""
        ...

    def status(self) -> Mapping[str, Any]:
        """The status of the node."""
        ...

    def counts(self) -> Mapping[str, int]:
        """The listener's counters, by Redis' names."""
        ...


def mode_of(facts: Facts) -> str:
    """How a listener introduces itself: as a node of a Redis cluster, or as a Redis alone."""
    return "cluster" if facts.settings["cluster-enabled"] == "yes" else "standalone"


class Blocked(Protocol):
    """A request that the node holds."""

    def unblock(self, *, with_error: bool) -> None:
        """Let it wait no longer; if it has got nothing the reply is an error, or as when its time is over."""


@dataclass(slots=True, eq=False)
class ClientState:
    """The state of one connection. `version` is that of the protocol. `queued` are the requests since MULTI, None
    outside a transaction; `queue_failed`: one of them was refused. `is_readonly`: its reads may be stale."""

    id: int
    facts: Facts
    address: str
    local_address: str
    now: Callable[[], float]
    version: int = 2
    is_readonly: bool = False
    name: bytes = b""
    library_name: bytes = b""
    library_version: bytes = b""
    queued: list[list[bytes]] | None = None
    queued_bytes: int = 0
    queue_failed: bool = False
    watched: Watched = field(default_factory=Watched)
    proof: Proof | None = None
    """By what it has shown whose it is, None before it has."""
    is_ending: bool = False
    blocked: Blocked | None = None
    """Its request that the node holds."""
    end: Callable[[], None] = lambda: None
    """Ends its connection at once."""
    begun: float = 0.0
    last_command: str = "NULL"
    last_used: float = 0.0

    def __post_init__(self) -> None:
        """Note the time of the connection's begin."""
        self.begun = self.last_used = self.now()

    @property
    def host(self) -> str:
        """The address that it comes from, without the port."""
        return self.address.rpartition(":")[0]

    @property
    def is_stranger(self) -> bool:
        """True while it would have to be a user, and has not shown that it is one."""
        return self.proof is None and self.facts.asks_for_users

    @property
    def user(self) -> bytes | None:
        """On whose behalf it asks."""
        return None if self.proof is None else self.proof.user

    @property
    def held_bytes(self) -> int:
        """What its transaction and its watched keys take."""
        return self.queued_bytes + self.watched.held_bytes

    @property
    def owner(self) -> bytes:
        """The name under which this connection owns locks."""
        return f"redis:{self.facts.instance}:{self.id}".encode()

    def leave_transaction(self) -> None:
        """Drop the queued commands and the watched keys."""
        self.queued, self.queued_bytes, self.queue_failed = None, 0, False
        self.watched.clear()

    def fail_transaction(self) -> None:
        """Let EXEC refuse what is queued, because a request was refused."""
        if self.queued is not None:
            self.queue_failed = True
            self.queued.clear()

    def reset(self) -> None:
        """Reset the state to that of a new connection."""
        self.leave_transaction()
        self.version, self.name, self.is_readonly, self.proof = 2, b"", False, None


def shown_address(address: object) -> str:
    """A socket's address as Redis shows it."""
    if isinstance(address, tuple) and len(address) >= 2:
        host, port = address[:2]
        return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
    return "?:0"
