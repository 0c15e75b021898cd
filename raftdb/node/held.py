"""The requests that a node may hold until they can be served, as its frontends see them: taken, answered, left.

They are bounded, and do not count as requests in flight. The replica decides when each is served
(`raftdb.node.waiting`).
"""

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from raftdb.commands.waiting import check_wait, name_of, waiting_of
from raftdb.errors import RaftdbError, Unavailable
from raftdb.limits import WAITING_MAX
from raftdb.machine.entries import encode
from raftdb.machine.operations import (
    SessionOperation,
    UserOperation,
    WaitingOperation,
    asked_of,
    on_behalf_of,
)
from raftdb.machine.service import Command
from raftdb.machine.waiting import TurnWaiting
from raftdb.node.effects import EffectRunner, OnAnswer
from raftdb.node.turn import Answer, Inputs, WaitRequest

Waits: TypeAlias = Command | SessionOperation | UserOperation
"""What can wait: a command, in a session or not, and on behalf of a user or not."""
TakeRoom = Callable[[Waits, bytes], None]
"""Refuses an operation, with its entry, for which there is no space."""


def payload_of(operation: Waits) -> bytes:
    """The body of the entry for an operation whose sender waits."""
    asked = asked_of(operation)
    is_plain = isinstance(asked, Command) and isinstance(waiting_of(asked), TurnWaiting)
    return encode(operation if is_plain else on_behalf_of(operation, WaitingOperation(asked)))


class HeldRequests:
    """The requests of one node that are held, or under way after that. `admit` numbers a request, or refuses it."""

    def __init__(
        self,
        runner: EffectRunner,
        take_room: TakeRoom,
        admit: Callable[[OnAnswer], int],
        on_work: Callable[[], None],
    ) -> None:
        self._runner = runner
        self._take_room = take_room
        self._admit = admit
        self._on_work = on_work
        self._hands_back = False
        self.count = 0

    def wait(
        self,
        operation: Waits,
        on_answer: OnAnswer,
        *,
        wait_ms: int,
        payload: bytes | None = None,
    ) -> int:
        """Run an operation as soon as it can be served, and hold it until then; returns the number by which `leave`
        takes it back.

        `on_answer` gets the same as with `Driver.submit`; at the deadline, that there was nothing; and Unavailable,
        which says that nothing was done, if this node does not lead any more. `payload` is that of `payload_of`, if a
        caller has it already. Raises RequestRefused, Unavailable, or ReplyError.
        """
        check_wait(operation, wait_ms)
        name_of(operation)
        if self.count >= WAITING_MAX:
            raise Unavailable("busy", f"{WAITING_MAX} requests are held", hint="ask again a little later")
        payload = payload_of(operation) if payload is None else payload
        self._take_room(operation, payload)
        request_id = self._admit(partial(self._is_over, on_answer))
        self.count += 1
        self._runner.inputs.waits.append(WaitRequest(request_id, operation, payload, wait_ms))
        return request_id

    def leave(self, request_id: int) -> None:
        """The client of a request has gone: its answer is given to nobody."""
        if self._runner.forget(request_id):
            self.count -= 1
            self._runner.inputs.left.append(request_id)
            self._on_work()

    def end_wait(self, request_id: int) -> None:
        """Let the deadline of a request be now, if it is still held: its answer comes as at its deadline."""
        self._runner.inputs.wait_ends.append(request_id)
        self._on_work()

    def hand_back(self) -> None:
        """Hold no request any more: those that are held are told to go to another node."""
        self._hands_back = True
        self._on_work()

    def enter(self, inputs: Inputs, *, disk_is_full: bool) -> None:
        """Note in the inputs of a turn what may become of those that are held."""
        inputs.is_stopping = self._hands_back
        inputs.disk_is_full = disk_is_full

    def _is_over(self, on_answer: OnAnswer, answer: Answer | RaftdbError | None) -> None:
        self.count -= 1
        on_answer(answer)
