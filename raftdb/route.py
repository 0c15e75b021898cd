"""Routes as values: a handler, and the permission that its caller needs.

The packages that serve something give these values to the listener. It checks a caller's access in one place, before
the handler runs (`raftdb.frontend.http_login`). The permission also decides whether a route is served under any host
name, and without load limits.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from aiohttp import web

Handler: TypeAlias = Callable[[web.BaseRequest], Awaitable[Any]]
"""Answers a request. It runs on the event loop, and must end in bounded time unless it is a peer's link."""


class Permission(StrEnum):
    """The least that a caller must be allowed. Commands in a request are judged one by one."""

    OPEN = "open"
    """No access is needed: whether the process is alive, for the one who watches it, under any host name."""
    HEALTH = "health"
    """As `OPEN`, but where there are users one of them has to ask."""
    PAGE = "page"
    """No access is needed: files that are the same everywhere, and say nothing of this cluster."""
    READ = "read"
    """The caller is a user, where there are any. What the request then asks for is judged by itself."""
    WRITE = "write"
    """As `READ`, and a page that asks has to bear a token."""
    LOGIN = "login"
    """As `READ`: the caller sees to tokens, the own ones or, as an administrator, all. A page need not bear one yet."""
    READ_ALL = "read_all"
    """The caller may read everything."""
    ADMIN = "admin"
    """The caller may change the members, or take all data at once."""
    PEER = "peer"
    """The caller must be a node of this cluster, as which it introduces itself in a handshake."""


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path."""

    handler: Handler
    permission: Permission


Routes: TypeAlias = Mapping[str, Mapping[str, Route]]
"""From path to method to route. A path is that of the request line, as it is, without the query; a segment `{name}`
stands for any one segment that is not empty."""
