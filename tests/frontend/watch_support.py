"""A node with a state that has a history, and a server of which its changes can be followed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from raftdb.errors import ReplyError, Unavailable
from raftdb.machine.layer import Layer
from raftdb.machine.machine import Machine
from raftdb.machine.operations import ClientOperation
from raftdb.machine.reply import Result
from raftdb.machine.scanning import ReadStored
from raftdb.machine.service import Query
from raftdb.node.turn import Answer
from tests.frontend.support import Harness, StubNode, running
from tests.node.changing import Log


class WatchedNode(StubNode):
    """A node with a state that has a history. `between` is done after each page of keys was read."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.log = Log(**options)
        self.history = self.log.history
        self.between: list[list[Any]] = []

    async def execute(
        self, operation: ClientOperation | Query, *, consistency: str, user: bytes | None = None
    ) -> Answer:
        if not isinstance(operation, ReadStored):
            return await super().execute(operation, consistency="stale")
        assert consistency == "stale"
        if isinstance(self.failure, Unavailable | ReplyError):
            raise self.failure
        reply = Machine().read(operation, Layer(self.log.state))
        assert isinstance(reply, Result)
        answer = Answer(reply.value, *self.log.state.applied)
        if self.between:
            self.log.apply(*self.between.pop(0))
        return answer


@asynccontextmanager
async def watched(node: WatchedNode) -> AsyncIterator[Harness]:
    """A server of which changes can be followed."""
    async with running(node=node) as http:
        hub = asyncio.ensure_future(http.api.watching.hub.run())
        try:
            yield http
        finally:
            await http.api.streams.close()
            hub.cancel()
            with suppress(asyncio.CancelledError):
                await hub
