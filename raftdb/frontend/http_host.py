"""The host names that a request may name.

A page of any site can have its own name resolve to this node's address (DNS rebinding): for the browser this node's
answers then belong to the page's origin, and the page may read them. The browser puts the page's name into `Host`, so
that has to be one of this node's names. An IP literal is accepted, because a page whose host is one was loaded from
that address.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable
from typing import NoReturn

from aiohttp import web
from aiohttp.hdrs import HOST

from raftdb.errors import RequestRefused

AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9._-]+)?\]|[^\[\]:/@]+)(?::[0-9]*)?")
"""The syntax of `Host`: a name, an IPv4 address, or an IPv6 address in brackets, and perhaps a port."""
ACCEPTED_MAX = 256
"""Most spellings of `Host` that are remembered as accepted, so that most requests cost one look-up in a set."""

HostNames = Callable[[], Iterable[str]]
"""Returns the names that a node has now, without ports."""


def host_of(authority: str) -> str | None:
    """The host of HOST[:PORT], in lower case, without brackets or a dot at the end; None if the text is malformed."""
    found = AUTHORITY.fullmatch(authority.strip())
    return found[1].strip("[]").removesuffix(".").lower() if found else None


def is_ip_literal(host: str) -> bool:
    """True for an IPv4 or IPv6 address as text."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class HostCheck:
    """Accepts requests whose `Host` is an IP literal, `localhost`, or one of `names`."""

    def __init__(self, names: HostNames) -> None:
        self._names = names
        self._accepted: set[str] = set()

    @property
    def remembered(self) -> int:
        """The number of remembered spellings."""
        return len(self._accepted)

    def is_known(self, request: web.BaseRequest) -> bool:
        """True if the request names this node.

        A host in the target counts instead of `Host` (RFC 9112, 3.2.2). A request without `Host`, which only HTTP/1.0
        may leave out, is not from a browser and is accepted.
        """
        authority = _authority_of(request)
        return authority is None or authority in self._accepted or self.knows(authority)

    def refuse(self, request: web.BaseRequest) -> NoReturn:
        """Raise RequestRefused (`forbidden`) for a request that names another host."""
        raise RequestRefused(
            "forbidden",
            f"this node is not known as {shown(_authority_of(request) or '') or 'a host without a name'}",
            hint="ask it by an address of its own, or name that host in its setting allowed_hosts",
        )

    def knows(self, authority: str) -> bool:
        """True if HOST[:PORT] names this node."""
        host = host_of(authority)
        names = {name.strip("[]").removesuffix(".").lower() for name in self._names()}
        if host is None or not (host == "localhost" or host in names or is_ip_literal(host)):
            return False
        if len(self._accepted) >= ACCEPTED_MAX:
            self._accepted.clear()
        self._accepted.add(authority)
        return True


def _authority_of(request: web.BaseRequest) -> str | None:
    if request.raw_path.startswith("/"):
        return request.headers.get(HOST)
    return request.host if "://" in request.raw_path.partition("?")[0] else request.headers.get(HOST)


def shown(text: str) -> str:
    """The beginning of a client's text for a message, in ASCII, because it may have lone surrogates."""
    return text[:200].encode("ascii", "backslashreplace").decode("ascii")
