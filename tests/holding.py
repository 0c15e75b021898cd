"""What holds requests until they can be served, in memory: it answers when a test says so."""

from raftdb.errors import RaftdbError
from raftdb.node.effects import OnAnswer
from raftdb.node.held import Waits
from raftdb.node.turn import Answer


class Holding:
    """See `raftdb.node.held.HeldRequests`. `waits` are the operations that are held, by number."""

    def __init__(self) -> None:
        self.waits: dict[int, Waits] = {}
        self.wait_ms: dict[int, int] = {}
        self.left: list[int] = []
        self.wait_ends: list[int] = []
        self.wait_refusal: RaftdbError | None = None
        self._on_answers: dict[int, OnAnswer] = {}

    def wait(
        self,
        operation: Waits,
        on_answer: OnAnswer,
        *,
        wait_ms: int,
        payload: bytes | None = None,
        user: bytes | None = None,
    ) -> int:
        """Hold a request."""
        if self.wait_refusal is not None:
            raise self.wait_refusal
        number = len(self._on_answers) + 1
        self.waits[number], self.wait_ms[number] = operation, wait_ms
        self._on_answers[number] = on_answer
        return number

    def leave(self, request_id: int) -> None:
        """Its client has gone."""
        self.left.append(request_id)
        self.waits.pop(request_id, None)

    def end_wait(self, request_id: int) -> None:
        """It is to wait no longer."""
        self.wait_ends.append(request_id)

    def serve(self, number: int, answer: Answer | RaftdbError | None) -> None:
        """Answer what is held under this number, and that once."""
        del self.waits[number]
        self._on_answers[number](answer)
