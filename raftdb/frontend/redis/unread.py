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

    def idle_s(self, last_used_s: float) -> float:
        """For how long the client, which has sent something at `last_used_s` on the loop's clock, has neither sent nor
        read anything, as far as was looked."""
        if self._timer is not None and self._transport.get_write_buffer_size() < self._unread_bytes:
            self.begin()
        return asyncio.get_running_loop().time() - max(self._progress_s, last_used_s)

    def cut_off(self, why: str, held_bytes: int) -> None:
        """End the connection at once, and say why."""
        logger.warning(why, extra={"fields": {"client": self._address(), "bytes": held_bytes}})
        self._transport.abort()

    def _look(self) -> None:
        if self._transport.get_write_buffer_size() < self._unread_bytes:
            self.begin()
            return
        self.cut_off("a client does not read", self._unread_bytes)
