"""Sockets that connect by a deadline: what both halves of the client need for that. The rest is in `async_io` and
`sync_io`.

A host may have several addresses, of which some are silent. They are tried in the order of the resolver, each a little
after the one before, or as soon as that has failed, and whichever connects first is taken (RFC 8305, without the
sorting, which the resolver has done).
"""

import os
import socket
import time
from collections.abc import Sequence

from raftdb.client.resolving import Target

NEXT_ATTEMPT_MS = 250
"""How long one address is waited for at most before the next one is tried as well."""
IN_TIME = "no answer in time"
RECEIVE_BYTES = 256 * 1024


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
    """How long one of the targets is waited for alone: all get their turn in half of the time there is."""
    return min(NEXT_ATTEMPT_MS, max(by_ms - now_ms(), 0.0) / (2 * max(len(targets), 1)))


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


class ConnectedSocket:
    """A connected socket, to which the halves of the client add sending and receiving."""

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected

    @property
    def is_quiet(self) -> bool:
        """Whether it is open and nothing has arrived, as it should be while nobody awaits an answer. A readable idle
        connection is a closed one, or holds what belongs to nobody."""
        try:
            self.socket.setblocking(False)
            self.socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            pass  # reset by the server
        return False

    def close(self) -> None:
        """Close it at once, whatever is on its way."""
        self.socket.close()


def reason_of(error: BaseException) -> str:
    """Why a connection or an exchange failed, in a few words, without errno numbers."""
    if isinstance(error, TimeoutError):
        return IN_TIME
    if isinstance(error, OSError) and error.errno and error.errno > 0:
        return os.strerror(error.errno).lower()
    return str(error) or type(error).__name__
