"""Requests that wait at the leader for a client of this node (`raftdb.node.waiting`).

They stand beside the other requests that are passed on: in no order, in no session and without a bound on how many are
under way, because each may take the better part of a minute. The leader says of each that it hands back that nothing
was done, and it is sent to the next leader under its remaining time. When a connection breaks, all that wait are sent
again: what the leader was handing out in that moment may reach nobody, as when the client's own connection breaks. A
message that was received is handed out again when its time is over; one that was dequeued is gone (at most once); a
lock has the owner who asks again.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from raftdb.commands.waiting import check_wait, name_of
from raftdb.errors import RaftdbError, Unavailable
from raftdb.forwarding.executor import REQUEST_BYTES, is_undecided
from raftdb.forwarding.frames import Outcome, Request
from raftdb.limits import WAITING_MAX
from raftdb.machine.operations import SessionOperation
from raftdb.machine.service import Command
from raftdb.memory import Hold
from raftdb.node.effects import OnAnswer
from raftdb.node.held import payload_of

LOOK_S = 0.5
"""How often is looked which are late."""
OVERDUE_S = 2.0
"""How long after its deadline a request may be without an answer before its connection is taken for dead."""


@dataclass(slots=True, eq=False)
class _Wait:
    """One request. `deadline_s`: until when it waits."""

    number: int
    operation: Command | SessionOperation
    payload: bytes
    on_answer: OnAnswer
    deadline_s: float


class ForwardedWaits:
    """The requests of one node that wait elsewhere. `patience_s`: how long one may be without a leader."""

    def __init__(
        self, hold: Hold, *, next_number: Callable[[], int], now_s: Callable[[], float], patience_s: float
    ):
        self._hold = hold
        self._next_number = next_number
        self._now_s = now_s
        self._patience_s = patience_s
        self._waits: dict[int, _Wait] = {}
        self._unsent: dict[int, float] = {}
        """Those that are at no leader, and since when."""
        self._left: list[int] = []
        self._looked_s = 0.0
        self.are_handed_back = False
        """True if the leader of the present channel has lost the leadership."""

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._waits)

    @property
    def has_unsent(self) -> bool:
        """True if something is to be sent."""
        return bool(self._unsent or self._left)

    @property
    def are_sent(self) -> bool:
        """True if some are at a leader."""
        return len(self._waits) > len(self._unsent)

    def add(self, operation: Command | SessionOperation, on_answer: OnAnswer, *, wait_ms: int) -> int:
        """Take a request; returns its number. Raises RequestRefused, Unavailable, or ReplyError."""
        check_wait(operation, wait_ms)
        name_of(operation)
        if len(self._waits) >= WAITING_MAX:
            raise Unavailable("busy", f"{WAITING_MAX} requests wait", hint="ask again a little later")
        payload = payload_of(operation)
        self._hold.grow(REQUEST_BYTES)
        number = self._next_number()
        self._waits[number] = _Wait(number, operation, payload, on_answer, self._now_s() + wait_ms / 1000)
        self._unsent[number] = self._now_s()
        return number

    def leave(self, request_id: int) -> None:
        """The client of a request has gone."""
        is_sent = request_id not in self._unsent
        if self._forget(request_id) is not None and is_sent:
            self._left.append(request_id)

    def channel_is_gone(self) -> None:
        """Nothing is at a leader any more."""
        now_s = self._now_s()
        self._unsent = {number: self._unsent.get(number, now_s) for number in self._waits}
        self._left.clear()
        self.are_handed_back = False

    def to_send(self, limit: int) -> Iterator[Request]:
        """What is to be sent now, up to `limit`, each under its remaining time."""
        now_s = self._now_s()
        for number in self._left[:limit]:
            yield Request(number, None, b"")
        del self._left[:limit]
        for number in list(self._unsent)[:limit]:
            wait = self._waits[number]
            del self._unsent[number]
            # At its deadline it is still asked once, so that the leader takes back a place that it has given.
            wait_ms = max(1, int((wait.deadline_s - now_s) * 1000))
            yield Request(number, wait.operation, wait.payload, wait_ms)

    def take(self, number: int, outcome: Outcome) -> None:
        """Take the answer of a leader: who is handed back asks the next one."""
        if number not in self._waits:
            return
        if is_undecided(outcome):
            self._unsent.setdefault(number, self._now_s())
            self.are_handed_back = True
            return
        self._settle(number, outcome)

    def are_overdue(self) -> bool:
        """Give up what has found no leader in time; returns whether some that are sent should have been answered."""
        now_s = self._now_s()
        if now_s < self._looked_s + LOOK_S:
            return False
        self._looked_s = now_s
        late = [number for number, since_s in self._unsent.items() if now_s > since_s + self._patience_s]
        for number in late:
            self._settle(number, Unavailable("no_leader", "no leader has answered in time"))
        return any(
            now_s > wait.deadline_s + OVERDUE_S and number not in self._unsent
            for number, wait in self._waits.items()
        )

    def close(self) -> None:
        """Answer all: this node is stopping."""
        for number in list(self._waits):
            self._settle(number, Unavailable("no_leader", "this node is stopping", hint="ask another node"))

    def _forget(self, number: int) -> _Wait | None:
        wait = self._waits.pop(number, None)
        if wait is not None:
            self._unsent.pop(number, None)
            self._hold.set(max(0, self._hold.bytes - REQUEST_BYTES))
        return wait

    def _settle(self, number: int, outcome: Outcome | RaftdbError) -> None:
        wait = self._forget(number)
        if wait is not None:
            wait.on_answer(outcome)
