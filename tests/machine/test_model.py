"""The machine against a naive model: a dictionary with revisions and times, under random commands and random time.

The model is a second opinion on purpose: it shares no code with the machine but the names of the commands.
"""

from dataclasses import dataclass
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from raftdb.commands.model import (
    Append,
    Command,
    CompareAndSet,
    Condition,
    DatabaseSize,
    Delete,
    Exists,
    ExpireAfter,
    Get,
    GetSet,
    IncrementBy,
    Keys,
    MultiGet,
    MultiSet,
    Persist,
    Ping,
    Scan,
    Set,
    Strlen,
    TimeToLive,
)
from raftdb.commands.operations import Expire, Mode, RegisterSession, SessionOperation, Transaction
from raftdb.errors import Conflict, ReplyError
from raftdb.machine.reply import Repetition, Result
from tests.machine.database import Database, check_books

KEYS = st.sampled_from([b"a", b"b", b"c"])
VALUES = st.sampled_from([b"", b"1", b"41", b"x"])
TTLS = st.sampled_from([0, -1, 50, 1_000])
SESSION = b"s" * 16

COMMANDS: st.SearchStrategy[Command] = st.one_of(
    st.builds(Get, KEYS),
    st.builds(Set, KEYS, VALUES, TTLS, st.sampled_from(Condition)),
    st.builds(Strlen, KEYS),
    st.builds(Delete, KEYS),
    st.builds(Append, KEYS, VALUES),
    st.builds(Exists, st.tuples(KEYS, KEYS)),
    st.builds(IncrementBy, KEYS, st.integers(-5, 5)),
    st.builds(MultiGet, st.tuples(KEYS, KEYS)),
    st.builds(MultiSet, st.tuples(st.tuples(KEYS, VALUES), st.tuples(KEYS, VALUES))),
    st.builds(GetSet, KEYS, VALUES),
    st.builds(CompareAndSet, KEYS, st.integers(0, 9), VALUES),
    st.builds(ExpireAfter, KEYS, st.sampled_from([-1, 0, 50, 1_000])),
    st.builds(Persist, KEYS),
    st.builds(TimeToLive, KEYS),
    st.builds(Keys, st.sampled_from([b"", b"a", b"z"])),
    st.builds(Scan, st.sampled_from([b"", b"b"]), st.sampled_from([b"", b"a", b"b"]), st.integers(1, 3)),
    st.just(DatabaseSize()),
    st.just(Ping()),
)
TRANSACTIONS = st.builds(
    Transaction,
    st.lists(COMMANDS, max_size=5).map(tuple),
    st.lists(st.tuples(KEYS, st.integers(0, 9)), max_size=2).map(tuple),
    st.sampled_from(Mode),
)


@dataclass(frozen=True)
class Cell:
    value: bytes
    revision: int
    ends_ms: float


class Failed(Exception):
    """With the code of the error."""


class Model:
    """What clients may expect, without indexes, counters and sweeps."""

    def __init__(self) -> None:
        self.cells: dict[bytes, Cell] = {}
        self.now_ms = 0
        self.answered: dict[int, tuple[int, object]] = {}

    def alive(self, key: bytes) -> Cell | None:
        cell = self.cells.get(key)
        return cell if cell is not None and cell.ends_ms > self.now_ms else None

    def all_alive(self) -> list[bytes]:
        return sorted(key for key in self.cells if self.alive(key))

    def put(self, key: bytes, value: bytes, index: int, ends_ms: float = float("inf")) -> None:
        self.cells[key] = Cell(value, index, ends_ms)

    def apply(self, index: int, operation: Command | Transaction) -> object:
        """The value answered, or ("error", code) or ("conflict", keys)."""
        before = dict(self.cells)
        try:
            if isinstance(operation, Transaction):
                return self.transact(index, operation)
            return self.command(index, operation)
        except Failed as failed:
            self.cells = before
            return failed.args

    def transact(self, index: int, transaction: Transaction) -> object:
        revisions = {key: cell.revision for key in (b"a", b"b", b"c") if (cell := self.alive(key))}
        changed = tuple(key for key, seen in transaction.watched if revisions.get(key, 0) != seen)
        if changed:
            raise Failed("conflict", changed)
        results = []
        for number, command in enumerate(transaction.commands):
            result = self.apply(index, command)
            if isinstance(result, tuple) and transaction.mode is Mode.ATOMIC:
                raise Failed("command_failed", number)
            results.append(result)
        return results

    def command(self, index: int, command: Command) -> object:
        cell = self.alive(command.key) if hasattr(command, "key") else None
        value = cell.value if cell else b""
        forever = float("inf")
        match command:
            case Ping():
                return "PONG"
            case Get():
                return value
            case Strlen():
                return len(value)
            case Set(key, new, ttl_ms, condition):
                if (condition is Condition.IF_MISSING and cell) or (
                    condition is Condition.IF_PRESENT and not cell
                ):
                    return None
                kept = cell.ends_ms if cell else forever
                self.put(key, new, index, {0: forever, -1: kept}.get(ttl_ms, self.now_ms + ttl_ms))
                return "OK"
            case Delete(key):
                if cell:
                    del self.cells[key]
                return value
            case Append(key, more):
                self.put(key, value + more, index, cell.ends_ms if cell else forever)
                return "OK"
            case IncrementBy(key, delta):
                if value not in (b"", b"0") and not value.lstrip(b"-").isdigit():
                    raise Failed("command_failed")
                if cell and (value == b"" or (value != b"0" and value.lstrip(b"-").startswith(b"0"))):
                    raise Failed("command_failed")
                self.put(key, b"%d" % (int(value or b"0") + delta), index, cell.ends_ms if cell else forever)
                return int(value or b"0") + delta
            case Exists(keys):
                return sum(self.alive(key) is not None for key in keys)
            case MultiGet(keys):
                return [cell.value if (cell := self.alive(key)) else None for key in keys]
            case MultiSet(pairs):
                for key, new in pairs:
                    self.put(key, new, index)
                return "OK"
            case GetSet(key, new):
                self.put(key, new, index)
                return value
            case CompareAndSet(key, revision, new):
                if revision != (cell.revision if cell else 0):
                    raise Failed("conflict", (key,))
                self.put(key, new, index)
                return "OK"
            case ExpireAfter(key, ttl_ms):
                if not cell:
                    return 0
                if ttl_ms <= 0:
                    del self.cells[key]
                else:
                    self.put(key, value, index, self.now_ms + ttl_ms)
                return 1
            case Persist(key):
                if not cell or cell.ends_ms == forever:
                    return 0
                self.put(key, value, index)
                return 1
            case TimeToLive():
                if not cell:
                    return -2
                return -1 if cell.ends_ms == forever else -(-int(cell.ends_ms - self.now_ms) // 1000)
            case Keys(prefix):
                return [key for key in self.all_alive() if key.startswith(prefix)]
            case Scan(prefix, after, limit):
                found = [key for key in self.all_alive() if key.startswith(prefix) and key > after][:limit]
                return [part for key in found for part in (key, self.cells[key].value)]
            case DatabaseSize():
                return len(self.all_alive())


def as_model(reply: Any) -> object:
    """A reply of the machine in the words of the model."""
    if isinstance(reply, Conflict):
        return "conflict", reply.keys
    if isinstance(reply, ReplyError):
        place = () if reply.failed_command is None else (reply.failed_command,)
        return reply.code, *place
    if isinstance(reply, Result):
        return as_model(reply.value)
    return [as_model(part) for part in reply] if isinstance(reply, list) else reply


STEPS = st.one_of(
    st.tuples(st.just("advance"), st.sampled_from([1, 49, 50, 999, 1_000, 5_000])),
    st.tuples(st.just("sweep"), st.none()),
    st.tuples(st.just("once"), COMMANDS | TRANSACTIONS),
    st.tuples(st.just("in session"), st.tuples(st.integers(1, 6), COMMANDS | TRANSACTIONS)),
)


@given(st.lists(STEPS, max_size=40))
def test_the_machine_does_what_the_model_does(steps: list[tuple[str, Any]]) -> None:
    database, model = Database(), Model()
    database.run(RegisterSession(SESSION))
    asked: dict[int, Command | Transaction] = {}
    for kind, what in steps:
        model.now_ms = database.now_ms
        if kind == "advance":
            database.now_ms += what
        elif kind == "sweep":
            database.run(Expire())
        elif kind == "once":
            assert as_model(database.run(what)) == model.apply(database.index, what)
        else:
            sequence, operation = what
            repeated = asked.setdefault(sequence, operation)
            reply = database.run(SessionOperation(SESSION, sequence, 1, repeated))
            if sequence not in model.answered:
                model.answered[sequence] = (database.index, model.apply(database.index, repeated))
                assert not isinstance(reply, Repetition)
                assert as_model(reply) == model.answered[sequence][1]
            else:
                assert isinstance(reply, Repetition)
                assert (reply.index, as_model(reply.reply)) == model.answered[sequence]
    model.now_ms = database.now_ms
    for key in (b"a", b"b", b"c"):
        cell = model.alive(key)
        expected = Result(b"", 0) if cell is None else Result(cell.value, cell.revision)
        assert database.run(Get(key)) == expected
    check_books(database.transaction)
