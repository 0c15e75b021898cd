"""Every behaviour of a very small cluster: breadth-first over the core itself.

Three production `Raft` objects, a disk each, and a network that keeps all that was ever said. From every state, every
action is tried: a timeout, the arrival of any message (in any order, any number of times; one that never arrives is
lost), a write reaching the disk, a crash that forgets what had not, a proposal, a heartbeat, a step-down. Equal states
are visited once. What is bounded is how often each kind of action may happen, and the terms.

How it is fast enough: a step changes one node, and what a node does depends on that node and the event alone. So
nodes are interned and their steps remembered; the search itself moves small integers.

Abstractions, each of which allows more than the real thing does, never less:
* A timeout comes with its pre-vote already won, for a pre-vote changes nothing but when elections happen.
* A voter may at any time believe its leader dead (thesis 6.2 keeps elections calm, it does not make them safe).
* A network that keeps what it delivered can do all that one which forgets can, and has far fewer states.

`python -m tests.sim.small_model --long` searches wider bounds and says how far it came.
"""

import argparse
import copy
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from raftdb.core import invariants
from raftdb.core.block import entries_of
from raftdb.core.events import Event, Persisted, Proposed, Received, Ticked
from raftdb.core.log import Log
from raftdb.core.measured import Measured
from raftdb.core.membership import Configuration, ConfigurationHistory, Form
from raftdb.core.messages import (
    AppendEntriesReply,
    HeartbeatReply,
    Message,
    RequestPreVoteReply,
    RequestVote,
    RequestVoteReply,
)
from raftdb.core.model import Entry, EntryKind, HardState, Member, NodeId, Role
from raftdb.core.raft import Raft
from raftdb.core.state import RaftSettings, RaftState
from raftdb.core.update import Output, Persist, Update
from raftdb.errors import InvariantBroken
from raftdb.simulation.promises import check_promise
from tests.addresses import at
from tests.blocks import blocks

IDS: tuple[NodeId, ...] = ("n1", "n2", "n3")
CONFIGURATION = Configuration(tuple(Member(node, at(node)) for node in IDS), birth="life")
FORM = Form(lambda configuration: b"", lambda data: CONFIGURATION, 1)
FIRST = Entry(1, 1, EntryKind.CONFIGURATION, b"")
NEVER_TICKS = 1_000_000
LAST_TERM = 1 << 60
"""No term comes after it."""
SETTINGS = RaftSettings(election_timeout_ticks=NEVER_TICKS, heartbeat_ticks=1, batch_bytes_max=1)
"""One entry a message, so that an entry can arrive without the one behind it."""

Name = tuple[int, int, bytes]
"""What tells an entry from every other: term, kind, data; its index is its place."""


class Broken(AssertionError):
    """A property does not hold; the way to it is in the message."""


class Bounds(NamedTuple):
    """How often each kind of action may happen in one behaviour; `term_max` bounds elections."""

    term_max: int = 3
    proposals: int = 1
    crashes: int = 0
    beats: int = 0
    abdications: int = 0
    slow_disk: bool = False
    """Writes reach the disk in steps of their own; else at once, which leaves time for deeper behaviours."""


@dataclass(frozen=True, slots=True)
class Disk:
    """What one node's disk holds: term and vote, and the entries from index 1 on; `votes` are all it ever held."""

    hard_state: HardState
    entries: tuple[Entry, ...]
    votes: tuple[tuple[int, NodeId | None], ...] = ()

    def written(self, write: Persist) -> "Disk":
        """The disk after one more write."""
        hard_state = write.hard_state or self.hard_state
        kept = self.entries if write.truncate_from is None else self.entries[: write.truncate_from - 1]
        vote = (hard_state.term, hard_state.voted_for)
        votes = self.votes if vote[1] is None or vote in self.votes else (*self.votes, vote)
        if len(dict(votes)) < len(votes):
            raise Broken(f"two votes in one term: {votes}")
        return Disk(hard_state, (*kept, *entries_of(write.blocks)), votes)

    @property
    def synced_term(self) -> int:
        """See `SyncedDisk`."""
        return self.hard_state.term

    def synced_vote(self, term: int) -> NodeId | None:
        """See `SyncedDisk`."""
        return dict(self.votes).get(term)

    def has_synced(self, index: int, term: int) -> bool:
        """See `SyncedDisk`. Messages leave one write at a time here, so that the present log tells."""
        return index <= len(self.entries)


@dataclass(slots=True)
class Node:
    """One node with its disk. Never changed once interned: a step works on a copy."""

    raft: Raft
    disk: Disk
    writes: tuple[Persist, ...]
    """Handed to the disk, not there yet."""
    held: tuple[tuple[int, tuple[Message, ...]], ...]
    """Messages that wait for a write."""


class Stepped(NamedTuple):
    """What a step of one node came to."""

    node: int
    sent: tuple[int, ...]


class State(NamedTuple):
    """A state of the cluster. Nodes and messages are interned; ghosts remember what must never change."""

    nodes: tuple[int, ...]
    network: tuple[int, ...]
    committed: tuple[Name, ...]
    committed_in: tuple[int, ...]
    """The term of the leader that committed each entry: leaders of later terms must have it (thesis 3.6.3)."""
    leaders: tuple[NodeId | None, ...]
    """Who led each term."""
    left: Bounds


class View(NamedTuple):
    """What the checks of the whole cluster look at in one node."""

    term: int
    role: Role
    log: tuple[Name, ...]
    durable: tuple[Name, ...]
    commit_index: int
    durable_term: int


def first_node(node: NodeId) -> Node:
    """A member of a new cluster."""
    return Node(start(node, HardState(1, None), (FIRST,)), Disk(HardState(1, None), (FIRST,)), (), ())


def start(node: NodeId, hard_state: HardState, entries: tuple[Entry, ...]) -> Raft:
    """A node as its disk remembers it."""
    starts: list[tuple[int, int]] = []
    for entry in entries:
        if not starts or starts[-1][1] != entry.term:
            starts.append((entry.index, entry.term))
    log = Log(last_index=0, cache_bytes_max=1 << 30)
    # Bodies in memory, so that nothing has to be loaded; each entry as it was proposed, in a block of its own.
    log.append([block for entry in entries for block in blocks([entry])])
    log.persisted_index = log.last_index
    return Raft(
        node,
        settings=SETTINGS,
        randrange=lambda low, high: low,
        hard_state=hard_state,
        log=log,
        configurations=ConfigurationHistory(FORM, [(1, CONFIGURATION)]),
    )


def copied(node: Node) -> Node:
    """A node that may be stepped without touching the original."""
    state = node.raft.state
    log = copy.copy(state.log)
    for name in ("_run_starts", "_run_terms", "_blocks", "_block_ends", "_byte_ends", "_writes"):
        setattr(log, name, copy.copy(getattr(log, name)))
    raft = copy.copy(node.raft)
    # No time passes here: when something was asked must not make two states of one.
    raft.state = replace(state, log=log, output=Output(), measured=Measured())
    if state.candidacy is not None:
        raft.state.candidacy = replace(
            state.candidacy, granted=set(state.candidacy.granted), refused=set(state.candidacy.refused)
        )
    if state.leadership is not None:
        progress = {
            peer: replace(one, in_flight=deque(one.in_flight))
            for peer, one in state.leadership.progress.items()
        }
        raft.state.leadership = replace(
            state.leadership,
            progress=progress,
            reads_held=list(state.leadership.reads_held),
            reads_pending=list(state.leadership.reads_pending),
        )
    return Node(raft, node.disk, node.writes, node.held)


def fingerprint(node: Node) -> tuple[object, ...]:
    """Everything that decides what the node will do, and nothing else (no counters that only count)."""
    state = node.raft.state
    log = state.log
    seen = state.persisted_sequence
    candidacy = state.candidacy and (frozenset(state.candidacy.granted), frozenset(state.candidacy.refused))
    leadership: tuple[object, ...] | None = None
    if state.leadership is not None:
        followers = tuple(
            (one.next_index, one.match_index, one.pace, one.probe_in_flight, tuple(one.in_flight),
             one.acknowledged_round, one.unmoved_ticks)
            for one in state.leadership.progress.values()
        )  # fmt: skip
        leadership = (followers, state.leadership.round, state.leadership.term_start_index)
    return (
        state.id,
        (state.term, state.voted_for, state.role, state.leader_id, state.commit_index),
        log.cached(1, log.last_index, bytes_max=1 << 60),
        (log.persisted_index, tuple((sequence - seen, last) for sequence, last in log._writes)),
        max(state.hard_state_sequence - seen, 0),
        (candidacy, leadership),
        node.disk,
        tuple(
            (write.sequence - seen, write.hard_state, write.truncate_from, write.blocks)
            for write in node.writes
        ),
        tuple((sequence - seen, messages) for sequence, messages in node.held),
    )


class Model:
    """The interned nodes and messages, and the steps already worked out."""

    def __init__(self, *, slow_disk: bool) -> None:
        self._slow_disk = slow_disk
        self.nodes: list[Node] = []
        self.views: list[View] = []
        self.messages: list[Message] = []
        self._node_numbers: dict[object, int] = {}
        self._message_numbers: dict[Message, int] = {}
        self._places: list[int] = []
        """The place of each message's target."""
        self._last_terms: list[int] = []
        """A message can change nothing any more once its target has left this term on its disk."""
        self._steps: dict[tuple[int, object], Stepped] = {}
        self._matching: set[tuple[int, int]] = set()

    def first(self, bounds: Bounds) -> State:
        """The cluster at its beginning."""
        nodes = tuple(self._intern(first_node(node)) for node in IDS)
        return State(nodes, (), (), (), (None,) * (bounds.term_max + 1), bounds)

    def _intern(self, node: Node) -> int:
        key = fingerprint(node)
        number = self._node_numbers.get(key)
        if number is None:
            number = self._node_numbers[key] = len(self.nodes)
            state = node.raft.state
            invariants.check_state(state)
            entries = entries_of(state.log.cached(1, state.log.last_index, bytes_max=1 << 60) or ())
            self.nodes.append(node)
            self.views.append(
                View(
                    state.term,
                    state.role,
                    tuple((entry.term, int(entry.kind), entry.data) for entry in entries),
                    tuple((entry.term, int(entry.kind), entry.data) for entry in node.disk.entries),
                    state.commit_index,
                    node.disk.hard_state.term,
                )
            )
        return number

    def _intern_message(self, message: Message) -> int:
        number = self._message_numbers.get(message)
        if number is None:
            number = self._message_numbers[message] = len(self.messages)
            self.messages.append(message)
            self._places.append(IDS.index(message.target))
            is_answer = isinstance(message, RequestVoteReply | AppendEntriesReply | HeartbeatReply)
            self._last_terms.append(message.term if is_answer else LAST_TERM)
        return number

    def step(self, node: int, action: object) -> Stepped:
        """What `action` (a word, or the number of a message) makes of a node."""
        known = self._steps.get((node, action))
        if known is None:
            known = self._steps[node, action] = self._work_out(copied(self.nodes[node]), action)
        return known

    def _work_out(self, node: Node, action: object) -> Stepped:
        if action == "crash":
            node.raft = start(node.raft.state.id, node.disk.hard_state, node.disk.entries)
            node.writes = node.held = ()
            return Stepped(self._intern(node), ())
        before = invariants.snapshot(node.raft.state)
        sent: list[Message] = []
        for event in self._events(node, action):
            update = node.raft.step(event)
            invariants.check_step(before, node.raft.state)
            if (
                not isinstance(event, Ticked) or action != "timeout"
            ):  # requests for pre-votes are of no use here
                sent += self._carry_out(node, update)
        while node.writes and not self._slow_disk:
            sent += self._carry_out(node, node.raft.step(self._write(node)))
        for message in sent:
            check_promise(message, node.disk)
        return Stepped(self._intern(node), tuple(map(self._intern_message, sent)))

    def _events(self, node: Node, action: object) -> Iterator[Event]:
        """The events of the core that an action stands for."""
        state = node.raft.state
        if isinstance(action, int):
            message = self.messages[action]
            if isinstance(message, RequestVote):
                _let_time_pass(state)
            yield Received(message)
        elif action == "timeout":
            state.election_elapsed_ticks = state.election_deadline_ticks
            yield Ticked()
            peer = next(peer for peer in IDS if peer != state.id)
            yield Received(RequestPreVoteReply(peer, state.id, state.term + 1, granted=True))
        elif action == "persist":
            yield self._write(node)
        elif action == "propose":
            yield Proposed((b"x",))
        elif action == "beat":
            yield Ticked()
        elif action == "abdicate":
            _let_time_pass(state, times=2)
            yield Ticked()

    @staticmethod
    def _write(node: Node) -> Persisted:
        """The oldest write reaches the disk."""
        write, node.writes = node.writes[0], node.writes[1:]
        node.disk = node.disk.written(write)
        return Persisted(write.sequence)

    @staticmethod
    def _carry_out(node: Node, update: Update) -> list[Message]:
        """As `raftdb.node.replica` does it: writes in order, messages when the writes before them are done."""
        state = node.raft.state
        if update.persist is not None:
            node.writes = (*node.writes, update.persist)
        if update.messages_after_persist:
            node.held = (*node.held, (state.sequence, update.messages_after_persist))
        sent = list(update.messages)
        while node.held and node.held[0][0] <= state.persisted_sequence:
            sent += node.held[0][1]
            node.held = node.held[1:]
        if state.leadership is not None:
            for progress in state.leadership.progress.values():
                progress.silent_ticks = 0
        return sent

    def successors(self, state: State) -> Iterator[tuple[object, State]]:
        """Every action that is possible now, words or a message, and where it leads."""
        left = state.left
        for place, number in enumerate(state.nodes):
            node, view = self.nodes[number], self.views[number]
            if node.writes:
                yield f"{IDS[place]} persist", self._after(state, place, "persist", left)
            if view.role is Role.LEADER:
                if left.proposals:
                    yield (
                        f"{IDS[place]} propose",
                        self._after(state, place, "propose", left._replace(proposals=left.proposals - 1)),
                    )
                if left.beats:
                    yield (
                        f"{IDS[place]} beat",
                        self._after(state, place, "beat", left._replace(beats=left.beats - 1)),
                    )
                if left.abdications:
                    yield (
                        f"{IDS[place]} abdicate",
                        self._after(
                            state, place, "abdicate", left._replace(abdications=left.abdications - 1)
                        ),
                    )
            elif view.term < left.term_max and (place == 0 or any(state.leaders) or self._is_used(state)):
                # The three are alike: whoever is first may as well be n1.
                yield f"{IDS[place]} timeout", self._after(state, place, "timeout", left)
            if left.crashes:
                yield (
                    f"{IDS[place]} crash",
                    self._after(state, place, "crash", left._replace(crashes=left.crashes - 1)),
                )
        for message in state.network:
            place = self._places[message]
            stepped = self.step(state.nodes[place], message)
            if stepped.node == state.nodes[place] and not stepped.sent:
                continue
            yield self.messages[message], self._after(state, place, message, left)

    def _is_used(self, state: State) -> bool:
        """True once anybody has left the first term."""
        return any(self.views[number].term > 1 for number in state.nodes)

    def _after(self, state: State, place: int, action: object, left: Bounds) -> State:
        stepped = self.step(state.nodes[place], action)
        nodes = (*state.nodes[:place], stepped.node, *state.nodes[place + 1 :])
        was, now = self.views[state.nodes[place]], self.views[stepped.node]
        network = state.network
        if stepped.sent or now.durable_term != was.durable_term:
            network = self._without_the_dead({*network, *stepped.sent}, nodes)
        after = State(nodes, network, state.committed, state.committed_in, state.leaders, left)
        return after if stepped.node == state.nodes[place] else self._checked(state, after, place)

    def _without_the_dead(self, network: set[int], nodes: tuple[int, ...]) -> tuple[int, ...]:
        """Sorted, but for messages that can never again change anything: answers in a term that their target left."""
        terms = [self.views[node].durable_term for node in nodes]
        last_terms, places = self._last_terms, self._places
        return tuple(sorted(message for message in network if last_terms[message] >= terms[places[message]]))

    def _checked(self, before: State, after: State, place: int) -> State:
        """Check what concerns the whole cluster, now that a node has changed, and carry the ghosts on."""
        view = self.views[after.nodes[place]]
        was = self.views[before.nodes[place]]
        if view.role is Role.LEADER and was.role is not Role.LEADER:
            if after.leaders[view.term] is not None:
                raise Broken(f"two leaders in term {view.term}")
            earlier = sum(term < view.term for term in after.committed_in)
            if view.log[:earlier] != after.committed[:earlier]:
                raise Broken(f"the leader of term {view.term} lacks {after.committed[:earlier]}")
            leaders = list(after.leaders)
            leaders[view.term] = IDS[place]
            after = after._replace(leaders=tuple(leaders))
        committed = view.log[: view.commit_index]
        shared = min(len(committed), len(after.committed))
        if committed[:shared] != after.committed[:shared]:
            raise Broken(f"{IDS[place]} committed {committed}, before it was {after.committed}")
        if len(committed) > shared:
            on_disk = sum(self.views[node].durable[: len(committed)] == committed for node in after.nodes)
            if committed[-1][0] != view.term:
                raise Broken(f"{IDS[place]} committed {committed} by counting in term {view.term}")
            if on_disk < 2:
                raise Broken(f"{committed} is committed, but on {on_disk} disks")
            committed_in = after.committed_in + (view.term,) * (len(committed) - shared)
            after = after._replace(committed=committed, committed_in=committed_in)
        is_written = view.durable is not was.durable
        if is_written and _agreeing(view.durable, after.committed) < _agreeing(was.durable, after.committed):
            raise Broken(f"{IDS[place]} dropped a committed entry from its disk")
        for other in after.nodes:
            self._check_matching(after.nodes[place], other)
        return after

    def _check_matching(self, left: int, right: int) -> None:
        """Log Matching: equal (index, term) means equal everything up to there."""
        if (left, right) in self._matching:
            return
        self._matching.add((left, right))
        ours, theirs = self.views[left].log, self.views[right].log
        for index in range(min(len(ours), len(theirs)) - 1, -1, -1):
            if ours[index][0] == theirs[index][0]:
                if ours[: index + 1] != theirs[: index + 1]:
                    raise Broken(f"logs differ below an equal name: {ours} and {theirs}")
                return


def _agreeing(left: tuple[Name, ...], right: tuple[Name, ...]) -> int:
    """How many entries from the start on are equal."""
    return next((index for index, pair in enumerate(zip(left, right, strict=False)) if pair[0] != pair[1]),
                min(len(left), len(right)))  # fmt: skip


def _let_time_pass(state: RaftState, *, times: int = 1) -> None:
    """Make the node believe its leader dead, or a leader its followers."""
    state.election_elapsed_ticks = state.settings.election_timeout_ticks
    if state.leadership is not None:
        for progress in state.leadership.progress.values():
            progress.silent_ticks = times * state.settings.election_timeout_ticks


class Searched(NamedTuple):
    """How much there was."""

    states: int
    steps: int
    depth: int
    nodes: int
    commits_max: int
    complete: bool
    seconds: float


def search(bounds: Bounds, *, states_max: int) -> Searched:
    """Visit every state within the bounds, nearest first, or as many as allowed. Raises with the way to a fault."""
    began = time.perf_counter()
    model = Model(slow_disk=bounds.slow_disk)
    first = model.first(bounds)
    parents: dict[int, tuple[int, object]] = {hash(first): (0, None)}
    frontier = [first]
    depth = steps = commits_max = 0
    while frontier and len(parents) < states_max:
        depth += 1
        reached: list[State] = []
        for state in frontier:
            here = hash(state)
            action: object = None
            try:
                for action, after in model.successors(state):
                    steps += 1
                    there = hash(after)
                    if there not in parents:
                        parents[there] = (here, action)
                        reached.append(after)
                        commits_max = max(commits_max, len(after.committed))
            except (AssertionError, InvariantBroken) as error:
                raise Broken(
                    f"{error}\n" + "\n".join([*way_to(parents, here), f"then after '{action}'"])
                ) from error
            if len(parents) >= states_max:
                break
        frontier = reached
    seconds = time.perf_counter() - began
    return Searched(len(parents), steps, depth, len(model.nodes), commits_max, not frontier, seconds)


def way_to(parents: dict[int, tuple[int, object]], state: int) -> list[str]:
    """The actions that lead to a state."""
    way: list[str] = []
    while parents[state][1] is not None:
        state, action = parents[state]
        way.append(str(action))
    return way[::-1]


def describe(bounds: Bounds, searched: Searched) -> str:
    """One line for people."""
    named = ", ".join(f"{name} {value}" for name, value in bounds._asdict().items())
    extent = "all of them" if searched.complete else f"those nearest to the start, depth {searched.depth}"
    return (
        f"{searched.states} states ({extent}; {searched.steps} steps, {searched.nodes} states of a node, "
        f"{searched.commits_max} entries committed) within {named}: {searched.seconds:.0f} s"
    )


CI: tuple[tuple[Bounds, int], ...] = (
    (Bounds(term_max=3, proposals=0), 150_000),
    (Bounds(term_max=3, proposals=1), 100_000),
    (Bounds(term_max=2, proposals=1, crashes=1, slow_disk=True), 150_000),
    (Bounds(term_max=3, proposals=0, crashes=1, slow_disk=True), 150_000),
)
LONG: tuple[tuple[Bounds, int], ...] = (
    (Bounds(term_max=3, proposals=0), 4_000_000),
    (Bounds(term_max=4, proposals=1), 4_000_000),
    (Bounds(term_max=3, proposals=1, crashes=2, beats=1, abdications=1, slow_disk=True), 4_000_000),
)


def main() -> None:
    """Search, and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--long", action="store_true")
    for bounds, states_max in LONG if parser.parse_args().long else CI:
        print(describe(bounds, search(bounds, states_max=states_max)), flush=True)


if __name__ == "__main__":
    main()
