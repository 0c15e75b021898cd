"""A run as data: what each node was after each step, and every message on its way. For pages that play it.

A recording is one JSON object:

    format      "raftdb trace 1"
    seed        from which the run follows
    nodes       the ids of the first members
    tick_ms, election_timeout_ms, heartbeat_ms
    steps       in order of time; each has
        us      when, in microseconds since the beginning
        said    [who, event, details, level]: what nodes did or refused, and what happened to the world
        nodes   id to the fields that have changed (below)
        blocked [from, to] of all directions in which nothing passes, if that has changed
    flights     [from, to, sent_us, arrived_us, messages]: each frame; arrived_us is null if it never came
    marks       what a lesson says at which step (`raftdb.simulation.lessons`); of kind `broken`: a promise that does
                not hold any more, with its `name`, in words, and by which nodes and which [node, index] it is seen
    verdict     null, or the check that failed and ended the run
    is_cut      true if there was more than STEPS_MAX

The fields of a node, of which the first step has all:

    up, paused, out         out: why it will never take part again, or null
    role, term, voted_for, leader
    base, log               base: the index up to which the log is compacted; log: [first index, [[term, words], ...]],
                            which replaces all entries from that index on
    commit, applied
    voters                  as its own log has them
    waits_us                when its election timeout ends; null for a leader

Nothing is computed for a run that nobody records.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

from raftdb.core.block import entries_of
from raftdb.core.messages import MESSAGE_TYPES, AppendEntries, Message
from raftdb.core.model import EntryId, Index, NodeId, Role, Term
from raftdb.core.update import Trace
from raftdb.simulation.cluster import NewOracle, Simulation
from raftdb.simulation.entry_words import entry_words
from raftdb.simulation.host import Host
from raftdb.simulation.network import Envelope
from raftdb.simulation.options import Options
from raftdb.simulation.oracle import Oracle

FORMAT = "raftdb trace 1"
STEPS_MAX = 20_000
"""Steps of one recording: megabytes, which a browser can still hold."""

Fields = dict[str, Any]
"""Fields of a node, by name."""
Listener = Callable[[int, str, str], None]


class Recorder:
    """Looks on while a simulation runs. `recording` is what it has seen."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._seen: dict[NodeId, Fields] = {}
        self._logs: dict[NodeId, tuple[Index, dict[Index, Term]]] = {}
        """The log of each node as it was last recorded: the last index, and the terms of the entries after `base`."""
        self._words: dict[EntryId, str] = {}
        self._own_words: dict[tuple[NodeId, EntryId], str] = {}
        self._timers: dict[NodeId, tuple[int, int, int]] = {}
        """Of each node the elapsed ticks and the deadline that were last seen, and when it ends by them."""
        self._said: list[list[Any]] = []
        self._flights: list[list[Any]] = []
        self._under_way: dict[int, tuple[Envelope, list[Any]]] = {}
        self._blocked: list[list[NodeId]] | None = None
        self._is_cut = False
        self._broken: list[Fields] = []
        self.steps: list[dict[str, Any]] = []
        self.marks: list[dict[str, Any]] = []
        self.verdict: str | None = None
        simulation.scheduler.on_called = self.look
        simulation.network.spectator = self

    def recording(self) -> dict[str, Any]:
        """Everything so far."""
        options = self._simulation.options
        return {
            "format": FORMAT,
            "seed": self._simulation.seed,
            "nodes": list(self._simulation.first_members),
            "tick_ms": options.tick_us / 1000,
            "election_timeout_ms": options.election_timeout_ticks * options.tick_us / 1000,
            "heartbeat_ms": options.heartbeat_ticks * options.tick_us / 1000,
            "steps": self.steps,
            "flights": self._flights,
            "marks": self.marks,
            "verdict": self.verdict,
            "is_cut": self._is_cut,
        }

    def tell(self, who: NodeId, text: str) -> None:
        """Something happened to a node or to the world."""
        self._said.append([who, text, {}, "info"])

    def tell_traces(self, who: NodeId, traces: Sequence[Trace]) -> None:
        """A node did or refused these things."""
        for trace in traces:
            details = {name: _plain(value) for name, value in trace.details if value is not None}
            self._said.append([who, trace.event, details, trace.level])

    def blocked(self, pairs: Sequence[tuple[NodeId, NodeId]]) -> None:
        """From here on nothing passes in these directions, and in no others."""
        self._blocked = [list(pair) for pair in pairs]

    def breaks(self, violation: Fields) -> None:
        """A promise does not hold: mark that after the step that shows it."""
        self._broken.append({"kind": "broken", **violation})

    def was_said(self, who: NodeId, event: str, *, since: int) -> bool:
        """True if a step from number `since` on has a line of `who` that begins with `event`."""
        return any(
            name == who and text.startswith(event)
            for step in self.steps[since:]
            for name, text, _, _ in step["said"]
        )

    def sent(self, envelope: Envelope) -> None:
        """See `raftdb.simulation.network.Spectator`."""
        if self._is_cut:
            return
        now_us = self._simulation.scheduler.now_us
        messages = [_message_fields(received.message) for received in envelope.open()]
        flight = [envelope.source, envelope.target, now_us, None, messages]
        self._flights.append(flight)
        self._under_way[id(envelope)] = envelope, flight

    def arrived(self, target: NodeId, envelope: Envelope) -> None:
        """See `raftdb.simulation.network.Spectator`."""
        found = self._under_way.pop(id(envelope), None)
        if found is not None and target == envelope.target:
            found[1][3] = self._simulation.scheduler.now_us

    def look(self) -> None:
        """Record a step if something can be seen that was not there before."""
        if self._is_cut:
            return
        changed = {}
        for node, host in self._simulation.hosts.items():
            different = self._changes(node, host)
            if different:
                changed[node] = different
        if not changed and not self._said and not self._broken:
            return
        step = {"us": self._simulation.scheduler.now_us, "said": self._said, "nodes": changed}
        if self._blocked is not None:
            step["blocked"] = self._blocked
        self.steps.append(step)
        self.marks.extend({"step": len(self.steps), **violation} for violation in self._broken)
        self._said, self._blocked, self._broken = [], None, []
        self._is_cut = len(self.steps) >= STEPS_MAX

    def _changes(self, node: NodeId, host: Host) -> Fields:
        """The fields of a node that are not as they were last recorded."""
        if not host.epoch:
            return {}
        state = host.replica.raft.state
        now: Fields = {
            "up": host.is_up,
            "paused": host.is_paused,
            "out": host.out,
            "role": state.role.value,
            "term": state.term,
            "voted_for": state.voted_for,
            "leader": state.leader_id,
            "base": state.log.base.index,
            "commit": state.commit_index,
            "applied": host.replica.applied_index,
            "voters": list(state.configurations.voters),
            "waits_us": self._timer_of(node, host),
        }
        before = self._seen.get(node, {})
        self._seen[node] = now
        changed = {name: value for name, value in now.items() if name not in before or before[name] != value}
        log = self._new_entries(node, host)
        if log is not None:
            changed["log"] = log
        return changed

    def _timer_of(self, node: NodeId, host: Host) -> int | None:
        """When the election timeout of the node ends, unless it leads or does not run. It moves only if the timeout was
        drawn anew, or begun anew."""
        state = host.replica.raft.state
        if not host.is_up or host.is_paused or state.role is Role.LEADER:
            self._timers.pop(node, None)
            return None
        elapsed, deadline = state.election_elapsed_ticks, state.election_deadline_ticks
        seen_elapsed, seen_deadline, ends_us = self._timers.get(node, (0, -1, 0))
        if elapsed < seen_elapsed or deadline != seen_deadline:
            ends_us = self._simulation.scheduler.now_us + (deadline - elapsed) * host.clock.tick_us
        self._timers[node] = elapsed, deadline, ends_us
        return ends_us

    def _new_entries(self, node: NodeId, host: Host) -> list[Any] | None:
        """The entries from the first one on that is not as it was last recorded; None if there are none.

        Where two logs have the same term at an index, they are alike up to there (Log Matching, thesis 3.5).
        """
        log = host.replica.raft.state.log
        known_last, known_terms = self._logs.get(node, (0, {}))
        same = min(known_last, log.last_index)
        while same > log.base.index and known_terms.get(same) != log.term_at(same):
            same -= 1
        same = max(same, log.base.index)
        if same == known_last == log.last_index:
            return None
        terms = {index: log.term_at(index) or 0 for index in range(same + 1, log.last_index + 1)}
        kept = {index: term for index, term in known_terms.items() if log.base.index < index <= same}
        self._logs[node] = log.last_index, kept | terms
        return [same + 1, [[term, self._words_of(host, index, term)] for index, term in terms.items()]]

    def _words_of(self, host: Host, index: Index, term: Term) -> str:
        """An entry in a few words. It was in the memory of its node when it was appended; where two leaders have one
        term, another node may have another entry of that name."""
        name = EntryId(index, term)
        blocks = host.replica.raft.state.log.cached(index, index, bytes_max=1) or ()
        for entry in entries_of(blocks):
            self._words[name] = self._own_words[host.id, name] = entry_words(entry)
        return self._own_words.get((host.id, name)) or self._words.get(name, "")


class RecordedSimulation(Simulation):
    """A simulation with a recorder."""

    def __init__(
        self,
        seed: int,
        *,
        nodes: int = 5,
        steps: int = 4_000,
        listener: Listener | None = None,
        options: Options | None = None,
        oracle: NewOracle = Oracle,
    ) -> None:
        super().__init__(seed, nodes=nodes, steps=steps, listener=listener, options=options, oracle=oracle)
        self.recorder = Recorder(self)

    def tell(self, node: NodeId, text: str) -> None:
        """See `Simulation`."""
        self.recorder.tell(node, text)
        super().tell(node, text)

    def tell_traces(self, node: NodeId, traces: Sequence[Trace]) -> None:
        """See `Simulation`."""
        self.recorder.tell_traces(node, traces)
        super().tell_traces(node, traces)


def _message_fields(message: Message) -> Fields:
    """A message with its type, without who sends it to whom; of entries only their number."""
    found: Fields = {"type": _TYPE_NAMES[type(message)]}
    for field in fields(message):
        if field.name in _PLAIN_FIELDS:
            found[field.name] = getattr(message, field.name)
    if isinstance(message, AppendEntries):
        found["entry_count"] = message.entry_count
    return found


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


_TYPE_NAMES = {type_: _snake(type_.__name__) for type_ in MESSAGE_TYPES}
_PLAIN_FIELDS = frozenset(
    (
        *("term", "last_index", "last_term", "granted", "transfer", "previous_index", "previous_term"),
        *("commit_index", "success", "match_index", "hint_index", "hint_term", "round", "read_index"),
    )
)


def _plain(value: object) -> object:
    """A detail as JSON has it."""
    return list(value) if isinstance(value, tuple) else value if isinstance(value, int | bool) else str(value)
