"""TLS at a listener: which connections are by TLS, and how their handshakes are bounded.

A listener that takes connections with and without TLS tells them apart by their first byte, so that a cluster and its
clients can change from the one to the other while they run. A handshake is bounded in time, and the number of those
under way by whoever accepts; a connection that has not ended its handshake has no protocol yet, so nothing of it is
read by anybody else.
"""

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Callable
from typing import Protocol

from raftdb.tls_reasons import tls_reason

logger = logging.getLogger("raftdb.frontend")

HANDSHAKES_MAX = 256
"""Most handshakes at a time on one listener. For another one, one is given up, so that callers who begin one and say
no more keep nobody out."""
HANDSHAKE_S = 10.0
"""How long a handshake may take."""
FIRST_BYTE_S = 5.0
"""Where connections with and without TLS are accepted, one that has said nothing for this long is one without: in TLS
the client speaks first, and at once."""
SHUTDOWN_S = 2.0
"""How long the other end may take to say goodbye in TLS."""
FAILED_LOG_S = 60.0
"""Callers whose handshakes fail come as often as they like, and are logged this often."""
TLS_RECORD = b"\x16"
"""The first byte of TLS, and of nothing that a listener takes without it."""
UNREAD_BYTES_MAX = 64 * 1024


class Tls(Protocol):
    """What a listener has to know of TLS."""

    @property
    def is_required(self) -> bool:
        """Whether connections without it are refused."""
        ...

    @property
    def context(self) -> ssl.SSLContext:
        """The context of a connection that is accepted now."""
        ...


class TlsEntrance:
    """The TLS of one listener. Used on the event loop's thread."""

    def __init__(self, tls: Tls, refusal: Callable[[], bytes]) -> None:
        """`refusal` returns what a client is told that comes without TLS where it is required."""
        self._tls = tls
        self._refusal = refusal
        self.failed_count = 0
        """Handshakes that have failed, took too long, or were given up for others."""
        self._logged_s = -FAILED_LOG_S

    async def open(self, protocol: Callable[[], asyncio.BaseProtocol], accepted: socket.socket) -> None:
        """Give the connection a transport and the `protocol`, after its handshake if it is by TLS. Raises OSError."""
        loop = asyncio.get_running_loop()
        if await _speaks_tls(accepted):
            await self._shake_hands(protocol, accepted)
        elif self._tls.is_required:
            _refuse(accepted, self._refusal())
        else:
            await loop.connect_accepted_socket(protocol, accepted)

    async def _shake_hands(
        self, protocol: Callable[[], asyncio.BaseProtocol], accepted: socket.socket
    ) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                protocol,
                accepted,
                ssl=self._tls.context,
                ssl_handshake_timeout=HANDSHAKE_S,
                ssl_shutdown_timeout=SHUTDOWN_S,
            )
        except (OSError, asyncio.CancelledError) as error:
            self._failed(error)
            raise

    def _failed(self, error: BaseException) -> None:
        self.failed_count += 1
        now_s = time.monotonic()
        if now_s - self._logged_s >= FAILED_LOG_S:
            self._logged_s = now_s
            fields = {"why": _why(error), "failed": self.failed_count}
            logger.warning("a TLS handshake has failed", extra={"fields": fields})


def _why(error: BaseException) -> str:
    match error:
        case asyncio.CancelledError():
            return "too many at once"
        case ssl.SSLError():
            return tls_reason(error)
    return str(error) or type(error).__name__


def _refuse(accepted: socket.socket, refusal: bytes) -> None:
    """Say `refusal`, as far as there is room for it, and close the connection. Raises OSError."""
    with accepted:
        accepted.send(refusal)
        accepted.shutdown(socket.SHUT_WR)
        # What is left unread would have the kernel reset the connection before the refusal has arrived.
        accepted.recv(UNREAD_BYTES_MAX)


async def _speaks_tls(accepted: socket.socket) -> bool:
    """Whether the first byte that arrives is one of TLS. It is left where it is. Raises OSError."""
    loop = asyncio.get_running_loop()
    try:
        return accepted.recv(1, socket.MSG_PEEK) == TLS_RECORD
    except (BlockingIOError, InterruptedError):
        pass
    readable: asyncio.Future[None] = loop.create_future()
    loop.add_reader(accepted.fileno(), _wake, readable)
    try:
        async with asyncio.timeout(FIRST_BYTE_S):
            await readable
        return accepted.recv(1, socket.MSG_PEEK) == TLS_RECORD
    except (TimeoutError, BlockingIOError):
        return False
    finally:
        loop.remove_reader(accepted.fileno())


def _wake(readable: asyncio.Future[None]) -> None:
    if not readable.done():
        readable.set_result(None)
