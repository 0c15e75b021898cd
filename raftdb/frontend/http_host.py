"""Who a request says that it talks to: the names that this node answers to, and the pages that may ask it to write.

A page of any site can have its own name resolve to an address of ours (DNS rebinding): to the browser our answers are
then of the page's origin, and it may read them. What gives it away is `Host`, which the browser fills with the page's
name. So a name has to be one of ours. An IP literal is: no page is rebound to one that it was not loaded from.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable
from typing import NoReturn

from aiohttp import web
from aiohttp.hdrs import HOST, ORIGIN

from raftdb.errors import RequestRefused

AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9._-]+)?\]|[^\[\]:/@]+)(?::[0-9]*)?")
"""`Host`: a name, an IPv4 address, or an IPv6 address in brackets; then perhaps a port."""
ACCEPTED_MAX = 256
"""Spellings of `Host` that are remembered as good, so that most requests cost one look into a set."""

HostNames = Callable[[], Iterable[str]]
"""The names that a node has now, without ports."""


def host_of(authority: str) -> str | None:
    """The host that HOST[:PORT] names, in lower case, without brackets or the dot at the end; None if it names none."""
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
    """Lets requests pass whose `Host` is an IP literal, `localhost`, or one of `names`."""

    def __init__(self, names: HostNames) -> None:
        self._names = names
        self._accepted: set[str] = set()

    @property
    def remembered(self) -> int:
        """How many spellings are remembered."""
        return len(self._accepted)

    def is_known(self, request: web.BaseRequest) -> bool:
        """True if the request is for a name that this node has.

        A host in the target counts instead of `Host` (RFC 9112, 3.2.2). Without `Host`, which only HTTP/1.0 may leave
        out, a request is not from a browser.
        """
        authority = _authority_of(request)
        return authority is None or authority in self._accepted or self.knows(authority)

    def refuse(self, request: web.BaseRequest) -> NoReturn:
        """Raise RequestRefused (`forbidden`) for a request that is for somebody else."""
        raise RequestRefused(
            "forbidden",
            f"this node is not known as {shown(_authority_of(request) or '') or 'a host without a name'}",
            hint="ask it by an address of its own, or name that host in its setting allowed_hosts",
        )

    def knows(self, authority: str) -> bool:
        """True if HOST[:PORT] is this node."""
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


def refuse_foreign_origin(request: web.BaseRequest) -> None:
    """Raise RequestRefused (`forbidden`) for what a page of another origin wants changed: a browser names the page's
    origin on every request that may change something (hazard B103)."""
    origin = request.headers.get(ORIGIN)
    if origin is None or request.method in ("GET", "HEAD"):
        return
    host = request.headers.get(HOST, "")
    if origin.partition("://")[2] != host:
        raise RequestRefused("forbidden", "the request comes from a page of another origin")


def shown(text: str) -> str:
    """The beginning of what a client sent, for a message: bytes that are not UTF-8 are no text to send back."""
    return text[:200].encode("ascii", "backslashreplace").decode("ascii")
