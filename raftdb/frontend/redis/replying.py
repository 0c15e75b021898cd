"""A reply that is awaited: the callback of one operation, and the bytes that come of its answer.

There is no task and no future for a request. The node calls `settle` in the turn in which it has the answer; the
connection keeps its replies in the order of the requests, and writes those at the front that are there.
"""

import logging
from typing import TYPE_CHECKING

from raftdb.errors import CommandFailed, Conflict, RaftdbError, Unavailable
from raftdb.frontend.redis.errors import error_of
from raftdb.frontend.redis.rows import Arguments, ReplyOf, Row
from raftdb.frontend.redis.slots import slot_of
from raftdb.frontend.redis.table import keys_of
from raftdb.machine.reply import Result
from raftdb.node.turn import Answer
from raftdb.wire.resp_replies import NULL_ARRAY, Error, encode

if TYPE_CHECKING:
    from raftdb.frontend.redis.connection import RedisConnection

logger = logging.getLogger("raftdb.redis")


class Reply:
    """One place in the order of replies. `data` is None until the reply is there. `is_write`: the operation is an entry
    of the log."""

    __slots__ = ("_arguments", "_connection", "_is_wrapped", "_reply_of", "_row", "data", "is_write")

    def __init__(
        self,
        connection: "RedisConnection",
        row: Row,
        arguments: Arguments,
        reply_of: ReplyOf,
        *,
        is_write: bool,
        is_wrapped: bool,
    ) -> None:
        """`is_wrapped`: the operation is a transaction around the one that `reply_of` belongs to."""
        self._connection = connection
        self._row = row
        self._arguments = arguments
        self._reply_of = reply_of
        self.is_write = is_write
        self._is_wrapped = is_wrapped
        self.data: bytes | None = None

    def settle(self, answer: Answer | RaftdbError | None) -> None:
        """Take the answer, once."""
        connection = self._connection
        try:
            data = encode(self._value(answer), connection.session.version)
        except Exception:
            logger.exception("a reply cannot be made", extra={"fields": {"command": self._row.name}})
            data = encode(Error("ERR the server failed on this command; its log says why"))
        self.data = data
        connection.settled(self, len(data))

    def _value(self, answer: Answer | RaftdbError | None) -> object:
        if isinstance(answer, Answer):
            if not self._is_wrapped:
                return self._reply_of(answer)
            inner: Result | CommandFailed = answer.value[0]
            return error_of(inner) if isinstance(inner, CommandFailed) else self._reply_of(inner)
        if isinstance(answer, Conflict):
            return NULL_ARRAY
        return refusal(answer, self._row, self._arguments)


class ReadyReply:
    """A reply that was there at once, and waits for those before it."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data: bytes | None = data


def refusal(error: RaftdbError | None, row: Row, arguments: Arguments) -> Error:
    """The reply to a request that was not executed, or of which nobody knows whether it was.

    Where another node leads, and its Redis address is known, clients of clusters are sent there.
    """
    if isinstance(error, Unavailable) and error.code == "not_leader" and error.leader is not None:
        address = error.leader.redis
        if address is not None:
            keys = keys_of(row, arguments)
            return Error(f"MOVED {slot_of(keys[0]) if keys else 0} {address}")
    return error_of(error)
