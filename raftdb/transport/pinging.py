"""The pings on a link: they measure its trips, and show when the peer no longer answers (hazard B93)."""

import asyncio
from collections.abc import Callable

from raftdb.transport.kernel_retries import fit_kernel_retries
from raftdb.transport.limits import LinkLimits
from raftdb.transport.stream import FrameStream
from raftdb.transport.trips import Trips
from raftdb.wire.stream import Kind


class Pinger:
    """The pings of one dialled link, on all its connections in turn.

    The owner calls `answered` for each answer. `on_trip`: see `PeerEvents`.
    """

    def __init__(self, trips: Trips, limits: LinkLimits, *, on_trip: Callable[[float], None]) -> None:
        self._trips = trips
        self._limits = limits
        self._on_trip = on_trip
        self._has_answer = asyncio.Event()

    def answered(self) -> None:
        """The peer has answered the latest ping."""
        self._has_answer.set()

    def measured(self, seconds: float) -> None:
        """Note a trip, in seconds, that a ping or a handshake has measured."""
        self._trips.note(seconds)
        self._on_trip(seconds)

    async def run(self, stream: FrameStream) -> str:
        """Ping for as long as the peer answers; returns in words why that ended."""
        clock = asyncio.get_running_loop().time
        while True:
            self._has_answer.clear()
            began_s = clock()
            stream.send(Kind.PING)
            if not await self._is_answered(stream):
                return f"connection lost: no answer within {clock() - began_s:.3g} seconds"
            self.measured(clock() - began_s)
            fit_kernel_retries(stream, self._trips, self._limits)
            await asyncio.sleep(self._limits.ping_s)

    async def _is_answered(self, stream: FrameStream) -> bool:
        """Wait for the answer; False if it does not come.

        A ping arrives after the frames that were sent before it. As long as the connection takes more of them the peer
        is reading, so only a wait in which it took nothing counts.
        """
        wait_s = self._trips.wait_s(least_s=self._limits.answer_min_s, most_s=self._limits.answer_max_s)
        while True:
            taken = stream.taken_bytes
            try:
                async with asyncio.timeout(wait_s):
                    await self._has_answer.wait()
            except TimeoutError:
                if stream.taken_bytes == taken:
                    return False
            else:
                return True
