"""Requests over HTTP that the node holds until they can be served.

The handler's task sleeps meanwhile, without a timer. The connection is neither idle, so that it would make room for a
new one, nor does it count as busy, so that thousands that wait do not make the node refuse others. When the client goes
away, its request gives up its turn at once; its task ends when it is its turn, because thousands may go at once.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Protocol, cast

from aiohttp import web

from raftdb.frontend.http_login import USER
from raftdb.frontend.node_api import Node
from raftdb.machine.operations import SessionOperation
from raftdb.machine.service import Command
from raftdb.node.driver import settle
from raftdb.node.turn import Answer


class _Connection(Protocol):
    """A connection of `raftdb.frontend.http_connection`."""

    def held(self, leave: Callable[[], None], give_up: Callable[[], None]) -> AbstractContextManager[None]:
        """A context for the time in which the node holds its request. If the client goes `leave` is called at once, and
        `give_up` when it is its turn."""
        ...


async def wait_for(
    request: web.BaseRequest, node: Node, operation: Command | SessionOperation, wait_ms: int
) -> Answer:
    """The answer to an operation that is held for up to `wait_ms`. Raises as `Node.wait`, and ConnectionError if the
    client has gone."""
    future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
    number = node.wait(operation, partial(settle, future), wait_ms=wait_ms, user=request.get(USER))

    def give_up() -> None:
        if not future.done():
            future.set_exception(ConnectionResetError("the client has gone"))

    with cast(_Connection, request.protocol).held(partial(node.leave, number), give_up):
        return await future
