"""The handlers about users, roles and tokens (docs/interface.md, section 3), and about who asks.

Passwords and secrets of tokens are digested here, and come no further: neither the log nor the state has them.
"""

from typing import Annotated, Any
from urllib.parse import unquote_to_bytes

import msgspec
from aiohttp import web

from raftdb.access.logins import Logins
from raftdb.access.passwords import check_password
from raftdb.access.tokens import digest_secret, make_secret
from raftdb.errors import RequestRefused
from raftdb.frontend.http_commands import Ask, Read
from raftdb.frontend.http_login import USER
from raftdb.frontend.http_query import integer_of, parameters
from raftdb.frontend.http_reply import Reply
from raftdb.frontend.http_server import SEGMENTS
from raftdb.frontend.json_values import Base64Bytes, bytes_of, decode_body, encode_json
from raftdb.frontend.node_api import Node
from raftdb.limits import TIME_MS_MAX
from raftdb.machine.service import ServiceOperation
from raftdb.machine.users.records import Token
from raftdb.machine.users.service import (
    Presence,
    PutRole,
    PutToken,
    PutUser,
    ReadRoles,
    ReadTokens,
    ReadUsers,
    RemoveRole,
    RemoveToken,
    RemoveUser,
)
from raftdb.route import Permission, Route

AUDIT_SHOWN, AUDIT_SHOWN_MAX = 100, 10_000
"""Lines of the audit trail in one answer, unless another number is asked for, and at most."""
_PRESENCES = {None: Presence.EITHER, False: Presence.MISSING, True: Presence.PRESENT}

Ttl = Annotated[int, msgspec.Meta(ge=0, le=TIME_MS_MAX)]


class UserBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of PUT /v1/users/{user}. Without a password the one that the user has stays. `exists`: whether there has
    to be such a user before; None: either way."""

    roles: list[str]
    password: str | None = None
    exists: bool | None = None


class RoleBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of PUT /v1/roles/{role}."""

    grants: list[str | Base64Bytes]
    exists: bool | None = None


class TokenBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of POST /v1/users/{user}/tokens/{token}. `ttl_ms`: in which time it ends; 0: never."""

    ttl_ms: Ttl = 0


_user_decoder = msgspec.json.Decoder(UserBody)
_role_decoder = msgspec.json.Decoder(RoleBody)
_token_decoder = msgspec.json.Decoder(TokenBody)


class UsersApi:
    """The handlers. A user sees to its own tokens, administrators to everything. `ask` and `read` are those of
    `DataApi`."""

    def __init__(self, node: Node, logins: Logins, ask: Ask, read: Read) -> None:
        self._node = node
        self._logins = logins
        self._ask = ask
        self._read = read

    def routes(self) -> dict[str, dict[str, Route]]:
        """A new path table with these routes."""
        read, change = Permission.READ, Permission.ADMIN
        return {
            "/v1/whoami": {"GET": Route(self.who_am_i, read)},
            "/v1/users": {"GET": Route(self.users, change)},
            "/v1/users/{user}": {
                "PUT": Route(self.put_user, change),
                "DELETE": Route(self.remove_user, change),
            },
            "/v1/users/{user}/tokens": {"GET": Route(self.tokens, read)},
            "/v1/users/{user}/tokens/{token}": {
                "POST": Route(self.make_token, Permission.LOGIN),
                "DELETE": Route(self.remove_token, Permission.LOGIN),
            },
            "/v1/audit": {"GET": Route(self.audit, change)},
            "/v1/roles": {"GET": Route(self.roles, change)},
            "/v1/roles/{role}": {
                "PUT": Route(self.put_role, change),
                "DELETE": Route(self.remove_role, change),
            },
        }

    async def who_am_i(self, request: web.BaseRequest) -> Reply:
        """GET /v1/whoami: the user on whose behalf the request is; null where nobody has to be one."""
        user = request.get(USER)
        return Reply(encode_json({"user": None if user is None else user.decode("ascii", "replace")}))

    async def audit(self, request: web.BaseRequest) -> Reply:
        """GET /v1/audit?limit=: who logged in on this node since it was started, was refused, and changed what."""
        text = parameters(request, ("limit",)).get("limit")
        limit = AUDIT_SHOWN if text is None else integer_of("limit", text, maximum=AUDIT_SHOWN_MAX)
        rows = [
            {"time_ms": one.time_ms, "what": one.what, "level": one.level, "details": one.details}
            for one in self._node.chronicle.audit.newest(limit)
        ]
        return Reply(encode_json({"events": rows}))

    async def users(self, request: web.BaseRequest) -> Reply:
        """GET /v1/users: all users, with their roles and the names of their tokens."""
        rows = await self._listed(request, ReadUsers())
        names = ("user", "roles", "tokens", "has_password")
        return Reply(encode_json({"users": [dict(zip(names, row, strict=True)) for row in rows]}))

    async def put_user(self, request: web.BaseRequest) -> Reply:
        """PUT /v1/users/{user}: add a user, or give it other roles, or another password."""
        asked = decode_body(_user_decoder, await self._read(request), example='{"roles": ["app"]}')
        digest = b""
        if asked.password is not None:
            password = asked.password.encode()
            check_password(password)
            digest = await self._logins.digest_of(password)
        roles = tuple(role.encode() for role in asked.roles)
        operation = PutUser(_segment(request, "user"), digest, roles, _PRESENCES[asked.exists])
        return await self._changed(request, "put_user", operation)

    async def remove_user(self, request: web.BaseRequest) -> Reply:
        """DELETE /v1/users/{user}: remove a user with all tokens."""
        return await self._removed(request, "remove_user", RemoveUser(_segment(request, "user")))

    async def roles(self, request: web.BaseRequest) -> Reply:
        """GET /v1/roles: all roles with their grants, but the one of administrators."""
        rows = await self._listed(request, ReadRoles())
        return Reply(encode_json({"roles": [{"role": role, "grants": grants} for role, grants in rows]}))

    async def put_role(self, request: web.BaseRequest) -> Reply:
        """PUT /v1/roles/{role}: add a role, or give it other grants."""
        example = '{"grants": ["read keys app/"]}'
        asked = decode_body(_role_decoder, await self._read(request), example=example)
        grants = tuple(map(bytes_of, asked.grants))
        operation = PutRole(_segment(request, "role"), grants, _PRESENCES[asked.exists])
        return await self._changed(request, "put_role", operation)

    async def remove_role(self, request: web.BaseRequest) -> Reply:
        """DELETE /v1/roles/{role}: remove a role that no user has."""
        return await self._removed(request, "remove_role", RemoveRole(_segment(request, "role")))

    async def tokens(self, request: web.BaseRequest) -> Reply:
        """GET /v1/users/{user}/tokens: the tokens of a user, without their secrets."""
        rows: list[Token] = await self._listed(request, ReadTokens(_segment(request, "user")))
        shown = [{"token": row.label, "made_ms": row.made_ms, "ends_ms": row.ends_ms or None} for row in rows]
        return Reply(encode_json({"tokens": shown}))

    async def make_token(self, request: web.BaseRequest) -> Reply:
        """POST /v1/users/{user}/tokens/{token}: make a token. Its secret is in this answer, and nowhere else."""
        asked = decode_body(
            _token_decoder, await self._read(request) or b"{}", example='{"ttl_ms": 86400000}'
        )
        secret = make_secret()
        user, label = _segment(request, "user"), _segment(request, "token")
        operation = PutToken(user, label, digest_secret(secret.encode()), asked.ttl_ms)
        answer = await self._ask(request, "put_token", operation, is_shown=False)
        return Reply(encode_json({"secret": secret, "ends_ms": answer.value or None, "index": answer.index}))

    async def remove_token(self, request: web.BaseRequest) -> Reply:
        """DELETE /v1/users/{user}/tokens/{token}: take a token back."""
        operation = RemoveToken(_segment(request, "user"), _segment(request, "token"))
        return await self._removed(request, "remove_token", operation)

    async def _listed(self, request: web.BaseRequest, query: Any) -> list[Any]:
        answer = await self._node.execute(query, consistency="linearizable", user=request.get(USER))
        rows: list[Any] = answer.value
        return rows

    async def _changed(self, request: web.BaseRequest, name: str, operation: ServiceOperation) -> Reply:
        answer = await self._ask(request, name, operation, is_shown=False)
        return Reply(encode_json({"index": answer.index, "term": answer.term}))

    async def _removed(self, request: web.BaseRequest, name: str, operation: ServiceOperation) -> Reply:
        answer = await self._ask(request, name, operation, is_shown=False)
        if answer.value is not True:
            raise RequestRefused("not_found", f"there is no such {name.removeprefix('remove_')}")
        return Reply(encode_json({"index": answer.index, "term": answer.term}))


def _segment(request: web.BaseRequest, name: str) -> bytes:
    return unquote_to_bytes(request[SEGMENTS][name])
