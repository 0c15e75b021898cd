"""Connections whose clients have to be users, and have not shown yet that they are: each is one for a short time."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raftdb.frontend.redis.connection import RedisConnection

LOOKS = 4
"""How often they are looked at in the time that they have."""


class Strangers:
    """Those of one listener, which have `limit_s` seconds. `cut_off` ends the connection of one."""

    def __init__(self, limit_s: float, cut_off: "Callable[[RedisConnection], None]") -> None:
        self._limit_s = limit_s
        self._cut_off = cut_off
        self._came: dict[RedisConnection, None] = {}
        """Those that were strangers when they came, in this order; some may have logged in since."""
        self._timer: asyncio.TimerHandle | None = None

    def add(self, connection: "RedisConnection") -> None:
        """Take in a new connection, if its client is a stranger."""
        if connection.client.is_stranger:
            self._came[connection] = None
            if self._timer is None:
                self._look()

    def forget(self, connection: "RedisConnection") -> None:
        """Note that a connection has ended."""
        self._came.pop(connection, None)

    def end_first(self) -> bool:
        """End the connection of the stranger that came first; returns whether there is one. Those that have logged in
        since are passed over, once each."""
        while self._came:
            connection = next(iter(self._came))
            del self._came[connection]
            if connection.client.is_stranger:
                self._cut_off(connection)
                return True
        return False

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        """End those that have not logged in for long; one who does so just now is let finish. Again and again, as long
        as there are any."""
        # The next look does not depend on how this one ends.
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._limit_s / LOOKS, self._look) if self._came else None
        until_s = loop.time() - self._limit_s
        for connection in list(self._came):
            client = connection.client
            if not client.is_stranger:
                del self._came[connection]
            elif client.begun > until_s:
                break
            elif client.blocked is None:
                del self._came[connection]
                self._cut_off(connection)
