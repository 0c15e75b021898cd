# Made from async_watching.py by .ci/unasync.py: what is to be changed is changed there.
"""Following the changes of keys, over one connection at a time. `watching` decides what is asked, and what is told."""

from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Self

from raftdb.client.dialing import now_ms, reason_of
from raftdb.client.given import Text, V
from raftdb.client.http1 import NotSent, ResponseParser, encode_request
from raftdb.client.model import Change
from raftdb.client.sync_io import Stream, connect, sleep
from raftdb.client.watching import SILENCE_MS, Following
from raftdb.endpoint import BadAddress, Endpoint, parse_endpoint
from raftdb.errors import LocalProtocolError, RaftdbError, RemoteProtocolError, Unavailable

if TYPE_CHECKING:
    from raftdb.client.sync_client import Client

CONNECT_MS = 5_000
"""Longest wait for a connection to one node, and for the beginning of its answer."""


class Watch(Generic[V]):
    """An iterator over changes; see `AsyncClient.watch`. It belongs to one thread or task."""

    def __init__(
        self, client: "Client[V]", prefix: Text, *, after: int | None, previous: bool, snapshot: bool
    ) -> None:
        self._client = client
        self._following = Following(
            prefix,
            after=after,
            previous=previous,
            snapshot=snapshot,
            form=client._form,
            addresses=client._addresses,
            random=client._random,
        )
        self._stream: Stream | None = None
        self._parser: ResponseParser | None = None
        self._gives_up_ms: float | None = None
        self._is_closed = False
        self._is_stepping = False

    @property
    def position(self) -> int | None:
        """The index up to which all changes were returned, that of the last one included once its entry is complete: a
        later watch may go on `after` it. None before the first node has answered, and within a snapshot."""
        return self._following.position

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Change[V]:
        while True:
            change = self._following.take()
            if change is not None:
                return change
            if self._is_closed:
                raise StopIteration
            self._step()

    def __enter__(self) -> Self:
        """Returns once a node has said from where on it tells changes, or what is there: no change after that is
        missed."""
        try:
            while not (self._following.has_begun or self._following.has_ready):
                self._step()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the iteration."""
        self._is_closed = True
        self._drop()

    def _step(self) -> None:
        """Make a connection, or get the next bytes of it. Whatever ends this, the next step goes on from the same
        place."""
        if self._is_stepping:
            raise LocalProtocolError("a watch belongs to one thread or task")
        self._is_stepping = True
        try:
            if self._stream is None:
                self._connect()
            else:
                self._receive(self._stream)
            if self._following.lost is not None:
                self._drop()
        except BaseException:
            self._drop()
            raise
        finally:
            self._is_stepping = False

    def _connect(self) -> None:
        """Try one node."""
        following = self._following
        if self._gives_up_ms is None:
            self._gives_up_ms = now_ms() + self._client._timeout_ms
        address, pause_ms = following.next_address()
        if pause_ms:
            sleep(pause_ms)
        try:
            self._learn(address)
            by_ms = now_ms() + CONNECT_MS
            self._stream = connect(address, by_ms, self._client._encryption)
            target, headers = following.request()
            headers += self._client.credentials.headers
            self._stream.send(encode_request("GET", target, host=address.authority, headers=headers), by_ms)
            self._parser = following.connected()
        except Unavailable as error:
            self._failed(error)
        except (NotSent, OSError) as error:
            why = str(error) if isinstance(error, NotSent) else reason_of(error)
            self._failed(Unavailable("unreachable", f"{address} does not answer: {why}"))

    def _learn(self, address: Endpoint) -> None:
        """Ask a node who else there is, for when it dies. Raises `Unavailable`."""
        try:
            status = self._client.status(str(address))
        except RemoteProtocolError:
            return
        for member in status.members:
            with suppress(BadAddress):
                self._following.learn([parse_endpoint(member.http)])

    def _receive(self, stream: Stream) -> None:
        parser, following = self._parser, self._following
        if parser is None:
            return
        try:
            data = stream.receive(now_ms() + (SILENCE_MS if parser.streaming else CONNECT_MS))
        except NotSent as error:  # of TLS, whose handshake the node has broken off
            self._failed(Unavailable("unreachable", f"the node does not answer: {error}"))
            return
        except OSError as error:
            self._failed(Unavailable("unreachable", f"the node is silent: {reason_of(error)}"))
            return
        if not data:
            self._failed(Unavailable("unreachable", "the node has ended the stream"))
            return
        response = parser.feed(data)
        if response is not None:
            following.refused(response)
            if following.lost is not None:
                self._failed(following.lost)

    def _failed(self, error: RaftdbError) -> None:
        """A node does not serve this watch any more; another is asked next. Raises the error if none ever has, for as
        long as a call may take."""
        self._drop()
        if not self._following.has_begun and now_ms() >= (self._gives_up_ms or 0.0):
            raise error

    def _drop(self) -> None:
        stream, self._stream, self._parser = self._stream, None, None
        if stream is not None:
            stream.close()
