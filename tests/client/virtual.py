"""A world for the flows of clients: the production machine behind fake nodes, a network that does what it likes, and
time that is a number.

What happens to each exchange is a `Fate`, taken in turn from a list; an exhausted list means that all is well. Flows
take turns as time goes on, and a request may arrive long after its client has given it up.
"""

import heapq
import json
from collections.abc import Callable, Iterable
from enum import Enum
from itertools import count
from random import Random
from typing import Any
from urllib.parse import urlsplit

from raftdb.client.flow import AwaitOthers, Caller, Exchange, Flow, Outcome, Step
from raftdb.client.http1 import AnswerLost, NotSent, Response
from raftdb.client.pace import answer_deadline_ms
from raftdb.client.routing import Pause, Router
from raftdb.client.session import Sessions
from raftdb.errors import RaftdbError
from tests.addresses import at
from tests.client.fake_api import Canned, FakeCluster, FakeNode, error, parse_query
from tests.client.machine_state import MachineState


class Fate(Enum):
    """What becomes of one exchange."""

    WELL = "well"
    REFUSED = "refused"  # no connection
    REQUEST_LOST = "request lost"
    REPLY_LOST = "reply lost"
    SILENCE = "silence"  # executed, and no answer until the client loses patience
    LATE = "late"  # the connection breaks at once, and the request is executed later
    TWICE = "twice"  # the request is answered, and if it was served, it arrives again later
    UNKNOWN = "unknown"  # executed, but the node says that it does not know
    NOT_EXECUTED = "not executed"  # the node says that it does not know, and it was not
    BUSY = "busy"
    NEW_LEADER = "new leader"  # another one leads before the request arrives
    DYING_LEADER = "dying leader"  # executed; then another one leads, and no reply comes
    NO_LEADER = "no leader"  # nobody leads for a while
    FORGOTTEN = "forgotten"  # the cluster forgets all sessions before the request arrives


class World:
    """`now_ms` is the time. `done` holds what each flow ended with: a result, or an error. `spoil` may change what
    is sent: bugs are planted by it."""

    def __init__(self, *, seed: int, fates: Iterable[Fate] = ()) -> None:
        self.now_ms = 0.0
        self.random = Random(seed)
        self.cluster = FakeCluster()
        self.cluster.state = self.state = MachineState()
        self.cluster.nodes = [FakeNode(self.cluster, number, f"n{number + 1}:1") for number in range(3)]
        self.done: dict[object, object] = {}
        self.exchanges = 0
        self._forgotten = 0  # how often the cluster forgot all sessions
        self.spoil: Callable[[Any], None] = lambda content: None
        self._fates = iter(fates)
        self._order = count()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._waiting: list[Callable[[], None]] = []

    def client(self, number: int, *, sessions: bool = True) -> Caller:
        names = (f"{number:016x}{begun:016x}" for begun in count())
        return Caller(
            Router([at(node.address) for node in self.cluster.nodes], random=self.random),
            sessions=Sessions(lambda: next(names)) if sessions else None,
            clock=lambda: self.now_ms,
            random=self.random,
        )

    def start(self, name: object, flow: Flow[Any], then: Callable[[], None] = lambda: None) -> None:
        """Carry out `flow`, beginning now; `then` comes after its end."""

        def go_on(done: Step | None, outcome: Outcome) -> None:
            try:
                step = flow.send(outcome)
            except (StopIteration, RaftdbError) as end:
                self.done[name] = end.value if isinstance(end, StopIteration) else end
                then()
                self.wake()
            else:
                self._perform(step, lambda outcome: go_on(step, outcome))
                if not isinstance(done, AwaitOthers):
                    self.wake()

        self.at(0.0, lambda: go_on(None, None))

    def at(self, delay_ms: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now_ms + delay_ms, next(self._order), action))

    def run(self) -> None:
        """Until nothing is left to happen."""
        while self._events:
            self.now_ms, _, action = heapq.heappop(self._events)
            action()
        assert not self._waiting, "a flow waits for others, and there are none"

    def wake(self) -> None:
        """Something has changed: flows that wait for others look again."""
        waiting, self._waiting = self._waiting, []
        for action in waiting:
            self.at(0.0, action)

    def _perform(self, step: Step, go_on: Callable[[Outcome], None]) -> None:
        if isinstance(step, Pause):
            self.at(step.duration_ms, lambda: go_on(None))
        elif isinstance(step, AwaitOthers):
            self._waiting.append(lambda: go_on(None))
        else:
            self.exchanges += 1
            self._exchange(step, next(self._fates, Fate.WELL), go_on)

    def _exchange(self, step: Exchange, fate: Fate, go_on: Callable[[Outcome], None]) -> None:
        there_ms, back_ms = self.random.uniform(0.1, 5.0), self.random.uniform(0.1, 5.0)
        later_ms = self.random.choice([20.0, 2_000.0, 20_000.0])
        if fate is Fate.REFUSED:
            self.at(there_ms, lambda: go_on(NotSent("refused")))
        elif fate is Fate.REQUEST_LOST:
            self.at(there_ms, lambda: go_on(AnswerLost("closed")))
        elif fate is Fate.LATE:
            self.at(there_ms, lambda: go_on(AnswerLost("closed")))
            self.at(there_ms + later_ms, self._later(step))
        else:
            self.at(there_ms, lambda: self._arrive(step, fate, back_ms, later_ms, go_on))

    def _arrive(
        self, step: Exchange, fate: Fate, back_ms: float, later_ms: float, go_on: Callable[[Outcome], None]
    ) -> None:
        self._before(fate, later_ms)
        if fate is Fate.NOT_EXECUTED:
            canned = error(504, "outcome_unknown")
        elif fate is Fate.BUSY:
            canned = Canned(503, error(503, "busy").body, {"retry-after": "1"})
        else:
            canned = self._answer(step)
        if fate is Fate.UNKNOWN:
            canned = error(504, "outcome_unknown")
        if fate is Fate.TWICE and canned.status == 200:
            self.at(later_ms, self._later(step))
        if fate is Fate.SILENCE:
            attempt = step.attempt
            by_ms = answer_deadline_ms(
                attempt.answer_by_ms,
                now_ms=self.now_ms,
                dialled_ms=back_ms,
                prompt_ms=attempt.prompt_ms,
                stretches=attempt.stretches,
            )
            self.at(max(by_ms - self.now_ms, 0.0), lambda: go_on(AnswerLost("no answer in time")))
        elif fate in (Fate.REPLY_LOST, Fate.DYING_LEADER):
            self.at(back_ms, lambda: go_on(AnswerLost("closed")))
            if fate is Fate.DYING_LEADER:
                self._elect()
        else:
            headers = {name.lower(): value for name, value in canned.headers.items()}
            response = Response(canned.status, headers, json.dumps(canned.body).encode())
            self.at(back_ms, lambda: go_on(response))

    def _before(self, fate: Fate, later_ms: float) -> None:
        if fate is Fate.NEW_LEADER:
            self._elect()
        elif fate is Fate.NO_LEADER:
            self.cluster.leader = None
            self.at(later_ms, self._elect)
        elif fate is Fate.FORGOTTEN:
            self.state.forget_sessions()
            self._forgotten += 1

    def _elect(self) -> None:
        self.cluster.leader = self.random.randrange(len(self.cluster.nodes))

    def _later(self, step: Exchange) -> Callable[[], None]:
        """The request arrives once more, or for the first time, unless the sessions have been forgotten meanwhile: a
        session outlives every message of it, by an hour of silence."""
        sent_in = self._forgotten

        def arrive() -> None:
            if sent_in == self._forgotten:
                self._answer(step)

        return arrive

    def _answer(self, step: Exchange) -> Canned:
        """What the node answers to the request that arrives now, as bytes and back: what is asked is not shared."""
        (node,) = [node for node in self.cluster.nodes if node.address == str(step.attempt.address)]
        parts, body = urlsplit(step.request.target), step.request.body
        content = None if body is None else json.loads(body)
        self.spoil(content)
        return node.answer(step.request.method, parts.path, parse_query(parts.query), content)
