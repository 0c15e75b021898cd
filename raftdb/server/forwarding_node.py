"""One running node as clients see it that need not know who leads: what it cannot execute it passes on."""

from collections.abc import Mapping
from functools import partial
from typing import Any, cast

from raftdb.access.users import Users
from raftdb.background import StartTask
from raftdb.errors import LeaderHint, RaftdbError
from raftdb.forwarding import (
    Channel,
    ChannelEvents,
    Forwarder,
    ForwardLimits,
    HereChannel,
    LinkChannel,
    is_undecided,
)
from raftdb.machine.operations import ClientOperation, Submission
from raftdb.machine.service import Command, Query
from raftdb.memory import Hold, MemoryAccount
from raftdb.node.driver import Driver
from raftdb.node.effects import OnAnswer
from raftdb.node.held import Waits
from raftdb.node.turn import Answer
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
        users: Users,
        start: StartTask,
        patience_s: float,
        serves_reads: bool = False,
    ) -> None:
        """`serves_reads`: the node serves linearizable reads, though it does not lead."""
        self._serves_reads = serves_reads
        self._node = node
        self._users = users
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
        self.leave = self._forwarder.leave
        """Takes such a one back."""
        self.end_wait = self._forwarder.end_wait
        """Lets such a one wait no longer."""

    def submit(
        self, operation: ClientOperation | Query, on_answer: OnAnswer, *, user: bytes | None = None
    ) -> None:
        """Run an operation where the leader is, if `user` may."""
        self._forwarder.submit(self._users.admitted(operation, user), on_answer)

    def wait(
        self, operation: Command, on_answer: OnAnswer, *, wait_ms: int, user: bytes | None = None
    ) -> int:
        """Run an operation there once it can be served."""
        admitted = cast(Waits, self._users.admitted(operation, user))
        return self._forwarder.wait(admitted, on_answer, wait_ms=wait_ms)

    def read(
        self,
        operation: ClientOperation | Query,
        on_answer: OnAnswer,
        *,
        stale: bool,
        user: bytes | None = None,
    ) -> None:
        """Run an operation that only reads: here, if it may be `stale`, or if any node serves reads; unless there is no
        leader to ask."""
        admitted = self._users.admitted(operation, user, stale=stale)
        if stale or self._serves_reads:
            self._driver.submit(admitted, partial(self._served, admitted, on_answer), stale=stale)
        else:
            self._forwarder.submit(admitted, on_answer)

    def _served(self, admitted: Submission, on_answer: OnAnswer, answer: Answer | RaftdbError | None) -> None:
        """Pass on a read that this node could not serve."""
        if not is_undecided(answer):
            on_answer(answer)
            return
        try:
            self._forwarder.submit(admitted, on_answer)
        except RaftdbError as error:
            on_answer(error)

    def status(self) -> Mapping[str, Any]:
        """See `LocalNode`."""
        return self._node.status()

    def reaches(self, node_id: str) -> bool:
        """See `LocalNode`."""
        return self._node.reaches(node_id)

    def other_leader(self) -> LeaderHint | None:
        """None: what another leader has to execute is passed on."""
        return None

    async def close(self) -> None:
        """Pass nothing on any more."""
        self._forwarder.close()

    def _open(self, leader: LeaderHint | None, events: ChannelEvents) -> Channel:
        if leader is None:
            return HereChannel(
                self._driver.submit, self._driver.held, Hold(self._memory, is_of_many=True), events
            )
        return LinkChannel(partial(self._network.dial_leader, leader), events)
