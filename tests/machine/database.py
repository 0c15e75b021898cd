"""A machine with its log and its clock: what a cluster of one would do, without the cluster."""

from raftdb.commands.operations import Operation
from raftdb.errors import ReplyError
from raftdb.machine.clock import read_clock
from raftdb.machine.deadlines import EXPIRIES, IDLE_SESSIONS
from raftdb.machine.keyspace import (
    HEADER_BYTES,
    KEY_VALUE_END,
    KEY_VALUE_PREFIX,
    NEVER_EXPIRES,
    SESSION_PREFIX,
    decode_header,
)
from raftdb.machine.machine import Machine
from raftdb.machine.reply import Repetition, Reply, Result
from raftdb.machine.sessions import session_count
from raftdb.machine.transaction import Transaction
from raftdb.machine.values import value_count
from raftdb.wire.operations import encode, stamp
from tests.machine.views import DictionaryView

MACHINE = Machine()
EVERYTHING = 1 << 30


class Database:
    """`now_ms` is the leader's time; every entry is stamped with it."""

    def __init__(self, view: DictionaryView | None = None) -> None:
        self.index = 0
        self.term = 1
        self.now_ms = 0
        self.transaction = Transaction(view or DictionaryView())

    def run(self, operation: Operation) -> Reply:
        """The reply of the next entry."""
        self.index += 1
        return MACHINE.apply(self.index, self.term, stamp(encode(operation), self.now_ms), self.transaction)

    def result(self, operation: Operation) -> Result:
        """The same, which must be a result of now."""
        reply = self.run(operation)
        assert isinstance(reply, Result), reply
        return reply

    def value(self, operation: Operation) -> object:
        """The value of that."""
        return self.result(operation).value

    def failed(self, operation: Operation) -> ReplyError:
        """The error of the next entry, which changes nothing but the clock."""
        before = dict(self.transaction.changes)
        reply = self.run(operation)
        assert isinstance(reply, ReplyError), reply
        assert changes_but_clock(self.transaction.changes) == changes_but_clock(before)
        return reply

    def error(self, operation: Operation) -> str:
        """The message of that."""
        return self.failed(operation).message

    def repetition(self, operation: Operation) -> Repetition:
        """The reply of the next entry, which must be one that was given before."""
        reply = self.run(operation)
        assert isinstance(reply, Repetition), reply
        return reply


def changes_but_clock(changes: dict[bytes, bytes | None]) -> dict[bytes, bytes | None]:
    """Changes without that of the clock, which moves with every entry."""
    return {key: value for key, value in changes.items() if key != b"t"}


def check_books(transaction: Transaction) -> None:
    """What is kept beside the values and sessions agrees with them, exactly."""
    values = transaction.scan(KEY_VALUE_PREFIX, KEY_VALUE_END, limit=EVERYTHING, length=HEADER_BYTES)
    assert value_count(transaction) == len(values)
    expiring = [(decode_header(record)[2], key[1:]) for key, record in values]
    end_ms = 1 << 62
    assert EXPIRIES.due(transaction, end_ms, limit=EVERYTHING) == sorted(
        pair for pair in expiring if pair[0] != NEVER_EXPIRES
    )
    sessions = transaction.scan(SESSION_PREFIX, b"t", limit=EVERYTHING)
    assert session_count(transaction) == len(sessions)
    idle = IDLE_SESSIONS.due(transaction, end_ms, limit=EVERYTHING)
    assert sorted(name for _, name in idle) == [key[1:] for key, _ in sessions]
    for key, record in sessions:
        replies = transaction.scan(b"r" + key[1:], b"r" + key[1:] + b"\xff" * 9, limit=EVERYTHING)
        assert int.from_bytes(record[32:36]) == len(replies)
        assert int.from_bytes(record[36:44]) == sum(len(reply) for _, reply in replies)
    kept = transaction.scan(b"r", b"s", limit=EVERYTHING)
    names = [key[1:] for key, _ in sessions]
    assert all(key[1:17] in names for key, _ in kept), "replies of sessions that are gone"
    assert read_clock(transaction) < end_ms
