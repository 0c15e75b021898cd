"""The third part of some runs: nobody asks anything, a key is to end, and leaders come and go (hazard B71).

No log moves the clock then but by what leaders do of themselves. Leaders hand over, crash, and now and then all nodes
crash at once, while time goes by in leaps, as no ticks are needed to let it pass. What passed with a leader must count:
all of it if followers were left that had heard it, and else all but the last second. So after enough of it the key
has to be gone. That it is not gone too early is seen to by `timeline`.
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
"""Time that passes with a leader before another takes over: less than may go uncommitted."""
LONG_PAUSE_MS = 2_500
"""Time that passes before all crash: part of it must have been committed."""
LOOK_US = 5 * MILLISECOND
"""Time between two looks at what is waited for."""
SYNCED_US = 600 * MILLISECOND
"""After so long all that are up have on disk what a leader has committed."""


class World(HostWorld, Protocol):
    """What idle hours need of the simulation around them."""

    hosts: dict[NodeId, Host]

    def settle(self, otherwise: str) -> Host:
        """Run until there is one leader with everybody behind it, and return it; raises `InvariantBroken` if not."""
        ...

    def run_for(self, duration_us: int) -> None:
        """Let so much time pass."""


class IdleHours:
    """See the module. `run` once, on a cluster that is well and has no clients any more."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._chance = world.chance.branch("idle hours")
        self._slowest = 1 / (1 + world.options.clock_drift)
        self.changes = 0
        """How often a leader's time ended."""

    def run(self) -> None:
        """Set the key, let leaders come and go until it must be gone, and see that it is."""
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
        if leader.state.get(state_key_of(KEY)) is not None:
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
        """Time passes, all hear of it, and another leads; returns what must count of that time, in milliseconds."""
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
        """Let time pass, and wait until every member that takes part has answered a heartbeat that was sent after it.
        If the leader is deposed meanwhile, none of it has to count."""
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
