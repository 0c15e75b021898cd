"""A simple model of the database: dictionaries, and the effect of each operation on them.

It replays a committed log from its beginning, and gives the answer of every entry and the final content. The rules are
written here a second time, as plainly as possible, on purpose: the simulator and the tests of the machine compare
`raftdb.machine` with them. Nothing here is fast: a time to live is a comparison, a session is a dictionary of answers,
a transaction works on a copy of everything.
"""

from collections.abc import Callable
from copy import deepcopy
from decimal import Decimal, InvalidOperation, localcontext
from typing import Any

from raftdb.limits import KEYS_LISTED_MAX
from raftdb.machine.batches import DeleteMany, Exists, MultiGet, MultiSet
from raftdb.machine.connection import Ping
from raftdb.machine.counters import IncrementBy, IncrementByDecimal
from raftdb.machine.editing import Append, GetRange, SetRange
from raftdb.machine.expiry import ExpireAfter, GetAndExpire, RemoveExpiry, TimeToLive
from raftdb.machine.integers import INTEGER_MAX, INTEGER_MIN, parse_integer
from raftdb.machine.keys import Clear, Copy, KindOf, Rename
from raftdb.machine.operations import (
    Expire,
    GuardedOperation,
    Mode,
    Operation,
    SessionOperation,
    TransactionOperation,
    WaitingOperation,
)
from raftdb.machine.revisions import CompareAndSet
from raftdb.machine.scanning import DELETED_MAX, DatabaseSize, DeletePrefix, Keys, Scan
from raftdb.machine.service import Command
from raftdb.machine.sessions import CloseSession, KeepSession, RegisterSession
from raftdb.machine.strings import (
    KEEP_TTL,
    PAST_TTL,
    Condition,
    Delete,
    FencedSet,
    Get,
    GetSet,
    Set,
    Strlen,
    unfenced,
)
from raftdb.simulation import editing_rules, expiry_rules, queue_rules
from raftdb.simulation.held_values import HeldValues
from raftdb.simulation.lock_model import LOCK_RULES, Asking, LockModel
from raftdb.simulation.modelled import Failed, Failure, Held, ModelAnswer, Session, is_session_ttl
from raftdb.simulation.queue_model import QueueModel
from raftdb.simulation.queue_rules import QUEUE_COMMANDS


class Model:
    """The whole database. Entries are given to `apply` in order."""

    def __init__(self) -> None:
        self.clock_ms = 0
        self.values = HeldValues()
        """All values that were not deleted. Expired ones may still be in it, and are not visible."""
        self.sessions: dict[bytes, Session] = {}
        self.queues = QueueModel()
        self.locks = LockModel()
        self._asking = Asking()

    def apply(self, index: int, time_ms: int, operation: Operation) -> ModelAnswer:
        """Apply an entry; returns the answer that its proposer must get."""
        self.clock_ms = max(self.clock_ms, time_ms)
        self.queues.begin(index, self.clock_ms)
        self.locks.begin(index, self.clock_ms, self._next_place)
        answer = self._answer(index, operation)
        self._let_idle()
        return answer

    def _let_idle(self) -> None:
        """Sessions to which nothing is bound any more are idle from now on."""
        for name, begun in self.locks.freed:
            session = self.sessions.get(name)
            if session is not None and session.index == begun and not session.ttl_ms:
                session.prolong(self.clock_ms)

    def _next_place(self) -> int:
        self.queues.place += 1
        return self.queues.place - 1

    def _answer(self, index: int, operation: Operation) -> ModelAnswer:
        match operation:
            case Expire():
                self._expire()
                return ModelAnswer(None, index)
            case RegisterSession(name):
                if name not in self.sessions:
                    if not is_session_ttl(operation.ttl_ms):
                        return ModelAnswer(Failure("command_failed"), index)
                    self.sessions[name] = Session(index=index, ttl_ms=operation.ttl_ms)
                self.sessions[name].use(self.clock_ms)
                return ModelAnswer(None, index)
            case KeepSession(name, ttl_ms):
                kept = self.sessions.get(name)
                failure = Failure("session_expired") if kept is None else kept.keep(ttl_ms, self.clock_ms)
                return ModelAnswer(failure, index)
            case CloseSession(name):
                if name in self.sessions:
                    self._end(name)
                return ModelAnswer(None, index)
            case WaitingOperation(inner):
                self._asking = Asking(waits=True)
                answer = self._answer(index, inner)
                self._asking = Asking()
                return answer
            case SessionOperation():
                return self._in_session(index, operation)
        return ModelAnswer(self._execute(index, operation), index)

    def read(self, command: Command) -> Any:
        """The present answer of a command that changes nothing."""
        return self._execute(0, command)

    def visible(self) -> dict[bytes, Held]:
        """The values that have not expired."""
        return {key: held for key, held in self.values.items() if self.find(key) is not None}

    def _expire(self) -> None:
        self.queues.expire()
        self.locks.expire()
        self._let_idle()
        for key in [key for key in self.values if self.find(key) is None]:
            del self.values[key]
        for name, session in list(self.sessions.items()):
            is_held = self.locks.bound((name, session.index)) and not session.ttl_ms
            if session.ends_ms < self.clock_ms and not is_held:
                self._end(name)

    def _in_session(self, index: int, operation: SessionOperation) -> ModelAnswer:
        session = self.sessions.get(operation.session)
        if session is None or operation.sequence < session.acknowledged:
            return ModelAnswer(Failure("session_expired"), index)
        known = session.answers.get(operation.sequence)
        if known is not None and known[0] != operation.operation:
            return ModelAnswer(Failure("command_failed"), index)
        session.use(self.clock_ms)
        session.acknowledged = max(session.acknowledged, operation.acknowledged)
        for sequence in [sequence for sequence in session.answers if sequence < session.acknowledged]:
            del session.answers[sequence]
        if known is not None:
            return known[1]._replace(value=self.queues.recalled(known[0], known[1].value))
        before, self._asking = self._asking, self._asking._replace(session=(operation.session, session.index))
        told = ModelAnswer(self._execute(index, operation.operation), index)
        self._asking = before
        if before.waits and told.value in (None, []):
            # It is asked again under the same number until there is something.
            return told
        session.answers[operation.sequence] = (operation.operation, told)
        return told

    def _end(self, name: bytes) -> None:
        ended = (name, self.sessions.pop(name).index)
        self.locks.close(ended)
        self.values.end_session(ended)

    def _execute(self, index: int, operation: Any) -> Any:
        if isinstance(operation, GuardedOperation):
            if any(map(self._refuses, operation.guards)):
                return Failure("fenced")
            operation = operation.operation
        if isinstance(operation, TransactionOperation):
            return self._transact(index, operation)
        try:
            return self._run(index, operation)
        except Failed as failed:
            return failed.failure

    def _transact(self, index: int, transaction: TransactionOperation) -> Any:
        changed = tuple(
            key
            for key, revision in transaction.watched
            if self._revision(key) != revision
            or (not revision and self.values.came(key, transaction.watched_at))
        )
        if changed:
            return Failure("conflict", changed)
        for position, command in enumerate(transaction.commands):
            if self._refuses(command):
                return Failure("fenced", failed_command=position)
        before = (self.values.copy(), deepcopy(self.queues), self.locks.state())
        results = []
        for position, command in enumerate(transaction.commands):
            try:
                results.append(self._run(index, command))
            except Failed as failed:
                if transaction.mode is Mode.ATOMIC:
                    self.values, self.queues, locks = before
                    self.locks.restore(locks)
                    code = failed.failure.code
                    # A conflict would say that something watched has changed.
                    return Failure("command_failed" if code == "conflict" else code, (), position)
                results.append(failed.failure)
        return results

    def _refuses(self, command: Command) -> bool:
        return self.queues.refuses(command) or self.locks.refuses(command)

    def find(self, key: bytes) -> Held | None:
        """The value of a key, None if there is none."""
        held = self.values.get(key)
        return held if held is not None and (held.ends_ms is None or held.ends_ms >= self.clock_ms) else None

    def _revision(self, key: bytes) -> int:
        held = self.find(key)
        return 0 if held is None else held.revision

    def data(self, key: bytes) -> bytes:
        """The bytes of a value, none if there is none."""
        held = self.find(key)
        return b"" if held is None else held.data

    def _end_of(self, key: bytes) -> int | None:
        held = self.find(key)
        return None if held is None else held.ends_ms

    def change(self, key: bytes, data: bytes, index: int) -> None:
        """Let a value be another, which ends when that did, and with the same session."""
        held = self.find(key) or Held(b"", index)
        self.values[key] = Held(data, index, held.ends_ms, held.session)

    def _with_prefix(self, prefix: bytes) -> list[bytes]:
        return sorted(key for key in self.visible() if key.startswith(prefix))

    def _run(self, index: int, command: Command) -> Any:
        """Run one command. Raises `Failed` before anything was changed."""
        run: Callable[[Model, int, Any], Any] = _RULES[type(command)]
        return run(self, index, command)

    def _set(self, index: int, command: Set) -> Any:
        return "OK" if self._stored(index, command) else None

    def _fenced_set(self, index: int, command: FencedSet) -> Any:
        if self._refuses(command):
            raise Failed(Failure("fenced"))
        return self._set(index, unfenced(command))

    def _stored(self, index: int, command: Set | GetSet) -> bool:
        session = self._asking.session if isinstance(command, Set) and command.binding else None
        if isinstance(command, Set) and command.binding and session is None:
            raise Failed
        if not self._holds(command.condition, command.key):
            return False
        ends_ms = self.clock_ms + command.ttl_ms if command.ttl_ms > 0 else None
        if command.ttl_ms == KEEP_TTL:
            ends_ms = self._end_of(command.key)
        if command.ttl_ms == PAST_TTL:
            self.values.discard(command.key)
        elif session is not None and self.values.is_full(session, beside=command.key):
            raise Failed(Failure("too_large"))
        else:
            self.values[command.key] = Held(command.value, index, ends_ms, session)
        return True

    def _holds(self, condition: Condition, key: bytes) -> bool:
        missing = self.find(key) is None
        return {Condition.IF_MISSING: missing, Condition.IF_PRESENT: not missing}.get(condition, True)

    def _delete(self, index: int, command: Delete) -> Any:
        data = self.data(command.key)
        self.values.discard(command.key)
        return data

    def _increment(self, index: int, command: IncrementBy) -> Any:
        held = self.find(command.key)
        number = 0 if held is None else parse_integer(held.data)
        if number is None or not INTEGER_MIN <= number + command.delta <= INTEGER_MAX:
            raise Failed
        total = number + command.delta
        self.change(command.key, b"%d" % total, index)
        return total

    def _set_many(self, index: int, command: MultiSet) -> Any:
        if not all(self._holds(command.condition, key) for key, _ in command.pairs):
            return None
        for key, value in command.pairs:
            self.values[key] = Held(value, index)
        return "OK"

    def _delete_many(self, index: int, command: DeleteMany) -> Any:
        there = {key for key in command.keys if self.find(key) is not None}
        for key in there:
            del self.values[key]
        return len(there)

    def _increment_by_decimal(self, index: int, command: IncrementByDecimal) -> Any:
        held = self.find(command.key)
        try:
            with localcontext(prec=400):
                total = Decimal("0" if held is None else held.data.decode()) + Decimal(command.delta.decode())
                total = total.quantize(Decimal("1e-17")).normalize()
        except InvalidOperation:
            raise Failed from None
        data = b"0" if total == 0 else f"{total:f}".encode()
        self.change(command.key, data, index)
        return data

    def _clear(self, index: int, command: Clear) -> Any:
        self.values.clear()
        return "OK"

    def _delete_prefix(self, index: int, command: DeletePrefix) -> Any:
        keys = self._with_prefix(command.prefix)[:DELETED_MAX]
        for key in keys:
            del self.values[key]
        return len(keys)

    def _rename(self, index: int, command: Rename | Copy) -> Any:
        held = self.find(command.source)
        moves = isinstance(command, Rename)
        if held is None:
            if moves:
                raise Failed
            return False
        if not self._holds(command.condition, command.target):
            return False
        if command.source != command.target or not moves:
            session = held.session if moves else None
            self.values[command.target] = Held(held.data, index, held.ends_ms, session)
        if moves and command.source != command.target:
            del self.values[command.source]
        return True

    def _get_set(self, index: int, command: GetSet) -> Any:
        data = self.data(command.key)
        self._stored(index, command)
        return data

    def _compare_and_set(self, index: int, command: CompareAndSet) -> Any:
        if self._revision(command.key) != command.revision:
            raise Failed(Failure("conflict", (command.key,)))
        self.values[command.key] = Held(command.value, index)
        return "OK"

    def _keys(self, index: int, command: Keys) -> Any:
        keys = self._with_prefix(command.prefix)
        if len(keys) > KEYS_LISTED_MAX:
            raise Failed
        return keys

    def _scan(self, index: int, command: Scan) -> Any:
        keys = [key for key in self._with_prefix(command.prefix) if key > command.after][: command.limit]
        return [text for key in keys for text in (key, self.data(key))]

    def _get_many(self, index: int, command: MultiGet) -> Any:
        found = [self.find(key) for key in command.keys]
        return [None if held is None else held.data for held in found]


_RULES: dict[type[Command], Callable[[Model, int, Any], Any]] = {
    Ping: lambda model, index, command: "PONG",
    Get: lambda model, index, command: model.data(command.key),
    Strlen: lambda model, index, command: len(model.data(command.key)),
    Exists: lambda model, index, command: sum(model.find(key) is not None for key in command.keys),
    DatabaseSize: lambda model, index, command: len(model.visible()),
    Set: Model._set,
    FencedSet: Model._fenced_set,
    Delete: Model._delete,
    Append: editing_rules.append,
    SetRange: editing_rules.set_range,
    IncrementBy: Model._increment,
    MultiSet: Model._set_many,
    GetSet: Model._get_set,
    CompareAndSet: Model._compare_and_set,
    ExpireAfter: expiry_rules.expire_after,
    RemoveExpiry: expiry_rules.remove_expiry,
    TimeToLive: expiry_rules.time_to_live,
    Keys: Model._keys,
    Scan: Model._scan,
    MultiGet: Model._get_many,
    DeleteMany: Model._delete_many,
    GetAndExpire: expiry_rules.get_and_expire,
    GetRange: editing_rules.get_range,
    IncrementByDecimal: Model._increment_by_decimal,
    Clear: Model._clear,
    DeletePrefix: Model._delete_prefix,
    KindOf: lambda model, index, command: None if model.find(command.key) is None else b"string",
    Rename: Model._rename,
    Copy: Model._rename,
    **{
        command: lambda model, index, command: queue_rules.run(model.queues, command)
        for command in QUEUE_COMMANDS
    },
    **{
        command: lambda model, index, command: model.locks.run(command, model._asking)
        for command in LOCK_RULES
    },
}
"""The effect of each command."""
