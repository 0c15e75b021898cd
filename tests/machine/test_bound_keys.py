"""Keys that are bound to a session: gone with it, and free of it once they are written without it."""

import pytest

from raftdb.commands.spec import parse, unparse
from raftdb.errors import ReplyError, RequestRefused
from raftdb.limits import SESSION_IDLE_MS, SESSION_KEYS_MAX
from raftdb.machine import sessions
from raftdb.machine.batches import DeleteMany, MultiSet
from raftdb.machine.counters import IncrementBy, IncrementByDecimal
from raftdb.machine.editing import Append, SetRange
from raftdb.machine.expiry import ExpireAfter, GetAndExpire, RemoveExpiry
from raftdb.machine.keys import Clear, Copy, Rename
from raftdb.machine.operations import Expire, Mode, SessionOperation, TransactionOperation
from raftdb.machine.reply import Result
from raftdb.machine.revisions import CompareAndSet
from raftdb.machine.scanning import DatabaseSize, DeletePrefix, Keys
from raftdb.machine.service import Command
from raftdb.machine.session_records import IDLE_GRAIN_MS, SessionOwner
from raftdb.machine.sessions import CloseSession, RegisterSession
from raftdb.machine.strings import KEEP_TTL, Binding, Condition, Delete, FencedSet, Get, GetSet, Set
from raftdb.machine.sweeping import is_pending
from raftdb.simulation.model import Model
from tests.machine.database import MACHINE, Database, check_books

ANA, BUDI = b"a" * 16, b"b" * 16


class Room:
    """A database in which Ana and Budi have sessions, as the machine and the model have it."""

    def __init__(self) -> None:
        self.database = Database()
        self.database.now_ms = 1_000
        self.model = Model()
        self._sequence = 0
        for session in (ANA, BUDI):
            self.run(RegisterSession(session))

    def run(self, operation: object, session: bytes | None = None) -> object:
        """The reply of an operation, in a session or not. Afterwards the model has the same keys."""
        if session is not None:
            self._sequence += 1
            operation = SessionOperation(session, self._sequence, self._sequence, operation)  # type: ignore[arg-type]
        reply = self.database.run(operation)  # type: ignore[arg-type]
        self.model.apply(self.database.index, self.database.now_ms, operation)  # type: ignore[arg-type]
        check_books(self.database.layer)
        assert self.there() == sorted(self.model.visible())
        return reply

    def binds(self, key: bytes, session: bytes = ANA, **more: int) -> None:
        """Let a session bind a key."""
        command = Set(key, b"1", binding=Binding.SESSION, **more)  # type: ignore[arg-type]
        assert self.run(command, session) == Result("OK", self.database.index)

    def there(self) -> list[bytes]:
        """All keys."""
        reply = MACHINE.read(Keys(b""), self.database.layer)
        assert isinstance(reply, Result)
        assert isinstance(reply.value, list)
        return reply.value

    def ends(self, session: bytes = ANA) -> None:
        """Close a session."""
        self.run(CloseSession(session))


@pytest.fixture
def room() -> Room:
    return Room()


def test_a_bound_key_is_gone_in_the_entry_in_which_its_session_is_closed(room: Room) -> None:
    room.binds(b"k")
    room.binds(b"other", BUDI)
    room.run(Set(b"free", b"1"), ANA)
    room.ends()
    assert room.there() == [b"free", b"other"]
    assert room.database.value(DatabaseSize()) == 2
    room.ends(BUDI)
    assert room.there() == [b"free"]


def test_a_later_session_of_the_same_name_is_another(room: Room) -> None:
    room.binds(b"k")
    room.ends()
    room.run(Set(b"k", b"1"))
    room.run(RegisterSession(ANA))
    room.ends()
    assert room.there() == [b"k"]


def test_a_bound_key_keeps_no_session_from_idling_out(room: Room) -> None:
    room.binds(b"k")
    room.database.now_ms += SESSION_IDLE_MS + IDLE_GRAIN_MS + 1
    room.run(Expire())
    assert room.there() == []


def test_nor_from_making_room_for_another(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    room.binds(b"k")
    monkeypatch.setattr(sessions, "SESSIONS_MAX", 2)
    # The model knows of no such limit.
    room.database.run(RegisterSession(b"c" * 16))
    check_books(room.database.layer)
    assert room.database.value(Get(b"k")) == b""


def test_who_has_no_session_cannot_bind(room: Room) -> None:
    bound = Set(b"k", b"1", binding=Binding.SESSION)
    for operation in (bound, TransactionOperation((bound,), mode=Mode.ATOMIC)):
        error = room.run(operation)
        assert isinstance(error, ReplyError)
        assert "there is none" in error.message
    room.database.run(RegisterSession(b"n" * 16, SessionOwner.NODE))
    # A node passes on what others ask for, who have no session.
    assert isinstance(room.database.run(SessionOperation(b"n" * 16, 1, 1, bound)), ReplyError)
    assert room.there() == []


UNBOUND: dict[str, Command] = {
    "set": Set(b"k", b"2"),
    "set, keeping its end": Set(b"k", b"2", KEEP_TTL),
    "set, if it is there": Set(b"k", b"2", condition=Condition.IF_PRESENT),
    "getset": GetSet(b"k", b"2"),
    "mset": MultiSet(((b"k", b"2"), (b"l", b"2"))),
    "cas": CompareAndSet(b"k", 3, b"2"),
    "copied over": Copy(b"free", b"k", Condition.ALWAYS),
    "renamed over": Rename(b"free", b"k"),
}


@pytest.mark.parametrize("command", UNBOUND.values(), ids=UNBOUND)
def test_a_key_that_is_written_anew_is_bound_no_more(room: Room, command: Command) -> None:
    room.binds(b"k")
    room.run(Set(b"free", b"2"))
    # Also if the session itself does so.
    room.run(command, ANA)
    room.ends()
    assert b"k" in room.there()


STILL_BOUND: dict[str, Command] = {
    "set, if it is missing": Set(b"k", b"2", condition=Condition.IF_MISSING),
    "append": Append(b"k", b"2"),
    "setrange": SetRange(b"k", 0, b"2"),
    "incr": IncrementBy(b"k", 1),
    "incrbyfloat": IncrementByDecimal(b"k", b"0.5"),
    "expire": ExpireAfter(b"k", 5_000),
    "getex": GetAndExpire(b"k", 5_000),
    "persist": RemoveExpiry(b"k"),
    "renamed to itself": Rename(b"k", b"k"),
    "copied": Copy(b"k", b"copy"),
}


@pytest.mark.parametrize("command", STILL_BOUND.values(), ids=STILL_BOUND)
def test_a_value_that_is_changed_in_place_stays_bound(room: Room, command: Command) -> None:
    room.binds(b"k", ttl_ms=60_000)
    room.run(command)
    assert b"k" in room.there()
    room.ends()
    assert b"k" not in room.there()


def test_the_binding_moves_with_a_value_that_is_renamed_and_a_copy_has_none(room: Room) -> None:
    room.binds(b"k")
    room.binds(b"target", BUDI)
    room.run(Copy(b"k", b"copy"))
    room.run(Rename(b"k", b"target"))
    room.ends(BUDI)
    assert room.there() == [b"copy", b"target"]
    room.ends()
    assert room.there() == [b"copy"]


def test_a_key_is_bound_to_the_session_that_wrote_it_last(room: Room) -> None:
    room.binds(b"k")
    room.binds(b"k", BUDI)
    room.ends()
    assert room.there() == [b"k"]
    room.ends(BUDI)
    assert room.there() == []


@pytest.mark.parametrize(
    "command", [Delete(b"k"), DeleteMany((b"k",)), DeletePrefix(b""), Clear(), ExpireAfter(b"k", 0)]
)
def test_a_key_that_is_removed_leaves_no_binding(room: Room, command: Command) -> None:
    room.binds(b"k")
    room.run(command)
    room.run(Set(b"k", b"2"))
    room.ends()
    assert room.there() == [b"k"]
    while is_pending(room.database.layer):
        room.run(Expire())
    assert not room.database.layer.scan(b"Q", b"T", limit=1)


def test_a_bound_value_whose_time_is_up_leaves_none_either(room: Room) -> None:
    room.binds(b"swept", ttl_ms=50)
    room.binds(b"over", ttl_ms=50)
    room.database.now_ms += 51
    room.run(IncrementBy(b"over", 1))
    room.run(Expire())
    room.ends()
    assert room.there() == [b"over"]
    assert not room.database.layer.scan(b"Q", b"T", limit=1)


def test_a_transaction_binds_and_an_undone_one_does_not(room: Room) -> None:
    bound = Set(b"k", b"1", binding=Binding.SESSION)
    room.run(TransactionOperation((bound, IncrementBy(b"k", 1))), ANA)
    failing = TransactionOperation(
        (Set(b"l", b"x", binding=Binding.SESSION), IncrementBy(b"l", 1)), mode=Mode.ATOMIC
    )
    room.run(failing, ANA)
    assert room.there() == [b"k"]
    room.ends()
    assert room.there() == []


def test_a_key_that_was_gone_with_its_session_has_changed(room: Room) -> None:
    """For who has seen it, and for who has seen it missing before."""
    seen_at = room.database.index
    room.binds(b"k")
    revision = room.database.index
    room.ends()
    for watched, watched_at in ((revision, room.database.index), (0, seen_at)):
        reply = room.run(TransactionOperation((), ((b"k", watched),), watched_at=watched_at))
        assert isinstance(reply, ReplyError)
        assert reply.code == "conflict"


def test_the_keys_of_a_session_have_a_limit(room: Room) -> None:
    database = room.database
    for number in range(SESSION_KEYS_MAX):
        command = Set(b"%04d" % number, b"", binding=Binding.SESSION)
        database.run(SessionOperation(ANA, number + 1, number + 1, command))
    again = Set(b"0000", b"again", binding=Binding.SESSION)
    more = Set(b"more", b"", binding=Binding.SESSION)
    after = SESSION_KEYS_MAX + 1
    assert database.run(SessionOperation(ANA, after, after, again)) == Result("OK", database.index)
    error = database.run(SessionOperation(ANA, after + 1, after + 1, more))
    assert isinstance(error, ReplyError)
    assert error.code == "too_large"
    database.run(Delete(b"0001"))
    assert database.run(SessionOperation(ANA, after + 2, after + 2, more)) == Result("OK", database.index)
    # All of them end in one entry.
    database.run(CloseSession(ANA))
    check_books(database.layer)
    assert database.value(Keys(b"")) == []


def test_how_it_is_spelt() -> None:
    words = [b"k", b"v", b"px", b"50", b"session", b"nx", b"fence", b"l", b"7"]
    command = parse("set", words)
    assert command == FencedSet(b"k", b"v", b"l", 7, 50, Condition.IF_MISSING, Binding.SESSION)
    assert parse(*unparse(command)) == command
    assert unparse(parse("set", [b"k", b"v", b"SESSION"])) == ("set", [b"k", b"v", b"SESSION"])
    with pytest.raises(RequestRefused):
        parse("set", [b"k", b"v", b"SESSION", b"SESSION"])
