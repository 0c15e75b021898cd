"""What both halves of the client need to connect by a deadline. The rest is in `async_io` and `sync_io`.

A host may have several addresses, of which some may not answer. They are tried in the order of the resolver, each a
little after the one before, or as soon as that has failed, and the first connection is used (RFC 8305, without the
sorting, which the resolver does).
"""

import os
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from raftdb.client.http1 import NotSent
from raftdb.client.resolving import Target

if TYPE_CHECKING:
    from raftdb.client.tls import Tunnel

NEXT_ATTEMPT_MS = 250
"""The longest wait for one address before the next one is tried as well."""
IN_TIME = "no answer in time"
RECEIVE_BYTES = 256 * 1024
KEEPALIVE_IDLE_S = 4
KEEPALIVE_INTERVAL_S = 1
KEEPALIVE_PROBES = 5
"""A host that is silent while a request waits there is given up after 4 s + 5 probes of 1 s: before a leader takes the
place of somebody who does not ask for it in 10 s."""


def now_ms() -> float:
    """The clock of all deadlines of the client: monotonic, in milliseconds."""
    return time.monotonic() * 1000.0


def left_s(by_ms: float) -> float:
    """Seconds until `by_ms` of `now_ms`. Raises `TimeoutError` once it has passed."""
    left_ms = by_ms - now_ms()
    if left_ms <= 0:
        raise TimeoutError(IN_TIME)
    return left_ms / 1000.0


def attempt_ms(targets: Sequence[Target], by_ms: float) -> float:
    """How long to wait for one target before the next, in milliseconds: all are tried within half of the time left."""
    return min(NEXT_ATTEMPT_MS, max(by_ms - now_ms(), 0.0) / (2 * max(len(targets), 1)))


class _Socket(socket.socket):
    """A socket that is closed without a ResourceWarning when it is collected. A kept connection has no unsent data, so
    a client that is dropped without `close` loses nothing but the message that ends its session."""

    __slots__ = ()

    def __del__(self) -> None:
        self.close()


def new_socket(family: socket.AddressFamily) -> socket.socket:
    """A stream socket that does not block, and sends without delay (`TCP_NODELAY`). Raises OSError."""
    dialled = _Socket(family, socket.SOCK_STREAM)
    dialled.setblocking(False)
    dialled.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    dialled.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):  # not on every system
        dialled.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_S)
        dialled.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S)
        dialled.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES)
    return dialled


class ConnectedSocket:
    """A connected socket, to which the halves of the client add sending and receiving."""

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self.tunnel: Tunnel | None = None
        """TLS over it; None without."""

    @property
    def is_quiet(self) -> bool:
        """Whether it is open and nothing has arrived, as it must be between two answers. An idle connection that can be
        read from was closed by the server, or has bytes that belong to no answer."""
        try:
            self.socket.setblocking(False)
            if self.tunnel is None:
                self.socket.recv(1, socket.MSG_PEEK)
            else:
                # What is no data, as a ticket for a later session, may arrive at any time.
                self.tunnel.feed(self.socket.recv(RECEIVE_BYTES))
                return self.tunnel.decrypt() is None
        except BlockingIOError:
            return True
        except (OSError, NotSent):
            pass  # reset by the server
        return False

    def shut_down(self) -> None:
        """End the connection under whoever uses it, who notices that it was closed."""
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close it at once."""
        self.socket.close()


def reason_of(error: BaseException) -> str:
    """Why a connection or an exchange failed, in a few words, without errno numbers."""
    if isinstance(error, TimeoutError):
        return IN_TIME
    if isinstance(error, OSError) and error.errno and error.errno > 0:
        return os.strerror(error.errno).lower()
    return str(error) or type(error).__name__
