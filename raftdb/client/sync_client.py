"""The client for ordinary, blocking Python: `routing` decides, `connection` carries out, this loop joins
them.

A `Client` belongs to one thread at a time: it keeps one connection per node and what it learned of the
leader.
"""

import time
from collections.abc import Sequence
from random import Random
from types import TracebackType

from raftdb.client import protocol
from raftdb.client.connection import AnswerLost, Connections, NotSent, now_ms
from raftdb.client.http1 import Response, Sink
from raftdb.client.model import Answer, LogPage, Member, NodeStatus
from raftdb.client.protocol import Kind
from raftdb.client.routing import (
    DEFAULT_ADDRESSES,
    PROBE_TIMEOUT_MS,
    Attempt,
    Call,
    Pause,
    Router,
    parse_addresses,
)

DEFAULT_TIMEOUT_MS = 8_000
"""Longest time of one call, retries included. Nodes give a request up after 5 s unless configured otherwise:
the one who knows more should speak first."""


class Client:
    """A connection to a cluster, for one thread at a time.

    `addresses`: the nodes' HTTP addresses, `"HOST:PORT,HOST:PORT"` or a sequence of such; any of them will
    do, more survive more failures. `timeout_ms`: the deadline of each call, retries included.
    `unreachable_timeout_ms`: give up sooner if no node at all can be connected to (None: do not). `random`:
    the source of jitter.

    Every method raises `RaftdbError`: `Unavailable` if the cluster cannot answer now, `OutcomeUnknown` if a
    write may have happened or may yet, `ReplyError` if the command ran and failed, `RequestRefused` if
    it is malformed, `RemoteProtocolError` if what answers is no raftdb node.
    """

    def __init__(
        self,
        addresses: str | Sequence[str] = DEFAULT_ADDRESSES,
        *,
        timeout_ms: float = DEFAULT_TIMEOUT_MS,
        unreachable_timeout_ms: float | None = None,
        random: Random | None = None,
    ) -> None:
        text = addresses if isinstance(addresses, str) else ",".join(addresses)
        self._random = random or Random()
        self._router = Router(parse_addresses(text), random=self._random)
        self._connections = Connections()
        self._timeout_ms = timeout_ms
        self._unreachable_timeout_ms = unreachable_timeout_ms

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses this client was given, in order."""
        return self._router.addresses

    def execute(
        self, name: str, arguments: Sequence[bytes | str] = (), *, consistency: str = "linearizable"
    ) -> Answer:
        """Run one command. `str` arguments stand for their UTF-8. `consistency="stale"`: reads by any
        node."""
        request = protocol.execute_request(name, arguments, consistency=consistency)
        return protocol.answer_of(name, self._call(request))

    def request_log(self, *, first: int | None = None, limit: int = 100) -> LogPage:
        """A page of the leader's log: up to `limit` entries from index `first` (None: the node's choice).

        Raises `RaftdbError` `compacted` if `first` is no longer in the log.
        """
        return protocol.log_page_of(self._call(protocol.request_log_request(first=first, limit=limit)))

    def status(self, address: str | None = None) -> NodeStatus:
        """The view of the node at `address` (HOST:PORT), or of the first node that answers.

        With an address the question is whether that node is up: it gets one second and no second chance.
        """
        if address is None:
            return protocol.status_of(self._call(protocol.STATUS_REQUEST))
        router = Router(parse_addresses(address), random=self._random)
        timeout_ms = min(self._timeout_ms, PROBE_TIMEOUT_MS)
        call = Call(router, Kind.ANY_NODE, now_ms=now_ms(), timeout_ms=timeout_ms, unreachable_timeout_ms=0.0)
        return protocol.status_of(self._carry_out(call, protocol.STATUS_REQUEST))

    def members(self) -> tuple[Member, ...]:
        """The cluster's members as the leader knows them, with how far each has come."""
        return protocol.members_of(self._call(protocol.MEMBERS_REQUEST))

    def snapshot(self) -> int:
        """Make the leader's state durable and compact its log now; the index that the state is durable up to."""
        return protocol.snapshot_index_of(self._call(protocol.SNAPSHOT_REQUEST))

    def backup(self, sink: Sink) -> int:
        """Stream a backup of the leader's state into `sink`; the index that it goes up to.

        Memory is bounded. An answer that is cut off is asked for again, as long as the time of a call lasts: `sink`
        then begins anew. Verifying what arrived is the caller's work (`raftdb.client.backup`). What the sink raises
        is passed on.
        """
        return protocol.backup_index_of(self._call(protocol.BACKUP_REQUEST, sink))

    def close(self) -> None:
        """Close the connections. The client may be used again."""
        self._connections.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _call(self, request: protocol.Request, sink: Sink | None = None) -> Response:
        """Route one request to whoever serves it."""
        call = Call(
            self._router,
            request.kind,
            now_ms=now_ms(),
            timeout_ms=self._timeout_ms,
            unreachable_timeout_ms=self._unreachable_timeout_ms,
        )
        return self._carry_out(call, request, sink)

    def _carry_out(self, call: Call, request: protocol.Request, sink: Sink | None = None) -> Response:
        """Follow the steps of one call until it ends."""
        while True:
            step = call.next_step(now_ms())
            if isinstance(step, Pause):
                time.sleep(step.duration_ms / 1000.0)
                continue
            response = self._attempt(call, step, request, sink)
            if response is not None:
                return response

    def _attempt(
        self, call: Call, attempt: Attempt, request: protocol.Request, sink: Sink | None
    ) -> Response | None:
        """One exchange; the response that ends the call, or None."""
        sent = protocol.STATUS_REQUEST if attempt.probe else request
        try:
            response = self._connections.exchange(
                attempt.address,
                sent.method,
                sent.target,
                sent.body,
                connect_by_ms=attempt.connect_by_ms,
                answer_by_ms=attempt.answer_by_ms,
                sink=None if attempt.probe else sink,
            )
        except NotSent as error:
            call.failed(attempt, str(error), sent=False)
            return None
        except AnswerLost as error:
            call.failed(attempt, str(error), sent=True)
            return None
        return call.answered(attempt, response)
