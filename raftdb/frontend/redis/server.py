"""The listener for Redis clients: it accepts connections, and bounds the requests of all of them in flight and in one
turn.

Replies that become ready in a turn of the event loop are written at its end, all of one connection in one write. New
requests are begun up to a budget for each turn, so that heartbeats come in between, however many connections have
requests. Connections over the budget, or over the limit of requests in flight, wait in a line.
"""

import asyncio
import logging
import os
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from raftdb.access.logins import Logins
from raftdb.access.users import Proof, Users
from raftdb.endpoint import Endpoint
from raftdb.errors import LeaderHint, RequestRefused, Unavailable
from raftdb.frontend.accepting import Acceptor
from raftdb.frontend.impaired_clients import Wrap, as_it_is
from raftdb.frontend.redis.bounds import BEGUN_PER_LOOK
from raftdb.frontend.redis.client_state import ClientState
from raftdb.frontend.redis.connection import RedisConnection
from raftdb.frontend.redis.cursors import Cursors
from raftdb.frontend.redis.errors import CommandRefused
from raftdb.frontend.redis.rows import Arguments
from raftdb.frontend.redis.strangers import Strangers
from raftdb.frontend.redis.unread import STALLED_S, UNREAD_S
from raftdb.frontend.tls import Tls
from raftdb.limits import DEFAULT_LIMITS, TRANSACTION_KEYS_MAX, Limits
from raftdb.machine.operations import ClientOperation
from raftdb.machine.service import Command, Query
from raftdb.machine.users.rights import Rights
from raftdb.memory import MemoryAccount
from raftdb.node.effects import OnAnswer
from raftdb.tally import RequestTallies
from raftdb.wire.resp import ARGUMENT_BYTES

logger = logging.getLogger("raftdb.redis")

BEGUN_PER_TURN_MAX = 1024
"""Requests begun in one turn of the loop, some 20 ms of short ones."""
PAUSE_S = 0.25
"""If no request is begun for this long, there is no leader or no majority: those in line need not be too many."""
REFUSED_PER_BEGUN = 16
"""Requests that are refused in the time in which one is begun."""
LINE_S = 1.0
"""How long requests wait in line before they are refused. What is refused early costs little, so that what is taken is
answered in time."""


class RedisNode(Protocol):
    """One running node, as this listener sees it."""

    def submit(
        self, operation: ClientOperation | Query, on_answer: OnAnswer, *, user: bytes | None = None
    ) -> None:
        """Execute one operation, on behalf of a user where there are users; see `raftdb.node.driver.Driver.submit`."""

    def read(
        self,
        operation: ClientOperation | Query,
        on_answer: OnAnswer,
        *,
        stale: bool,
        user: bytes | None = None,
    ) -> None:
        """Execute one operation that only reads, likewise; if it may be `stale`, from the state as this node has it."""

    def wait(
        self, operation: Command, on_answer: OnAnswer, *, wait_ms: int, user: bytes | None = None
    ) -> int:
        """Execute one operation once it can be served; see `raftdb.node.held`."""
        ...

    def leave(self, request_id: int) -> None:
        """The client of a request that may be held has gone."""

    def end_wait(self, request_id: int) -> None:
        """A request that may be held is to wait no longer: it is answered as at its deadline."""

    def status(self) -> Mapping[str, Any]:
        """The status of the node."""
        ...

    def reaches(self, node_id: str) -> bool:
        """Whether a connection to that node stands."""
        ...

    def other_leader(self) -> LeaderHint | None:
        """The leader that has to execute what this node would refuse now; None if it would not, or knows of none."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisLimits:
    """The limits of one listener. There are `connections_max` connections at most. No request is begun while
    `in_flight_max` are in flight; one that has waited for that for `line_s` seconds, while others were begun, is
    refused. Where clients have to be users, one that has not logged in for `stranger_s` seconds is cut off. So is one
    that has read nothing for `unread_s`, and one that has read and sent nothing for `stalled_s` if others need its
    memory."""

    connections_max: int = 24_000
    in_flight_max: int = 4_096
    line_s: float = LINE_S
    stranger_s: float = 10.0
    unread_s: float = UNREAD_S
    stalled_s: float = STALLED_S


def _tls_refusal() -> bytes:
    """The answer to one who comes without TLS where it is required."""
    return b"-ERR this port is reached by TLS alone\r\n"


class RedisServer:
    """One listener. `start` and `close` are called once each, on the event loop.

    `for_clusters`: it serves clients of Redis clusters, which are sent to the leader's port of this kind. They find the
    node of a key by its slot; reads without a key, like DBSIZE, they send to any node, and expect an answer there. So
    these are executed by `wide_reader`. `users` and `logins` find and judge users (None: there are none). `requests`
    counts those that the node executes. `tls` is None if connections are without.
    """

    def __init__(
        self,
        node: RedisNode,
        *,
        limits: RedisLimits | None = None,
        command_limits: Limits = DEFAULT_LIMITS,
        memory: MemoryAccount | None = None,
        for_clusters: bool = False,
        wide_reader: RedisNode | None = None,
        requests: RequestTallies | None = None,
        users: Users | None = None,
        logins: Logins | None = None,
        wrap: Wrap = as_it_is,
        tls: Tls | None = None,
    ) -> None:
        self._wrap = wrap
        self._users = users
        self.logins = logins
        self.asks_for_users = users is not None
        """Whether clients have to be users, as of this turn; what it is now the node sees to."""
        self._tls = tls
        self.node = node
        self.wide_reader = wide_reader or node
        self.requests = requests or RequestTallies()
        self.for_clusters = for_clusters
        self.command_limits = command_limits
        self.memory = memory or MemoryAccount()
        self.in_flight = 0
        """The requests of all connections that are begun and not answered."""
        self.cursors = Cursors()
        self.instance = os.urandom(8).hex()
        self.queued_bytes_max = command_limits.command_bytes + 4 * TRANSACTION_KEYS_MAX * ARGUMENT_BYTES
        self.limits = limits or RedisLimits()
        self._connections_max = self.limits.connections_max
        self._connections: dict[int, RedisConnection] = {}
        self._strangers = Strangers(self.limits.stranger_s, self._cut_off)
        self._last_id = self._rejected = self._begun = 0
        self.evicted = 0
        """How many connections were cut off because others needed their memory."""
        self.left = BEGUN_PER_TURN_MAX
        self._looked = 0
        """How many requests may still be begun in this turn, and how many fewer they are for what was looked at."""
        self._ready: list[RedisConnection] = []
        self._line: deque[RedisConnection] = deque()
        self._begun_s = self._moving_s = 0.0
        """When requests were begun last, and since when without a pause."""
        self._served: RedisConnection | None = None
        """The connection from the line whose turn it is."""
        self._turn_is_due = False
        self._acceptor: Acceptor | None = None
        self._endpoint = ("", 0)
        self._all_gone = asyncio.Event()

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listen on `host`:`port` (0: any free port); returns the bound address and port. Raises OSError."""
        self._acceptor = Acceptor(self._wrap(self.protocol), self._tls, refusal=_tls_refusal)
        self._endpoint = await self._acceptor.start(host, port)
        return self._endpoint

    def address_of(self, leader: LeaderHint | None) -> Endpoint | None:
        """Where a client of this listener is sent; None if the leader has no address for Redis clients, or if it was
        heard no more: clients try a dead node a few times at once and give up, but wait for a cluster that is down."""
        if leader is None or not self.node.reaches(leader.id):
            return None
        plain, cluster = leader.redis.plain, leader.redis.cluster
        return cluster or plain if self.for_clusters else plain or cluster

    def protocol(self) -> asyncio.Protocol:
        """Return the protocol for one new connection."""
        return RedisConnection(self)

    async def close(self, *, grace_s: float) -> None:
        """Stop accepting connections and beginning requests, and give open requests `grace_s` seconds before
        connections are cut."""
        acceptor, self._acceptor = self._acceptor, None
        if acceptor is None:
            return
        acceptor.close()
        self._strangers.close()
        await acceptor.wait_closed()
        for connection in list(self._connections.values()):
            connection.close()
        try:
            async with asyncio.timeout(grace_s):
                while self._connections:
                    self._all_gone.clear()
                    await self._all_gone.wait()
        except TimeoutError:
            for connection in list(self._connections.values()):
                connection.abort()

    def next_id(self) -> int:
        """The number of a new connection."""
        self._last_id += 1
        return self._last_id

    def takes(self, connection: RedisConnection) -> bool:
        """Take a new connection. If there are too many, and clients have to be users, the stranger that came first
        makes room; returns False if there is none."""
        self.look_for_users()
        if len(self._connections) >= self._connections_max and not self._strangers.end_first():
            self._rejected += 1
            logger.warning("connection refused", extra={"fields": {"connections": self._connections_max}})
            return False
        self._connections[connection.client.id] = connection
        self._strangers.add(connection)
        return True

    def _cut_off(self, connection: RedisConnection) -> None:
        self.evicted += 1
        self._connections.pop(connection.client.id, None)
        connection.abort()

    def forget(self, connection: RedisConnection) -> None:
        """Note that a connection has ended."""
        self._strangers.forget(connection)
        self._connections.pop(connection.client.id, None)
        if not self._connections:
            self._all_gone.set()

    def expect_turn(self) -> None:
        """Have `_turn` run at the end of this turn of the loop, because requests are begun in it."""
        if not self._turn_is_due:
            self._schedule()
            self.look_for_users()

    def may_begin(self, connection: RedisConnection) -> bool:
        """Whether the connection may begin one more request now; else it waits in line."""
        has_turn = connection is self._served or not self._line
        if self.left and has_turn and connection.quantum and self.in_flight < self.limits.in_flight_max:
            self.left -= 1
            connection.quantum -= 1
            return True
        self._join_line(connection)
        return False

    def may_look(self, connection: RedisConnection) -> bool:
        """Whether some of what a connection has sent may be taken apart now; else it waits in line. What has no request
        in it costs as well, so each look counts."""
        if self.left > 0 and (connection is self._served or not self._line):
            self.left -= 1
            self._looked += 1
            return True
        self._join_line(connection)
        return False

    def looked_in_vain(self) -> None:
        """Note that there was no request: empty lines have cost time, and nothing else is counted for them."""
        spent = min(self.left, BEGUN_PER_LOOK)
        self.left -= spent
        self._looked += spent

    def _join_line(self, connection: RedisConnection) -> None:
        if not connection.is_in_line:
            connection.is_in_line = True
            self._line.append(connection)
            connection.lined_s = asyncio.get_running_loop().time()
        if not self._turn_is_due:
            self._schedule()

    def settled_one(self) -> None:
        """Note that one of the requests in flight is answered."""
        self.in_flight -= 1
        if self._line and not self._turn_is_due:
            self._schedule()

    def is_ready(self, connection: RedisConnection) -> None:
        """Note that the connection has a reply to write."""
        self._ready.append(connection)
        if not self._turn_is_due:
            self._schedule()

    def check_size(self, arguments: Arguments) -> None:
        """Raise `CommandRefused` for a request that is larger than this node accepts."""
        total_bytes = sum(map(len, arguments))
        value_bytes_max = self.command_limits.value_bytes
        if total_bytes <= value_bytes_max:
            return
        longest_bytes = max(map(len, arguments))
        if longest_bytes > value_bytes_max:
            raise CommandRefused(f"ERR a value has {longest_bytes} bytes: the limit is {value_bytes_max}")
        if total_bytes > self.command_limits.command_bytes:
            raise CommandRefused(
                f"ERR the arguments have {total_bytes} bytes: the limit is {self.command_limits.command_bytes}"
            )

    @property
    def clients(self) -> Iterable[ClientState]:
        """See `Facts`."""
        return [connection.client for connection in self._connections.values()]

    @property
    def settings(self) -> Mapping[str, str]:
        """See `Facts`."""
        host, port = self._endpoint
        return {
            "appendfsync": "always",
            "appendonly": "yes",
            "bind": host,
            "cluster-enabled": "yes" if self.for_clusters else "no",
            "databases": "1",
            "maxclients": str(self._connections_max),
            "maxmemory": "0",
            "maxmemory-policy": "noeviction",
            "port": str(port),
            "proto-max-bulk-len": str(self.command_limits.value_bytes),
            "save": "",
            "timeout": "0",
        }

    def rights_by(self, proof: Proof) -> Rights | None:
        """What a client may do that has shown this; None if it proves nothing any more. Raises Unavailable."""
        if self._users is None:
            return None
        try:
            self._users.check_proof(proof)
        except RequestRefused:
            return None
        return self._users.rights(proof.user)

    def status(self) -> Mapping[str, Any]:
        """See `Facts`."""
        return self.node.status()

    def counts(self) -> Mapping[str, int]:
        """See `Facts`."""
        return {
            "connected_clients": len(self._connections),
            "maxclients": self._connections_max,
            "total_connections_received": self._last_id,
            "total_commands_processed": self._begun,
            "rejected_connections": self._rejected,
            "evicted_clients": self.evicted,
        }

    def look_for_users(self) -> None:
        """See whether clients have to be users."""
        if self._users is not None:
            try:
                self.asks_for_users = not self._users.serves_everybody
            except Unavailable:
                self.asks_for_users = True

    def _schedule(self) -> None:
        if not self._turn_is_due:
            self._turn_is_due = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        """Write the ready replies, and go on with connections that wait in line."""
        self._turn_is_due = False
        self.look_for_users()
        now_s = asyncio.get_running_loop().time()
        begun, self._looked = BEGUN_PER_TURN_MAX - self.left - self._looked, 0
        self._begun += begun
        if begun:
            if now_s > self._begun_s + PAUSE_S:
                self._moving_s = now_s
            self._begun_s = now_s
        self.left = BEGUN_PER_TURN_MAX
        ready, self._ready = self._ready, []
        for connection in ready:
            connection.advance()
        line, limits = self._line, self.limits
        overdue_s = now_s - limits.line_s
        while line and self.left and self.in_flight < limits.in_flight_max:
            self._served = connection = line.popleft()
            connection.is_in_line = False
            if max(self._moving_s, connection.lined_s) < overdue_s:
                refused = connection.refuse_waiting()
                self.left = max(0, self.left - 1 - refused // REFUSED_PER_BEGUN)
            else:
                connection.advance()
        self._served = None
