"""One request, one answer, over kept-alive connections of an event loop; failures as in `connection`.

Considered and rejected: aiohttp's client. It repeats some requests by itself when a kept connection turns out closed,
which a client that tells "not sent" from "sent and not answered" cannot use; and it would be a second HTTP
implementation with limits of its own, where `http1` is there. Streams: they hide whether unread bytes are left over.
Here bytes that arrive when no answer is awaited end the connection at once, and so does an exchange that is cancelled
or fails: an answer never reaches another request than its own (hazard B59).
"""

import asyncio
from typing import cast

from raftdb.client.async_dialing import dial
from raftdb.client.async_streaming import Relay
from raftdb.client.connection import IDLE_MS_MAX
from raftdb.client.dialing import IN_TIME, now_ms, reason_of
from raftdb.client.http1 import AnswerLost, NotSent, Response, ResponseParser, Sink, encode_request
from raftdb.client.pace import answer_deadline_ms
from raftdb.errors import LocalProtocolError, RemoteProtocolError


class _Connection(asyncio.Protocol):
    """A connection, and the one answer that is awaited on it, if any."""

    def __init__(self) -> None:
        self.used_ms = now_ms()
        self.dialled_ms = 0.0
        """How long it took to connect."""
        self._transport: asyncio.Transport | None = None
        self._parser: ResponseParser | None = None
        self._answer: asyncio.Future[Response] | None = None

    @property
    def is_fit(self) -> bool:
        """Open, and not idle for so long that the server may be about to close it."""
        is_open = self._transport is not None and not self._transport.is_closing()
        return is_open and now_ms() - self.used_ms <= IDLE_MS_MAX

    async def exchange(self, request: bytes, sink: Sink | None = None) -> Response:
        """Send a request and await its answer, whose body goes to `sink` if there is one. Raises as
        `AsyncConnections.exchange`; whatever it raises, the connection is closed."""
        if self._answer is not None:
            raise LocalProtocolError("two exchanges at a time on one connection")
        if self._transport is None:
            raise NotSent("the connection was closed")
        self._parser = ResponseParser(sink=sink)
        self._answer = asyncio.get_running_loop().create_future()
        try:
            self._transport.write(request)
            response = await self._answer
        except BaseException:
            self.abort()
            raise
        finally:
            self._answer = self._parser = None
        self.used_ms = now_ms()
        return response

    def read(self, is_wanted: bool) -> None:
        """Go on reading, or let what comes wait."""
        if self._transport is not None and not self._transport.is_closing():
            if is_wanted:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    def abort(self) -> None:
        """Close at once, whatever is on its way."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if self._parser is None or self._answer is None or self._answer.done():
            self.abort()
            return
        try:
            response = self._parser.feed(data)
        except RemoteProtocolError as error:
            self._answer.set_exception(error)
            return
        if response is not None:
            self._answer.set_result(response)

    def connection_lost(self, error: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._transport = None
        if self._parser is None or self._answer is None or self._answer.done():
            return
        response = self._parser.end() if error is None else None
        if response is not None:
            self._answer.set_result(response)
        else:
            closed = "the connection was closed before the answer was complete"
            self._answer.set_exception(AnswerLost(closed if error is None else reason_of(error)))


class AsyncConnections:
    """Kept-alive connections, several per address if there are several exchanges at a time; of one event loop."""

    def __init__(self) -> None:
        self._idle: dict[str, list[_Connection]] = {}
        self._cleaned_ms = now_ms()

    async def exchange(
        self,
        address: str,
        method: str,
        target: str,
        body: bytes | None,
        *,
        connect_by_ms: float,
        answer_by_ms: float,
        prompt_ms: float | None = None,
        stretches: bool = False,
        sink: Sink | None = None,
    ) -> Response:
        """Send one request to `address` (HOST:PORT) and return its answer.

        Times are of `now_ms`; for `prompt_ms` and `stretches` see `raftdb.client.pace`. Raises `NotSent`, `AnswerLost`,
        or `RemoteProtocolError` for an answer that is not HTTP. The connection is kept only after a whole answer. With
        a `sink` the body of a success goes there, for as long as something of it comes every `STREAM_IDLE_MS`; what the
        sink raises is passed on.
        """
        request = encode_request(method, target, host=address, body=body)
        connection = self._take(address) or await _connect(address, min(connect_by_ms, answer_by_ms))
        answer_by_ms = answer_deadline_ms(
            answer_by_ms,
            now_ms=now_ms(),
            dialled_ms=connection.dialled_ms,
            prompt_ms=prompt_ms,
            stretches=stretches,
        )
        try:
            async with asyncio.timeout(_left_s(answer_by_ms)) as limit:
                if sink is None:
                    response = await connection.exchange(request)
                else:
                    relay = Relay(sink, limit, connection.read)
                    response = await relay.during(asyncio.ensure_future(connection.exchange(request, relay)))
        except TimeoutError:
            connection.abort()
            raise AnswerLost(IN_TIME) from None
        if response.keep_alive:
            self._idle.setdefault(address, []).append(connection)
        else:
            connection.abort()
        return response

    def close(self) -> None:
        """Close every idle connection."""
        for connections in self._idle.values():
            for connection in connections:
                connection.abort()
        self._idle.clear()

    def _take(self, address: str) -> _Connection | None:
        """The idle connection to `address` that was used last, if there is a fit one."""
        self._clean()
        idle = self._idle.get(address, [])
        while idle:
            connection = idle.pop()
            if connection.is_fit:
                return connection
            connection.abort()
        return None

    def _clean(self) -> None:
        """Now and then close what has been idle for too long, at nodes that are not asked any more as well."""
        if now_ms() - self._cleaned_ms < IDLE_MS_MAX:
            return
        self._cleaned_ms = now_ms()
        for address, connections in list(self._idle.items()):
            for connection in connections:
                if not connection.is_fit:
                    connection.abort()
            self._idle[address] = [connection for connection in connections if connection.is_fit]


async def _connect(address: str, by_ms: float) -> _Connection:
    loop = asyncio.get_running_loop()
    began_ms = now_ms()
    try:
        async with asyncio.timeout(_left_s(by_ms)):
            _, connection = await loop.create_connection(_Connection, sock=await dial(address, by_ms))
    except OSError as error:
        raise NotSent(reason_of(error)) from error
    connection.dialled_ms = now_ms() - began_ms
    return connection


def _left_s(deadline_ms: float) -> float:
    return max(deadline_ms - now_ms(), 1.0) / 1000.0
