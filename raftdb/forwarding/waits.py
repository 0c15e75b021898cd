"""Requests that wait at the leader for a client of this node (`raftdb.node.waiting`).

They stand beside the other requests that are passed on: in no order, in sessions of their own and without a bound on
how many are under way, because each may take the better part of a minute. The leader says of each that it hands back
that nothing was done, and it is sent to the next leader under its remaining time. When a connection breaks, or what
became of one is not known, it is sent again, under its number: what a leader was handing out in that moment is in its
session, and the next leader gives the same. So a message that is taken while a leader dies reaches the client that it
was taken for. It is lost only with the client's own connection, so also with this node.

What waits for a place in the state needs no number: a lock has the owner who asks again.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from raftdb.commands.waiting import check_wait, command_of, name_of, waiting_of
from raftdb.errors import OutcomeUnknown, RaftdbError, SessionExpired, Unavailable
from raftdb.forwarding.executor import REQUEST_BYTES, is_undecided
from raftdb.forwarding.frames import Outcome, Request
from raftdb.forwarding.sessions import NodeSession, WaitSessions
from raftdb.limits import WAITING_MAX
from raftdb.machine.operations import SessionOperation, asked_of, on_behalf_of
from raftdb.machine.waiting import TurnWaiting
from raftdb.memory import Hold
from raftdb.node.effects import OnAnswer
from raftdb.node.held import Waits, payload_of
from raftdb.node.turn import Answer

LOOK_S = 0.5
"""How often is looked which are late."""
OVERDUE_S = 2.0
"""How long after its deadline a request may be without an answer before its connection is taken for dead."""


@dataclass(slots=True, eq=False)
class _Wait:
    """One request, as it is sent. `deadline_s`: until when it waits. `session`: the one that it has a number in, None
    without. `sends`: how often it was sent."""

    number: int
    operation: Waits
    payload: bytes
    on_answer: OnAnswer
    deadline_s: float
    session: NodeSession | None = None
    sends: int = 0

    @property
    def takes_turns(self) -> bool:
        """Whether it waits in a line that only the leader knows, so that it is to have a number."""
        return isinstance(waiting_of(self.operation), TurnWaiting)

    def enter(self, session: NodeSession) -> None:
        """Have the next number in a session."""
        self.session = session
        self.operation = on_behalf_of(self.operation, session.wrap(command_of(self.operation)))
        self.payload = payload_of(self.operation)

    def leave(self) -> None:
        """Its answer is not waited for any more."""
        asked = asked_of(self.operation)
        if self.session is not None and isinstance(asked, SessionOperation):
            self.session.answered(asked.sequence)


class ForwardedWaits:
    """The requests of one node that wait elsewhere. `register` begins a session of this node; `patience_s`: how long a
    request may be without a leader."""

    def __init__(
        self,
        hold: Hold,
        *,
        next_number: Callable[[], int],
        register: Callable[[NodeSession, OnAnswer], None],
        now_s: Callable[[], float],
        patience_s: float,
    ):
        self._hold = hold
        self._next_number = next_number
        self._register = register
        self._now_s = now_s
        self._patience_s = patience_s
        self._sessions = WaitSessions()
        self._waits: dict[int, _Wait] = {}
        self._unnumbered: dict[int, float] = {}
        """Those that have no session yet, and since when."""
        self._unsent: dict[int, float] = {}
        """Those that are at no leader, and since when."""
        self._messages: list[Request] = []
        """What is to be said of those that are at a leader."""
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
        return bool(self._unsent or self._messages)

    @property
    def are_sent(self) -> bool:
        """True if some are at a leader."""
        return len(self._waits) > len(self._unsent) + len(self._unnumbered)

    def add(self, operation: Waits, on_answer: OnAnswer, *, wait_ms: int) -> int:
        """Take a request; returns its number. Raises RequestRefused, Unavailable, or ReplyError."""
        check_wait(operation, wait_ms)
        name_of(operation)
        if len(self._waits) >= WAITING_MAX:
            raise Unavailable("busy", f"{WAITING_MAX} requests wait", hint="ask again a little later")
        payload = payload_of(operation)
        self._hold.grow(REQUEST_BYTES)
        number = self._next_number()
        wait = _Wait(number, operation, payload, on_answer, self._now_s() + wait_ms / 1000)
        self._waits[number] = wait
        if not wait.takes_turns:
            self._unsent[number] = self._now_s()
            return number
        self._unnumbered[number] = self._now_s()
        try:
            self._give_numbers()
        except Unavailable:
            self._forget(number)
            raise
        return number

    def leave(self, request_id: int) -> None:
        """The client of a request has gone."""
        is_sent = request_id not in self._unsent and request_id not in self._unnumbered
        if self._forget(request_id) is not None and is_sent:
            self._messages.append(Request(request_id, None, b""))

    def end_wait(self, request_id: int) -> None:
        """A request is to wait no longer. What was never sent gets nothing at once; else a leader has to say so."""
        wait = self._waits.get(request_id)
        if wait is None:
            return
        wait.deadline_s = self._now_s()
        if not wait.sends:
            waiting = waiting_of(wait.operation)
            nothing = waiting.nothing if isinstance(waiting, TurnWaiting) else None
            self._settle(request_id, Answer(nothing, 0, 0))
        elif request_id not in self._unsent:
            self._messages.append(Request(request_id, None, b"", 0))

    def channel_is_gone(self) -> None:
        """Nothing is at a leader any more."""
        now_s = self._now_s()
        self._unsent = {
            number: self._unsent.get(number, now_s)
            for number in self._waits
            if number not in self._unnumbered
        }
        self._messages.clear()
        self.are_handed_back = False

    def to_send(self, limit: int) -> Iterator[Request]:
        """What is to be sent now, up to `limit`, each under its remaining time."""
        now_s = self._now_s()
        yield from self._messages[:limit]
        del self._messages[:limit]
        for number in list(self._unsent)[:limit]:
            wait = self._waits[number]
            del self._unsent[number]
            wait.sends += 1
            # At its deadline it is still asked once, so that the leader takes back a place that it has given.
            wait_ms = max(1, int((wait.deadline_s - now_s) * 1000))
            yield Request(number, wait.operation, wait.payload, wait_ms)

    def take(self, number: int, outcome: Outcome) -> None:
        """Take the answer of a leader: who is handed back asks the next one."""
        wait = self._waits.get(number)
        if wait is None:
            return
        if is_undecided(outcome):
            self._unsent.setdefault(number, self._now_s())
            self.are_handed_back = True
        elif wait.session is not None and isinstance(outcome, SessionExpired):
            self._lose_session(wait, wait.session)
        elif wait.sends > 1 and wait.takes_turns and isinstance(outcome, Unavailable):
            self._settle(number, _unknown())
        else:
            self._settle(number, outcome)

    def are_overdue(self) -> bool:
        """Give up what has found no leader in time; returns whether some that are sent should have been answered."""
        now_s = self._now_s()
        if now_s < self._looked_s + LOOK_S:
            return False
        self._looked_s = now_s
        without = (*self._unsent.items(), *self._unnumbered.items())
        for number in [number for number, since_s in without if now_s > since_s + self._patience_s]:
            is_unknown = self._waits[number].sends and self._waits[number].takes_turns
            refusal = Unavailable("no_leader", "no leader has answered in time")
            self._settle(number, _unknown() if is_unknown else refusal)
        with suppress(Unavailable):
            self._give_numbers()
        return any(
            now_s > wait.deadline_s + OVERDUE_S
            and number not in self._unsent
            and number not in self._unnumbered
            for number, wait in self._waits.items()
        )

    def close(self) -> None:
        """Answer all: this node is stopping."""
        for number in list(self._waits):
            self._settle(number, Unavailable("no_leader", "this node is stopping", hint="ask another node"))

    def _give_numbers(self) -> None:
        """Number those that have none; begin a session if there is no room for them. Raises Unavailable (`busy`)."""
        now_s = self._now_s()
        for number in list(self._unnumbered):
            session = self._sessions.choose(now_s)
            if session is None:
                coming = self._sessions.begin()
                if coming is not None:
                    self._begin(coming)
                return
            self._waits[number].enter(session)
            del self._unnumbered[number]
            self._unsent[number] = now_s

    def _begin(self, session: NodeSession) -> None:
        """Have a session registered. Raises Unavailable."""
        try:
            self._register(session, partial(self._registered, session))
        except Unavailable:
            self._sessions.registered(session, self._now_s(), is_known=False)
            raise

    def _registered(self, session: NodeSession, outcome: Answer | RaftdbError | None) -> None:
        """Take the answer to a registration. If there was none it is tried again as long as somebody waits for it."""
        self._sessions.registered(session, self._now_s(), is_known=isinstance(outcome, Answer))
        if isinstance(outcome, Answer):
            with suppress(Unavailable):
                self._give_numbers()

    def _lose_session(self, wait: _Wait, session: NodeSession) -> None:
        """The cluster has ended the session of a request. Only what was sent once was surely not executed."""
        self._sessions.lost(session)
        if wait.sends > 1:
            self._settle(wait.number, _unknown())
            return
        wait.session, wait.sends = None, 0
        self._unnumbered[wait.number] = self._now_s()
        with suppress(Unavailable):
            self._give_numbers()

    def _forget(self, number: int) -> _Wait | None:
        wait = self._waits.pop(number, None)
        if wait is not None:
            wait.leave()
            self._unsent.pop(number, None)
            self._unnumbered.pop(number, None)
            self._hold.set(max(0, self._hold.bytes - REQUEST_BYTES))
        return wait

    def _settle(self, number: int, outcome: Outcome | RaftdbError) -> None:
        wait = self._forget(number)
        if wait is not None:
            wait.on_answer(outcome)


def _unknown() -> OutcomeUnknown:
    return OutcomeUnknown(
        "it was passed on, and no leader has answered", hint="something may have been taken for it"
    )
