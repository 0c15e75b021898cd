"""One running node as its frontends see it: the driver, with the facts about this process around it."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

from raftdb import __version__
from raftdb.access.users import Users
from raftdb.core.events import Change
from raftdb.errors import LeaderHint, RaftdbError, Unavailable
from raftdb.frontend import Backup, Consistency
from raftdb.impairment import NetworkChange
from raftdb.machine.operations import ClientOperation, SessionOperation
from raftdb.machine.service import Command, Query
from raftdb.machine.users.rights import Need
from raftdb.memory import MemoryAccount
from raftdb.node.chronicle import Chronicle
from raftdb.node.describe import describe_entries
from raftdb.node.driver import Driver
from raftdb.node.effects import OnAnswer
from raftdb.node.held import Waits
from raftdb.node.history import History
from raftdb.node.status import is_caught_up, members_of, status_of
from raftdb.node.turn import Answer
from raftdb.server.disk import NodeDisk
from raftdb.server.figures import figures_of
from raftdb.server.measures import Measured
from raftdb.server.network import Network
from storage import OutOfSpace, StorageError

logger = logging.getLogger("raftdb.server")

TERMS_SHOWN_MAX = 100
"""So many terms of the log are told to those who watch."""


class LocalNode:
    """See `raftdb.frontend.node_api.Node`."""

    def __init__(
        self,
        driver: Driver,
        disk: NodeDisk,
        network: Network,
        memory: MemoryAccount,
        *,
        node_id: str,
        cluster_id: str,
        users: Users,
    ) -> None:
        self._users = users
        self._memory = memory
        self._driver = driver
        self._disk = disk
        self._network = network
        self._backing_up = asyncio.Lock()
        self._node_id = node_id
        self.cluster_id = cluster_id
        self._started = time.monotonic()
        self.measured: Measured | None = None
        """The parts that count, once they are there."""

    def submit(
        self,
        operation: ClientOperation | Query,
        on_answer: OnAnswer,
        *,
        stale: bool = False,
        user: bytes | None = None,
    ) -> None:
        """Run `operation` if `user` may; see `Driver.submit`."""
        self._driver.submit(self._users.admitted(operation, user, stale=stale), on_answer, stale=stale)

    def read(
        self,
        operation: ClientOperation | Query,
        on_answer: OnAnswer,
        *,
        stale: bool,
        user: bytes | None = None,
    ) -> None:
        """Run an operation that only reads; see `submit`."""
        self.submit(operation, on_answer, stale=stale, user=user)

    def wait(
        self,
        operation: Command | SessionOperation,
        on_answer: OnAnswer,
        *,
        wait_ms: int,
        user: bytes | None = None,
    ) -> int:
        """Run `operation` once it can be served; see `raftdb.node.held`."""
        admitted = cast(Waits, self._users.admitted(operation, user))
        return self._driver.held.wait(admitted, on_answer, wait_ms=wait_ms)

    def check(self, user: bytes | None, *needs: Need) -> None:
        """See `Users.check_needs`."""
        self._users.check_needs(user, *needs)

    def leave(self, request_id: int) -> None:
        """The client of a request that may be held has gone."""
        self._driver.held.leave(request_id)

    def end_wait(self, request_id: int) -> None:
        """A request that may be held is to wait no longer."""
        self._driver.held.end_wait(request_id)

    async def execute(
        self, operation: ClientOperation | Query, *, consistency: Consistency, user: bytes | None = None
    ) -> Answer:
        """Run `operation` if `user` may; see `Driver.execute`."""
        admitted = self._users.admitted(operation, user, stale=consistency == "stale")
        return await self._driver.execute(admitted, consistency=consistency)

    async def request_log(self, first: int | None, limit: int) -> Mapping[str, object]:
        """A page of the leader's log; raises Unavailable, or `compacted`."""
        page = await self._driver.read_log(first, limit)
        view = self._driver.view
        return {
            "first_index": view.first_index,
            "last_index": view.last_index,
            "commit_index": page.index,
            "entries": await self._driver.aside.run(describe_entries, page.value),
        }

    async def checkpoint(self) -> int:
        """Make the state durable and compact the log now."""
        return await self._driver.checkpoint()

    @asynccontextmanager
    async def backup(self) -> AsyncIterator[Backup]:
        """Make a consistent, verified copy of the state as of now, in a file that is removed afterwards; one at a
        time."""
        if self._backing_up.locked():
            raise Unavailable("busy", "a backup is being made", hint="try again when it is done")
        async with self._backing_up:
            # The log keeps its tail: a follower that is away just now has to find the entries that it needs.
            await self._driver.checkpoint(keeps_tail=True)
            try:
                path = self._disk.folder.outgoing("backup")
                try:
                    manifest = await self._disk.export(path, cluster_id=self.cluster_id, verify=True)
                    yield Backup(path, manifest.index, manifest.term)
                finally:
                    await self._disk.remove(path)
            except OutOfSpace as error:
                raise Unavailable("no_space", error.message, hint=error.hint) from error
            except StorageError as error:
                # The caller gets the error, and the node logs it: a copy that fails endangers nothing here.
                logger.warning("no backup", extra={"fields": {"why": error.message, "hint": error.hint}})
                raise RaftdbError("internal", error.message, hint=error.hint) from error

    def status(self) -> Mapping[str, Any]:
        """The status of this node, and of the others as far as it knows."""
        return {
            "id": self._node_id,
            "cluster_id": self.cluster_id,
            "version": __version__,
            **status_of(self._driver),
            "fault_injection": self._network.injects_faults,
            "no_space": self._driver.no_space,
            "longest_stall_ms": round(self._driver.watchdog.longest_ms, 1),
            "memory_bytes": self._memory.levels(),
            "uptime_seconds": round(time.monotonic() - self._started, 3),
        }

    @property
    def chronicle(self) -> Chronicle:
        """What happens on this node, for people."""
        return self._driver.chronicle

    def log_shape(self) -> Mapping[str, Any]:
        """Where the log begins and ends, how far it is durable, committed and applied, and its newest terms."""
        view = self._driver.view
        return {
            "first_index": view.first_index,
            "last_index": view.last_index,
            "persisted_index": view.persisted_index,
            "commit_index": view.commit_index,
            "applied_index": view.applied_index,
            "checkpoint_index": view.checkpoint_index,
            "terms": view.term_runs(TERMS_SHOWN_MAX),
        }

    def figures(self) -> Mapping[str, Any]:
        """Plain numbers, for curves; none before the node is measured."""
        return {} if self.measured is None else figures_of(self.measured)

    def election_timer(self) -> Mapping[str, Any] | None:
        """How long this node has heard no leader, and after how long it stands for election; None while it leads."""
        timer = self._driver.view.election_timer_ms
        return None if timer is None else {"elapsed_ms": timer[0], "timeout_ms": timer[1]}

    def membership(self) -> Mapping[str, object]:
        """The members of the configuration in force, the reason for each that is not reached, and the removed ids."""
        view = self._driver.view
        members = members_of(self._driver)
        for member in members:
            problem = None if member["alive"] else self._network.failure(member["id"])
            if problem is not None:
                member["problem"] = problem
        return {
            "members": members,
            "removed": list(view.configuration.removed),
            "last_index": view.last_index,
        }

    def network(self) -> Mapping[str, object]:
        """What fault injection does to the links of this node."""
        return self._network.impairment.described()

    def change_network(self, change: NetworkChange) -> None:
        """Let it do something else."""
        self._network.change(change)

    async def change_members(self, change: Change, *, force: bool) -> Answer:
        """Make one change of the members; see `Driver.change_members`."""
        return await self._driver.change_members(change, force=force)

    async def transfer(self, target: str | None) -> LeaderHint:
        """Let another node lead; see `Driver.transfer`."""
        leader: LeaderHint = (await self._driver.transfer(target)).value
        return leader

    @property
    def history(self) -> History:
        """What was applied here lately."""
        return self._driver.view.history

    @property
    def election_timeout_s(self) -> float:
        """How long a follower here waits for a leader, at least."""
        return self._driver.view.election_timeout_s

    def is_leader(self) -> bool:
        """True while this node leads, as far as it knows."""
        return self._driver.is_leader()

    def reaches(self, node_id: str) -> bool:
        """Whether a connection to that node stands."""
        return node_id in self._driver.view.links

    def other_leader(self) -> LeaderHint | None:
        """The leader, if this node does not lead and knows who does."""
        return None if self._driver.is_leader() else self._driver.leader_hint()

    def leader_hint(self) -> LeaderHint | None:
        """Where the leader is, as far as this node knows."""
        return self._driver.leader_hint()

    def lag(self) -> str | None:
        """Why the state here is behind what this node knows to be committed, or None (a condition of /readyz)."""
        return None if is_caught_up(self._driver) else "committed entries wait to be applied"

    def removal(self) -> str | None:
        """Why this node is no part of the cluster any more, or None (a condition of /readyz)."""
        return "this node was removed from the cluster" if self._driver.view.is_removed else None

    def put_back(self) -> str | None:
        """Why this node does not count, or None (a condition of /readyz)."""
        view = self._driver.view
        if not view.is_put_back(view.id):
            return None
        return "the data folder was put back to an older copy, and is not filled anew yet"

    def no_space(self) -> str | None:
        """Why growing writes are refused, or None (a warning of /readyz: reads and deletes are served)."""
        return self._driver.no_space
