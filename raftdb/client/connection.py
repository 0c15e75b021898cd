"""One request, one answer, over kept-alive sockets; and the one distinction that retries depend on.

A failure is either `NotSent` (no connection: the node has not seen a byte, so anything may be retried) or
`AnswerLost` (the request may have arrived, so a write may have taken effect). Nothing here retries.
"""

import socket
import time
from dataclasses import dataclass

from raftdb.client.http1 import AnswerLost, NotSent, Response, ResponseParser, Sink, encode_request
from raftdb.endpoint import parse_endpoint

IDLE_MS_MAX = 10_000
"""A connection unused for longer is not used again: servers and gateways close idle ones after 15 s and more,
and a request that races with such a close could not be told from one that was executed."""
RECEIVE_BYTES = 256 * 1024
STREAM_IDLE_MS = 30_000
"""Longest wait for the next piece of a body that is streamed."""


def now_ms() -> float:
    """The clock of all deadlines of the client: monotonic, in milliseconds."""
    return time.monotonic() * 1000.0


@dataclass(slots=True)
class _Connection:
    """A connected socket and when it was last used, in ms of `now_ms`."""

    socket: socket.socket
    used_ms: float


class Connections:
    """At most one kept-alive connection per address. Not for use by two threads at a time."""

    def __init__(self) -> None:
        self._kept: dict[str, _Connection] = {}

    def exchange(
        self,
        address: str,
        method: str,
        target: str,
        body: bytes | None,
        *,
        connect_by_ms: float,
        answer_by_ms: float,
        sink: Sink | None = None,
    ) -> Response:
        """Send one request to `address` (HOST:PORT) and return its answer.

        Times are of `now_ms`. Raises `NotSent`, `AnswerLost`, or `RemoteProtocolError` for an answer that is
        not HTTP. The connection is kept only after a whole answer: any exception, Ctrl-C included, closes it.
        With a `sink` the body of a success goes there, for as long as something of it comes every
        `STREAM_IDLE_MS`; what the sink raises is passed on.
        """
        request = encode_request(method, target, host=address, body=body)
        connection = self._take_kept(address)
        if connection is None:
            connection = self._connect(address, min(connect_by_ms, answer_by_ms))
        keep = False
        try:
            response = _send_and_receive(connection, request, answer_by_ms, ResponseParser(sink=sink))
            keep = response.keep_alive
        finally:
            if keep:
                connection.used_ms = now_ms()
                self._kept[address] = connection
            else:
                connection.socket.close()
        return response

    def close(self) -> None:
        """Close every kept connection. The object may be used again."""
        for connection in self._kept.values():
            connection.socket.close()
        self._kept.clear()

    def _connect(self, address: str, connect_by_ms: float) -> _Connection:
        endpoint = parse_endpoint(address)
        timeout_s = max(connect_by_ms - now_ms(), 1.0) / 1000.0
        try:
            connected = socket.create_connection((endpoint.host, endpoint.port), timeout=timeout_s)
        except OSError as error:
            raise NotSent(reason_of(error)) from error
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return _Connection(connected, now_ms())

    def _take_kept(self, address: str) -> _Connection | None:
        """The kept connection to `address` if it is fresh and open. A readable idle connection is a closed
        one."""
        connection = self._kept.pop(address, None)
        if connection is None:
            return None
        try:
            if now_ms() - connection.used_ms <= IDLE_MS_MAX:
                connection.socket.setblocking(False)
                connection.socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return connection  # open, and nothing to read: as it should be
        except OSError:
            pass  # reset by the server: closed below
        connection.socket.close()
        return None


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
        raise TimeoutError("no answer in time")
    return left_ms / 1000.0


def reason_of(error: BaseException) -> str:
    """Why a connection or an exchange failed, in a few words, without errno numbers."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, socket.gaierror):
        return "the host name cannot be resolved"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__
