"""A simple model of the database: dictionaries, and the effect of each operation on them.

It replays a committed log from its beginning, and gives the answer of every entry and the final content. The rules are
written here a second time, as plainly as possible, on purpose: the simulator and the tests of the machine compare
`raftdb.machine` with them. Nothing here is fast: a time to live is a comparison, a session is a dictionary of answers,
a transaction works on a copy of everything.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation, localcontext
from typing import Any

from raftdb.limits import KEYS_LISTED_MAX, SESSION_IDLE_MS
from raftdb.machine.batches import DeleteMany, Exists, MultiGet, MultiSet
from raftdb.machine.connection import Ping
from raftdb.machine.counters import IncrementBy, IncrementByDecimal
from raftdb.machine.editing import Append, GetRange, SetRange
from raftdb.machine.expiry import ExpireAfter, ExpiryCondition, GetAndExpire, RemoveExpiry, TimeToLive
from raftdb.machine.integers import INTEGER_MAX, INTEGER_MIN, parse_integer
from raftdb.machine.keys import Clear, Copy, KindOf, Rename
from raftdb.machine.operations import Expire, Mode, Operation, SessionOperation, TransactionOperation
from raftdb.machine.revisions import CompareAndSet
from raftdb.machine.scanning import DELETED_MAX, DatabaseSize, DeletePrefix, Keys, Scan
from raftdb.machine.service import Command
from raftdb.machine.sessions import IDLE_GRAIN_MS, CloseSession, RegisterSession
from raftdb.machine.strings import KEEP_TTL, PAST_TTL, Condition, Delete, Get, GetSet, Set, Strlen
from raftdb.simulation import queue_rules
from raftdb.simulation.modelled import Failed, Failure, ModelAnswer
from raftdb.simulation.queue_model import QueueModel
from raftdb.simulation.queue_rules import QUEUE_COMMANDS


@dataclass(slots=True)
class Held:
    """A value: its bytes, the index of the entry that last changed it, and when it expires (None: never)."""

    data: bytes
    revision: int
    ends_ms: int | None = None


@dataclass(slots=True)
class Session:
    """A session: the kept answers by sequence, with their operations; and the last moment of its life."""

    ends_ms: int
    acknowledged: int = 1
    answers: dict[int, tuple[Any, ModelAnswer]] = field(default_factory=dict)


class Model:
    """The whole database. Entries are given to `apply` in order."""

    def __init__(self) -> None:
        self.clock_ms = 0
        self.values: dict[bytes, Held] = {}
        """All values that were not deleted. Expired ones may still be in it, and are not visible."""
        self.sessions: dict[bytes, Session] = {}
        self.queues = QueueModel()

    def apply(self, index: int, time_ms: int, operation: Operation) -> ModelAnswer:
        """Apply an entry; returns the answer that its proposer must get."""
        self.clock_ms = max(self.clock_ms, time_ms)
        self.queues.begin(index, self.clock_ms)
        match operation:
            case Expire():
                self._expire()
                return ModelAnswer(None, index)
            case RegisterSession(name):
                if name in self.sessions:
                    self._used(self.sessions[name])
                else:
                    self.sessions[name] = Session(self.clock_ms + SESSION_IDLE_MS + IDLE_GRAIN_MS)
                return ModelAnswer(None, index)
            case CloseSession(name):
                self.sessions.pop(name, None)
                return ModelAnswer(None, index)
            case SessionOperation():
                return self._in_session(index, operation)
        return ModelAnswer(self._execute(index, operation), index)

    def read(self, command: Command) -> Any:
        """The present answer of a command that changes nothing."""
        return self._execute(0, command)

    def visible(self) -> dict[bytes, Held]:
        """The values that have not expired."""
        return {key: held for key, held in self.values.items() if self._find(key) is not None}

    def _expire(self) -> None:
        self.queues.expire()
        self.values = {key: held for key, held in self.values.items() if self._find(key) is not None}
        self.sessions = {
            name: session for name, session in self.sessions.items() if session.ends_ms >= self.clock_ms
        }

    def _in_session(self, index: int, operation: SessionOperation) -> ModelAnswer:
        session = self.sessions.get(operation.session)
        if session is None or operation.sequence < session.acknowledged:
            return ModelAnswer(Failure("session_expired"), index)
        known = session.answers.get(operation.sequence)
        if known is not None and known[0] != operation.operation:
            return ModelAnswer(Failure("command_failed"), index)
        self._used(session)
        session.acknowledged = max(session.acknowledged, operation.acknowledged)
        for sequence in [sequence for sequence in session.answers if sequence < session.acknowledged]:
            del session.answers[sequence]
        if known is not None:
            return known[1]._replace(value=self.queues.recalled(known[0], known[1].value))
        told = ModelAnswer(self._execute(index, operation.operation), index)
        session.answers[operation.sequence] = (operation.operation, told)
        return told

    def _used(self, session: Session) -> None:
        """Let a session live on. Its end is moved in steps of `IDLE_GRAIN_MS`."""
        if session.ends_ms < self.clock_ms + SESSION_IDLE_MS:
            session.ends_ms = self.clock_ms + SESSION_IDLE_MS + IDLE_GRAIN_MS

    def _execute(self, index: int, operation: Any) -> Any:
        if isinstance(operation, TransactionOperation):
            return self._transact(index, operation)
        try:
            return self._run(index, operation)
        except Failed as failed:
            return failed.failure

    def _transact(self, index: int, transaction: TransactionOperation) -> Any:
        changed = tuple(key for key, revision in transaction.watched if self._revision(key) != revision)
        if changed:
            return Failure("conflict", changed)
        for position, command in enumerate(transaction.commands):
            if self.queues.refuses(command):
                return Failure("fenced", failed_command=position)
        before = (deepcopy(self.values), deepcopy(self.queues))
        results = []
        for position, command in enumerate(transaction.commands):
            try:
                results.append(self._run(index, command))
            except Failed as failed:
                if transaction.mode is Mode.ATOMIC:
                    self.values, self.queues = before
                    return Failure("command_failed", failed_command=position)
                results.append(failed.failure)
        return results

    def _find(self, key: bytes) -> Held | None:
        held = self.values.get(key)
        return held if held is not None and (held.ends_ms is None or held.ends_ms >= self.clock_ms) else None

    def _revision(self, key: bytes) -> int:
        held = self._find(key)
        return 0 if held is None else held.revision

    def _data(self, key: bytes) -> bytes:
        held = self._find(key)
        return b"" if held is None else held.data

    def _end_of(self, key: bytes) -> int | None:
        held = self._find(key)
        return None if held is None else held.ends_ms

    def _with_prefix(self, prefix: bytes) -> list[bytes]:
        return sorted(key for key in self.visible() if key.startswith(prefix))

    def _run(self, index: int, command: Command) -> Any:
        """Run one command. Raises `Failed` before anything was changed."""
        run: Callable[[Model, int, Any], Any] = _RULES[type(command)]
        return run(self, index, command)

    def _set(self, index: int, command: Set) -> Any:
        return "OK" if self._stored(index, command) else None

    def _stored(self, index: int, command: Set | GetSet) -> bool:
        if not self._holds(command.condition, command.key):
            return False
        ends_ms = self.clock_ms + command.ttl_ms if command.ttl_ms > 0 else None
        if command.ttl_ms == KEEP_TTL:
            ends_ms = self._end_of(command.key)
        if command.ttl_ms == PAST_TTL:
            self.values.pop(command.key, None)
        else:
            self.values[command.key] = Held(command.value, index, ends_ms)
        return True

    def _holds(self, condition: Condition, key: bytes) -> bool:
        missing = self._find(key) is None
        return {Condition.IF_MISSING: missing, Condition.IF_PRESENT: not missing}.get(condition, True)

    def _delete(self, index: int, command: Delete) -> Any:
        data = self._data(command.key)
        self.values.pop(command.key, None)
        return data

    def _append(self, index: int, command: Append) -> Any:
        data, ends_ms = self._data(command.key) + command.value, self._end_of(command.key)
        self.values[command.key] = Held(data, index, ends_ms)
        return "OK"

    def _set_range(self, index: int, command: SetRange) -> Any:
        data, ends_ms = self._data(command.key), self._end_of(command.key)
        if command.value:
            padding = bytes(max(0, command.offset - len(data)))
            behind = data[command.offset + len(command.value) :]
            data = data[: command.offset] + padding + command.value + behind
            self.values[command.key] = Held(data, index, ends_ms)
        return len(data)

    def _get_range(self, index: int, command: GetRange) -> Any:
        data = self._data(command.key)
        places = [end if end >= 0 else max(0, end + len(data)) for end in (command.first, command.last)]
        if command.last < command.first < 0:
            return b""
        return b"".join(data[place : place + 1] for place in range(places[0], min(len(data), places[1] + 1)))

    def _increment(self, index: int, command: IncrementBy) -> Any:
        held = self._find(command.key)
        number = 0 if held is None else parse_integer(held.data)
        if number is None or not INTEGER_MIN <= number + command.delta <= INTEGER_MAX:
            raise Failed
        total = number + command.delta
        self.values[command.key] = Held(b"%d" % total, index, self._end_of(command.key))
        return total

    def _set_many(self, index: int, command: MultiSet) -> Any:
        if not all(self._holds(command.condition, key) for key, _ in command.pairs):
            return None
        for key, value in command.pairs:
            self.values[key] = Held(value, index)
        return "OK"

    def _delete_many(self, index: int, command: DeleteMany) -> Any:
        there = {key for key in command.keys if self._find(key) is not None}
        for key in there:
            del self.values[key]
        return len(there)

    def _increment_by_decimal(self, index: int, command: IncrementByDecimal) -> Any:
        held = self._find(command.key)
        try:
            with localcontext(prec=400):
                total = Decimal("0" if held is None else held.data.decode()) + Decimal(command.delta.decode())
                total = total.quantize(Decimal("1e-17")).normalize()
        except InvalidOperation:
            raise Failed from None
        data = b"0" if total == 0 else f"{total:f}".encode()
        self.values[command.key] = Held(data, index, self._end_of(command.key))
        return data

    def _clear(self, index: int, command: Clear) -> Any:
        self.values = {}
        return "OK"

    def _delete_prefix(self, index: int, command: DeletePrefix) -> Any:
        keys = self._with_prefix(command.prefix)[:DELETED_MAX]
        for key in keys:
            del self.values[key]
        return len(keys)

    def _rename(self, index: int, command: Rename | Copy) -> Any:
        held = self._find(command.source)
        moves = isinstance(command, Rename)
        if held is None:
            if moves:
                raise Failed
            return False
        if not self._holds(command.condition, command.target):
            return False
        if command.source != command.target or not moves:
            self.values[command.target] = Held(held.data, index, held.ends_ms)
        if moves and command.source != command.target:
            del self.values[command.source]
        return True

    def _get_set(self, index: int, command: GetSet) -> Any:
        data = self._data(command.key)
        self._stored(index, command)
        return data

    def _compare_and_set(self, index: int, command: CompareAndSet) -> Any:
        if self._revision(command.key) != command.revision:
            raise Failed(Failure("conflict", (command.key,)))
        self.values[command.key] = Held(command.value, index)
        return "OK"

    def _expire_after(self, index: int, command: ExpireAfter) -> Any:
        held = self._find(command.key)
        if held is None or not self._may_end(held.ends_ms, command):
            return 0
        if command.ttl_ms <= 0:
            del self.values[command.key]
        else:
            self.values[command.key] = Held(held.data, index, self.clock_ms + command.ttl_ms)
        return 1

    def _may_end(self, ends_ms: int | None, command: ExpireAfter) -> bool:
        new_ms, forever = self.clock_ms + command.ttl_ms, float("inf")
        match command.condition:
            case ExpiryCondition.IF_IT_STAYS | ExpiryCondition.IF_IT_ENDS as condition:
                return (ends_ms is None) is (condition is ExpiryCondition.IF_IT_STAYS)
            case ExpiryCondition.IF_LATER:
                return new_ms > (forever if ends_ms is None else ends_ms)
            case ExpiryCondition.IF_EARLIER_END:
                return ends_ms is not None and new_ms < ends_ms
            case ExpiryCondition.IF_EARLIER:
                return new_ms < (forever if ends_ms is None else ends_ms)
        return True

    def _get_and_expire(self, index: int, command: GetAndExpire) -> Any:
        held = self._find(command.key)
        if held is None:
            return None
        ends_ms = self.clock_ms + command.ttl_ms if command.ttl_ms > 0 else None
        if command.ttl_ms == PAST_TTL:
            del self.values[command.key]
        elif ends_ms != held.ends_ms:
            self.values[command.key] = Held(held.data, index, ends_ms)
        return held.data

    def _remove_expiry(self, index: int, command: RemoveExpiry) -> Any:
        held = self._find(command.key)
        if held is None or held.ends_ms is None:
            return 0
        self.values[command.key] = Held(held.data, index)
        return 1

    def _time_to_live(self, index: int, command: TimeToLive) -> Any:
        held = self._find(command.key)
        if held is None:
            return -2
        return -1 if held.ends_ms is None else -(-(held.ends_ms - self.clock_ms) // 1000)

    def _keys(self, index: int, command: Keys) -> Any:
        keys = self._with_prefix(command.prefix)
        if len(keys) > KEYS_LISTED_MAX:
            raise Failed
        return keys

    def _scan(self, index: int, command: Scan) -> Any:
        keys = [key for key in self._with_prefix(command.prefix) if key > command.after][: command.limit]
        return [text for key in keys for text in (key, self._data(key))]

    def _get_many(self, index: int, command: MultiGet) -> Any:
        found = [self._find(key) for key in command.keys]
        return [None if held is None else held.data for held in found]


_RULES: dict[type[Command], Callable[[Model, int, Any], Any]] = {
    Ping: lambda model, index, command: "PONG",
    Get: lambda model, index, command: model._data(command.key),
    Strlen: lambda model, index, command: len(model._data(command.key)),
    Exists: lambda model, index, command: sum(model._find(key) is not None for key in command.keys),
    DatabaseSize: lambda model, index, command: len(model.visible()),
    Set: Model._set,
    Delete: Model._delete,
    Append: Model._append,
    SetRange: Model._set_range,
    IncrementBy: Model._increment,
    MultiSet: Model._set_many,
    GetSet: Model._get_set,
    CompareAndSet: Model._compare_and_set,
    ExpireAfter: Model._expire_after,
    RemoveExpiry: Model._remove_expiry,
    TimeToLive: Model._time_to_live,
    Keys: Model._keys,
    Scan: Model._scan,
    MultiGet: Model._get_many,
    DeleteMany: Model._delete_many,
    GetAndExpire: Model._get_and_expire,
    GetRange: Model._get_range,
    IncrementByDecimal: Model._increment_by_decimal,
    Clear: Model._clear,
    DeletePrefix: Model._delete_prefix,
    KindOf: lambda model, index, command: None if model._find(command.key) is None else b"string",
    Rename: Model._rename,
    Copy: Model._rename,
    **{
        command: lambda model, index, command: queue_rules.run(model.queues, command)
        for command in QUEUE_COMMANDS
    },
}
"""The effect of each command."""
