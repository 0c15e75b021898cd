"""GET /v1/charts: the last quarter of an hour of a node, a sample a second."""

from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from raftdb.frontend.http_memory import hold_answer
from raftdb.frontend.http_query import integer_of, parameters
from raftdb.frontend.http_reply import Reply
from raftdb.frontend.json_values import encode_json
from raftdb.node.aside import Aside
from raftdb.route import Permission, Route

CHARTS_HELD_BYTES = 128 * 1024
"""The memory that an answer takes, about, if it has all samples."""

Since = Callable[[int], Mapping[str, Any]]
"""The samples after a time, in milliseconds."""


def nothing_sampled(after_ms: int) -> Mapping[str, Any]:
    """No samples, for an API without a node that takes them."""
    return {"columns": {}, "marks": []}


class ChartsApi:
    """The handler of the samples of one node, which are encoded on the thread of `aside`."""

    def __init__(self, since: Since, aside: Aside) -> None:
        self._since = since
        self._aside = aside

    def routes(self) -> dict[str, dict[str, Route]]:
        """A new path table with this route."""
        return {"/v1/charts": {"GET": Route(self.charts, Permission.READ)}}

    async def charts(self, request: web.BaseRequest) -> Reply:
        """GET /v1/charts?after=, which any node answers for itself."""
        given = parameters(request, ("after",))
        after_ms = integer_of("after", given["after"]) if "after" in given else 0
        hold_answer(request, CHARTS_HELD_BYTES, was_written=False)
        return Reply(await self._aside.run(encode_json, dict(self._since(after_ms))))
