"""One running node as clients see it that need not know who leads: what it cannot execute it passes on."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from raftdb.background import StartTask
from raftdb.errors import LeaderHint
from raftdb.forwarding import Channel, ChannelEvents, Forwarder, ForwardLimits, HereChannel, LinkChannel
from raftdb.memory import Hold, MemoryAccount
from raftdb.node.driver import Driver
from raftdb.server.local_node import LocalNode
from raftdb.server.network import Network


class ForwardingNode:
    """See `raftdb.frontend.redis.server.RedisNode`."""

    def __init__(
        self,
        node: LocalNode,
        driver: Driver,
        network: Network,
        memory: MemoryAccount,
        *,
        start: StartTask,
        patience_s: float,
    ) -> None:
        self._node = node
        self._driver = driver
        self._network = network
        self._memory = memory
        self._forwarder = Forwarder(
            driver,
            self._open,
            memory=memory,
            aside=driver.aside,
            start=start,
            limits=ForwardLimits(patience_s=patience_s),
        )
        self.submit = self._forwarder.submit
        """Runs an operation where the leader is."""
        self.wait = self._forwarder.wait
        """Runs an operation there once it can be served."""
        self.leave = self._forwarder.leave
        """Takes such a one back."""

    def status(self) -> Mapping[str, Any]:
        """See `LocalNode`."""
        return self._node.status()

    def reaches(self, node_id: str) -> bool:
        """See `LocalNode`."""
        return self._node.reaches(node_id)

    async def close(self) -> None:
        """Pass nothing on any more."""
        self._forwarder.close()

    def _open(self, leader: LeaderHint | None, events: ChannelEvents) -> Channel:
        if leader is None:
            return HereChannel(self._driver.submit, self._driver.held, Hold(self._memory), events)
        return LinkChannel(partial(self._network.dial_leader, leader), events)
