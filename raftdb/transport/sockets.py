"""What a link does with the library's sessions and sockets, and with those of the kernel."""

import asyncio
import socket

import aiohttp

from raftdb.transport.limits import LinkLimits
from raftdb.transport.reasons import short_reason


def new_session(limits: LinkLimits) -> aiohttp.ClientSession:
    """A session that keeps nothing between dials: no cookies, no pool, no cached addresses, no proxy."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, force_close=True, use_dns_cache=False),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=limits.connect_timeout_s),
        auto_decompress=False,
    )


def end_in_words(message: aiohttp.WSMessage) -> str:
    """Why a link ends with this message."""
    if message.type in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT):
        return "the peer sent data on a link of ours"
    if message.type is aiohttp.WSMsgType.ERROR:
        return f"connection lost: {short_reason(message.data)}"
    if message.type is aiohttp.WSMsgType.CLOSE and message.extra:
        return f"closed by the peer: {message.extra}"
    return "closed by the peer"


async def close(socket_: aiohttp.ClientWebSocketResponse, timeout_s: float) -> None:
    """Close in bounded time, whether the peer reads or not."""
    try:
        async with asyncio.timeout(timeout_s):
            await socket_.close()
    except (TimeoutError, aiohttp.ClientError, OSError):
        # aiohttp has closed the transport by then; the kernel gives up on what is unsent by itself.
        pass


def bound_kernel_retries(socket_: aiohttp.ClientWebSocketResponse, timeout_s: float) -> None:
    """Let the kernel drop a connection whose data is not acknowledged for `timeout_s` (hazard B93), where it can."""
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    raw = socket_.get_extra_info("socket")
    if option is not None and raw is not None:
        raw.setsockopt(socket.IPPROTO_TCP, option, int(timeout_s * 1000))
