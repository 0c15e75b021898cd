"""Requests that the leader holds until they can be served: how waiting works, and why nothing is lost by it.

A client says how long it will wait. Its request is not executed and refused, and asked again: the leader holds it, and
looks again when the machine has noted a change of what it waits for (`raftdb.machine.waiting`). There are two ways.

Taking turns
------------
Who waits to take what is there, as from a queue, stands in a line here, in the order of arrival. A waiter is proposed
only when the applied state has something for it that no waiter before it will take: `supply` less what those need that
are under way. So a message that arrives wakes one of a thousand consumers, and waiting makes no entry. If somebody else
was faster, the proposed command gets nothing, and its waiter is back at its old place in the line.

No wake-up is lost. Let a command that was applied at index i get nothing: then there was nothing at i. What comes later
is noted as a change by its entry, whose index is above i. Changes of a slice are looked at after its answers were taken
back into their lines, so the waiter is in the line when the change is looked at. A waiter that comes later looks at the
state itself. A new leader looks at all lines once its no-op is applied: the state then has everything that any leader
before it has answered.

A place in the state
--------------------
Who waits for a lock is proposed at once, takes a place in a line of the state, and is held. The grant is a change that
another entry makes: it names the place, so only that waiter is looked at, and is answered from the state without an
entry. At its deadline the place is given up by an entry, whose result says if the grant came first; unless the wait was
so long that its client will ask again (`WAIT_AGAIN_MS`), and must not find itself at the end of the line then. A place
that nobody has held a request for during `HELD_MS` is given up as well: its client has gone. A new leader knows no
requests; it waits as long, and then goes through the lines of the state.

What clients may rely on
------------------------
* Every request is answered once: with its result; with nothing at its deadline; or, when the leadership is lost or the
  node stops, with a refusal that says that nothing was done, so that it can be sent again.
* A request that was proposed and whose fate is unknown is answered so, as any write. In a session it can be sent again:
  a reply is kept if there was something in it. If the same sequence comes again while it waits in a line here, the
  older request is refused: its connection is of no use any more.
* When its client has gone, a waiter leaves its line at once. What was proposed by then takes effect; without a session
  nobody gets it.

Work per turn is bounded, however many are woken, late or handed back at once: `STEPS_PER_TURN`.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from raftdb.commands.waiting import asker_of, command_of, name_of, waiting_of
from raftdb.errors import LocalProtocolError, RaftdbError, ReplyError, Unavailable
from raftdb.limits import WAIT_AGAIN_MS
from raftdb.machine.entries import encode
from raftdb.machine.operations import SessionOperation, asked_of
from raftdb.machine.service import Command
from raftdb.machine.sessions import is_decided
from raftdb.machine.waiting import Asker, PlaceWaiting, TurnWaiting, Waiting, is_nothing
from raftdb.node.orphans import Orphans
from raftdb.node.pending import WriteRequest
from raftdb.node.timers import Timers
from raftdb.node.turn import Answer, Inputs, WaitRequest
from raftdb.node.world import World

STEPS_PER_TURN = 512
"""Looks at the state, answers and proposals of waiting requests in one turn, a few milliseconds of them."""

Answered = tuple[int, Answer | RaftdbError]
"""The number of a request, and its answer."""


@dataclass(slots=True, eq=False)
class _Waiter:
    """A request that is held. `is_late`: its deadline is over; `gives_up`: so it gives up its place."""

    request: WaitRequest
    waiting: Waiting
    name: bytes
    slot: int = 0
    """Where its deadline stands."""
    is_proposed: bool = False
    is_late: bool = False
    is_gone: bool = False
    gives_up: bool = False

    @property
    def id(self) -> int:
        return self.request.request_id

    @property
    def command(self) -> Command:
        return command_of(self.request.operation)

    @property
    def asker(self) -> Asker:
        return asker_of(self.request.operation)

    @property
    def in_session(self) -> SessionOperation | None:
        """What is asked for, if it is so in a session."""
        asked = asked_of(self.request.operation)
        return asked if isinstance(asked, SessionOperation) else None

    @property
    def demand(self) -> int:
        return self.waiting.demand(self.command) if isinstance(self.waiting, TurnWaiting) else 0


class _Line:
    """The waiters of one name, in the order in which they came, and the demand of those that are proposed."""

    __slots__ = ("proposed", "waiters")

    def __init__(self) -> None:
        self.waiters: dict[int, _Waiter] = {}
        self.proposed = 0


class Waiters:
    """The requests that one node holds; see the module. `answers` and `writes` are what comes of a turn."""

    def __init__(self) -> None:
        self.answers: list[Answered] = []
        self.writes: list[WriteRequest] = []
        self._waiters: dict[int, _Waiter] = {}
        self._arrived: dict[int, _Waiter] = {}
        """Those that were not looked at yet."""
        self._lines: dict[bytes, _Line] = {}
        self._changed: dict[bytes, None] = {}
        """The lines that are to be looked at."""
        self._proposed: dict[int, _Waiter] = {}
        self._sequences: dict[tuple[bytes, int], _Waiter] = {}
        """Those that take turns, by session and sequence."""
        self._deadlines = Timers[_Waiter]()
        self._late: dict[int, _Waiter] = {}
        self._orphans = Orphans()
        self._given_up: dict[int, tuple[bytes, Command]] = {}
        """The places without requests whose end is proposed."""
        self._was_ready = False
        self._steps = 0

    @property
    def count(self) -> int:
        """How many requests are held or under way."""
        return len(self._waiters)

    def count_below(self, prefix: bytes) -> int:
        """How many requests wait for what has a name that begins with `prefix`."""
        return sum(len(line.waiters) for name, line in self._lines.items() if name.startswith(prefix))

    def count_in(self, name: bytes) -> int:
        """How many requests wait for what has this name."""
        line = self._lines.get(name)
        return 0 if line is None else len(line.waiters)

    def _add(self, requests: Iterable[WaitRequest], now_ms: float) -> None:
        """Hold these requests."""
        for request in requests:
            waiting = waiting_of(request.operation)
            if waiting is None:
                raise LocalProtocolError("an operation is held that does not wait")
            waiter = _Waiter(request, waiting, name_of(request.operation))
            self._waiters[waiter.id] = self._arrived[waiter.id] = waiter
            waiter.slot = self._deadlines.add(now_ms + request.wait_ms, waiter.id, waiter)

    def _leave(self, request_ids: Iterable[int]) -> None:
        """The clients of these requests have gone."""
        for request_id in request_ids:
            waiter = self._waiters.get(request_id)
            if waiter is not None:
                waiter.is_gone = True
                if not waiter.is_proposed:
                    self._forget(waiter, leaves_place=waiter.id not in self._arrived)

    def _end_wait(self, request_id: int) -> None:
        """A request is to wait no longer, as if it had come with a short wait that is over."""
        waiter = self._waiters.get(request_id)
        if waiter is not None:
            self._deadlines.remove(waiter.slot, waiter.id)
            waiter.request = waiter.request._replace(wait_ms=0)
            self._late[waiter.id] = waiter

    def changed(self, names: Iterable[bytes]) -> None:
        """The machine has noted changes of these names."""
        lines = self._lines
        if lines:
            self._changed.update(dict.fromkeys(name for name in names if name in lines))

    def settle(self, answers: list[Answered]) -> list[Answered]:
        """`answers` without those that say that there is nothing yet, whose waiters are held on, and without those that
        nobody waits for any more."""
        if not self._proposed and not self._given_up:
            return answers
        return [pair for pair in answers if self._is_final(*pair)]

    def has_work(self, inputs: Inputs, *, is_ready: bool) -> bool:
        """Take in who has come and gone; returns whether the rest of a turn would do anything. `is_ready`: as in
        `World`."""
        if inputs.waits:
            self._add(inputs.waits, inputs.now_ms)
        if inputs.left:
            self._leave(inputs.left)
        for request_id in inputs.wait_ends:
            self._end_wait(request_id)
        if self._waiters or self._given_up or (is_ready and not inputs.is_stopping) != self._was_ready:
            return True
        return self._orphans.has_work(inputs.now_ms)

    def turn(self, world: World) -> bool:
        """Look at what has arrived, has changed or is late, up to the bound of a turn. Returns whether work is left."""
        self.answers, self.writes, self._steps = [], [], STEPS_PER_TURN
        self._late.update(self._deadlines.until(world.now_ms))
        if world.refusal is not None:
            self._orphans.clear()
            self._hand_back(world.refusal())
        elif world.is_ready:
            if not self._was_ready:
                self._changed = dict.fromkeys(self._lines)
                self._orphans.begin(world.now_ms)
            if world.takes_writes:
                self._place_arrived(world)
                self._look_at_changed(world)
                self._give_up_orphans(world)
            self._end_late(world)
        self._was_ready = world.is_ready and world.refusal is None
        return self._steps <= 0

    def _is_final(self, request_id: int, answer: Answer | RaftdbError) -> bool:
        """Take an answer, perhaps to what was proposed for a waiter; returns whether somebody is to have it."""
        waiter = self._proposed.pop(request_id, None)
        if waiter is None:
            orphan = self._given_up.pop(request_id, None)
            if orphan is not None and isinstance(answer, Unavailable):
                self._orphans.add(*orphan)
            return orphan is None
        waiter.is_proposed = False
        line = self._lines.get(waiter.name)
        if line is not None:
            line.proposed -= waiter.demand
        has_got = isinstance(answer, Answer) and not is_nothing(answer.value)
        if has_got or not isinstance(answer, Answer) or waiter.gives_up:
            self._forget(waiter)
            if waiter.name in self._lines and not waiter.gives_up:
                # More may be there for the next in line.
                self._changed[waiter.name] = None
            return not waiter.is_gone
        if waiter.is_gone:
            self._forget(waiter, leaves_place=True)
        elif isinstance(waiter.waiting, PlaceWaiting):
            self._changed[waiter.name] = None
        if waiter.is_late and not waiter.is_gone:
            self._late[waiter.id] = waiter
        return False

    def _forget(self, waiter: _Waiter, *, leaves_place: bool = False) -> None:
        """Hold a request no longer. `leaves_place`: it may have a place, which nobody gives up so far."""
        for waiters in (self._waiters, self._arrived, self._late):
            waiters.pop(waiter.id, None)
        self._deadlines.remove(waiter.slot, waiter.id)
        operation = waiter.in_session
        if operation is not None:
            key = (operation.session, operation.sequence)
            if self._sequences.get(key) is waiter:
                del self._sequences[key]
        line = self._lines.get(waiter.name)
        if line is not None:
            line.waiters.pop(waiter.id, None)
            if not line.waiters:
                del self._lines[waiter.name]
                self._changed.pop(waiter.name, None)
        if leaves_place and isinstance(waiter.waiting, PlaceWaiting) and waiter.name not in self._lines:
            self._orphans.add(waiter.name, waiter.waiting.give_up(waiter.command, waiter.asker))

    def _answer(self, waiter: _Waiter, answer: Answer | RaftdbError, *, leaves_place: bool = False) -> None:
        self._steps -= 1
        self._forget(waiter, leaves_place=leaves_place)
        self.answers.append((waiter.id, answer))

    def _propose(self, waiter: _Waiter, payload: bytes) -> None:
        self._steps -= 1
        waiter.is_proposed = True
        self._proposed[waiter.id] = waiter
        self._lines[waiter.name].proposed += waiter.demand
        self.writes.append(WriteRequest(waiter.id, payload))

    def _hand_back(self, refusal: RaftdbError) -> None:
        """Refuse those that wait. What is proposed is answered when its fate is known."""
        held: Collection[_Waiter] = self._waiters.values()
        if len(held) > len(self._proposed):
            for waiter in [each for each in held if not each.is_proposed][: self._steps]:
                self._answer(waiter, refusal)

    def _place_arrived(self, world: World) -> None:
        """Put those that have arrived into their lines; propose who is to be, and let the others be looked at."""
        while self._arrived and self._steps > 0:
            waiter = self._arrived.pop(next(iter(self._arrived)))
            self._orphans.discard(waiter.name)
            is_decided = isinstance(waiter.waiting, PlaceWaiting) or self._is_decided(world, waiter)
            self._lines.setdefault(waiter.name, _Line()).waiters[waiter.id] = waiter
            if is_decided:
                self._propose(waiter, waiter.request.payload)
            else:
                self._steps -= 1
                self._changed[waiter.name] = None

    def _is_decided(self, world: World, waiter: _Waiter) -> bool:
        """Whether the machine knows the answer already, or is about to: the same was sent before in its session. A
        request of the same sequence that still waits is refused."""
        operation = waiter.in_session
        if operation is None:
            return False
        key = (operation.session, operation.sequence)
        twin = self._sequences.get(key)
        self._sequences[key] = waiter
        if twin is not None and twin.is_proposed:
            return True
        if twin is not None:
            self._answer(twin, Unavailable("busy", "the same sequence was sent again"))
        return is_decided(world.view, operation)

    def _look_at_changed(self, world: World) -> None:
        """Propose those for whom there is something, and answer those that were granted it."""
        while self._changed and self._steps > 0:
            name = next(iter(self._changed))
            del self._changed[name]
            self._steps -= 1
            line = self._lines[name]
            first = next(iter(line.waiters.values()))
            if isinstance(first.waiting, TurnWaiting):
                self._take_turns(line, _supply(world, first) - line.proposed, name)
            else:
                for waiter in [each for each in line.waiters.values() if not each.is_proposed]:
                    self._look_at_place(world, waiter, first.waiting)

    def _take_turns(self, line: _Line, supply: int, name: bytes) -> None:
        for waiter in line.waiters.values():
            if supply <= 0:
                return
            if self._steps <= 0:
                self._changed[name] = None
                return
            if not waiter.is_proposed:
                supply -= waiter.demand
                self._propose(waiter, waiter.request.payload)

    def _look_at_place(self, world: World, waiter: _Waiter, waiting: PlaceWaiting) -> None:
        try:
            granted = waiting.outcome(world.view, waiter.command, waiter.asker)
        except ReplyError as error:
            self._answer(waiter, error.with_traceback(None))
            return
        if granted is not None:
            self._answer(waiter, Answer(granted.value, *world.applied, granted.revision))

    def _end_late(self, world: World) -> None:
        """Answer those whose deadline is over, or give their place up."""
        for waiter in list(self._late.values())[: max(0, self._steps)]:
            waiter.is_late = True
            waiting = waiter.waiting
            if waiter.is_proposed:
                del self._late[waiter.id]
            elif isinstance(waiting, TurnWaiting):
                self._answer(waiter, Answer(waiting.nothing, *world.applied))
            elif waiter.id in self._arrived or len(self._lines[waiter.name].waiters) > 1:
                # It has no place, or another request holds the same.
                self._answer(waiter, Answer(None, *world.applied))
            elif waiter.request.wait_ms >= WAIT_AGAIN_MS:
                self._answer(waiter, Answer(None, *world.applied), leaves_place=True)
            elif world.takes_writes:
                del self._late[waiter.id]
                waiter.gives_up = True
                self._propose(waiter, encode(waiting.give_up(waiter.command, waiter.asker)))

    def _give_up_orphans(self, world: World) -> None:
        """Give up the places that nobody has held a request for during a while."""
        for number, name, command in self._orphans.due(
            world.view, world.now_ms, self._lines, limit=self._steps
        ):
            self._steps -= 1
            self._given_up[number] = (name, command)
            self.writes.append(WriteRequest(number, encode(command)))


def _supply(world: World, waiter: _Waiter) -> int:
    """What there is for the first of a line. If the machine refuses to say, one is proposed, to be refused by it."""
    waiting = waiter.waiting
    try:
        return waiting.supply(world.view, waiter.command) if isinstance(waiting, TurnWaiting) else 0
    except ReplyError:
        return 1
