"""The operators of the cluster: they add, remove and move nodes and transfer the leadership, while faults happen.

They ask any node that believes that it leads, at times two nodes at once; they add nodes that do not exist, and ids
that were removed. A removed node runs on for a while and is stopped then. They do not repeat a request whose outcome is
unknown, and do not use force (hazards B38, B41, B44).
"""

from collections.abc import Callable
from typing import Protocol

from raftdb.core.events import AddMember, Change, NewAddress, PromoteMember, RemoveMember, UpdateAddresses
from raftdb.core.membership import Configuration
from raftdb.core.model import Member, NodeId
from raftdb.core.timing import election_timeout_ticks
from raftdb.core.transfer import OUTCOME_TIMEOUTS
from raftdb.endpoint import Endpoint
from raftdb.errors import InvariantBroken, LeaderHint, RaftdbError
from raftdb.node.membership import MembersChanged
from raftdb.node.turn import Answer
from raftdb.simulation.host import Host
from raftdb.simulation.host import World as HostWorld
from raftdb.simulation.scheduler import MILLISECOND, SECOND

NEW_NODES_MAX = 6
"""Most nodes that are started in the course of a run."""
MEMBERS_MIN = 2
MEMBERS_MAX = 7
"""The number of members stays about between these."""
STOP_US = 2 * SECOND
"""Mean time from the removal of a node to the end of its process."""
AFTER_LOSS_US = 3 * SECOND
"""No node is removed for this long after another was lost for good, which the leader may not have noticed yet."""
CALM_US = 300 * MILLISECOND

WISHES = (
    *("add",) * 4,
    *("remove",) * 4,
    *("two removals",) * 3,
    "add a ghost",
    "add a removed",
    "promote",
    "move",
)
"""The changes that are drawn, each as often as it is here."""


class World(HostWorld, Protocol):
    """The parts of the simulation that the operators use."""

    hosts: dict[NodeId, Host]

    def start_host(self, node: NodeId) -> None:
        """Start a new node, with an empty folder."""


class Operators:
    """The operators of a run. `counts` says how many changes and transfers were made."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._stopped = False
        self._asked = 0
        """Changes without an answer yet."""
        self._waiting_for = 0
        """Changes and transfers without an answer yet."""
        self._transfers: dict[int, tuple[Host, int, int]] = {}
        """The transfers among them, by number: the host that was asked, its epoch, and its ticks at that time."""
        self._transfer_number = 0
        self._longest_timeout_ticks = 0
        """The longest election timeout that any node has had, which the bound on transfers depends on."""
        self._number = len(world.hosts)
        self._no_removal_before_us = 0
        self.counts: dict[str, int] = {}

    def begin(self) -> None:
        """Begin to ask for changes and transfers, at the rates of the seed."""
        faults = self._world.options.faults
        for rate, act in ((faults.change, self._change), (faults.transfer, self._transfer)):
            if rate > 0:
                self._later(int(SECOND / rate), act, int(SECOND / rate), delay_us=CALM_US)

    def stop(self) -> None:
        """Ask for nothing more."""
        self._stopped = True

    @property
    def is_idle(self) -> bool:
        """True if every request was answered."""
        return self._waiting_for == 0

    def lost_one(self) -> None:
        """Note that a node was lost for good."""
        self._no_removal_before_us = self._world.scheduler.now_us + AFTER_LOSS_US

    def voters(self) -> tuple[NodeId, ...] | None:
        """The voters; None while they may change, so that it is not certain how many may be lost."""
        world = self._world
        if world.options.faults.change == 0:
            return tuple(world.hosts)
        index, configuration = world.oracle.configuration
        for node in configuration.voters:
            host = world.hosts.get(node)
            if host is not None and host.out is None and world.oracle.electorate.in_force(node)[0] != index:
                return None
        is_calm = self._asked == 0 and not any(member.joining for member in configuration.members)
        return configuration.voters if is_calm else None

    def _later(self, mean_us: int, act: Callable[[int], None], *arguments: int, delay_us: int = 0) -> None:
        self._world.scheduler.after(delay_us + self._world.chance.around(mean_us), act, *arguments)

    def _leaders(self) -> list[Host]:
        """The running nodes that believe that they lead."""
        return [host for host in self._world.hosts.values() if host.is_leader]

    def _transfer(self, mean_us: int) -> None:
        """Ask a leader to transfer the leadership."""
        if self._stopped:
            return
        self._check_patience()
        chance, leaders = self._world.chance, self._leaders()
        if leaders:
            host = chance.choose(leaders)
            target = chance.choose((None, *self._world.hosts))
            self._world.tell(host.id, f"is asked that {target or 'anybody else'} leads")
            self._transfer_number += 1
            number = self._transfer_number
            self._transfers[number] = (host, host.epoch, host.ticks)

            def on_answer(answer: Answer | RaftdbError | None) -> None:
                del self._transfers[number]
                if isinstance(answer, Answer):
                    self._check_transfer(answer, target)

            self._waiting_for += 1
            host.submit_transfer(target, self._answered(on_answer))
        self._later(mean_us, self._transfer, mean_us)

    def _check_patience(self) -> None:
        """Raise `InvariantBroken` if a transfer is not answered within its bound (hazard B46)."""
        for host in self._world.hosts.values():
            if host.is_up:
                timeout_ticks = election_timeout_ticks(host.replica.raft.state)
                self._longest_timeout_ticks = max(self._longest_timeout_ticks, timeout_ticks)
        bound_ticks = (OUTCOME_TIMEOUTS + 1) * self._longest_timeout_ticks
        for host, epoch, ticks in self._transfers.values():
            if host.epoch == epoch and host.ticks - ticks > bound_ticks:
                raise InvariantBroken(f"{host.id} does not say what became of a transfer")

    def _check_transfer(self, answer: Answer, target: NodeId | None) -> None:
        """Raise `InvariantBroken` unless the node that the answer names led in its term."""
        hint, oracle = answer.value, self._world.oracle
        terms = [term for term, leader in oracle.leaders.items() if leader == hint.id]
        if not isinstance(hint, LeaderHint) or target not in (None, hint.id) or answer.term not in terms:
            raise InvariantBroken(f"a transfer to {target} is answered with {hint} in term {answer.term}")
        self._count("transferred")

    def _answered(self, on_answer: Callable[[Answer | RaftdbError | None], None]) -> Callable[..., None]:
        """Wrap `on_answer`, so that the answer is counted."""

        def answered(answer: Answer | RaftdbError | None) -> None:
            self._waiting_for -= 1
            on_answer(answer)

        return answered

    def _count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    def _change(self, mean_us: int) -> None:
        """Ask a leader, or two, for a change of the members."""
        if self._stopped:
            return
        leaders = self._leaders()
        wish = self._world.chance.choose(WISHES)
        for host in leaders if wish == "two removals" else leaders[-1:]:
            change = self._wanted(wish, self._world.oracle.electorate.in_force(host.id)[1])
            if change is not None:
                self._ask(host, change)
        self._later(mean_us, self._change, mean_us)

    def _wanted(self, wish: str, configuration: Configuration) -> Change | None:
        """The change for a wish, given the present members; None if it is not possible."""
        chance, world = self._world.chance, self._world
        members = configuration.members
        if wish.endswith(("remove", "removals")):
            if (
                len(configuration.voters) <= MEMBERS_MIN
                or world.scheduler.now_us < self._no_removal_before_us
            ):
                return None
            return RemoveMember(chance.choose(configuration.ids))
        if wish == "promote":
            learners = [member.id for member in members if not member.voter]
            return PromoteMember(chance.choose(learners)) if learners else None
        if wish == "move":
            node = chance.choose(configuration.ids)
            return UpdateAddresses((NewAddress(node, Endpoint(node, 2 + chance.below(1000))),))
        if wish == "add a removed":
            gone = configuration.removed
            return AddMember(_member(chance.choose(gone))) if gone else None
        if len(members) >= MEMBERS_MAX:
            return None
        if wish == "add a ghost":
            self._number += 1
            return AddMember(_member(f"ghost{self._number}"), stay_learner=chance.happens(0.5))
        node = self._new_node(configuration)
        return None if node is None else AddMember(_member(node), stay_learner=chance.happens(0.2))

    def _new_node(self, configuration: Configuration) -> NodeId | None:
        """A node that is to join, which was started before, or is started now; None if there are enough."""
        world = self._world
        known = {*configuration.ids, *configuration.removed}
        idle = [host.id for host in world.hosts.values() if host.id not in known and host.out is None]
        if idle and world.chance.happens(0.7):
            return str(world.chance.choose(idle))
        if self._number - world.options.nodes >= NEW_NODES_MAX:
            return None
        self._number += 1
        node = f"n{self._number}"
        world.start_host(node)
        self._count("started")
        return node

    def _ask(self, host: Host, change: Change) -> None:
        self._world.tell(host.id, f"is asked to {_describe(change)}")
        self._asked += 1
        self._waiting_for += 1

        def on_answer(answer: Answer | RaftdbError | None) -> None:
            self._asked -= 1
            if isinstance(answer, Answer):
                self._check_change(answer, change)

        host.submit_change(change, self._answered(on_answer))

    def _check_change(self, answer: Answer, change: Change) -> None:
        """Raise `InvariantBroken` unless a change that was answered is committed, and had its effect."""
        world = self._world
        value: MembersChanged = answer.value
        committed = world.oracle.entry(answer.index)[0] if answer.index <= world.oracle.commit_index else None
        if committed != answer.term:
            raise InvariantBroken(f"{change} is said to be made by {answer.index}@{answer.term}")
        if not _is_made(change, value):
            raise InvariantBroken(f"{change} is said to be made, and the members are {value.members}")
        if isinstance(change, RemoveMember):
            world.scheduler.after(world.chance.around(STOP_US), self._stop_removed, change.id)
        self._count(type(change).__name__)

    def _stop_removed(self, node: NodeId) -> None:
        """Stop a removed node, unless the faults are over."""
        host = self._world.hosts.get(node)
        if host is not None and host.out is None and not self._stopped:
            host.retire()


def _describe(change: Change) -> str:
    """The change in words."""
    if isinstance(change, AddMember):
        return f"add {change.member.id}" + (" as a learner" if change.stay_learner else "")
    if isinstance(change, UpdateAddresses):
        return ", ".join(f"move {new.id} to {new.http}" for new in change.moved)
    return f"{'remove' if isinstance(change, RemoveMember) else 'promote'} {change.id}"


def _is_made(change: Change, outcome: MembersChanged) -> bool:
    """True if these members may be the result of the change, and of later ones."""
    configuration = Configuration(outcome.members)
    if isinstance(change, AddMember):
        added = configuration.find(change.member.id)
        is_enough = change.stay_learner or outcome.catching_up is not None
        return added is not None and (added.voter or is_enough)
    if isinstance(change, UpdateAddresses):
        return True
    found = configuration.find(change.id)
    if isinstance(change, RemoveMember):
        return found is None
    return found is None or found.voter


def _member(node: NodeId) -> Member:
    return Member(node, Endpoint(node, 1))
