"""One running node as its frontends see it: the driver, with the facts about this process around it."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from raftdb import __version__
from raftdb.commands.model import Command
from raftdb.errors import LeaderHint
from raftdb.frontend.node_api import Consistency
from raftdb.node.driver import Driver
from raftdb.node.replica import Answer
from raftdb.node.status import describe_entries, is_caught_up, members_of, status_of


class LocalNode:
    """See `raftdb.frontend.node_api.Node`."""

    def __init__(self, driver: Driver, *, node_id: str, cluster_id: str) -> None:
        self._driver = driver
        self._node_id = node_id
        self._cluster_id = cluster_id
        self._started = time.monotonic()

    async def execute(self, command: Command, *, consistency: Consistency) -> Answer:
        """Run `command`; see `Driver.execute`."""
        return await self._driver.execute(command, consistency=consistency)

    async def request_log(self, first: int | None, limit: int) -> Mapping[str, object]:
        """A page of the leader's log; raises Unavailable, or `compacted`."""
        page = await self._driver.read_log(first, limit)
        state = self._driver.replica.raft.state
        return {
            "first_index": state.log.base.index + 1,
            "last_index": state.log.last_index,
            "commit_index": page.index,
            "entries": describe_entries(page.value),
        }

    def status(self) -> Mapping[str, Any]:
        """What this node knows of itself and the others."""
        return {
            "id": self._node_id,
            "cluster_id": self._cluster_id,
            "version": __version__,
            **status_of(self._driver),
            "uptime_seconds": round(time.monotonic() - self._started, 3),
        }

    def members(self) -> Sequence[Mapping[str, object]]:
        """The members of the configuration in force."""
        return members_of(self._driver)

    def is_leader(self) -> bool:
        """True while this node leads, as far as it knows."""
        return self._driver.is_leader()

    def leader_hint(self) -> LeaderHint | None:
        """Where the leader is, as far as this node knows."""
        return self._driver.leader_hint()

    def lag(self) -> str | None:
        """Why the state here is behind what this node knows to be committed, or None (a condition of /readyz)."""
        return None if is_caught_up(self._driver) else "committed entries wait to be applied"
