"""Pings on a link: they measure how long the way is, and find out that nobody answers any more (hazard B93)."""

import asyncio
from collections.abc import Callable

import aiohttp

from raftdb.errors import required
from raftdb.transport.limits import LinkLimits
from raftdb.transport.reasons import short_reason
from raftdb.transport.trips import Trips


class Pinger:
    """The pings of one dialled link, connection after connection. `sent`: how many frames have left so far.

    The owner reads the connection, and says when a ping was `answered`. `on_trip`: see `PeerEvents`.
    """

    def __init__(
        self, trips: Trips, limits: LinkLimits, *, sent: Callable[[], int], on_trip: Callable[[float], None]
    ) -> None:
        self._trips = trips
        self._limits = limits
        self._sent = sent
        self._on_trip = on_trip
        self._has_answer = asyncio.Event()

    def answered(self) -> None:
        """The peer has answered the latest ping."""
        self._has_answer.set()

    def measured(self, seconds: float) -> None:
        """A trip was measured, by a ping or by the handshake."""
        self._trips.note(seconds)
        self._on_trip(required(self._trips.usual_s, "trip, though one was just noted"))

    async def run(self, socket: aiohttp.ClientWebSocketResponse) -> str:
        """Ping for as long as the peer answers; returns why it stopped."""
        clock = asyncio.get_running_loop().time
        while True:
            self._has_answer.clear()
            began_s = clock()
            try:
                await self._ping(socket)
            except TimeoutError:
                return f"connection lost: no answer within {clock() - began_s:.3g} seconds"
            except (aiohttp.ClientError, OSError) as error:
                return f"connection lost: {short_reason(error)}"
            self.measured(clock() - began_s)
            await asyncio.sleep(self._limits.ping_s)

    async def _ping(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """One ping and its answer. Raises TimeoutError, or what aiohttp raises.

        A ping waits behind the frames that were sent before it. While the socket takes more of them the peer reads;
        how long that takes is not a matter of trips.
        """
        wait_s = self._trips.wait_s(least_s=self._limits.answer_min_s, most_s=self._limits.answer_max_s)
        exchange = asyncio.get_running_loop().create_task(self._exchange(socket))
        try:
            while not exchange.done():
                sent = self._sent()
                await asyncio.wait({exchange}, timeout=wait_s)
                if not exchange.done() and self._sent() == sent:
                    raise TimeoutError
            exchange.result()
        finally:
            exchange.cancel()

    async def _exchange(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        await socket.ping()
        await self._has_answer.wait()
