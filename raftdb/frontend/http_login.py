"""Who sends a request over HTTP: `Authorization: Basic` or `Bearer` (RFC 7617, RFC 6750), looked at before its handler
runs.

What a route needs is its permission; commands are judged one by one, by the node that they are handed to. Where nobody
has to be a user, nothing is looked at: a node does not know any, and the header may be meant for what stands before it.
"""

import base64
import binascii
import logging
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from aiohttp import web
from aiohttp.hdrs import AUTHORIZATION

from raftdb.access.logins import Logins
from raftdb.access.users import EVERYTHING, Proof, Users
from raftdb.errors import RequestRefused
from raftdb.frontend.http_reply import Reply
from raftdb.route import Permission, Route

audit = logging.getLogger("raftdb.audit")

STILL_PROVED: web.RequestKey["partial[None]"] = web.RequestKey("STILL_PROVED", partial)
"""Raises `RequestRefused` once what the request has shown is not good any more: for answers that go on."""
USER: web.RequestKey[bytes] = web.RequestKey("USER", bytes)
"""On whose behalf a request is; it is not there where nobody has to be a user."""
AUTHORIZATION_BYTES_MAX = 4096
CHALLENGE = (b"WWW-Authenticate", b'Basic realm="raftdb", charset="UTF-8", Bearer realm="raftdb"')
QUIET_CHALLENGE = (b"WWW-Authenticate", b'Bearer realm="raftdb"')
"""For pages: a browser would ask for a password of its own accord."""

FETCHED_BY_PAGE = "Sec-Fetch-Mode"
"""A header of every request of a browser."""
SHOWN_MAX = 200
"""Characters of a request that the log tells."""
_TOLD = (Permission.ADMIN, Permission.LOGIN)
"""Permissions of routes that change who may do what, or the cluster: the log tells who has used them."""
_NO_USER = (Permission.OPEN, Permission.PAGE, Permission.PEER)
"""Permissions of routes that are served without a user."""


class Credentials(NamedTuple):
    """What a header says: a token, or a user and a password."""

    token: bytes | None
    user: bytes
    password: bytes


class Gate:
    """Finds the users of requests, and judges routes. `None` in the place of `users` and `logins` is nobody's: it lets
    everybody in (for tests of handlers)."""

    def __init__(self, users: Users | None = None, logins: Logins | None = None) -> None:
        self._users = users
        self._logins = logins

    @property
    def asks(self) -> bool:
        """Whether it may have to find the user of a request."""
        return self._users is not None

    async def admit(self, request: web.BaseRequest, route: Route) -> None:
        """Note the user of a request in `request[USER]`. Raises `RequestRefused` (`unauthenticated`, `forbidden`), or
        Unavailable."""
        users, logins = self._users, self._logins
        if users is None or logins is None or users.serves_everybody or route.permission in _NO_USER:
            return
        users.check_first()
        given, address = credentials_of(request.headers.get(AUTHORIZATION)), address_of(request)
        proof: Proof | None = None
        if given is not None and given.token is not None:
            proof = logins.of_token(given.token, address)
        elif given is not None:
            proof = await logins.of_password(given.user, given.password, address)
        user = request[USER] = users.required(None if proof is None else proof.user)
        if proof is not None:
            request[STILL_PROVED] = partial(users.check_proof, proof)
        fields = {
            "by": user.decode("ascii", "replace"),
            "what": f"{request.method} {request.path}"[:SHOWN_MAX],
        }
        try:
            if route.permission is Permission.ADMIN:
                users.check_admin(user)
            elif route.permission is Permission.READ_ALL:
                users.check_needs(user, *EVERYTHING)
        except RequestRefused:
            audit.warning("refused", extra={"fields": {**fields, "from": address}})
            raise
        if route.permission in _TOLD and request.method != "GET":
            audit.info("asked for", extra={"fields": {**fields, "from": address}})

    def admit_lean(self, authorization: str | None, address: Callable[[], str]) -> tuple[bytes | None, bool]:
        """Return the user of a request on the lean path, and True; or False if that cannot be known at once. Raises as
        `admit`."""
        users, logins = self._users, self._logins
        if users is None or logins is None or users.serves_everybody:
            return None, True
        users.check_first()
        given = credentials_of(authorization)
        if given is None:
            return users.required(None), True
        if given.token is not None:
            return logins.of_token(given.token, address()).user, True
        return given.user, logins.known(given.user, given.password, address())


def credentials_of(authorization: str | None) -> Credentials | None:
    """Return what a header says, None without one. Raises `RequestRefused` (`unauthenticated`) for one of another
    form."""
    if authorization is None:
        return None
    scheme, _, rest = authorization.partition(" ")
    given = rest.strip().encode("utf-8", "surrogateescape")
    if len(given) <= AUTHORIZATION_BYTES_MAX:
        if scheme.lower() == "bearer" and given:
            return Credentials(given, b"", b"")
        if scheme.lower() == "basic":
            user, colon, password = _decoded(given).partition(b":")
            if colon:
                return Credentials(None, user, password)
    raise RequestRefused(
        "unauthenticated", "the header Authorization is neither Basic nor Bearer", hint="or it is too long"
    )


def challenged(reply: Reply, *, is_page: bool) -> Reply:
    """Return a refusal (401) that says how to log in."""
    if reply.status == 401:
        reply.headers = [*reply.headers, QUIET_CHALLENGE if is_page else CHALLENGE]
    return reply


def address_of(request: web.BaseRequest) -> str:
    """Return the address that a request comes from, without its port."""
    return request.remote or ""


def _decoded(text: bytes) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return b""
