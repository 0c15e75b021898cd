"""Users, roles and tokens: what changes them, what each lets its holder do, and that nobody else is served."""

import random
from typing import Any, cast

import pytest

from raftdb.errors import ReplyError, RequestRefused
from raftdb.limits import ROLE_GRANTS_MAX, USER_ROLES_MAX, USER_TOKENS_MAX
from raftdb.machine import sessions
from raftdb.machine.batches import MultiGet, MultiSet
from raftdb.machine.connection import Ping
from raftdb.machine.drawing import DrawKey
from raftdb.machine.keys import Clear, Copy, Rename
from raftdb.machine.locks.fencing import Fence
from raftdb.machine.locks.holding import LeaveLine, Lock, Unlock, UnlockOwned
from raftdb.machine.locks.looking import LockInfo, Locks
from raftdb.machine.locks.records import load_lock, owner_in, place_key
from raftdb.machine.locks.service import WAITING
from raftdb.machine.operations import (
    Comparison,
    Expire,
    GuardedOperation,
    Mode,
    Operation,
    Relation,
    SessionOperation,
    TransactionOperation,
    UserOperation,
    WaitingOperation,
)
from raftdb.machine.queues.looking import QueueNames
from raftdb.machine.queues.managing import QueueSet
from raftdb.machine.queues.putting import Enqueue
from raftdb.machine.reply import Repetition, Result
from raftdb.machine.scanning import DatabaseSize, DeletePrefix, Keys, ReadPage, Scan
from raftdb.machine.services import COMMANDS, QUERIES, TABLE
from raftdb.machine.session_records import SessionOwner, load_session
from raftdb.machine.sessions import CloseSession, KeepSession, RegisterSession
from raftdb.machine.strings import FencedSet, Get, Set
from raftdb.machine.users.needs import NEEDS
from raftdb.machine.users.records import load_token, rights_of, users_revision
from raftdb.machine.users.rights import Domain, Grant, Rights, parse_grant
from raftdb.machine.users.service import (
    Presence,
    PutRole,
    PutToken,
    PutUser,
    ReadRoles,
    ReadTokens,
    ReadUsers,
    RemoveRole,
    RemoveToken,
    RemoveUser,
)
from raftdb.machine.waiting import Asker
from tests.machine.database import MACHINE, Database

ROOT, ANA = b"root", b"ana"
SESSION = b"s" * 16
DIGEST = b"d" * 32


class Guarded(Database):
    """A database with an administrator, whose operations are on behalf of a user as of now."""

    def __init__(self) -> None:
        super().__init__()
        self.run(PutUser(ROOT, b"digest", (b"admin",)))

    def by(self, user: bytes, operation: Any) -> UserOperation:
        """An operation on behalf of a user, admitted by a node that has not heard of the last change: it is judged."""
        return UserOperation(user, 1 << 40, operation)

    def admin(self, operation: Any) -> object:
        """What an administrator gets."""
        return self.value(self.by(ROOT, operation))

    def code(self, operation: Operation) -> str:
        """The code of the error of the next entry."""
        return self.failed(operation).code

    def ana_may(self, *grants: bytes) -> None:
        """Have the user `ana` with these grants, and no others."""
        self.admin(PutRole(b"r", grants))
        self.admin(PutUser(ANA, b"", (b"r",)))

    def allows(self, operation: Any) -> bool:
        """Whether `ana` may do it, be it that it fails otherwise."""
        reply = self.run(self.by(ANA, operation))
        return getattr(reply, "code", "") != "forbidden"


@pytest.fixture
def guarded() -> Guarded:
    return Guarded()


def test_a_cluster_without_users_serves_everybody() -> None:
    database = Database()
    assert users_revision(database.layer) == 0
    assert database.value(Set(b"k", b"v")) == "OK"
    assert database.error(PutRole(b"r", ())) == "there are no users yet"
    assert database.error(PutUser(ANA, b"d", ())) == "at least one user has to be an administrator"
    assert database.value(PutUser(ANA, b"d", (b"admin",))) is True
    assert users_revision(database.layer) == database.index


@pytest.mark.parametrize(
    "operation",
    [
        Set(b"k", b"v"),
        Ping(),
        TransactionOperation((Get(b"k"),)),
        GuardedOperation((Fence(b"l", 1),), Ping()),
        SessionOperation(SESSION, 1, 1, Set(b"k", b"v")),
        WaitingOperation(Lock(b"l")),
        RegisterSession(SESSION),
        CloseSession(SESSION),
        PutUser(ANA, b"", (b"admin",)),
        RemoveUser(ROOT),
    ],
    ids=lambda operation: type(operation).__name__,
)
def test_where_there_are_users_nobody_else_is_served(guarded: Guarded, operation: Operation) -> None:
    assert guarded.code(operation) == "unauthenticated"
    assert guarded.code(guarded.by(b"nobody", operation)) == "forbidden"


def test_nodes_go_on_without_being_users(guarded: Guarded) -> None:
    assert guarded.value(Expire()) == 0
    for owner in (b"ana", b"budi"):
        guarded.run(guarded.by(ROOT, WaitingOperation(Lock(b"l", owner=owner))))
    assert guarded.value(LeaveLine(b"l", owner_in(ROOT, b"budi"))) is None
    assert load_lock(guarded.layer, b"l").waiting == 0  # type: ignore[union-attr]
    assert "leave" not in {spec.name for spec in TABLE}, "no client can ask for it"
    assert guarded.run(RegisterSession(SESSION, SessionOwner.NODE)) == Result("OK", None)


def test_a_node_reads_and_resets_the_administrator_and_nothing_else(guarded: Guarded) -> None:
    node = b""
    assert guarded.value(UserOperation(node, 0, PutUser(ROOT, b"another", (b"admin",)))) is True
    assert isinstance(MACHINE.read(UserOperation(node, 0, ReadUsers()), guarded.layer), Result)
    for operation in (Set(b"k", b"v"), RemoveUser(ROOT), PutToken(ROOT, b"t", DIGEST, 0), Lock(b"l")):
        assert guarded.code(UserOperation(node, 0, operation)) == "forbidden"


def test_reads_beside_the_log_are_judged_too(guarded: Guarded) -> None:
    guarded.ana_may(b"read keys a/")
    for query in (Get(b"a/1"), ReadPage(b"a/", b"", 9, True)):
        assert getattr(MACHINE.read(query, guarded.layer), "code", "") == "unauthenticated"
        assert isinstance(MACHINE.read(guarded.by(ANA, query), guarded.layer), Result)
    for refused in (Get(b"b"), ReadPage(b"b", b"", 9, True), ReadUsers(), ReadTokens(ROOT)):
        assert getattr(MACHINE.read(guarded.by(ANA, refused), guarded.layer), "code", "") == "forbidden"
    assert isinstance(MACHINE.read(guarded.by(ROOT, ReadUsers()), guarded.layer), Result)


@pytest.mark.parametrize(
    ("grants", "allowed", "refused"),
    [
        ([], [Ping()], [Get(b"k"), Set(b"k", b""), PutUser(ANA, b"", (b"admin",)), Lock(b"l"), Clear()]),
        (
            [b"read keys a"],
            [Get(b"a"), Get(b"ab"), MultiGet((b"a", b"aa"))],
            [Get(b"b"), Get(b""), Set(b"a", b""), MultiGet((b"a", b"b")), Lock(b"a"), Enqueue(b"a", b"")],
        ),
        (
            [b"write keys a"],
            [Get(b"a"), Set(b"a", b""), Rename(b"a1", b"a2")],
            [Rename(b"a", b"b"), Rename(b"b", b"a"), Copy(b"b", b"a"), Copy(b"a", b"b"), Clear()],
        ),
        ([b"write keys "], [Clear(), Set(b"k", b"")], [Lock(b"l"), Enqueue(b"q", b""), RemoveUser(ROOT)]),
        (
            [b"write keys a", b"read keys b"],
            [Copy(b"b", b"a"), TransactionOperation((Set(b"a", b""), Get(b"b")), ((b"b", 0),))],
            [
                Copy(b"a", b"b"),
                TransactionOperation((Set(b"a", b""), Set(b"b", b""))),
                TransactionOperation((Set(b"a", b""),), ((b"c", 0),)),
                TransactionOperation(
                    (Set(b"a", b""),), (), Mode.REDIS, (Comparison(b"c", Relation.EQUAL, 0),)
                ),
                TransactionOperation(
                    (), (), Mode.REDIS, (Comparison(b"a", Relation.EQUAL, 0),), (Get(b"c"),)
                ),
                SessionOperation(SESSION, 1, 1, TransactionOperation((Get(b"c"),))),
                GuardedOperation((Fence(b"l", 1),), Set(b"a", b"")),
                FencedSet(b"a", b"", b"l", 1),
            ],
        ),
        (
            [b"write queues q", b"write locks l"],
            [
                Enqueue(b"q1", b""),
                Lock(b"l1"),
                WaitingOperation(Lock(b"l1")),
                QueueSet(b"q", ((b"dead_letter", b"q-dead"),)),
            ],
            [
                Enqueue(b"l", b""),
                Lock(b"q"),
                Set(b"q", b""),
                WaitingOperation(Lock(b"m")),
                QueueSet(b"q", ((b"dead_letter", b"d"),)),
            ],
        ),
    ],
    ids=["none", "read", "write", "all keys", "two", "queues and locks"],
)
def test_a_grant_is_for_names_that_begin_so(
    guarded: Guarded, grants: list[bytes], allowed: list[Any], refused: list[Any]
) -> None:
    guarded.ana_may(*grants)
    for operation in allowed:
        assert guarded.allows(operation), operation
    for operation in refused:
        assert guarded.code(guarded.by(ANA, operation)) == "forbidden", operation


def listed_by(guarded: Guarded, operation: Any) -> Any:
    """What `ana` reads beside the log; the code of the error if it is refused."""
    reply = MACHINE.read(guarded.by(ANA, operation), guarded.layer)
    return reply.value if isinstance(reply, Result) else reply.code


def test_lists_have_the_names_that_their_reader_may_read(guarded: Guarded) -> None:
    keys = [b"a", b"app/1", b"app/2", b"apq", b"b", b"shared/x/1", b"shared/y", b"z"]
    for key in keys:
        guarded.admin(Set(key, b"v"))
        guarded.admin(Enqueue(key, b"v"))
        guarded.admin(Lock(key, owner=b"root"))
    guarded.ana_may(b"read keys app/", b"read keys shared/", b"read keys shared/x/", b"read keys app/1")
    seen = [b"app/1", b"app/2", b"shared/x/1", b"shared/y"]
    assert listed_by(guarded, Keys(b"")) == seen
    assert listed_by(guarded, Keys(b"a")) == seen[:2]
    assert listed_by(guarded, Keys(b"app/2")) == seen[1:2]
    assert listed_by(guarded, Keys(b"b")) == "forbidden"
    assert listed_by(guarded, QueueNames()) == listed_by(guarded, Locks()) == "forbidden"
    for after, found in ((b"", seen[:2]), (b"a", seen[:2]), (b"app/1", seen[1:3]), (b"shared/y", [])):
        page = listed_by(guarded, ReadPage(b"", after, 2))
        assert [record.key for record in page.records] == found
        assert page.next_after == (found[-1] if found and found[-1] != seen[-1] else None)
        assert listed_by(guarded, Scan(b"", after, 2))[::2] == found
    guarded.ana_may(b"write queues shared/", b"read locks app", b"read keys ")
    assert listed_by(guarded, QueueNames()) == seen[2:]
    assert listed_by(guarded, QueueNames(b"", b"shared/x/1", 1)) == [b"shared/y"]
    assert [lock[0] for lock in listed_by(guarded, Locks())] == seen[:2]
    assert listed_by(guarded, Keys(b"")) == keys


def test_who_may_write_nothing_gets_no_session(guarded: Guarded) -> None:
    for grants, allowed in (
        ((), False),
        ((b"read keys ",), False),
        ((b"read keys ", b"write locks a"), True),
    ):
        guarded.ana_may(*grants)
        assert guarded.allows(RegisterSession(SESSION)) is allowed
    assert guarded.allows(CloseSession(SESSION))


def test_a_deadlock_names_no_locks_that_its_reader_may_not_read(guarded: Guarded) -> None:
    guarded.ana_may(b"write locks a")
    session = SessionOperation(SESSION, 1, 1, Lock(b"a1", owner=b"worker-2"))
    guarded.run(guarded.by(ANA, RegisterSession(SESSION)))
    guarded.run(guarded.by(ANA, Lock(b"a2", owner=b"worker-2")))
    for lock, owner in ((b"a1", b"worker-1"), (b"hidden", b"worker-3")):
        guarded.admin(Lock(lock, owner=owner))
    for lock, owner in ((b"hidden", b"worker-1"), (b"a2", b"worker-3")):
        guarded.admin(WaitingOperation(Lock(lock, owner=owner)))
    for operation in (Lock(b"a1", owner=b"worker-2"), session, session):
        reply: Any = guarded.run(guarded.by(ANA, WaitingOperation(operation)))
        error: Any = reply.reply if isinstance(reply, Repetition) else reply
        assert (error.code, error.cycle) == ("deadlock", ())
        assert "hidden" not in error.message
        assert "worker" not in error.message
    guarded.admin(PutUser(ANA, b"", (b"admin",)))
    whole: Any = guarded.run(guarded.by(ANA, WaitingOperation(Lock(b"a1", owner=b"worker-2"))))
    assert whole.cycle == ((b"worker-2", b"a1"), (b"worker-1", b"hidden"), (b"worker-3", b"a2"))


def test_owners_of_two_users_are_two_whatever_they_are_called(guarded: Guarded) -> None:
    """Nobody makes a circle of owners of somebody else, nor gives back what another one holds."""
    guarded.ana_may(b"write locks a")
    guarded.admin(Lock(b"hidden", owner=b"worker-3"))
    guarded.run(guarded.by(ANA, Lock(b"a", owner=b"worker-4")))
    guarded.run(guarded.by(ANA, WaitingOperation(Lock(b"a", owner=b"worker-3"))))
    assert guarded.admin(WaitingOperation(Lock(b"hidden", owner=b"worker-4"))) is None
    guarded.admin(Lock(b"a-shared-name", owner=b"worker"))
    assert guarded.run(guarded.by(ANA, Lock(b"a-shared-name", owner=b"worker"))) == Result(None, None)
    assert guarded.run(guarded.by(ANA, UnlockOwned(b"a-shared-name", b"worker"))) == Result(False, None)
    holders = cast(list[Any], guarded.admin(LockInfo(b"a-shared-name")))[7]
    assert [holder[0] for holder in holders] == [b"worker"]


@pytest.mark.parametrize("taken", ["user", "right"])
def test_who_may_not_take_a_lock_any_more_is_passed_over_in_its_line(guarded: Guarded, taken: str) -> None:
    guarded.ana_may(b"write locks a")
    token = cast(list[Any], guarded.admin(Lock(b"a", owner=b"x")))[0]
    for user, owner in ((ANA, b"budi"), (ROOT, b"citra")):
        guarded.run(guarded.by(user, WaitingOperation(Lock(b"a", owner=owner))))
    if taken == "user":
        guarded.admin(RemoveUser(ANA))
    else:
        guarded.ana_may(b"read locks a")
    before = len(guarded.layer.events)
    guarded.admin(Unlock(b"a", token))
    info = cast(list[Any], guarded.admin(LockInfo(b"a")))
    assert ([holder[0] for holder in info[7]], info[9]) == ([b"citra"], [])
    assert place_key(owner_in(ANA, b"budi"), b"a") in guarded.layer.events[before:], "it is told"
    with pytest.raises(ReplyError) as gone:
        WAITING.outcome(guarded.layer, Lock(b"a", owner=b"budi"), Asker(ANA, None))
    assert gone.value.code == "not_found"


def test_a_session_is_there_for_its_user_alone(guarded: Guarded) -> None:
    guarded.ana_may(b"write keys ")
    guarded.admin(RegisterSession(SESSION))
    write = SessionOperation(SESSION, 1, 1, Set(b"k", b"1"))
    for operation in (write, KeepSession(SESSION, 1_000)):
        assert guarded.code(guarded.by(ANA, operation)) == "session_expired"
    assert guarded.code(guarded.by(ANA, RegisterSession(SESSION))) == "command_failed"
    assert guarded.run(guarded.by(ANA, CloseSession(SESSION))) == Result(True, None)
    assert guarded.admin(write) is True


def test_sessions_of_one_user_make_room_for_each_other(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "USER_SESSIONS_MAX", 3)
    guarded.ana_may(b"write keys ")
    guarded.admin(RegisterSession(SESSION))
    names = [b"%016d" % number for number in range(5)]
    for name in names:
        guarded.now_ms += 100_000
        guarded.run(guarded.by(ANA, RegisterSession(name)))
    found = [load_session(guarded.layer, name) is not None for name in (SESSION, *names)]
    assert found == [True, False, False, True, True, True]
    for name in names[2:]:
        guarded.run(guarded.by(ANA, KeepSession(name, 60_000)))
    assert guarded.code(guarded.by(ANA, RegisterSession(names[0]))) == "busy", "leases make room for nobody"
    guarded.run(guarded.by(ANA, CloseSession(names[2])))
    assert guarded.run(guarded.by(ANA, RegisterSession(names[0]))) == Result(True, None)


def test_what_is_not_read_alone_needs_all_names(guarded: Guarded) -> None:
    """A list in a transaction or in a session, what counts, what draws by lot, and what removes."""
    guarded.ana_may(b"write keys app/")
    listing = Keys(b"")
    refused: list[Any] = [
        TransactionOperation((listing,)),
        SessionOperation(SESSION, 1, 1, listing),
        *(DatabaseSize(), DeletePrefix(b""), Clear()),
    ]
    for operation in refused:
        assert guarded.code(guarded.by(ANA, operation)) == "forbidden", operation
    assert listed_by(guarded, DrawKey(b"")) == "forbidden"


def test_a_list_that_comes_through_the_log_is_the_same(guarded: Guarded) -> None:
    guarded.admin(MultiSet(((b"app/1", b"v"), (b"b", b"v"))))
    guarded.ana_may(b"read keys app/")
    admitted = UserOperation(ANA, users_revision(guarded.layer), Keys(b""))
    assert guarded.run(admitted) == Result([b"app/1"], None)


@pytest.mark.parametrize("seed", range(20))
def test_lists_are_those_of_all_names_without_the_others(guarded: Guarded, seed: int) -> None:
    """Random names and grants, in pages of every length, with values whose time is up among them."""
    draw = random.Random(seed)
    names = [bytes(draw.choices(b"ab\xff", k=draw.randint(1, 4))) for _ in range(60)]
    for name in names:
        guarded.admin(Set(name, b"v", draw.choice((0, 0, 0, 1))))
    guarded.now_ms += 5
    prefixes = [bytes(draw.choices(b"ab\xff", k=draw.randint(1, 3))) for _ in range(draw.randint(1, 4))]
    guarded.ana_may(*(b"read keys " + prefix for prefix in prefixes))
    everything: Any = MACHINE.read(guarded.by(ROOT, Keys(b"")), guarded.layer)
    mine = [name for name in everything.value if name.startswith(tuple(prefixes))]
    for limit in (1, 2, 7, 100):
        found: list[bytes] = []
        after: bytes | None = b""
        while after is not None:
            page = listed_by(guarded, ReadPage(b"", after, limit))
            found += [record.key for record in page.records]
            after = page.next_after
        assert found == mine


def test_every_command_and_query_of_names_says_what_it_needs() -> None:
    """What is missing here is for administrators."""
    missing = {kind.__name__ for kind in (*COMMANDS, *QUERIES)} - {kind.__name__ for kind in NEEDS}
    assert missing == {"ReadUsers", "ReadRoles", "ReadTokens"}


def test_what_was_admitted_is_judged_again_once_users_have_changed(guarded: Guarded) -> None:
    guarded.ana_may(b"write keys a")
    admitted = UserOperation(ANA, users_revision(guarded.layer), Set(b"b", b""))
    assert guarded.value(admitted) is True, "its node has judged it by these very users"
    guarded.admin(PutUser(b"budi", b"", ()))
    assert guarded.code(admitted) == "forbidden"
    guarded.admin(RemoveUser(ANA))
    assert guarded.error(UserOperation(ANA, 3, Get(b"a"))) == "the user ana does not exist any more"


def test_a_repeated_request_is_known_again_after_users_have_changed(guarded: Guarded) -> None:
    guarded.ana_may(b"write keys a")
    guarded.run(guarded.by(ANA, RegisterSession(SESSION)))
    write = SessionOperation(SESSION, 1, 1, Set(b"a", b"1"))
    first = guarded.result(UserOperation(ANA, users_revision(guarded.layer), write))
    guarded.admin(PutUser(b"budi", b"", ()))
    again = guarded.run(UserOperation(ANA, 7, write))
    assert isinstance(again, Repetition)
    assert again.reply == first


def test_a_waiting_request_is_the_same_with_a_user_and_without(guarded: Guarded) -> None:
    guarded.admin(Lock(b"l", owner=b"x"))
    assert guarded.run(guarded.by(ROOT, WaitingOperation(Lock(b"l", owner=b"y")))) == Result(None, None)


def test_users_have_roles_that_are_there(guarded: Guarded) -> None:
    assert guarded.code(guarded.by(ROOT, PutUser(ANA, b"d", (b"r",)))) == "not_found"
    guarded.admin(PutRole(b"r", (b"read keys a", b"write locks ", b"read keys a")))
    guarded.admin(PutUser(ANA, b"d", (b"r", b"r")))
    assert listed(guarded, ReadUsers()) == [(ANA, (b"r",), [], True), (ROOT, (b"admin",), [], True)]
    assert listed(guarded, ReadRoles()) == [(b"r", [b"read keys a", b"write locks "])]
    grants = (Grant(Domain.KEYS, b"a", changes=False), Grant(Domain.LOCKS, b"", changes=True))
    assert rights_of(guarded.layer, ANA) == Rights(False, grants)
    guarded.admin(PutRole(b"r", ()))
    assert rights_of(guarded.layer, ANA) == Rights(False, ())
    assert guarded.code(guarded.by(ROOT, RemoveRole(b"r"))) == "conflict", "somebody has it"
    guarded.admin(PutUser(ANA, b"", ()))
    assert guarded.admin(RemoveRole(b"r")) is True
    assert guarded.admin(RemoveRole(b"r")) is False
    assert listed(guarded, ReadUsers())[0] == (ANA, (), [], True), "without a password the old one stays"


def listed(guarded: Guarded, query: ReadUsers | ReadRoles | ReadTokens) -> list[Any]:
    """What an administrator is told."""
    reply = MACHINE.read(guarded.by(ROOT, query), guarded.layer)
    assert isinstance(reply, Result)
    assert isinstance(reply.value, list)
    return reply.value


def test_presence_is_asked_for(guarded: Guarded) -> None:
    new, there = Presence.MISSING, Presence.PRESENT
    assert guarded.code(guarded.by(ROOT, PutUser(ROOT, b"", (b"admin",), new))) == "conflict"
    assert guarded.code(guarded.by(ROOT, PutUser(ANA, b"", (), there))) == "not_found"
    assert guarded.code(guarded.by(ROOT, PutRole(b"r", (), there))) == "not_found"
    guarded.admin(PutRole(b"r", (), new))
    assert guarded.code(guarded.by(ROOT, PutRole(b"r", (), new))) == "conflict"


def test_the_last_administrator_stays(guarded: Guarded) -> None:
    for operation in (RemoveUser(ROOT), PutUser(ROOT, b"", ())):
        assert guarded.code(guarded.by(ROOT, operation)) == "conflict"
    for change in (PutRole(b"admin", ()), RemoveRole(b"admin")):
        assert guarded.code(guarded.by(ROOT, change)) == "command_failed"
    guarded.admin(PutUser(ANA, b"d", (b"admin",)))
    assert guarded.admin(RemoveUser(ROOT)) is True
    assert guarded.code(guarded.by(ANA, RemoveUser(ANA))) == "conflict"


def test_a_token_stands_for_its_user_until_it_ends_with_it(guarded: Guarded) -> None:
    guarded.now_ms = 1_000
    guarded.admin(PutUser(ANA, b"d", ()))
    assert guarded.admin(PutToken(ANA, b"laptop", DIGEST, 500)) == 1_500
    assert guarded.admin(PutToken(ANA, b"job", b"e" * 32, 0)) == 0
    token = load_token(guarded.layer, DIGEST)
    assert token is not None
    assert token == (ANA, b"laptop", 1_000, 1_500)
    assert listed(guarded, ReadTokens(ANA)) == [(ANA, b"job", 1_000, 0), token]
    assert guarded.code(guarded.by(ROOT, PutToken(ANA, b"job", b"f" * 32, 0))) == "conflict"
    assert guarded.code(guarded.by(ROOT, PutToken(b"x", b"job", b"f" * 32, 0))) == "not_found"
    assert guarded.code(guarded.by(ROOT, PutToken(ANA, b"short", b"f", 0))) == "command_failed"
    assert guarded.admin(RemoveToken(ANA, b"job")) is True
    assert guarded.admin(RemoveToken(ANA, b"job")) is False
    assert load_token(guarded.layer, b"e" * 32) is None
    assert guarded.admin(RemoveUser(ANA)) is True
    assert load_token(guarded.layer, DIGEST) is None
    assert guarded.admin(RemoveUser(ANA)) is False


def test_users_see_to_their_own_tokens(guarded: Guarded) -> None:
    """With the password a page gets a token for itself, and gives it back."""
    guarded.ana_may()
    assert guarded.value(guarded.by(ANA, PutToken(ANA, b"page", DIGEST, 500))) == 500
    assert isinstance(MACHINE.read(guarded.by(ANA, ReadTokens(ANA)), guarded.layer), Result)
    assert guarded.value(guarded.by(ANA, RemoveToken(ANA, b"page"))) is True
    for operation in (PutToken(ROOT, b"page", DIGEST, 0), RemoveToken(ROOT, b"page")):
        assert guarded.code(guarded.by(ANA, operation)) == "forbidden"


def test_tokens_that_have_ended_make_room(guarded: Guarded) -> None:
    guarded.admin(PutUser(ANA, b"d", ()))
    for number in range(USER_TOKENS_MAX):
        guarded.admin(PutToken(ANA, b"t%d" % number, b"%032d" % number, 500))
    assert guarded.code(guarded.by(ROOT, PutToken(ANA, b"t", DIGEST, 0))) == "command_failed"
    guarded.now_ms = 500
    guarded.admin(PutToken(ANA, b"t7", DIGEST, 0))
    assert [token.label for token in listed(guarded, ReadTokens(ANA))] == [b"t7"]
    assert load_token(guarded.layer, b"%032d" % 7) is None


def test_every_number_has_a_limit(guarded: Guarded) -> None:
    roles = tuple(b"r%d" % number for number in range(USER_ROLES_MAX + 1))
    grants = tuple(b"read keys %d" % number for number in range(ROLE_GRANTS_MAX + 1))
    for role in roles:
        guarded.admin(PutRole(role, grants[:-1]))
    assert guarded.code(guarded.by(ROOT, PutUser(ANA, b"", roles))) == "command_failed"
    assert guarded.code(guarded.by(ROOT, PutRole(b"r", grants))) == "command_failed"
    assert guarded.code(guarded.by(ROOT, PutUser(ANA, b"p" * 257, ()))) == "command_failed"
    guarded.admin(PutUser(ANA, b"", roles[:-1]))
    for number in range(USER_TOKENS_MAX):
        guarded.admin(PutToken(ANA, b"t%d" % number, b"%032d" % number, 0))
    assert guarded.code(guarded.by(ROOT, PutToken(ANA, b"t", DIGEST, 0))) == "command_failed"


@pytest.mark.parametrize("name", [b"", b"a b", b"a" * 64, b"\xff", b"a\n", b"a/b", b"<b>"])
def test_names_are_plain(guarded: Guarded, name: bytes) -> None:
    for operation in (PutUser(name, b"", ()), PutRole(name, ()), RemoveUser(name), RemoveRole(name)):
        assert guarded.code(guarded.by(ROOT, operation)) == "command_failed"
    assert guarded.code(guarded.by(ROOT, PutToken(ROOT, name, DIGEST, 0))) == "command_failed"


@pytest.mark.parametrize(
    "text", [b"", b"read", b"read keys2 a", b"own keys a", b"READ keys a", b"read  keys a"]
)
def test_what_is_no_grant_is_refused(guarded: Guarded, text: bytes) -> None:
    with pytest.raises(RequestRefused):
        parse_grant(text)
    assert guarded.code(guarded.by(ROOT, PutRole(b"r", (text,)))) == "command_failed"


@pytest.mark.parametrize("text", [b"read keys ", b"write queues a b", b"read locks \x00\xff"])
def test_a_grant_is_written_as_it_was_read(text: bytes) -> None:
    assert parse_grant(text).text == text
    assert parse_grant(b"read keys") == parse_grant(b"read keys ")
