"""Sessions of HTTP to other nodes, which a node makes only here. Its links do not use them (`upgrade.py`)."""

from typing import Any

import aiohttp

from raftdb.endpoint import Endpoint
from raftdb.transport.certificates import PeerTls


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


def where(
    address: Endpoint, path: str, tls: PeerTls | None, *, peer: str | None = None
) -> tuple[str, dict[str, Any]]:
    """The URL of `path` at a node, and what a request to it needs for TLS; nobody but `peer` may answer unless that is
    None."""
    if tls is None:
        return address.url(path), {}
    options = {"ssl": tls.context(), "server_hostname": tls.server_name(address.host, peer)}
    return address.over_tls().url(path), options
