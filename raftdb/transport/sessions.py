"""Sessions of HTTP to other nodes, which a node makes only here. Its links do not use them (`upgrade.py`)."""

import aiohttp


def new_session(
    *, connect_timeout_s: float | None = None, total_s: float | None = None
) -> aiohttp.ClientSession:
    """A session for a few requests to one node, one at a time. It keeps no cookies and no resolved addresses, which
    could be stale, uses no proxy, and does not decompress answers. None for a time is no limit."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=1, use_dns_cache=False),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=total_s, sock_connect=connect_timeout_s),
        auto_decompress=False,
    )
