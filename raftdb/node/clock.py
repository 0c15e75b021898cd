"""The time of the cluster: how a leader counts it, how it survives the leader, and how what is due is ended.

The cluster clock is in the state, and moves with the times that entries bear (`raftdb.machine.clock`). A leader stamps
them: when the no-op of its term is applied it takes a base, and adds what its own monotonic clock has counted since.
Time that passes without a leader does not count: a deadline may come late by an election, and never early (hazards B70,
B71). Before that moment a leader stamps 0, which moves nothing.

A log without writes has no times, and leaders change. So that their time is not lost, it travels in two more ways:

* Each heartbeat carries it. The next leader has heard it, and goes on from there: its base is the latest time that it
  heard or has applied.
* While anything is to end at some time, the leader commits its time once a second, by an `Expire` that may find nothing
  to end: that survives a crash of all nodes, which forget what they heard. Where nothing is to end, nothing is written.

Nothing ends early. A heard time serves as a base only if no other leader may have counted from an earlier time since it
was said. A leader that was cut off with few followers counts on for a while, and they hear it, while the others elect a
leader whose clock has stood still in between. A deadline that the new leader sets must not be reached by the time of
the old one. A leader counts only once its no-op is committed, and then every later leader has that entry in its log. So
a time heard in a term counts if the last entry before the new no-op is of this very term, and otherwise is forgotten.

Nothing ends by itself. When the leader's time has reached the next deadline, it proposes `Expire`, one at a time. That
is a proposal like all others: the `Expire` of a deposed leader counts only if the next leader has it in its log, and
then the deadline had been reached (hazard B72).
"""

from dataclasses import replace
from typing import NamedTuple

from raftdb.core.events import Proposed
from raftdb.core.messages import Heartbeat, Message
from raftdb.core.model import EntryId, Index, Role, Term
from raftdb.core.raft import Raft
from raftdb.core.state import RaftState
from raftdb.core.update import Update
from raftdb.machine.entries import encode, stamp
from raftdb.machine.layer import KeyValueView
from raftdb.machine.machine import Machine
from raftdb.machine.operations import Expire

EXPIRE = encode(Expire())
NEVER_MS = 1 << 63
"""Later than any deadline."""
COMMIT_MS = 1_000
"""The longest that a leader's time goes on without an entry that bears it, while anything is to end."""


class _Base(NamedTuple):
    term: Term
    clock_ms: int
    local_ms: float


class _Heard(NamedTuple):
    """The time that the leader of a term was last known to have counted."""

    term: Term
    clock_ms: int


class LeaderClock:
    """The time that one replica counts as a leader, and hears as a follower. `local_ms` of a turn is its own monotonic
    clock, wherever that began."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._base: _Base | None = None
        self.local_ms = 0.0
        self._heard = _Heard(0, 0)
        self._stamped_ms = 0
        """The latest time that an entry bears; only meaningful while this node leads."""
        self._expiry: EntryId | None = None
        """The `Expire` that is under way."""
        self._deadline_ms = 0
        """The next deadline is here or later, as far as this node leads."""

    def turn(self, local_ms: float) -> None:
        """A turn begins."""
        self.local_ms = local_ms

    def time_ms(self, core: RaftState) -> int:
        """The time for an entry that is proposed now; 0 as long as this node does not know the time."""
        base = self._base
        if base is None or base.term != core.term or core.role is not Role.LEADER:
            return 0
        return base.clock_ms + int(self.local_ms - base.local_ms)

    def latest_ms(self, core: RaftState) -> int:
        """The latest time that this node knows of, counted, or heard from a leader; 0 before any. It may be ahead of
        the one of the state, in which nothing moves while nothing is written."""
        return max(self.time_ms(core), self._heard.clock_ms)

    def says(self, core: RaftState, messages: list[Message]) -> list[Message]:
        """`messages` as they leave: each heartbeat of the present term gets the time. The leader notes it as heard,
        too, in case it is deposed and elected again."""
        if not any(type(message) is Heartbeat for message in messages):
            return messages
        time_ms = self.time_ms(core)
        if time_ms == 0:
            return messages
        self._hear(core.term, time_ms)
        return [
            replace(message, time_ms=time_ms)
            if isinstance(message, Heartbeat) and message.term == core.term
            else message
            for message in messages
        ]

    def hears(self, core: RaftState, message: Heartbeat) -> None:
        """Take note of the time in a heartbeat, if the core, which has handled it already, follows its sender."""
        if message.term == core.term and message.source == core.leader_id:
            self._hear(message.term, message.time_ms)

    def _hear(self, term: Term, time_ms: int) -> None:
        if time_ms > 0:
            self._heard = max(self._heard, _Heard(term, time_ms))

    def applied(self, index: Index, deadline_ms: int | None) -> None:
        """An entry was applied, and set deadlines from `deadline_ms` on (None: none)."""
        if deadline_ms is not None and deadline_ms < self._deadline_ms:
            self._deadline_ms = deadline_ms
        if self._expiry is not None and index >= self._expiry.index:
            self._expiry = None

    def follow(self, core: RaftState, applied_index: Index, state: KeyValueView) -> None:
        """If this node has come to lead, and has applied its no-op, begin to count."""
        leadership = core.leadership
        if leadership is None or (self._base is not None and self._base.term == core.term):
            return
        if applied_index >= leadership.term_start_index:
            applied_ms = self._machine.clock_ms(state)
            heard_ms = self._heard_before(core, leadership.term_start_index)
            self._base = _Base(core.term, max(applied_ms, heard_ms), self.local_ms)
            self._expiry, self._deadline_ms, self._stamped_ms = None, 0, applied_ms

    def _heard_before(self, core: RaftState, term_start_index: Index) -> int:
        """The time that this node heard before its own term, 0 if it does not count (see the module)."""
        is_latest = core.log.term_at(term_start_index - 1) == self._heard.term
        return self._heard.clock_ms if is_latest else 0

    def end_what_is_due(self, raft: Raft, applied_index: Index, state: KeyValueView) -> Update | None:
        """As a leader, count on; and if something is due, or the time was not committed for long, propose `Expire`."""
        core = raft.state
        self.follow(core, applied_index, state)
        now_ms = self.time_ms(core)
        if self._expiry is not None or not self._is_wanted(now_ms, state):
            return None
        update = raft.step(Proposed((stamp(EXPIRE, now_ms),)))
        if update.accepted is not None:
            self._expiry = update.accepted
            self.stamped(now_ms)
        return update

    def stamped(self, time_ms: int) -> None:
        """Entries with this time were appended."""
        self._stamped_ms = max(self._stamped_ms, time_ms)

    def _is_wanted(self, now_ms: int, state: KeyValueView) -> bool:
        """True if an `Expire` at this time would end something, or move a clock that something waits for."""
        is_due = self._deadline_ms < now_ms
        is_late = now_ms - self._stamped_ms >= COMMIT_MS and self._deadline_ms < NEVER_MS
        if not is_due and not is_late:
            return False
        found = self._machine.next_deadline_ms(state)
        self._deadline_ms = NEVER_MS if found is None else found
        return self._deadline_ms < now_ms or (is_late and found is not None)
