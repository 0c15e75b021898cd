"""Cutting off a client that does not read its replies."""

import asyncio
import logging
from collections.abc import Callable

logger = logging.getLogger("raftdb.redis")

UNREAD_S = 60.0
"""A client that has read nothing for this long, while replies are unsent, is cut off."""


STALLED_S = 1.0
"""One that has read and sent nothing for this long is cut off if others find no memory for their requests."""


class ReadingWatch:
    """Looks, while replies are unsent, whether the client reads; `address` is its own."""

    def __init__(self, transport: asyncio.Transport, unread_s: float, address: Callable[[], str]) -> None:
        self._transport = transport
        self._unread_s = unread_s
        self._address = address
        self._timer: asyncio.TimerHandle | None = None
        self._unread_bytes = 0
        self._progress_s = 0.0

    def begin(self) -> None:
        """Look from now on."""
        self.stop()
        self._unread_bytes = self._transport.get_write_buffer_size()
        loop = asyncio.get_running_loop()
        self._progress_s = loop.time()
        self._timer = loop.call_later(self._unread_s, self._look)

    def stop(self) -> None:
        """All is sent, or the connection has ended."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def progress_s(self) -> float:
        """When the client had read something, by the loop's clock, as far as was looked."""
        if self._timer is not None and self._transport.get_write_buffer_size() < self._unread_bytes:
            self.begin()
        return self._progress_s

    def _look(self) -> None:
        if self._transport.get_write_buffer_size() < self._unread_bytes:
            self.begin()
            return
        fields = {"client": self._address(), "unread_bytes": self._unread_bytes}
        logger.warning("a client does not read", extra={"fields": fields})
        self._transport.abort()
