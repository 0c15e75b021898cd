"""GET /metrics: what a node measures, as Prometheus reads it."""

from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web

from raftdb.errors import RequestRefused
from raftdb.frontend.http_login import USER
from raftdb.frontend.http_memory import hold_answer
from raftdb.frontend.http_reply import Reply
from raftdb.frontend.node_api import Node
from raftdb.machine.users.rights import Domain, Need
from raftdb.route import Permission, Route

METRICS_HELD_BYTES = 256 * 1024
"""The memory that an answer takes, about: most are shorter, and one with 500 queues is as long."""

Sees = Callable[[bytes], bool]
"""Whether who asks may read a queue."""
Render = Callable[[str, Sees], Awaitable[tuple[bytes, str]]]
"""The metrics in a format that an `Accept` header asks for, without the names of queues that their reader may not see;
and the type of that."""


async def nothing_measured(accept: str, sees: Sees) -> tuple[bytes, str]:
    """No metrics, for an API without a node that measures."""
    return b"", "text/plain; charset=utf-8"


class MetricsApi:
    """The handler of the metrics of one node."""

    def __init__(self, node: Node, render: Render) -> None:
        self._node = node
        self._render = render

    def routes(self) -> dict[str, dict[str, Route]]:
        """A new path table with this route."""
        return {"/metrics": {"GET": Route(self.metrics, Permission.READ)}}

    async def metrics(self, request: web.BaseRequest) -> Reply:
        """GET /metrics, which any node answers for itself."""
        hold_answer(request, METRICS_HELD_BYTES, was_written=False)
        user = request.get(USER)

        def sees(queue: bytes) -> bool:
            try:
                self._node.check(user, Need(Domain.QUEUES, queue, changes=False))
            except RequestRefused:
                return False
            return True

        text, content_type = await self._render(request.headers.get(hdrs.ACCEPT, ""), sees)
        return Reply(text, content_type=content_type.encode("ascii"))
