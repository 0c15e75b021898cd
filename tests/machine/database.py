"""A machine with its log and its clock: what a cluster of one would do, without the cluster."""

from collections import Counter
from dataclasses import replace

from raftdb.commands.answers import shown
from raftdb.errors import ReplyError, required
from raftdb.machine.clock import read_clock
from raftdb.machine.entries import decode, encode, stamp
from raftdb.machine.keyspace import (
    HEADER_BYTES,
    KEY_VALUE_PREFIX,
    NEVER_EXPIRES,
    SESSION_PREFIX,
    decode_header,
    is_bound,
)
from raftdb.machine.layer import Layer
from raftdb.machine.locks.records import (
    Claim,
    LockMode,
    Wait,
    bound_key,
    held_key,
    load_lock,
    load_waits,
    place_key,
    tangled_key,
    unpack_claim,
)
from raftdb.machine.machine import Applied, Machine
from raftdb.machine.operations import Operation, UserOperation
from raftdb.machine.reply import Repetition, Reply, Result
from raftdb.machine.service import Command, Ending, Query, Service
from raftdb.machine.services import ENDINGS, INVENTORIES
from raftdb.machine.session_records import IDLE_SESSIONS, LEASED_SESSIONS, NODE_IDLE_SESSIONS
from raftdb.machine.sessions import CloseSession, RegisterSession, session_count
from raftdb.machine.sweeping import is_pending
from raftdb.machine.values import EXPIRIES, value_count, values_prefix
from tests.machine.queue_books import check_queues
from tests.machine.views import DictionaryView

KEY_VALUE_END = b"{"
"""First key after those of the key-value service."""


class ShowingMachine(Machine):
    """The machine, with its results as people are shown them."""

    def apply(self, index: int, term: int, data: bytes, layer: Layer) -> Applied:
        applied = super().apply(index, term, data, layer)
        return applied._replace(reply=shown_reply(decode(data)[1], applied.reply))

    def read(self, query: Command | Query | UserOperation, view: Layer) -> Result | ReplyError:
        reply = super().read(query, view)
        if isinstance(reply, ReplyError) or isinstance(query, UserOperation):
            return reply
        return shown_result(query, reply)


def shown_reply(operation: Operation, reply: Reply) -> Reply:
    """A reply as people are shown it."""
    if isinstance(reply, Repetition):
        inner = shown_reply(operation, reply.reply)
        assert not isinstance(inner, Repetition)
        return reply._replace(reply=inner)
    return shown_result(operation, reply) if isinstance(reply, Result) else reply


def shown_result(operation: Operation | Query, result: Result) -> Result:
    """A result as people are shown it; of a session that was begun or ended, that this was done."""
    if isinstance(operation, RegisterSession | CloseSession):
        return Result("OK" if result.value is True else result.value, result.revision)
    return Result(shown(operation, result), result.revision)


MACHINE = ShowingMachine()
EVERYTHING = 1 << 30


def bounded(service: Service, **bounds: int) -> tuple[Ending, ...]:
    """What ends, with these bounds for that service in place of its own."""
    return tuple(
        replace(ending, **bounds) if ending is service.ending else ending  # type: ignore[arg-type]
        for ending in ENDINGS
    )


class Database:
    """`now_ms` is the leader's time; every entry is stamped with it."""

    def __init__(self, view: DictionaryView | None = None) -> None:
        self.index = 0
        self.term = 1
        self.now_ms = 0
        self.layer = Layer(view or DictionaryView())

    def run(self, operation: Operation) -> Reply:
        """The reply of the next entry, as people are shown it."""
        return shown_reply(operation, self.applied(operation).reply)

    def applied(self, operation: Operation) -> Applied:
        """What came of the next entry, as the machine says it."""
        self.index += 1
        data = stamp(encode(operation), self.now_ms)
        return Machine().apply(self.index, self.term, data, self.layer)

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
        before = dict(self.layer.changes)
        reply = self.run(operation)
        assert isinstance(reply, ReplyError), reply
        assert changes_but_clock(self.layer.changes) == changes_but_clock(before)
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


def check_books(layer: Layer) -> None:
    """What is kept beside the values and sessions agrees with them, exactly."""
    values = layer.scan(KEY_VALUE_PREFIX, KEY_VALUE_END, limit=EVERYTHING, length=HEADER_BYTES)
    prefix = values_prefix(layer)
    assert value_count(layer) == sum(key.startswith(prefix) for key, _ in values)
    if not is_pending(layer):
        assert value_count(layer) == len(values), "values of earlier generations are left"
    expiring = [(decode_header(record)[2], key[1:]) for key, record in values]
    end_ms = 1 << 62
    assert EXPIRIES.due(layer, end_ms, limit=EVERYTHING) == sorted(
        pair for pair in expiring if pair[0] != NEVER_EXPIRES
    )
    sessions = layer.scan(SESSION_PREFIX, b"t", limit=EVERYTHING)
    check_bound_keys(layer, dict(values), {int.from_bytes(record[:8]) for _, record in sessions})
    assert session_count(layer) == len(sessions)
    for owner, index in enumerate((IDLE_SESSIONS, NODE_IDLE_SESSIONS)):
        idle = index.due(layer, end_ms, limit=EVERYTHING)
        assert sorted(name for _, name in idle) == [
            key[1:]
            for key, record in sessions
            if record[44] == owner and not any(record[45:49]) and not any(record[49:57])
        ]
    leased = LEASED_SESSIONS.due(layer, end_ms, limit=EVERYTHING)
    assert sorted(name for _, name in leased) == [key[1:] for key, record in sessions if any(record[49:57])]
    check_locks(layer)
    for key, record in sessions:
        assert int.from_bytes(record[45:49]) == len(layer.scan(*bound_to(key, record), limit=EVERYTHING))
        replies = layer.scan(b"r" + key[1:], b"r" + key[1:] + b"\xff" * 9, limit=EVERYTHING)
        assert int.from_bytes(record[32:36]) == len(replies)
        assert int.from_bytes(record[36:44]) == sum(len(reply) for _, reply in replies)
    kept = layer.scan(b"r", b"s", limit=EVERYTHING)
    names = [key[1:] for key, _ in sessions]
    assert all(key[1:17] in names for key, _ in kept), "replies of sessions that are gone"
    assert read_clock(layer) < end_ms
    check_queues(layer)
    assert [noted for inventory in INVENTORIES for noted in inventory(layer) if noted.is_wrong] == []


def check_bound_keys(layer: Layer, values: dict[bytes, bytes], sessions: set[int]) -> None:
    """What says which value is bound to which session agrees: with the header of each value, and in both directions.
    Of the values there are, each is bound to a session there is."""
    bound = {key[1:]: int.from_bytes(record) for key, record in layer.scan(b"Q", b"R", limit=EVERYTHING)}
    assert sorted(bound) == sorted(key[1:] for key, record in values.items() if is_bound(record))
    listed = [(int.from_bytes(key[1:9]), key[9:]) for key, _ in layer.scan(b"R", b"S", limit=EVERYTHING)]
    assert listed == sorted((session, name) for name, session in bound.items())
    counts = Counter((session, name[: 1 + name[0]]) for session, name in listed)
    assert counts == {
        (int.from_bytes(key[1:9]), key[9:]): int.from_bytes(record)
        for key, record in layer.scan(b"S", b"T", limit=EVERYTHING)
    }
    generation = values_prefix(layer)[1:]
    assert {session for session, name in listed if name.startswith(generation)} <= sessions


def bound_to(key: bytes, record: bytes) -> tuple[bytes, bytes]:
    """Between which keys that stands which is bound to the session with this key and record."""
    first = b"I" + key[1:] + record[:8]
    return first, first + b"\xff"


def check_locks(layer: Layer) -> None:
    """What is kept of locks agrees, exactly: each record with the holds and places, these with those of their owners,
    and the index with what is to end."""
    everything = {
        prefix: dict(layer.scan(prefix, bytes((prefix[0] + 1,)), limit=EVERYTHING))
        for prefix in (b"i", b"j", b"k", b"l", b"o", b"I", b"J", b"M", b"O")
    }
    holds, places = _claims(everything[b"k"]), _claims(everything[b"j"])
    names = sorted({name for name, _, _ in holds + places})
    assert [key[1:] for key in everything[b"l"]] == names
    waits: dict[bytes, list[Wait]] = {}
    for name, number, claim in places:
        if claim.mode != LockMode.LIMITED:
            waits.setdefault(claim.owner, []).append(Wait(number, claim.mode, name))
    assert {owner: sorted(load_waits(layer, owner)) for owner in waits} == {
        owner: sorted(listed) for owner, listed in waits.items()
    }
    assert len(everything[b"M"]) == len(waits)
    tangled = [wait for listed in waits.values() if len(listed) > 1 for wait in listed]
    assert sorted(everything[b"J"]) == sorted(tangled_key(wait.lock, wait.number) for wait in tangled)
    for name in names:
        lock = required(load_lock(layer, name), "lock")
        held = [claim for of, _, claim in holds if of == name]
        assert (lock.holders, lock.waiting) == (len(held), sum(of == name for of, _, _ in places))
        assert lock.tangled == sum(wait.lock == name for wait in tangled)
        assert all(claim.mode == lock.mode for claim in held)
        assert lock.owner in (b"", held[0].owner if len(held) == 1 else b"")
        assert len(held) <= {LockMode.EXCLUSIVE: 1, LockMode.LIMITED: lock.limit}.get(
            LockMode(lock.mode), len(held)
        )
    assert sorted(everything[b"o"]) == sorted(held_key(claim.owner, name) for name, _, claim in holds)
    assert sorted(everything[b"O"]) == sorted(place_key(claim.owner, name) for name, _, claim in places)
    bound = [bound_key(claim.session, b"h", claim.owner, name) for name, _, claim in holds if claim.session]
    bound += [bound_key(claim.session, b"p", claim.owner, name) for name, _, claim in places if claim.session]
    assert sorted(everything[b"I"]) == sorted(bound)
    leases = {key[9:]: int.from_bytes(key[1:9]) for key in everything[b"i"] if key[9:10] == b"h"}
    assert leases == {
        b"h" + bytes((len(name),)) + name + token.to_bytes(8): claim.ends_ms for name, token, claim in holds
    }


def _claims(records: dict[bytes, bytes]) -> list[tuple[bytes, int, Claim]]:
    return [(key[2:-8], int.from_bytes(key[-8:]), unpack_claim(record)) for key, record in records.items()]
