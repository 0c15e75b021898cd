"""A listener of whoever owns the processes of a cluster on this machine, for the page `/learn/live`.

It is no node: a node could not start itself again. Pages are judged as nodes judge them: who asks has to be a page of a
member, under a `Host` of this machine. Every request that does something bears the token of this run, also one of a
program, since whoever may connect to loopback need not be who may end processes.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Protocol
from urllib.parse import unquote

from aiohttp import web

from raftdb.endpoint import Endpoint
from raftdb.errors import RequestRefused
from raftdb.frontend.http_browser import Browsers, MemberAddresses
from raftdb.frontend.http_reply import Reply
from raftdb.frontend.http_server import SEGMENTS, HttpServer, ServerLimits
from raftdb.frontend.json_values import encode_json
from raftdb.route import Permission, Route

PATH = "/v1/processes"
CONNECTIONS_MAX = 64
GRACE_S = 0.2


class ProcessOwner(Protocol):
    """Who owns the processes. Both methods are awaited, and raise `RaftdbError`."""

    async def states(self) -> Mapping[str, str]:
        """What each node's process does, by id: `running`, `paused` or `stopped`."""
        ...

    async def act(self, action: str, node_id: str) -> str:
        """Do one of `ACTIONS` to a node; returns what was done, for people."""
        ...


ACTIONS = ("kill", "pause", "restart", "resume")


class ProcessesApi:
    """The routes."""

    def __init__(self, owner: ProcessOwner, browsers: Browsers) -> None:
        self._owner = owner
        self._browsers = browsers

    def routes(self) -> dict[str, dict[str, Route]]:
        """The path table."""
        actions = {
            f"{PATH}/{{id}}/{action}": {"POST": Route(partial(self.act, action), Permission.ADMIN)}
            for action in ACTIONS
        }
        return {PATH: {"GET": Route(self.table, Permission.READ)}, **actions}

    async def table(self, _request: web.BaseRequest) -> Reply:
        """GET /v1/processes: what each node's process does."""
        return Reply(encode_json({"processes": dict(await self._owner.states())}))

    async def act(self, action: str, request: web.BaseRequest) -> Reply:
        """POST /v1/processes/{id}/{action}"""
        self._browsers.check_token(request)
        node_id = unquote(request[SEGMENTS]["id"])
        if node_id not in await self._owner.states():
            raise RequestRefused("not_found", "this cluster has no such node")
        done = await self._owner.act(action, node_id)
        return Reply(encode_json({"done": done, "processes": dict(await self._owner.states())}))


@asynccontextmanager
async def serve_processes(
    owner: ProcessOwner, members: MemberAddresses, *, token: str
) -> AsyncIterator[Endpoint]:
    """Serve on loopback, at a free port; yields the address. `members` are where the nodes' pages come from. Raises
    OSError."""
    browsers = Browsers(members, token=token)
    api = ProcessesApi(owner, browsers)
    limits = ServerLimits(connections_max=CONNECTIONS_MAX, busy_max=CONNECTIONS_MAX // 2)
    server = HttpServer(api.routes(), limits=limits, browsers=browsers)
    try:
        yield Endpoint(*await server.start("127.0.0.1", 0))
    finally:
        await server.close(grace_s=GRACE_S)
