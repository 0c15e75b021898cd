"""What pages in a browser may do: which answers they may read, and which of them may ask for changes.

Browsers send `Origin`, the page's own scheme, host and port, on every request that may change something, and on every
one that goes to another origin. Programs send none, and nothing here concerns them.

* **Pages of this node and of other members** are ours: every node serves the same ones. They may read what is there to
  be read, so that a picture of the cluster can be drawn from all nodes (`Access-Control-Allow-Origin`), and may ask for
  changes if they bear the token that the operator was given. Without the token they may only look.
* **Any other page** may neither read an answer nor ask for a change (hazard B103). That a page cannot pass itself off
  as one of ours by having its name resolve to this node is seen to by `raftdb.frontend.http_host`.
"""

import hmac
import ipaddress
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from aiohttp import web
from aiohttp.hdrs import AUTHORIZATION, HOST, ORIGIN

from raftdb.endpoint import TLS_SCHEME, BadAddress, Endpoint, parse_endpoint
from raftdb.errors import RequestRefused
from raftdb.frontend.http_reply import TEXT, Reply
from raftdb.route import Permission, Route

MemberAddresses = Callable[[], Iterable[Endpoint]]
"""Returns where the members of the cluster are reached now."""

Headers = Sequence[tuple[bytes, bytes]]

PREFLIGHT_SECONDS_MAX = 600
"""How long a browser may remember what a preflight said."""
PAGES_READ = tuple(Permission(name) for name in ("open", "health", "page", "read", "read_all"))
"""Permissions of the routes that pages of other members may read without a token."""
LOOPBACK = "localhost"

CORS_HEADERS: web.RequestKey[Headers] = web.RequestKey("CORS_HEADERS", Sequence)
"""Headers that an answer needs so that the page that asked may read it."""


class Browsers:
    """Judges the requests of pages. `members` are the addresses whose pages are ours, `token` is what a page bears
    that may act; None: no page may. Where there are users, pages may act with `with_users`: the listener finds whose
    request it is then."""

    def __init__(
        self,
        members: MemberAddresses = tuple,
        *,
        token: str | None = None,
        with_users: Callable[[], bool] = lambda: False,
    ) -> None:
        self._members = members
        self._token = token
        self._with_users = with_users

    def admit(self, request: web.BaseRequest, route: Route | None) -> Headers:
        """The headers that the answer needs. Raises RequestRefused (`forbidden`) for a change that the page may not ask
        for. `request` has an `Origin`; `route` is None if there is no such method."""
        origin = request.headers[ORIGIN]
        is_ours = self._is_ours(request, origin)
        if request.method not in ("GET", "HEAD"):
            if not is_ours:
                raise RequestRefused("forbidden", "the request comes from a page of another origin")
            is_login = route is not None and route.permission is Permission.LOGIN
            if not is_login and not self._with_users():
                self.check_token(request)
            return _readable_by(origin)
        may_read = is_ours and route is not None and route.permission in PAGES_READ
        return _readable_by(origin) if may_read else ()

    def preflight(self, request: web.BaseRequest, methods: Mapping[str, Route]) -> Reply | None:
        """The answer to a browser that asks whether a page may send a request; None if this is no such question, or
        comes from a page that is none of ours."""
        origin = request.headers[ORIGIN]
        asks = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
        if not asks or not self._is_ours(request, origin):
            return None
        headers = [
            (b"Access-Control-Allow-Methods", ", ".join(sorted(methods)).encode("ascii")),
            (b"Access-Control-Allow-Headers", b"authorization, content-type, last-event-id"),
            (b"Access-Control-Max-Age", b"%d" % PREFLIGHT_SECONDS_MAX),
        ]
        return Reply(b"", content_type=TEXT, headers=headers + list(_readable_by(origin)))

    def _is_ours(self, request: web.BaseRequest, origin: str) -> bool:
        scheme, _, host = origin.partition("://")
        # A page that came without TLS may be of anybody on the way. (A proxy that ends TLS has pages with it.)
        if host == request.headers.get(HOST, "") and (scheme == TLS_SCHEME or not request.secure):
            return True
        try:
            endpoint = _on_loopback(parse_endpoint(origin))
        except BadAddress:
            return False
        return endpoint in map(_on_loopback, self._members())

    def check_token(self, request: web.BaseRequest) -> None:
        """Raise RequestRefused (`forbidden`) unless the request bears the token."""
        kind, _, given = request.headers.get(AUTHORIZATION, "").partition(" ")
        if self._token is None:
            raise RequestRefused(
                "forbidden",
                "pages may only look at this node",
                hint="its setting dashboard has to be write for more",
            )
        is_it = hmac.compare_digest(given.strip().encode("utf-8", "replace"), self._token.encode())
        if kind.lower() != "bearer" or not is_it:
            raise RequestRefused(
                "forbidden",
                "this page may only look",
                hint="open the address that raftdb up printed, with all that follows the #",
            )


def _readable_by(origin: str) -> Headers:
    return (
        (b"Access-Control-Allow-Origin", origin.encode("utf-8", "replace")),
        (b"Vary", b"Origin"),
    )


def _on_loopback(endpoint: Endpoint) -> Endpoint:
    """The endpoint, with one name for all the names of this machine itself: people type `localhost`."""
    try:
        is_loopback = ipaddress.ip_address(endpoint.host).is_loopback
    except ValueError:
        is_loopback = False
    return replace(endpoint, host=LOOPBACK) if is_loopback else endpoint
