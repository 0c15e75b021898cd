"""A reply that is awaited: the callback of one operation, which turns its answer into bytes.

There is no task and no future for a request. The node calls `settle` in the turn in which it has the answer; the
connection keeps its replies in the order of the requests, and writes the ready ones at the front.
"""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from raftdb.endpoint import Endpoint
from raftdb.errors import CommandFailed, Conflict, LeaderHint, RaftdbError, Unavailable
from raftdb.frontend.redis.errors import error_of
from raftdb.frontend.redis.rows import Arguments, ReplyOf, Row
from raftdb.frontend.redis.table import find, keys_of
from raftdb.machine.reply import Result
from raftdb.machine.service import Command
from raftdb.machine.slots import slot_of
from raftdb.machine.waiting import is_nothing
from raftdb.node.turn import Answer
from raftdb.wire.resp_replies import NULL_ARRAY, Error, encode

if TYPE_CHECKING:
    from raftdb.frontend.redis.connection import RedisConnection

logger = logging.getLogger("raftdb.redis")


class Reply:
    """The reply to a read. `data` is None until it is ready. `arguments` tell the slot, if another node has it."""

    __slots__ = ("_arguments", "_began_s", "_connection", "_reply_of", "_row", "data")

    is_write = False
    """Whether the operation is an entry of the log."""
    waits = False
    """Whether the node may hold it."""

    def __init__(
        self, connection: "RedisConnection", row: Row, arguments: Arguments, reply_of: ReplyOf
    ) -> None:
        self._connection = connection
        self._began_s = connection.began_s
        self._row = row
        self._arguments = arguments
        self._reply_of = reply_of
        self.data: bytes | None = None

    def settle(self, answer: Answer | RaftdbError | None) -> None:
        """Take the answer; called once."""
        connection = self._connection
        try:
            if type(answer) is Answer:
                value = self._value(answer)
                connection.requests.succeeded(self._row.name, self._began_s)
            elif isinstance(answer, Conflict):
                value = NULL_ARRAY
                self._count(answer)
            else:
                value = self.refused(answer)  # type: ignore[arg-type]  # no Answer
            data = encode(value, connection.client.version)
        except Exception:
            # A reply that cannot be made must not stop the node.
            logger.exception("a reply cannot be made", extra={"fields": {"command": self._row.name}})
            data = encode(Error("ERR the server failed on this command; its log says why"))
        self.data = data
        connection.settled(self, len(data))

    def refused(self, error: RaftdbError | None) -> Error:
        """What a request is answered that was not executed, or whose outcome is unknown; it is counted."""
        self._count(error)
        return refusal(error, self._arguments, self._connection.address_of)

    def _count(self, error: RaftdbError | None) -> None:
        code = "outcome_unknown" if error is None else error.code
        self._connection.requests.refused(self._row.name, code, self._began_s)

    def _value(self, answer: Answer) -> object:
        return self._reply_of(answer)


class WriteReply(Reply):
    """The reply to a write."""

    __slots__ = ()

    is_write = True


class WaitReply(WriteReply):
    """The reply to a command that the node may hold until it can be served, under a number. The connection begins no
    other meanwhile."""

    __slots__ = ("_is_ended_by_error", "number")

    waits = True

    def begin(self, command: Command, wait_ms: int) -> None:
        """Have the node hold it. Raises `RaftdbError`."""
        self._is_ended_by_error = False
        user = self._connection.client.user
        self.number = self._connection.node.wait(command, self.settle, wait_ms=wait_ms, user=user)

    def unblock(self, *, with_error: bool) -> None:
        """See `Blocked`. What it was given meanwhile is not lost: then it is answered with that."""
        self._is_ended_by_error = with_error
        self._connection.node.end_wait(self.number)

    def _value(self, answer: Answer) -> object:
        if self._is_ended_by_error and is_nothing(answer.value):
            return Error("UNBLOCKED client unblocked via CLIENT UNBLOCK")
        return super()._value(answer)


class LoggedReadReply(Reply):
    """The reply to a read that is part of the log, as a transaction of one command."""

    __slots__ = ()

    is_write = True

    def _value(self, answer: Answer) -> object:
        inner: Result | CommandFailed = answer.value[0]
        return error_of(inner) if isinstance(inner, CommandFailed) else self._reply_of(inner)


class ReadyReply:
    """A reply that needs no node, and waits for those before it."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data: bytes | None = data


def moved(arguments: Arguments, address: Endpoint) -> Error:
    """The reply to a request whose keys the node at `address` has; clients of Redis clusters follow it."""
    keys = keys_of(find(arguments), arguments)
    return Error(f"MOVED {slot_of(keys[0]) if keys else 0} {address}")


def refusal(
    error: RaftdbError | None, arguments: Arguments, address_of: Callable[[LeaderHint], Endpoint | None]
) -> Error:
    """The reply to a request that was not executed, or whose outcome is unknown.

    If another node leads, and `address_of` it is known, that node has the keys.
    """
    if isinstance(error, Unavailable) and error.code == "not_leader" and error.leader is not None:
        address = address_of(error.leader)
        if address is not None:
            return moved(arguments, address)
    return error_of(error)


def unsaid(reply: Reply, error: Unavailable) -> Error:
    """The error in place of a reply for which there is no memory; a write has taken effect."""
    if reply.is_write:
        return Error("UNKNOWNOUTCOME the command was executed, but there is no memory for its reply")
    return error_of(error)
