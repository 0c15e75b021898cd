"""The one place where a node makes sessions of HTTP towards other nodes; its links are no such (`upgrade.py`)."""

import aiohttp


def new_session(
    *, connect_timeout_s: float | None = None, total_s: float | None = None
) -> aiohttp.ClientSession:
    """A session for a few requests to one node at a time. It keeps nothing that could be stale: no cookies, no cached
    addresses; it goes through no proxy, and unpacks nothing."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=1, use_dns_cache=False),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=total_s, sock_connect=connect_timeout_s),
        auto_decompress=False,
    )
