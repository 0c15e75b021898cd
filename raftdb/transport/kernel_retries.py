"""How often the kernel repeats unacknowledged data, and when it gives a connection up.

TCP doubles its wait after each try that is not acknowledged. That is right for a congested network. On one that merely
loses packets a few losses in a row make silences of many seconds, and everything that is sent later waits for the lost
packet, though a new try would get through: a follower on such a link takes its leader for dead. So the wait is capped
at a few trips, where the kernel can do that: Linux since 6.15, and never below a second. The cap must be longer than an
acknowledgement takes, or every packet would be sent twice.

A lower cap alone would also make the kernel give up earlier, because it counts tries. A limit on the time that data may
stay unacknowledged replaces that count, so it is set first.
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
"""Data is repeated after this many trips at the latest. An acknowledgement takes one, and the kernel itself waits for
about two when trips vary by a half."""
RETRY_CAP_MS_MIN = 1_000
"""The kernel takes no lower cap than this."""
RETRY_CAP_MS_MAX = 120_000
"""The kernel takes no higher cap than this, which is its own where none is set."""


def retry_cap_ms(trips: Trips) -> int:
    """The longest wait before data is repeated, in milliseconds; the kernel's own before the first trip was
    measured."""
    typical_s = trips.typical_s
    if typical_s is None:
        return RETRY_CAP_MS_MAX
    return min(max(RETRY_CAP_MS_MIN, round(RETRY_CAP_TRIPS * typical_s * 1000)), RETRY_CAP_MS_MAX)


def fit_kernel_retries(stream: FrameStream, trips: Trips, limits: LinkLimits) -> None:
    """Fit the kernel's tries on this connection to its `trips`, as far as the kernel can do that.

    It drops a connection whose data stays unacknowledged for as long as a frame may take, and until then it waits no
    longer than `retry_cap_ms` between two tries (hazards B93, B110).
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
    """True if this kernel can cap its waits. If it cannot, that is logged once; only links that lose packets suffer."""
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
