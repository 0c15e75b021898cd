"""POST /v1/execute on the lean path (`raftdb.frontend.http_lean`): the same as `DataApi.execute`, by callback."""

from collections.abc import Awaitable, Callable

from raftdb.budgets import REPLY_BYTES_ON_LOOP_MAX
from raftdb.errors import RaftdbError
from raftdb.frontend.http_data import note_redirect, shown_answer
from raftdb.frontend.http_memory import COUNTED_BYTES_MIN
from raftdb.frontend.http_reply import Reply
from raftdb.frontend.json_requests import execute_of
from raftdb.frontend.json_values import Shown, encode_answer
from raftdb.frontend.node_api import Node
from raftdb.limits import Limits
from raftdb.machine.operations import ClientOperation
from raftdb.machine.reply import value_bytes
from raftdb.machine.service import Query
from raftdb.memory import Hold
from raftdb.node.aside import Aside
from raftdb.node.effects import stopped
from raftdb.node.turn import Answer


class LeanExecute:
    """Takes bodies that need no memory from the account, up to `body_bytes_max`."""

    def __init__(self, node: Node, *, body_bytes_max: int, command_limits: Limits, aside: Aside) -> None:
        self.body_bytes_max = min(body_bytes_max, COUNTED_BYTES_MIN)
        self._node = node
        self._command_limits = command_limits
        self._aside = aside

    def __call__(
        self, body: bytes, on_settled: Callable[[], None], *, user: bytes | None
    ) -> "ExecuteCall | None":
        """See `LeanHandler`. Raises as `Node.submit`."""
        name, operation, consistency, wait_ms = execute_of(body, limits=self._command_limits)
        if wait_ms:
            return None
        call = ExecuteCall(name, operation, self._aside, on_settled)
        try:
            self._node.submit(operation, call.settle, stale=consistency == "stale", user=user)
        except RaftdbError as error:
            note_redirect(name, error)
            raise
        return call


class ExecuteCall:
    """One command that the node is executing."""

    __slots__ = ("_answer", "_aside", "_name", "_on_settled", "_operation", "operation")

    def __init__(
        self, name: str, operation: ClientOperation | Query, aside: Aside, on_settled: Callable[[], None]
    ) -> None:
        self._name = name
        self.operation = name.lower()
        self._operation = operation
        self._aside = aside
        self._on_settled = on_settled
        self._answer: Answer | RaftdbError | None = None

    def settle(self, answer: Answer | RaftdbError | None) -> None:
        """Take the node's answer."""
        self._answer = answer
        self._on_settled()

    def reply(self, memory: Hold) -> Reply | Awaitable[Reply]:
        """See `LeanCall`. Raises the error that the node has answered."""
        answer = self._answer
        if answer is None:
            raise stopped()
        if isinstance(answer, RaftdbError):
            note_redirect(self._name, answer)
            raise answer
        shown = shown_answer(self._name, self._operation, answer, memory)
        if value_bytes(shown.value) <= REPLY_BYTES_ON_LOOP_MAX:
            return Reply(encode_answer(shown))
        return self._encoded_aside(shown)

    async def _encoded_aside(self, shown: Shown) -> Reply:
        return Reply(await self._aside.run(encode_answer, shown))
