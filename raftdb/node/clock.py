"""How a leader counts the time of the cluster, and when it asks for an end of what is due.

The cluster clock is in the state, and moves with the times that entries bear (`raftdb.machine.clock`). A leader stamps
them: it takes the clock as it is when the no-op of its term is applied, and adds what its own monotonic clock has
counted since. So time goes on from the latest that an earlier leader has stamped, never back, and what passes without
a leader does not count: a deadline may come late by an election, and never early (hazards B70, B71). Before that moment
a leader stamps 0, which moves nothing.

Nothing ends by itself. When the next deadline has come by its time, the leader proposes `Expire`, one at a time. That
is a proposal like all others: of a leader that was deposed it counts only if the next one has it in its log, and then
its time had come (hazard B72).

Followers know no time. They note deadlines, so that one of them that comes to lead need not search for the next one.
"""

from typing import NamedTuple

from raftdb.commands.operations import Expire
from raftdb.core.model import EntryId, Index, Role, Term
from raftdb.core.state import RaftState
from raftdb.machine.machine import Machine
from raftdb.machine.transaction import KeyValueView
from raftdb.wire.operations import encode, stamp

EXPIRE = encode(Expire())
NEVER_MS = 1 << 63
"""Later than any deadline."""


class _Base(NamedTuple):
    term: Term
    clock_ms: int
    local_ms: float


class LeaderClock:
    """The time of one replica as a leader. `local_ms` of a turn is its own monotonic clock, wherever that began."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._base: _Base | None = None
        self._local_ms = 0.0
        self._expiry: EntryId | None = None
        """The `Expire` that is under way."""
        self._deadline_ms = 0
        """The next deadline is here or later; 0: to be looked up."""

    def turn(self, local_ms: float) -> None:
        """A turn begins."""
        self._local_ms = local_ms

    def time_ms(self, core: RaftState) -> int:
        """What an entry is stamped with that is proposed now; 0 as long as this node does not know the time."""
        base = self._base
        if base is None or base.term != core.term or core.role is not Role.LEADER:
            return 0
        return base.clock_ms + int(self._local_ms - base.local_ms)

    def applied(self, index: Index, deadline_ms: int | None) -> None:
        """An entry was applied, and set deadlines from `deadline_ms` on (None: none)."""
        if deadline_ms is not None and deadline_ms < self._deadline_ms:
            self._deadline_ms = deadline_ms
        if self._expiry is not None and index >= self._expiry.index:
            self._expiry, self._deadline_ms = None, 0

    def replaced(self) -> None:
        """The whole state is another one."""
        self._deadline_ms = 0

    def follow(self, core: RaftState, applied_index: Index, state: KeyValueView) -> None:
        """See who leads now: one that has come to lead, and has applied its no-op, begins to count."""
        leadership = core.leadership
        if leadership is None:
            self._base = self._expiry = None
        elif (
            self._base is None or self._base.term != core.term
        ) and applied_index >= leadership.term_start_index:
            self._base = _Base(core.term, self._machine.clock_ms(state), self._local_ms)
            self._expiry, self._deadline_ms = None, 0

    def due(self, core: RaftState, state: KeyValueView) -> bytes | None:
        """The data of an `Expire` to propose, if something is due by this leader's time and none is under way."""
        if self._base is None or self._expiry is not None:
            return None
        now_ms = self.time_ms(core)
        if self._deadline_ms <= now_ms:
            found = self._machine.next_deadline_ms(state)
            self._deadline_ms = NEVER_MS if found is None else found
        return stamp(EXPIRE, now_ms) if self._deadline_ms <= now_ms else None

    def proposed(self, entry: EntryId) -> None:
        """An `Expire` is under way as this entry."""
        self._expiry = entry
