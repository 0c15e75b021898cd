# Made from async_connection.py by .ci/unasync.py: what is to be changed is changed there.
"""Sending a request and receiving its answer over kept-alive connections.

Retries depend on how an exchange fails: by `NotSent` if there was no connection, so that the node got nothing and any
request may be repeated, or by `AnswerLost` if the request may have arrived, so that a write may have taken effect.
Nothing is repeated here.
"""

from dataclasses import dataclass

from raftdb.client.dialing import now_ms, reason_of
from raftdb.client.encryption import Encryption
from raftdb.client.flow import Exchange
from raftdb.client.http1 import AnswerLost, Interrupted, Response, ResponseParser, encode_request
from raftdb.client.pace import answer_deadline_ms
from raftdb.client.sync_io import Stream, connect, off_loop
from raftdb.endpoint import Endpoint

IDLE_MS_MAX = 10_000
"""A connection that was idle for longer is not used again: servers and proxies close idle ones after 15 s or more, and
a request that is sent at that moment cannot be told from one that was executed."""
IDLE_CONNECTIONS_MAX = 64
"""Most idle connections to one node that are kept by default."""
STREAM_IDLE_MS = 30_000
"""Longest wait for the next piece of a streamed body."""


@dataclass(slots=True, eq=False)
class _Connection:
    """A connection, when it was last used, and how long connecting took, in milliseconds of `now_ms`."""

    stream: Stream
    used_ms: float
    dialled_ms: float


class Connections:
    """Kept-alive connections, as many to an address as there were exchanges at a time. Threads may share them, or the
    tasks of one event loop.

    An exchange takes its connection out of the idle ones and has it for itself. Each operation on the idle ones is
    atomic (a `pop`, an `append`), so there is no lock that an interrupt or a fork could leave locked.
    """

    def __init__(self, encryption: Encryption | None = None, idle_max: int = IDLE_CONNECTIONS_MAX) -> None:
        self._encryption = encryption or Encryption()
        self._idle: dict[Endpoint, list[_Connection]] = {}
        self._idle_max = idle_max
        self._closed = 0  # how often; connections from before are not kept
        self._is_interrupted = False
        self._used: dict[_Connection, None] = {}  # those of exchanges under way
        self._cleaned_ms = now_ms()

    def exchange(self, step: Exchange) -> Response:
        """Send the request to the attempt's address, and return the answer.

        The attempt's times are those of `now_ms`; for `prompt_ms` and `stretches` see `raftdb.client.pace`. Raises
        `NotSent`, `AnswerLost`, `Interrupted`, or `RemoteProtocolError` for an answer that is not HTTP. The connection
        is kept only after a complete answer: any exception closes it, an interrupt and a cancellation included. The
        body of a success goes to the step's `sink`, if it has one, as long as a piece of it comes every
        `STREAM_IDLE_MS`; exceptions of the sink are passed on.
        """
        attempt, sent = step.attempt, step.request
        request = encode_request(
            sent.method, sent.target, host=attempt.address.authority, body=sent.body, headers=step.headers
        )
        closed = self._closed
        connection = self._take(attempt.address)
        if connection is None:
            began_ms = now_ms()
            stream = connect(
                attempt.address, min(attempt.connect_by_ms, attempt.answer_by_ms), self._encryption
            )
            connection = _Connection(stream, now_ms(), now_ms() - began_ms)
        answer_by_ms = answer_deadline_ms(
            attempt.answer_by_ms,
            now_ms=now_ms(),
            dialled_ms=connection.dialled_ms,
            prompt_ms=attempt.prompt_ms,
            stretches=attempt.stretches,
        )
        keep = False
        self._used[connection] = None
        try:
            if self._is_interrupted:
                raise Interrupted
            response = _send_and_receive(
                connection.stream, request, answer_by_ms, ResponseParser(sink=step.sink)
            )
            keep = response.keep_alive
        except AnswerLost as error:
            if self._is_interrupted:
                raise Interrupted from error
            raise
        finally:
            self._used.pop(connection, None)
            if not keep:
                connection.stream.close()
        connection.used_ms = now_ms()
        idle = self._idle.setdefault(attempt.address, [])
        if keep and closed == self._closed and len(idle) < self._idle_max:
            idle.append(connection)
        else:
            connection.stream.close()
        return response

    def interrupt(self) -> None:
        """Break off the exchanges under way: they raise `Interrupted`, and so do all later ones. Other threads may call
        this, and handlers of signals."""
        self._is_interrupted = True
        for connection in list(self._used):
            connection.stream.shut_down()

    def close(self) -> None:
        """Close every connection that is not in use, and each other one after its exchange. The object may be used
        again."""
        self._closed += 1
        for idle in list(self._idle.values()):
            while (connection := _take_out(idle)) is not None:
                connection.stream.close()

    def _take(self, address: Endpoint) -> _Connection | None:
        """The idle connection to `address` that was used last, among those that are fresh and open; None if there is
        none."""
        self._clean()
        idle = self._idle.get(address, [])
        while (connection := _take_out(idle)) is not None:
            if _is_fresh(connection) and connection.stream.is_quiet:
                return connection
            connection.stream.close()
        return None

    def _clean(self) -> None:
        """Close connections that have been idle for too long, at most every `IDLE_MS_MAX`, also those to nodes that are
        no longer asked."""
        if now_ms() - self._cleaned_ms < IDLE_MS_MAX:
            return
        self._cleaned_ms = now_ms()
        for idle in list(self._idle.values()):
            fresh = []
            while (connection := _take_out(idle)) is not None:
                if _is_fresh(connection):
                    fresh.append(connection)
                else:
                    connection.stream.close()
            idle.extend(reversed(fresh))


def _take_out(idle: list[_Connection]) -> _Connection | None:
    """Take out the connection that was used last; None if there is none."""
    try:
        return idle.pop()
    except IndexError:
        return None


def _is_fresh(connection: _Connection) -> bool:
    return now_ms() - connection.used_ms <= IDLE_MS_MAX


def _send_and_receive(
    stream: Stream, request: bytes, answer_by_ms: float, parser: ResponseParser
) -> Response:
    """One exchange on an open connection, which must end by `answer_by_ms`; if the body is streamed, its head must come
    by then. Raises `AnswerLost`, `RemoteProtocolError`, and what the parser's sink raises."""
    send_error: OSError | None = None
    try:
        stream.send(request, answer_by_ms)
    except TimeoutError as error:
        raise AnswerLost(reason_of(error)) from error
    except OSError as error:
        send_error = error  # a server may refuse a long request before it has read all of it
    while True:
        try:
            by_ms = now_ms() + STREAM_IDLE_MS if parser.streaming else answer_by_ms
            data = stream.receive(by_ms)
        except OSError as error:
            raise AnswerLost(reason_of(send_error or error)) from error
        if not data:
            response = parser.end()
        elif parser.has_sink:
            response = off_loop(parser.feed, data)
        else:
            response = parser.feed(data)
        if response is not None:
            return response
        if not data:
            raise AnswerLost("the connection was closed before the answer was complete")
