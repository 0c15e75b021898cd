"""The nemesis: it causes faults at random times, at the rates of the seed, until it is told to stop."""

from collections.abc import Callable, Mapping
from typing import Protocol

from raftdb.core.model import NodeId
from raftdb.errors import InvariantBroken
from raftdb.simulation.disk import STALL_US_MAX
from raftdb.simulation.host import Host
from raftdb.simulation.host import World as HostWorld
from raftdb.simulation.links import Links
from raftdb.simulation.operators import Operators
from raftdb.simulation.scheduler import MILLISECOND, SECOND

PARTITION_US = 900 * MILLISECOND
PAUSE_US = 400 * MILLISECOND
FULL_US = 300 * MILLISECOND
"""Mean durations of faults that last."""
SLEEP_US = 1 * SECOND
"""A sleeping leader wakes up after this time if no other node has taken over."""
LOOK_US = 5 * MILLISECOND
"""Time between two checks whether another leader has committed more."""
NIGHT_US = 3_600 * SECOND
"""About as long as a session may be idle, so that some sessions survive a night."""
CALM_US = 300 * MILLISECOND
"""No fault happens before this time, by which all nodes have met each other, as the rule for wiped folders requires."""

WAYS = (*("split",) * 4, *("alone",) * 2, *("stranded",) * 3, "deaf", "mute", "bridge", "one way")
"""The kinds of partitions, each as often as it is drawn. A stranded node is alone and paused, so that a leader wakes up
without knowing that others have gone on."""

Pair = tuple[NodeId, NodeId]


class World(HostWorld, Protocol):
    """The parts of the simulation that the nemesis uses."""

    hosts: dict[NodeId, Host]
    links: Links
    operators: Operators
    first_members: tuple[NodeId, ...]


class Nemesis:
    """The faults of a run. `counts` says how often each has happened."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._stopped = False
        self.counts: dict[str, int] = {}
        self._strikes: Mapping[str, Callable[[Host], bool]] = {
            "partition": self._partition,
            "half_open": self._half_open,
            "crash": self._crash,
            "blackout": self._blackout,
            "pause": self._pause,
            "sleep": self._sleep,
            "stall": self._stall,
            "sync_error": self._sync_error,
            "disk_full": self._disk_full,
            "bit_flip": self._bit_flip,
            "wipe": self._wipe,
            "put_back": self._put_back,
            "night": self._night,
        }

    def begin(self) -> None:
        """Start every class of faults that is on in this seed."""
        for name in self._strikes:
            rate = getattr(self._world.options.faults, name)
            if rate > 0:
                self._schedule(name, int(SECOND / rate), CALM_US)

    def stop(self) -> None:
        """End all faults and repair all nodes that are not lost for good."""
        self._stopped = True
        world = self._world
        world.network.heal_all()
        world.network.faults = type(world.options.faults)()
        world.links.half_open.clear()
        for host in world.hosts.values():
            host.disk.heal()
            host.resume()

    def _schedule(self, name: str, mean_us: int, delay_us: int = 0) -> None:
        self._world.scheduler.after(
            delay_us + self._world.chance.around(mean_us), self._strike, name, mean_us
        )

    def _strike(self, name: str, mean_us: int) -> None:
        if self._stopped:
            return
        host = self._victim()
        if len(self._world.hosts) == 1 and name in ("partition", "half_open"):
            return
        if host.out is None and self._strikes[name](host):
            self.counts[name] = self.counts.get(name, 0) + 1
        self._schedule(name, mean_us)

    def _victim(self) -> Host:
        """A random node, and often the leader, because faults matter most there."""
        hosts = tuple(self._world.hosts.values())
        leaders = [host for host in hosts if host.is_leader]
        return (
            leaders[-1] if leaders and self._world.chance.happens(0.5) else self._world.chance.choose(hosts)
        )

    def _partition(self, host: Host) -> bool:
        """Split the nodes in one of the ways that have broken other systems (hazards B08, B50, B51)."""
        world, node = self._world, host.id
        others = [other for other in world.hosts if other != node]
        minority = [node, *world.chance.some(others, world.chance.below(len(others) // 2 + 1))]
        majority = [other for other in world.hosts if other not in minority]
        way = world.chance.choose(WAYS)
        if way == "alone" or way == "stranded":
            words, pairs = f"{node} is alone", _between([node], others)
        elif way == "deaf":
            words, pairs = f"{node} hears nothing", {(other, node) for other in others}
        elif way == "mute":
            words, pairs = f"{node} is not heard", {(node, other) for other in others}
        elif way == "bridge":
            half = world.chance.some(others, len(others) // 2)
            rest = [other for other in others if other not in half]
            words, pairs = f"{node} is the bridge of {half} and {rest}", _between(half, rest)
        else:
            words, pairs = f"{minority} and {majority} are apart", _between(minority, majority)
            if way == "one way":
                pairs = {pair for pair in pairs if pair[0] in minority}
                words = f"{majority} do not hear {minority}"
        world.tell("network", words)
        self._cut(pairs)
        if way == "stranded":
            self._pause(host)
        return True

    def _cut(self, pairs: set[Pair]) -> None:
        """Cut these directions for a while."""
        cut = self._world.network.cut(frozenset(pairs), drains=self._world.chance.happens(0.5))
        self._world.scheduler.after(self._world.chance.around(PARTITION_US), self._world.network.heal, cut)

    def _half_open(self, host: Host) -> bool:
        """Let a link pass nothing in one direction, while both ends take it for up (hazard B93)."""
        world = self._world
        peer = world.chance.choose(tuple(other for other in world.hosts if other != host.id))
        world.links.half_open |= {(host.id, peer), (peer, host.id)}
        world.tell("network", f"{host.id} to {peer} is half open")
        self._cut({(host.id, peer)})
        return True

    def _crash(self, host: Host) -> bool:
        is_up = host.is_up
        host.crash("power lost")
        return is_up

    def _blackout(self, host: Host) -> bool:
        for other in self._world.hosts.values():
            other.crash("power lost everywhere")
        return True

    def _pause(self, host: Host) -> bool:
        if not host.is_up or host.is_paused:
            return False
        host.pause()
        self._world.scheduler.after(self._world.chance.around(PAUSE_US), self._resume, host, host.epoch)
        return True

    def _resume(self, host: Host, epoch: int) -> None:
        if host.epoch == epoch:
            host.resume()

    def _sleep(self, host: Host) -> bool:
        """Pause a leader as soon as it has sent messages. It wakes up when another one has committed more, with the
        answers to its messages still in its sockets, and with requests of clients (hazard B50)."""
        if not host.is_leader or host.is_paused:
            return False
        host.pauses_once_it_has_spoken = True
        until_us = self._world.scheduler.now_us + self._world.chance.around(SLEEP_US)
        self._world.scheduler.after(LOOK_US, self._wake, host, host.epoch, until_us)
        return True

    def _wake(self, host: Host, epoch: int, until_us: int) -> None:
        if host.epoch != epoch or self._stopped:
            return
        leads_on = any(other.is_leader and other.term > host.term for other in self._world.hosts.values())
        is_behind = host.replica.raft.state.commit_index < self._world.oracle.commit_index
        if (leads_on and is_behind) or self._world.scheduler.now_us > until_us:
            host.resume(reads_at_once=False)
        else:
            self._world.scheduler.after(LOOK_US, self._wake, host, epoch, until_us)

    def _stall(self, host: Host) -> bool:
        host.disk.stalled_until_us = self._world.scheduler.now_us + self._world.chance.below(STALL_US_MAX)
        self._world.tell(host.id, "its disk does not answer")
        return True

    def _sync_error(self, host: Host) -> bool:
        host.disk.fails_next_sync = True
        return True

    def _disk_full(self, host: Host) -> bool:
        host.disk.fill()
        self._world.tell(host.id, "its disk is full")
        self._world.scheduler.after(self._world.chance.around(FULL_US), host.disk.make_room)
        return True

    def _night(self, host: Host) -> bool:
        """Let hours pass, after which sessions that were not used may end (hazard B55)."""
        self._world.scheduler.skipped_us += NIGHT_US // 2 + self._world.chance.below(NIGHT_US)
        self._world.tell("network", "hours pass")
        return True

    def _may_lose(self, host: Host) -> bool:
        """True if a majority that has everything is left if this node is lost for good, too.

        That must hold for the voters and for the first members, because folders that look new would otherwise elect a
        leader among themselves.
        """
        world = self._world
        voters = world.operators.voters()
        if voters is None or host.id not in voters:
            return False
        gone = [
            other.id
            for other in world.hosts.values()
            if other.out is not None
            or other.disk.is_damaged
            or other.copies.is_in_doubt(world.hosts.values())
        ]
        is_bearable = all(
            len(set(gone).intersection(group)) + 1 <= (len(group) - 1) // 2
            for group in (voters, world.first_members)
        )
        if is_bearable and not host.disk.is_damaged:
            world.operators.lost_one()
            return True
        return False

    def _bit_flip(self, host: Host) -> bool:
        """Damage a log under its running process, or before its next start, which has to refuse it."""
        if not self._may_lose(host):
            return False
        if self._world.chance.happens(0.5):
            what = host.disk.flip_bit()
            self._world.tell(host.id, f"a bit of its log has flipped under it, in {what}")
            return True
        host.crash("power lost")
        what = host.disk.flip_bit()
        self._world.tell(host.id, f"a bit of its log has flipped, in {what}")
        host.start()
        if host.out is None:
            raise InvariantBroken(f"{host.id} did not notice the flipped bit in {what}")
        return True

    def _wipe(self, host: Host) -> bool:
        if not self._may_lose(host):
            return False
        host.crash("its folder is deleted")
        host.wipe()
        host.start()
        return True

    def _put_back(self, host: Host) -> bool:
        """Copy a folder; or put a copy back, if all others remember the start that it lacks, and one more node may be
        lost."""
        older = host.copies.older()
        is_in_doubt = host.copies.is_in_doubt(self._world.hosts.values())
        if not older or is_in_doubt or self._world.chance.happens(0.3):
            if host.copies.keep() and self._world.chance.happens(0.5):
                host.crash("its folder was copied")
            return False
        removed = self._world.oracle.configuration[1].removed
        others = [
            other
            for other in self._world.hosts.values()
            if other is not host and other.out is None and other.id not in removed
        ]
        if not host.copies.is_remembered_by(others) or not self._may_lose(host):
            return False
        host.copies.put_back(self._world.chance.choose(older))
        return True


def _between(left: list[NodeId], right: list[NodeId]) -> set[Pair]:
    """All pairs of a node on the left and one on the right, in both directions."""
    return {pair for one in left for other in right for pair in ((one, other), (other, one))}
