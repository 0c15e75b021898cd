"""The leader's end: it executes what one node passes on, in order, and gives back the answers of each turn together."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol, cast

from raftdb.errors import LocalProtocolError, OutcomeUnknown, RaftdbError, Unavailable
from raftdb.forwarding.frames import Outcome, Request
from raftdb.machine.operations import Submission, asked_of
from raftdb.machine.service import Query
from raftdb.memory import Hold
from raftdb.node.effects import OnAnswer
from raftdb.node.held import Waits
from raftdb.node.turn import Answer

logger = logging.getLogger("raftdb.forwarding")

REQUEST_BYTES = 1024
"""The memory of a request besides its payload."""
PAYLOAD_FACTOR = 3
"""The memory of a payload until it is answered, in multiples of its length: itself, the decoded operation and the
entry."""

UNDECIDED_CODES = frozenset({"not_leader", "no_leader", "no_quorum"})


class Submit(Protocol):
    """Runs one operation; see `raftdb.node.driver.Driver.submit`."""

    def __call__(self, operation: Submission, on_answer: OnAnswer, *, payload: bytes | None = None) -> None:
        """Run it."""


class Holding(Protocol):
    """Holds requests until they can be served; see `raftdb.node.held`."""

    def wait(
        self,
        operation: Waits,
        on_answer: OnAnswer,
        *,
        wait_ms: int,
        payload: bytes | None = None,
    ) -> int:
        """Run it once it can be served."""
        ...

    def leave(self, request_id: int) -> None:
        """The client of a request has gone."""

    def end_wait(self, request_id: int) -> None:
        """A request is to wait no longer."""


def is_undecided(outcome: Answer | RaftdbError | None) -> bool:
    """True if another leader has to decide what becomes of the request."""
    if outcome is None or isinstance(outcome, OutcomeUnknown):
        return True
    return isinstance(outcome, Unavailable) and outcome.code in UNDECIDED_CODES


class Executor:
    """Executes the requests of one node. It is over at the first request that it cannot decide: no later one is
    executed after it here, so that the node can send all from this one on to another leader, in their order."""

    def __init__(
        self,
        submit: Submit,
        held: Holding,
        *,
        memory: Hold,
        on_answers: Callable[[list[tuple[int, Outcome]]], None],
        on_over: Callable[[str], None],
    ) -> None:
        """`on_answers` gets the answers of a turn, in the order in which they came; `on_over` is called once, after the
        last of them."""
        self._submit = submit
        self._holding = held
        self._held: dict[int, int] = {}
        """The requests that are held, by the numbers of who passes them on: their numbers here."""
        self._memory = memory
        self._on_answers = on_answers
        self._on_over = on_over
        self._ready: list[tuple[int, Outcome]] = []
        self._is_due = False
        self._reason = ""
        self.is_over = False

    def take(self, requests: Sequence[Request]) -> None:
        """Submit the requests, in order."""
        for request in requests:
            if self.is_over:
                return
            if request.operation is None:
                self._stops_waiting(request)
                continue
            size = REQUEST_BYTES + PAYLOAD_FACTOR * len(request.payload)
            answered = self._answered if request.wait_ms is None else self._wait_answered
            on_answer = partial(answered, request.number, size)
            try:
                self._memory.grow(size)
            except Unavailable as error:
                self._answered(request.number, 0, error)
                continue
            try:
                self._begin(request, on_answer)
            except RaftdbError as error:
                on_answer(error)

    def end(self) -> None:
        """Nobody wants the answers any more."""
        self.is_over = True
        self._ready.clear()
        held, self._held = self._held, {}
        for request_id in held.values():
            self._holding.leave(request_id)

    def _begin(self, request: Request, on_answer: OnAnswer) -> None:
        operation = request.operation
        if operation is None:
            raise LocalProtocolError("a request without an operation is not begun")
        if request.wait_ms is None:
            payload = None if isinstance(asked_of(operation), Query) else request.payload
            self._submit(operation, on_answer, payload=payload)
        else:
            self._held[request.number] = self._holding.wait(
                cast(Waits, operation), on_answer, wait_ms=request.wait_ms, payload=request.payload
            )

    def _stops_waiting(self, request: Request) -> None:
        request_id = self._held.get(request.number)
        if request_id is None:
            return
        if request.wait_ms is not None:
            self._holding.end_wait(request_id)
        else:
            del self._held[request.number]
            self._holding.leave(request_id)

    def _wait_answered(self, number: int, size: int, outcome: Answer | RaftdbError | None) -> None:
        """Take the answer to what was held: that it is handed back is an answer, too, and ends nothing."""
        self._held.pop(number, None)
        if outcome is None or isinstance(outcome, OutcomeUnknown):
            outcome = Unavailable("no_leader", "what became of it is not known")
        self._answered(number, size, outcome, is_decided=True)

    def _answered(
        self, number: int, size: int, outcome: Answer | RaftdbError | None, *, is_decided: bool = False
    ) -> None:
        self._memory.set(max(0, self._memory.bytes - size))
        if self.is_over:
            return
        if is_undecided(outcome) and not is_decided:
            self.is_over = True
            self._reason = getattr(outcome, "message", "") or "the node is stopping"
        else:
            self._ready.append((number, outcome))  # type: ignore[arg-type]  # it is decided
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._is_due = False
        ready, self._ready = self._ready, []
        if ready:
            self._on_answers(ready)
        if self._reason:
            reason, self._reason = self._reason, ""
            self._on_over(reason)
