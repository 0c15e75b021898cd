"""What is served where, as values: a handler, and what its caller must be allowed.

The listener, and whoever serves something on it, meet here. That a caller is allowed is judged in one place, before the
handler runs; today nobody has to prove who they are, and what is told apart is what must be served in any case.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from aiohttp import web

Handler: TypeAlias = Callable[[web.BaseRequest], Awaitable[Any]]
"""Answers a request. Runs on the event loop; must end in bounded time unless it is a peer's link."""


class Access(StrEnum):
    """What a caller must be allowed, at least: what a command does is judged by itself."""

    OPEN = "open"
    """Nothing: whether the process is alive, for whoever looks after it, under whatever name it is found."""
    READ = "read"
    WRITE = "write"
    ADMIN = "admin"
    """To change who the members are, or to take all data at once."""
    PEER = "peer"
    """To be a node of this cluster: it says who it is in a handshake of its own."""


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path."""

    handler: Handler
    access: Access


Routes: TypeAlias = Mapping[str, Mapping[str, Route]]
"""Path -> method -> route. A path is exact, as it stands in the request line, without the query; a segment `{name}`
stands for any one segment that is not empty."""
