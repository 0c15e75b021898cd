"""A listener that accepts several connections in one turn of the event loop.

uvloop accepts one connection in a turn (libuv does since its version 1.45). Under load a turn takes 20 ms, so behind a
crowd of five hundred that connect at once a peer, or a health check, would wait for ten seconds to be let in.
"""

import asyncio
import errno
import logging
import socket
from collections.abc import Callable

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

    def __init__(self, protocol: Callable[[], asyncio.BaseProtocol]) -> None:
        """`protocol` makes the protocol of a new connection."""
        self._protocol = protocol
        self._sockets: list[socket.socket] = []
        self._opening: set[asyncio.Task[object]] = set()
        """Connections that are accepted, and have no transport yet."""

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

    async def wait_closed(self) -> None:
        """Wait until what was accepted before the close has its transport."""
        if self._opening:
            await asyncio.wait(self._opening)

    def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(ACCEPTS_PER_TURN_MAX):
            try:
                accepted, _ = listener.accept()
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
            opening = loop.create_task(self._open(accepted))
            self._opening.add(opening)
            opening.add_done_callback(self._opening.discard)

    async def _open(self, accepted: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(self._protocol, accepted)
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
