"""A connection of the HTTP listener: aiohttp's, with bounds of ours on the head of a request, and on the requests that
are parsed ahead.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from aiohttp import EMPTY_PAYLOAD, StreamReader, web, web_protocol

from raftdb.errors import RaftdbError
from raftdb.frontend.http_head import HEAD_BYTES_MAX, head_refused, refusal_of
from raftdb.frontend.http_reply import error_reply
from raftdb.frontend.http_turns import CALLS_PER_PASS
from raftdb.memory import Hold

if TYPE_CHECKING:
    from raftdb.frontend.http_server import BoundedServer

logger = logging.getLogger("raftdb.http")

LINGERING_TIME_S = 2.0
"""How long the rest of a refused request is read and dropped, so that the client can read the refusal."""
PIPELINED_MAX = 2
"""Requests of one connection that are parsed before the first is answered. It is small, because the requests that
arrive on thousands of connections may be parsed in one turn of the loop."""

# aiohttp has no parameter for this limit of its connections.
web_protocol.MAX_MSG_QUEUE_SIZE = PIPELINED_MAX


class Connection(web.RequestHandler):
    """aiohttp's connection, except that malformed HTTP is answered with an error of the API, and not logged as a
    bug."""

    __slots__ = ("_has_ended", "_head_bytes", "_on_gone", "_payload", "crowd", "memory", "peer_seal")

    def __init__(self, crowd: "BoundedServer", memory: Hold, **options: Any) -> None:
        super().__init__(crowd, **options)
        self.crowd = crowd
        """All connections of the listener."""
        self.memory = memory
        """The memory that this connection has taken."""
        self.peer_seal: object = None
        """See `raftdb.transport.sealed_requests`."""
        self._on_gone: tuple[Callable[[], None], Callable[[], None]] | None = None
        """What is to be called if the client goes while its request is held: at once, and when it is its turn."""
        self._has_ended = False
        """Whether the client sends no more."""
        self._head_bytes = 0
        """Bytes of the head that is arriving, without those that came in one read with the end of the request
        before."""
        self._payload: StreamReader = EMPTY_PAYLOAD
        """The body of the last request whose head is complete."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to a request that aiohttp could not parse; the connection is closed after it."""
        if status >= 500:
            logger.error("request failed in the HTTP library", exc_info=exc)
            refusal = RaftdbError("internal", "the server failed on this request; its log says why")
        else:
            logger.debug("malformed HTTP", extra={"fields": {"client": request.remote}})
            refusal = refusal_of(exc)
        reply = error_reply(refusal)
        reply.close = True
        return cast(web.StreamResponse, reply)

    def data_received(self, data: bytes) -> None:
        """Take bytes, and bound the head as a whole: aiohttp bounds only each of its lines."""
        requests, is_head = self._request_count, self._payload.is_eof()
        super().data_received(data)
        if self._request_count != requests:
            self._payload = self._messages[-1][1] if self._messages else EMPTY_PAYLOAD
            self._head_ended()
        elif is_head and not (self._close or self._force_close):
            self._count_head(len(data))

    def eof_received(self) -> bool:  # type: ignore[override]  # aiohttp's never wants the connection to stay open
        """The client sends no more, but may still read: what it has asked for is answered, and then the connection
        ends. What the node holds is given up, because a client that goes away ends its connection in the same way."""
        self._has_ended = True
        if self._on_gone is not None or not self._is_answering():
            return False
        self._close = True
        return True

    def _is_answering(self) -> bool:
        """True if a whole request has arrived, and is not answered yet."""
        is_at_work = self._request_count > 0 and (self._waiter is None or self._waiter.done())
        return self._payload.is_eof() and (is_at_work or bool(self._messages))

    def connection_lost(self, exc: BaseException | None) -> None:
        """Give up a request that is held, and drop the last body, which refers to this connection, so that no cycle is
        left for the collector."""
        super().connection_lost(exc)
        self._payload = EMPTY_PAYLOAD
        self._head_ended()
        if self._on_gone is not None:
            leave, give_up = self._on_gone
            leave()
            self.crowd.turnstile.call(give_up, calls=CALLS_PER_PASS)

    @contextmanager
    def awaiting_client(self) -> Iterator[None]:
        """A context for the time in which the request has not fully arrived. The connection may be closed for a new
        one."""
        waiting = self.crowd.waiting
        waiting[self] = None
        try:
            yield
        finally:
            waiting.pop(self, None)

    @contextmanager
    def held(self, leave: Callable[[], None], give_up: Callable[[], None]) -> Iterator[None]:
        """A context for the time in which the node holds the request (`raftdb.frontend.http_waiting`). Raises
        ConnectionError if the client may have gone."""
        if self._has_ended:
            leave()
            raise ConnectionResetError("the client has gone")
        held = self.crowd.held
        held.add(self)
        self._on_gone = (leave, give_up)
        try:
            yield
        finally:
            self._on_gone = None
            held.discard(self)

    def _count_head(self, more_bytes: int) -> None:
        """Count bytes that are not yet parsed: a head, or bytes after a request that asks to change protocols."""
        self._head_bytes += more_bytes
        if self._head_bytes > HEAD_BYTES_MAX:
            self._head_ended()
            self._refuse_head()
        else:
            self.crowd.heads.arrived(self.force_close, self._head_bytes)

    def _head_ended(self) -> None:
        """Nothing of a head is in memory any more."""
        if self._head_bytes:
            self._head_bytes = 0
            self.crowd.heads.ended(self.force_close)

    def _refuse_head(self) -> None:
        """Refuse a head that is too long. If earlier requests are not answered yet, the connection is closed without an
        answer."""
        is_answering = bool(self._messages) or self._request_in_progress
        if self.transport is None or is_answering:
            self.force_close()
            return
        refusal = head_refused(f"more than {HEAD_BYTES_MAX} bytes of it")
        self.transport.write(error_reply(refusal).last_bytes())
        # What still arrives is read and dropped: a close with unread bytes would reset the connection, and the answer
        # could be lost.
        self._close = True
        self._loop.call_later(LINGERING_TIME_S, self.force_close)
