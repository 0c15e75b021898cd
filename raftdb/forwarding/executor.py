"""The leader's end: it executes what one node passes on, in order, and gives back the answers of each turn together."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from raftdb.errors import OutcomeUnknown, RaftdbError, Unavailable
from raftdb.forwarding.frames import Outcome, Request
from raftdb.machine.operations import ClientOperation
from raftdb.machine.service import Query
from raftdb.memory import Hold
from raftdb.node.effects import OnAnswer
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

    def __call__(
        self, operation: ClientOperation | Query, on_answer: OnAnswer, *, payload: bytes | None = None
    ) -> None:
        """Run it."""


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
        *,
        memory: Hold,
        on_answers: Callable[[list[tuple[int, Outcome]]], None],
        on_over: Callable[[str], None],
    ) -> None:
        """`on_answers` gets the answers of a turn, in the order in which they came; `on_over` is called once, after the
        last of them."""
        self._submit = submit
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
            size = REQUEST_BYTES + PAYLOAD_FACTOR * len(request.payload)
            on_answer = partial(self._answered, request.number, size)
            try:
                self._memory.grow(size)
            except Unavailable as error:
                self._answered(request.number, 0, error)
                continue
            payload = None if isinstance(request.operation, Query) else request.payload
            try:
                self._submit(request.operation, on_answer, payload=payload)
            except RaftdbError as error:
                on_answer(error)

    def end(self) -> None:
        """Nobody wants the answers any more."""
        self.is_over = True
        self._ready.clear()

    def _answered(self, number: int, size: int, outcome: Answer | RaftdbError | None) -> None:
        self._memory.set(max(0, self._memory.bytes - size))
        if self.is_over:
            return
        if is_undecided(outcome):
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
