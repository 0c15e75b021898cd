"""One request, one answer, over kept-alive sockets; and the one distinction that retries depend on.

A failure is either `NotSent` (no connection: the node has not seen a byte, so anything may be retried) or
`AnswerLost` (the request may have arrived, so a write may have taken effect). Nothing here retries.
"""

import socket
from dataclasses import dataclass

from raftdb.client.dialing import IN_TIME, dial, now_ms, reason_of
from raftdb.client.http1 import AnswerLost, Response, ResponseParser, Sink, encode_request
from raftdb.client.pace import answer_deadline_ms

IDLE_MS_MAX = 10_000
"""A connection unused for longer is not used again: servers and gateways close idle ones after 15 s and more,
and a request that races with such a close could not be told from one that was executed."""
IDLE_CONNECTIONS_MAX = 64
"""Most connections to one node that are kept while nobody uses them."""
RECEIVE_BYTES = 256 * 1024
STREAM_IDLE_MS = 30_000
"""Longest wait for the next piece of a body that is streamed."""


@dataclass(slots=True)
class _Connection:
    """A connected socket and when it was last used, in ms of `now_ms`."""

    socket: socket.socket
    used_ms: float
    dialled_ms: float
    """How long it took to connect."""


class Connections:
    """Kept-alive connections, several per address if there are several exchanges at a time. Threads may share them.

    Every step on what is kept is a single one (a `pop`, an `append`), so there is no lock that an interrupt, or a fork,
    could leave locked: an exchange has its connection for itself.
    """

    def __init__(self) -> None:
        self._idle: dict[str, list[_Connection]] = {}
        self._closed = 0  # how often; a connection from before belongs to nobody
        self._cleaned_ms = now_ms()

    def exchange(
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
        or `RemoteProtocolError` for an answer that is not HTTP. The connection is kept only after a whole answer: any
        exception, Ctrl-C included, closes it.
        With a `sink` the body of a success goes there, for as long as something of it comes every
        `STREAM_IDLE_MS`; what the sink raises is passed on.
        """
        request = encode_request(method, target, host=address, body=body)
        closed = self._closed
        connection = self._take(address)
        if connection is None:
            began_ms = now_ms()
            dialled = dial(address, min(connect_by_ms, answer_by_ms))
            connection = _Connection(dialled, now_ms(), now_ms() - began_ms)
        answer_by_ms = answer_deadline_ms(
            answer_by_ms,
            now_ms=now_ms(),
            dialled_ms=connection.dialled_ms,
            prompt_ms=prompt_ms,
            stretches=stretches,
        )
        keep = False
        try:
            response = _send_and_receive(connection, request, answer_by_ms, ResponseParser(sink=sink))
            keep = response.keep_alive
        finally:
            if not keep:
                connection.socket.close()
        connection.used_ms = now_ms()
        idle = self._idle.setdefault(address, [])
        if keep and closed == self._closed and len(idle) < IDLE_CONNECTIONS_MAX:
            idle.append(connection)
        else:
            connection.socket.close()
        return response

    def close(self) -> None:
        """Close every connection that is not in use, and the others when they are not any more. The object may be used
        again."""
        self._closed += 1
        for idle in list(self._idle.values()):
            while (connection := _take_out(idle)) is not None:
                connection.socket.close()

    def _take(self, address: str) -> _Connection | None:
        """The kept connection to `address` that was used last, if there is one that is fresh and open."""
        self._clean()
        idle = self._idle.get(address, [])
        while (connection := _take_out(idle)) is not None:
            if _is_fit(connection):
                return connection
            connection.socket.close()
        return None

    def _clean(self) -> None:
        """Now and then close what has been idle for too long, at nodes that are not asked any more as well."""
        if now_ms() - self._cleaned_ms < IDLE_MS_MAX:
            return
        self._cleaned_ms = now_ms()
        for idle in list(self._idle.values()):
            fresh = []
            while (connection := _take_out(idle)) is not None:
                if _is_fresh(connection):
                    fresh.append(connection)
                else:
                    connection.socket.close()
            idle.extend(reversed(fresh))


def _take_out(idle: list[_Connection]) -> _Connection | None:
    """What is idle and was used last, if there is any; whoever takes one out has it alone."""
    try:
        return idle.pop()
    except IndexError:
        return None


def _is_fresh(connection: _Connection) -> bool:
    return now_ms() - connection.used_ms <= IDLE_MS_MAX


def _is_fit(connection: _Connection) -> bool:
    """Fresh and open. A readable idle connection is a closed one."""
    try:
        if _is_fresh(connection):
            connection.socket.setblocking(False)
            connection.socket.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True  # open, and nothing to read: as it should be
    except OSError:
        pass  # reset by the server
    return False


def _send_and_receive(
    connection: _Connection, request: bytes, answer_by_ms: float, parser: ResponseParser
) -> Response:
    """One exchange on an open connection, all of it by `answer_by_ms`, or only its head if the body is streamed."""
    send_error: OSError | None = None
    try:
        connection.socket.settimeout(_left_s(answer_by_ms))
        connection.socket.sendall(request)
    except TimeoutError as error:
        raise AnswerLost(reason_of(error)) from error
    except OSError as error:
        send_error = error  # a server that refuses a request for its size answers before it has read it all
    while True:
        try:
            timeout_s = STREAM_IDLE_MS / 1000.0 if parser.streaming else _left_s(answer_by_ms)
            connection.socket.settimeout(timeout_s)
            data = connection.socket.recv(RECEIVE_BYTES)
        except OSError as error:
            raise AnswerLost(reason_of(send_error or error)) from error
        response = parser.feed(data) if data else parser.end()
        if response is not None:
            return response
        if not data:
            raise AnswerLost("the connection was closed before the answer was complete")


def _left_s(deadline_ms: float) -> float:
    """Seconds until the deadline; raises `TimeoutError` once it has passed."""
    left_ms = deadline_ms - now_ms()
    if left_ms <= 0:
        raise TimeoutError(IN_TIME)
    return left_ms / 1000.0
