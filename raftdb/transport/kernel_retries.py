"""How often the kernel sends again what a peer has not acknowledged, and when it gives the connection up.

After each try that brings nothing TCP waits twice as long. That is right for a way that is congested. Over one that
merely loses packets a few losses in a row make silences of many seconds, and all that is sent meanwhile waits behind
them, though a packet would get through: a follower on such a link takes its leader for dead. So the wait is capped at
some trips, where the kernel can do that: Linux since 6.15, and never below a second. The cap must stay above what an
acknowledgement takes, or every packet would be sent twice.

A lower cap alone would also make the kernel give up earlier, for it reckons in tries. A limit on the time that
something stays unacknowledged takes the place of that reckoning, and so it is set first.
"""

import logging
import socket
import sys
from functools import cache

from raftdb.transport.limits import LinkLimits
from raftdb.transport.stream import FrameStream
from raftdb.transport.trips import Trips

logger = logging.getLogger("raftdb.transport")

TCP_RTO_MAX_MS = 44
"""Socket option of Linux, of `linux/tcp.h`: the longest wait before something is sent again, in milliseconds."""
RETRY_CAP_TRIPS = 3
"""What is sent is repeated no later than after so many trips. An acknowledgement takes one, and the kernel itself waits
for about two when the trips vary by a half."""
RETRY_CAP_MS_MIN = 1_000
"""The kernel takes no lower cap than this."""
RETRY_CAP_MS_MAX = 120_000
"""The kernel takes no higher cap than this, which is its own where none is set."""


def retry_cap_ms(trips: Trips) -> int:
    """The longest wait before something is sent again; the kernel's own before the first trip was measured."""
    typical_s = trips.typical_s
    if typical_s is None:
        return RETRY_CAP_MS_MAX
    return min(max(RETRY_CAP_MS_MIN, round(RETRY_CAP_TRIPS * typical_s * 1000)), RETRY_CAP_MS_MAX)


def fit_kernel_retries(stream: FrameStream, trips: Trips, limits: LinkLimits) -> None:
    """Let the kernel's tries follow the trips of this connection, as far as it can.

    It drops a connection whose data is not acknowledged for as long as a frame may take (hazard B93), and until then it
    tries again at least as often as `retry_cap_ms` says (hazard B110).
    """
    transport = stream.transport
    raw = transport.get_extra_info("socket") if transport is not None and not transport.is_closing() else None
    if raw is None:
        return
    user_timeout = getattr(socket, "TCP_USER_TIMEOUT", None)
    if user_timeout is not None:
        wait_s = trips.wait_s(least_s=limits.send_min_s, most_s=limits.send_max_s)
        raw.setsockopt(socket.IPPROTO_TCP, user_timeout, int(wait_s * 1000))
    if has_retry_cap():
        raw.setsockopt(socket.IPPROTO_TCP, TCP_RTO_MAX_MS, retry_cap_ms(trips))


@cache
def has_retry_cap() -> bool:
    """True if this kernel can cap its waits. Else it is said once, and does no harm but on a slow network."""
    try:
        # On another system the number may stand for anything.
        if sys.platform != "linux":
            raise OSError("not Linux")
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.getsockopt(socket.IPPROTO_TCP, TCP_RTO_MAX_MS)
    except OSError as error:
        fields = {"reason": str(error)}
        logger.debug("the kernel does not cap its retransmission timeout", extra={"fields": fields})
        return False
    return True
