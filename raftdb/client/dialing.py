"""A connected socket by a deadline, to a host that may have several addresses of which some are silent.

The addresses are tried in the order of the resolver, each a little after the one before, or as soon as that has failed,
and whichever connects first is taken (RFC 8305, without the sorting, which the resolver has done).
"""

import errno
import os
import select
import socket
import time
from collections.abc import Sequence

from raftdb.client.http1 import NotSent
from raftdb.client.resolving import Resolution, Target, targets_of
from raftdb.endpoint import parse_endpoint

NEXT_ATTEMPT_MS = 250
"""How long one address is waited for at most before the next one is tried as well."""
IN_TIME = "no answer in time"
_WRITABLE = select.POLLOUT | select.POLLERR | select.POLLHUP


def now_ms() -> float:
    """The clock of all deadlines of the client: monotonic, in milliseconds."""
    return time.monotonic() * 1000.0


def dial(address: str, by_ms: float) -> socket.socket:
    """A socket connected to `address` (HOST:PORT), not blocking, by `by_ms` of `now_ms`. Raises `NotSent`."""
    endpoint = parse_endpoint(address)
    targets = targets_of(endpoint.host, endpoint.port)
    if isinstance(targets, Resolution):
        targets.wait(max(by_ms - now_ms(), 0.0) / 1000.0)
        targets = targets.targets()
    return _first_connected(targets, by_ms)


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


def attempt_ms(targets: Sequence[Target], by_ms: float) -> float:
    """How long one of the targets is waited for alone: all get their turn in half of the time there is."""
    return min(NEXT_ATTEMPT_MS, max(by_ms - now_ms(), 0.0) / (2 * max(len(targets), 1)))


def _begin(target: Target) -> tuple[socket.socket, bool]:
    """A socket that does not block and is about to be connected, and whether it is already. Raises OSError."""
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


class _Socket(socket.socket):
    """Closed without a warning when it is collected. A kept connection has nothing to flush and nothing to say: a
    client that is dropped leaves nothing undone that closing it would have done, but for a word to the leader."""

    __slots__ = ()

    def __del__(self) -> None:
        self.close()


def new_socket(family: socket.AddressFamily) -> socket.socket:
    """A socket for a stream that does not block and sends at once. Raises OSError."""
    dialled = _Socket(family, socket.SOCK_STREAM)
    dialled.setblocking(False)
    dialled.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return dialled


def reason_of(error: BaseException) -> str:
    """Why a connection or an exchange failed, in a few words, without errno numbers."""
    if isinstance(error, TimeoutError):
        return IN_TIME
    if isinstance(error, OSError) and error.errno and error.errno > 0:
        return os.strerror(error.errno).lower()
    return str(error) or type(error).__name__
