"""The part of the client that only its blocking half has: sockets with timeouts, and waits of threads.

`async_io` has the same names with the same meaning, for an event loop. All modules above these two are written once.
"""

import errno
import os
import select
import socket
import time
from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from raftdb.client.dialing import (
    IN_TIME,
    RECEIVE_BYTES,
    ConnectedSocket,
    attempt_ms,
    left_s,
    new_socket,
    now_ms,
    reason_of,
)
from raftdb.client.encryption import Encryption
from raftdb.client.http1 import NotSent
from raftdb.client.resolving import Resolution, Target, targets_of
from raftdb.endpoint import Endpoint

if TYPE_CHECKING:
    from ssl import SSLContext

T = TypeVar("T")
P = ParamSpec("P")

_WRITABLE = select.POLLOUT | select.POLLERR | select.POLLHUP


class Stream(ConnectedSocket):
    """A connection to a node. Times are those of `now_ms`. All methods raise `TimeoutError` and `OSError`."""

    def send(self, content: bytes, by_ms: float) -> None:
        """Send all of `content`."""
        self._send(content if self.tunnel is None else self.tunnel.encrypt(content), by_ms)

    def _send(self, content: bytes, by_ms: float) -> None:
        self.socket.settimeout(left_s(by_ms))
        self.socket.sendall(content)

    def receive(self, by_ms: float) -> bytes:
        """Bytes that have arrived, up to `RECEIVE_BYTES`; none if the other side has closed the connection."""
        if self.tunnel is None:
            return self._receive(by_ms)
        while (content := self.tunnel.decrypt()) is None:
            self.tunnel.feed(self._receive(by_ms))
        return content

    def _receive(self, by_ms: float) -> bytes:
        self.socket.settimeout(left_s(by_ms))
        return self.socket.recv(RECEIVE_BYTES)

    def begin_tls(self, context: "SSLContext", host: str, by_ms: float) -> None:
        """Go over to TLS with `host`. Raises `NotSent`."""
        from raftdb.client.tls import Tunnel

        tunnel = Tunnel(context, host)
        while True:
            content, is_done = tunnel.shake_hands()
            self._send(content, by_ms)
            if is_done:
                break
            tunnel.feed(self._receive(by_ms))
        self.tunnel = tunnel


def connect(address: Endpoint, by_ms: float, encryption: Encryption) -> Stream:
    """A connection to `address` by `by_ms` of `now_ms`. Raises `NotSent`, and `RequestRefused` for certificates that
    cannot be used."""
    address = encryption.reached(address)
    stream = _connect(address, by_ms)
    if address.is_tls:
        try:
            stream.begin_tls(encryption.context(), address.host, by_ms)
        except OSError as error:
            stream.close()
            raise NotSent(reason_of(error)) from error
        except BaseException:
            stream.close()
            raise
    return stream


def _connect(address: Endpoint, by_ms: float) -> Stream:
    targets = targets_of(address.host, address.port)
    if isinstance(targets, Resolution):
        targets.wait(max(by_ms - now_ms(), 0.0) / 1000.0)
        targets = targets.targets()
    return Stream(_first_connected(targets, by_ms))


def _first_connected(targets: list[Target], by_ms: float) -> socket.socket:
    waiting = list(reversed(targets))
    next_ms = attempt_ms(targets, by_ms)
    under_way: dict[int, socket.socket] = {}
    poll = select.poll()
    next_at_ms = now_ms()
    reason = "no address"
    try:
        while True:
            if waiting and (not under_way or now_ms() >= next_at_ms):
                try:
                    dialled, is_connected = _begin(waiting.pop())
                except OSError as error:
                    reason = reason_of(error)
                    continue
                if is_connected:
                    return dialled
                under_way[dialled.fileno()] = dialled
                poll.register(dialled, _WRITABLE)
                next_at_ms = now_ms() + next_ms
            left_ms = by_ms - now_ms()
            if not under_way:
                raise NotSent(reason)
            if left_ms <= 0:
                raise NotSent(IN_TIME)
            for descriptor, _ in poll.poll(
                min(left_ms, max(next_at_ms - now_ms(), 0.0)) if waiting else left_ms
            ):
                dialled = under_way.pop(descriptor)
                poll.unregister(descriptor)
                failure = dialled.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if not failure:
                    return dialled
                dialled.close()
                reason, next_at_ms = os.strerror(failure).lower(), 0.0
    finally:
        for dialled in under_way.values():
            dialled.close()


def _begin(target: Target) -> tuple[socket.socket, bool]:
    """A socket that has begun to connect to `target`, and whether it is connected already. Raises OSError."""
    family, address = target
    dialled = new_socket(family)
    try:
        failure = dialled.connect_ex(address)
        if failure not in (0, errno.EINPROGRESS):
            raise OSError(failure, os.strerror(failure))
    except BaseException:
        dialled.close()
        raise
    return dialled, not failure


def sleep(duration_ms: float) -> None:
    """Wait for this long."""
    time.sleep(duration_ms / 1000.0)


def off_loop(call: Callable[P, T], /, *arguments: P.args, **options: P.kwargs) -> T:
    """Make a call that may block; returns its result. There is no event loop that it could hold up."""
    return call(*arguments, **options)


class Waiter:
    """An event that one call waits for, once. It is a plain lock, whose operations are atomic, which those of
    `threading.Event` are not."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._lock.acquire()

    def wait(self, until_ms: float) -> None:
        """Wait for `wake`, or until `until_ms`."""
        self._lock.acquire(timeout=max(until_ms - now_ms(), 0.0) / 1000.0)

    def wake(self) -> None:
        """End the wait. Further calls do nothing."""
        if self._lock.locked():
            self._lock.release()


class Home:
    """The process that calls belong to. A child process must not use the connections and the session of its parent."""

    def __init__(self) -> None:
        self.process_id = os.getpid()

    def is_here(self) -> bool:
        """Whether the caller is in this process."""
        return self.process_id == os.getpid()
