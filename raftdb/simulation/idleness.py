"""The third part of some runs: clients send nothing, a key is to expire, and leaders change (hazard B71).

The cluster clock is moved only by entries that leaders append on their own then. Leaders hand over, crash, and
sometimes all nodes crash at once, while time passes in leaps, without ticks. The time with a leader must count: all of
it if followers are left that heard of it, and otherwise all but the last second. So after enough of it the key has to
be gone. `timeline` checks that it does not expire too early.
"""

from typing import Protocol

from raftdb.core.model import NodeId
from raftdb.errors import InvariantBroken, required
from raftdb.machine.entries import encode
from raftdb.machine.strings import Set
from raftdb.machine.values import state_key_of
from raftdb.node.clock import COMMIT_MS
from raftdb.node.turn import Answer
from raftdb.simulation.host import Host
from raftdb.simulation.host import World as HostWorld
from raftdb.simulation.scheduler import MILLISECOND

KEY = b"to end in idle hours"
LIFE_MS = 5_000
SHORT_PAUSES_MS = (300, 600)
"""Times that pass with a leader before another takes over, which are shorter than the time that may be uncommitted."""
LONG_PAUSE_MS = 2_500
"""Time that passes before all nodes crash; a part of it must have been committed."""
LOOK_US = 5 * MILLISECOND
"""Time between two checks of a condition."""
SYNCED_US = 600 * MILLISECOND
"""After this time all running nodes have the committed entries on their disks."""


class World(HostWorld, Protocol):
    """The parts of the simulation that idle hours use."""

    hosts: dict[NodeId, Host]

    def settle(self, otherwise: str) -> Host:
        """Run until there is one leader that all members follow, and return it. Raises `InvariantBroken` with
        `otherwise` if that takes too long."""
        ...

    def run_for(self, duration_us: int) -> None:
        """Let `duration_us` pass."""


class IdleHours:
    """The idle hours of a run. `run` is called once, on a healthy cluster without clients."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._chance = world.chance.branch("idle hours")
        self._slowest = 1 / (1 + world.options.clock_drift)
        self.changes = 0
        """How often a leadership ended."""

    def run(self) -> None:
        """Set the key, change leaders until it must be gone, and raise `InvariantBroken` if it is not."""
        self._set_key()
        counted_ms = 0.0
        while counted_ms <= LIFE_MS:
            leader = self._world.settle("no leader in idle hours")
            end = self._chance.choose((*(self._hand_over,) * 4, self._crash, *(self._crash_all,) * 2))
            counted_ms += self._slowest * end(leader)
            self.changes += 1
        self._world.settle("no leader after idle hours")
        self._world.run_for(SYNCED_US)
        leader = self._world.settle("no leader after idle hours")
        if leader.state.get(state_key_of(leader.state, KEY)) is not None:
            raise InvariantBroken(
                f"a key of {LIFE_MS} ms is there after {counted_ms:.0f} ms with a leader, and {self.changes} leaders"
            )

    def _set_key(self) -> None:
        answers: list[object] = []
        while not any(isinstance(answer, Answer) for answer in answers):
            leader = self._world.settle("no leader before idle hours")
            leader.submit_write(encode(Set(KEY, b"v", LIFE_MS)), answers.append)
            self._world.run_for(SYNCED_US)

    def _hand_over(self, leader: Host) -> int:
        """Let time pass, let all nodes hear of it, and transfer the leadership; returns how much of the time must
        count, in milliseconds."""
        counted_ms = self._pass_and_hear(leader)
        answers: list[object] = []
        leader.submit_transfer(None, answers.append)
        while not answers:
            self._world.run_for(LOOK_US)
        return counted_ms

    def _crash(self, leader: Host) -> int:
        counted_ms = self._pass_and_hear(leader)
        leader.crash("its idle hours are over")
        return counted_ms

    def _crash_all(self, leader: Host) -> int:
        self._world.scheduler.skipped_us += LONG_PAUSE_MS * MILLISECOND
        self._world.run_for(SYNCED_US)
        for host in list(self._world.hosts.values()):
            host.crash("all idle hours are over")
        return LONG_PAUSE_MS - COMMIT_MS

    def _pass_and_hear(self, leader: Host) -> int:
        """Let time pass, and wait until every member that takes part has answered a later heartbeat. Returns how much
        of the time must count, which is nothing if the leader was deposed meanwhile."""
        pause_ms: int = self._chance.choose(SHORT_PAUSES_MS)
        self._world.scheduler.skipped_us += pause_ms * MILLISECOND
        leadership = required(leader.replica.raft.state.leadership, "leadership")
        said, hosts, members = leadership.round, self._world.hosts, self._world.oracle.configuration[1].ids
        while leader.replica.raft.state.leadership is leadership:
            answered = [
                progress.acknowledged_round
                for peer, progress in leadership.progress.items()
                if peer in members and peer in hosts and hosts[peer].is_up and hosts[peer].out is None
            ]
            if all(round_ > said for round_ in answered):
                return pause_ms
            self._world.run_for(LOOK_US)
        return 0
