"""The request of each method about users, roles and tokens, and how its answer is read. No I/O.

All but `WHO_AM_I` are for administrators, and those about tokens also for their user. A change is sent again only if it
surely was not made.
"""

from collections.abc import Iterable
from urllib.parse import quote

from raftdb.client.flow import Method
from raftdb.client.given import Lifetime, Text, milliseconds, several
from raftdb.client.http1 import Response
from raftdb.client.json_body import (
    bytes_of,
    bytes_to_json,
    integer,
    object_of,
    objects,
    optional_integer,
    text,
)
from raftdb.client.model import Json, NewToken, Role, Token, User
from raftdb.client.protocol import Kind, Request
from raftdb.errors import RemoteProtocolError


def _who(response: Response) -> str | None:
    body = object_of(response)
    return None if body.get("user") is None else text(body, "user")


def _users(response: Response) -> tuple[User, ...]:
    return tuple(
        User(
            name=text(row, "user"),
            roles=_names(row.get("roles")),
            tokens=_names(row.get("tokens")),
            has_password=row.get("has_password") is True,
            body=row,
        )
        for row in objects(object_of(response).get("users"))
    )


def _roles(response: Response) -> tuple[Role, ...]:
    rows = objects(object_of(response).get("roles"))
    return tuple(
        Role(name=text(row, "role"), grants=tuple(map(bytes_of, _list(row.get("grants")))), body=row)
        for row in rows
    )


def _tokens(response: Response) -> tuple[Token, ...]:
    return tuple(
        Token(
            name=text(row, "token"),
            made_ms=integer(row, "made_ms"),
            ends_ms=optional_integer(row, "ends_ms"),
            body=row,
        )
        for row in objects(object_of(response).get("tokens"))
    )


def _new_token(response: Response) -> NewToken:
    body = object_of(response)
    return NewToken(secret=text(body, "secret"), ends_ms=optional_integer(body, "ends_ms"), body=body)


def _index(response: Response) -> int:
    return integer(object_of(response), "index")


WHO_AM_I: Method[str | None] = Method(Request("GET", "/v1/whoami", None, Kind.ANY_NODE), _who)
USERS: Method[tuple[User, ...]] = Method(Request("GET", "/v1/users", None, Kind.READ), _users)
ROLES: Method[tuple[Role, ...]] = Method(Request("GET", "/v1/roles", None, Kind.READ), _roles)


def put_user(
    name: str, roles: Iterable[Text], *, password: str | None = None, exists: bool | None = None
) -> Method[int]:
    """`PUT /v1/users/{user}`."""
    content: Json = {"roles": [bytes_to_json(role) for role in several(roles, "roles")]}
    optional = {"password": password, "exists": exists}
    content = {**content, **{key: value for key, value in optional.items() if value is not None}}
    return Method(Request("PUT", _path("users", name), content, Kind.CHANGE), _index)


def remove_user(name: str) -> Method[int]:
    """`DELETE /v1/users/{user}`."""
    return Method(Request("DELETE", _path("users", name), None, Kind.CHANGE), _index)


def put_role(name: str, grants: Iterable[Text], *, exists: bool | None = None) -> Method[int]:
    """`PUT /v1/roles/{role}`."""
    content: Json = {"grants": [bytes_to_json(grant) for grant in several(grants, "grants")]}
    if exists is not None:
        content = {**content, "exists": exists}
    return Method(Request("PUT", _path("roles", name), content, Kind.CHANGE), _index)


def remove_role(name: str) -> Method[int]:
    """`DELETE /v1/roles/{role}`."""
    return Method(Request("DELETE", _path("roles", name), None, Kind.CHANGE), _index)


def tokens(user: str) -> Method[tuple[Token, ...]]:
    """`GET /v1/users/{user}/tokens`."""
    return Method(Request("GET", f"{_path('users', user)}/tokens", None, Kind.READ), _tokens)


def make_token(user: str, name: str, ttl: Lifetime | None) -> Method[NewToken]:
    """`POST /v1/users/{user}/tokens/{token}`."""
    content = {} if ttl is None else {"ttl_ms": milliseconds(ttl)}
    target = f"{_path('users', user)}{_path('tokens', name).removeprefix('/v1')}"
    return Method(Request("POST", target, content, Kind.CHANGE), _new_token)


def remove_token(user: str, name: str) -> Method[int]:
    """`DELETE /v1/users/{user}/tokens/{token}`."""
    target = f"{_path('users', user)}{_path('tokens', name).removeprefix('/v1')}"
    return Method(Request("DELETE", target, None, Kind.CHANGE), _index)


def _path(kind: str, name: str) -> str:
    return f"/v1/{kind}/{quote(name, safe='')}"


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise RemoteProtocolError("the answer has something else where a list belongs")
    return value


def _names(value: object) -> tuple[str, ...]:
    return tuple(bytes_of(name).decode("utf-8", "backslashreplace") for name in _list(value))
