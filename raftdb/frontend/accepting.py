"""A listener that accepts several connections in one turn of the event loop.

uvloop accepts one connection in a turn (libuv does since its version 1.45). Under load a turn takes 20 ms, so behind a
crowd of five hundred that connect at once a peer, or a health check, would wait for ten seconds to be let in.
"""

import asyncio
import errno
import logging
import socket
from collections import Counter
from collections.abc import Callable

from raftdb.frontend.tls import HANDSHAKES_MAX, Tls, TlsEntrance

logger = logging.getLogger("raftdb.frontend")

ACCEPTS_PER_TURN_MAX = 8
"""Connections accepted in one turn by one listener. They are open files before it is known whether they may stay."""
BACKLOG = 512
"""Connections that the kernel queues before they are accepted, for a burst of clients after a change of leader."""
PAUSE_S = 0.1
"""How long nothing is accepted if there are no resources for a connection."""
NO_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Acceptor:
    """One listener, on all addresses of a host. Everything is called on the event loop."""

    def __init__(
        self,
        protocol: Callable[[], asyncio.BaseProtocol],
        tls: Tls | None = None,
        *,
        refusal: Callable[[], bytes] = bytes,
    ) -> None:
        """`protocol` makes the protocol of a new connection. `tls` is None if there is none, and `refusal` what a
        client is told that comes without it where it is required."""
        self._protocol = protocol
        self._tls = None if tls is None else TlsEntrance(tls, refusal)
        self._sockets: list[socket.socket] = []
        self._opening: dict[asyncio.Task[None], str] = {}
        """Connections that are accepted, and have no transport yet, the oldest first, with the addresses of callers."""

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listen on `host`:`port` (0: any free port); returns the first bound address and port. Raises OSError."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        try:
            for family, kind, protocol, _, address in dict.fromkeys(found):
                listener = socket.socket(family, kind, protocol)
                self._sockets.append(listener)
                # What an earlier process has closed (TIME_WAIT) does not keep this one from the port.
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                listener.setblocking(False)
                listener.bind(address)
                listener.listen(BACKLOG)
        except OSError:
            self.close()
            raise
        for listener in self._sockets:
            loop.add_reader(listener.fileno(), self._accept, listener)
        bound = self._sockets[0].getsockname()
        return str(bound[0]), int(bound[1])

    def close(self) -> None:
        """Accept nothing more; connections that are open stay."""
        loop = asyncio.get_running_loop()
        sockets, self._sockets = self._sockets, []
        for listener in sockets:
            loop.remove_reader(listener.fileno())
            listener.close()
        if self._tls is not None:
            for opening in self._opening:
                opening.cancel()

    async def wait_closed(self) -> None:
        """Wait until what was accepted before the close has its transport."""
        if self._opening:
            await asyncio.wait(self._opening)

    def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(ACCEPTS_PER_TURN_MAX):
            try:
                accepted, caller = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in NO_RESOURCES:
                    raise
                logger.warning("no connection is accepted", extra={"fields": {"why": error.strerror}})
                loop.remove_reader(listener.fileno())
                loop.call_later(PAUSE_S, self._go_on, listener)
                return
            accepted.setblocking(False)
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None and len(self._opening) >= HANDSHAKES_MAX:
                self._give_up_one()
            opening = loop.create_task(self._open(accepted))
            self._opening[opening] = caller[0]
            opening.add_done_callback(lambda ended: self._opening.pop(ended, None))

    def _give_up_one(self) -> None:
        """End the oldest handshake of the address that has begun most of them, so that a flood from one address keeps
        callers from others in."""
        busiest = Counter(self._opening.values()).most_common(1)[0][0]
        victim = next(opening for opening, caller in self._opening.items() if caller == busiest)
        del self._opening[victim]
        victim.cancel()

    async def _open(self, accepted: socket.socket) -> None:
        try:
            if self._tls is None:
                await asyncio.get_running_loop().connect_accepted_socket(self._protocol, accepted)
            else:
                await self._tls.open(self._protocol, accepted)
        except asyncio.CancelledError:
            accepted.close()
            raise
        except OSError as error:
            # The client has gone in the meantime.
            logger.debug("a connection was not opened", extra={"fields": {"why": error.strerror}})
            accepted.close()
        except Exception:
            logger.exception("a connection was not opened")
            accepted.close()

    def _go_on(self, listener: socket.socket) -> None:
        if listener in self._sockets:
            asyncio.get_running_loop().add_reader(listener.fileno(), self._accept, listener)
