"""Locks: who holds one, who waits for it, and how it is handed on."""

import pytest

from raftdb.errors import Conflict, Fenced, ReplyError
from raftdb.limits import (
    LOCK_LINE_MAX,
    OWNER_PLACES_MAX,
    SESSION_BOUND_MAX,
    SESSION_IDLE_MS,
    SESSIONS_MAX,
)
from raftdb.machine import sessions
from raftdb.machine.locks.fencing import Fence
from raftdb.machine.locks.holding import LeaveLine, Lock, Renew, Unlock, UnlockOwned
from raftdb.machine.locks.line import SETTLED_MAX, SHARED_GRANTS_MAX
from raftdb.machine.locks.looking import LockInfo, Locks
from raftdb.machine.locks.records import LockMode, owner_in, place_key
from raftdb.machine.locks.service import WAITING
from raftdb.machine.operations import (
    Expire,
    GuardedOperation,
    Mode,
    SessionOperation,
    TransactionOperation,
    WaitingOperation,
)
from raftdb.machine.reply import Repetition, Result
from raftdb.machine.session_records import SessionOwner, shown_session
from raftdb.machine.sessions import CloseSession, RegisterSession
from raftdb.machine.strings import FencedSet, Get, Set
from tests.machine.database import check_books
from tests.machine.office import NAME, NOBODY, Office

SESSION = b"s" * 16
OTHER = b"t" * 16
SHARED = LockMode.SHARED


@pytest.fixture
def office() -> Office:
    return Office()


def test_a_lock_is_held_by_one_and_its_tokens_grow(office: Office) -> None:
    reply = office.ask(Lock(NAME, owner=b"ana", ttl_ms=5_000))
    assert reply == Result([1 << 16, b"exclusive", 6_000, 5_000], None)
    assert office.tries("budi") == 0
    assert office.line() == []
    office.unlocks("ana")
    assert office.holders() == []
    later = office.tries("budi")
    assert later > 1 << 16
    assert office.tries("citra", b"other") > later


def test_asking_again_finds_the_same_token_and_renews_it(office: Office) -> None:
    token = office.tries("ana", ttl_ms=5_000)
    office.passes(4_000)
    assert office.tries("ana", ttl_ms=20_000) == token
    assert office.left_ms("ana") == 20_000
    office.passes(19_000)
    assert office.holders() == ["ana"]


def test_a_lease_lives_until_its_last_millisecond(office: Office) -> None:
    token = office.tries("ana", ttl_ms=1_000)
    office.passes(1_000)
    assert office.holders() == ["ana"]
    assert office.ask(Fence(NAME, token)) == Result(True, None)
    office.passes(1)
    assert office.holders() == []
    assert office.ask(Fence(NAME, token)) == Result(False, None)


def test_a_lease_that_is_over_is_over_before_it_is_swept(office: Office) -> None:
    token = office.tries("ana", ttl_ms=1_000)
    office.passes(1_001, sweeps=False)
    assert office.ask(Renew(NAME, token)) == Result(False, None)
    assert office.ask(Unlock(NAME, token)) == Result(False, None)
    assert office.ask(Fence(NAME, token)) == Result(False, None)
    assert office.holders() == []
    assert office.database.value(Locks()) == [[NAME, b"exclusive", 0, 0]]
    assert office.tries("budi") > token
    office.passes(0)
    assert office.holders() == ["budi"]


def test_renewing_counts_from_now_and_replaces_what_was_left(office: Office) -> None:
    token = office.tries("ana", ttl_ms=5_000)
    assert office.ask(Renew(NAME, token, 60_000)) == Result(True, None)
    assert office.left_ms("ana") == 60_000
    assert office.ask(Renew(NAME, token, 1_000)) == Result(True, None)
    assert office.left_ms("ana") == 1_000
    assert office.ask(Renew(NAME, token)) == Result(True, None)
    assert office.left_ms("ana") == 1_000
    assert isinstance(office.ask(Renew(NAME, token, 999)), ReplyError)


def test_the_line_is_first_come_first_served_and_handed_on_in_one_entry(office: Office) -> None:
    office.tries("ana")
    for owner in ("budi", "citra", "dewi"):
        assert office.waits(owner) == 0
    assert office.line() == ["budi", "citra", "dewi"]
    for before, after in (("ana", "budi"), ("budi", "citra"), ("citra", "dewi")):
        office.unlocks(before)
        assert office.holders() == [after]
    assert office.line() == []


def test_the_end_of_a_lease_and_the_next_grant_are_one_entry(office: Office) -> None:
    office.tries("ana", ttl_ms=1_000)
    office.waits("budi")
    office.passes(1_001)
    assert office.holders() == ["budi"]


def test_a_grant_to_one_that_waited_is_short_until_it_is_renewed(office: Office) -> None:
    office.tries("ana")
    office.waits("budi", ttl_ms=60_000)
    office.waits("citra", ttl_ms=3_000)
    office.unlocks("ana")
    assert office.left_ms("budi") == 10_000
    assert office.ask(Renew(NAME, office.token("budi"))) == Result(True, None)
    assert office.left_ms("budi") == 60_000
    office.unlocks("budi")
    assert office.left_ms("citra") == 3_000


def test_asking_again_while_waiting_finds_the_same_place(office: Office) -> None:
    office.tries("ana")
    office.waits("budi")
    office.waits("citra")
    assert office.waits("budi") == 0
    assert office.tries("budi") == 0
    assert office.line() == ["budi", "citra"]
    office.unlocks("ana")
    token = office.token("budi")
    assert office.waits("budi") == token


def test_shared_holders_are_many_and_none_overtakes_an_exclusive_request(office: Office) -> None:
    assert office.tries("ana", mode=SHARED)
    assert office.tries("budi", mode=SHARED)
    assert office.waits("citra") == 0
    assert office.tries("dewi", mode=SHARED) == 0
    assert office.waits("dewi", mode=SHARED) == 0
    assert office.waits("eka", mode=SHARED) == 0
    office.unlocks("ana")
    assert office.holders() == ["budi"]
    office.unlocks("budi")
    assert office.holders() == ["citra"]
    office.unlocks("citra")
    assert office.holders() == ["dewi", "eka"]
    assert len({office.token("dewi"), office.token("eka")}) == 2


def test_a_sole_shared_holder_is_upgraded_under_a_new_token(office: Office) -> None:
    shared = office.tries("ana", mode=SHARED)
    office.waits("budi")
    exclusive = office.tries("ana")
    assert exclusive > shared
    assert office.holders() == ["ana"]
    assert office.ask(Unlock(NAME, shared)) == Result(False, None)
    assert office.tries("ana", mode=SHARED) == exclusive, "it keeps the exclusive hold"


def test_an_upgrade_with_others_goes_to_the_front_of_the_line(office: Office) -> None:
    for owner in ("ana", "budi"):
        office.tries(owner, mode=SHARED)
    office.waits("citra")
    assert office.tries("ana") == 0
    assert office.line() == ["citra"]
    assert office.waits("ana") == 0
    assert office.line() == ["ana", "citra"]
    assert office.holders() == ["ana", "budi"], "it shares the lock meanwhile"
    office.unlocks("budi")
    assert office.holders() == ["ana"]
    assert office.line() == ["citra"]
    assert office.ask(Fence(NAME, office.token("ana"))) == Result(True, None)


def test_an_upgrade_whose_shared_hold_is_over_still_waits_at_the_front(office: Office) -> None:
    office.tries("ana", mode=SHARED, ttl_ms=1_000)
    office.tries("budi", mode=SHARED)
    office.waits("citra")
    office.waits("ana")
    office.passes(1_001)
    assert office.holders() == ["budi"]
    assert office.waits("budi") != 0, "budi is alone, and overtakes nobody by that"


def test_a_later_upgrade_is_before_one_that_shares_nothing_any_more(office: Office) -> None:
    """Ana waits for the hold of budi: he could not wait behind her."""
    office.tries("ana", mode=SHARED, ttl_ms=1_000)
    for owner in ("budi", "citra"):
        office.tries(owner, mode=SHARED)
    office.waits("ana")
    office.passes(1_001)
    office.waits("budi")
    assert office.line() == ["budi", "ana"]


def test_one_that_waits_to_share_and_asks_for_more_goes_to_the_end(office: Office) -> None:
    office.tries("ana")
    office.waits("budi", mode=SHARED)
    office.waits("citra", mode=SHARED)
    office.waits("budi")
    assert office.line() == ["citra", "budi"]
    office.waits("budi", mode=SHARED)
    assert office.line() == ["citra", "budi"]


def test_one_that_waits_for_it_alone_and_then_asks_to_share_gets_it_alone(office: Office) -> None:
    office.tries("ana", ttl_ms=1_000)
    office.waits("budi")
    office.passes(1_001, sweeps=False)
    assert office.waits("budi", mode=SHARED) != 0
    assert (office.holders(), office.line()) == (["budi"], [])


def test_a_limit_admits_so_many(office: Office) -> None:
    limited = LockMode.LIMITED
    for owner in ("ana", "budi"):
        assert office.tries(owner, mode=limited, limit=2)
    assert office.tries("citra", mode=limited, limit=2) == 0
    office.waits("citra", mode=limited, limit=2)
    conflict = office.ask(Lock(NAME, limited, 3, owner=b"dewi"))
    assert isinstance(conflict, Conflict)
    assert isinstance(office.ask(Lock(NAME, owner=b"dewi")), Conflict)
    office.unlocks("ana")
    assert sorted(office.holders()) == ["budi", "citra"]
    office.unlocks("budi")
    office.unlocks("citra")
    assert office.tries("dewi", mode=limited, limit=3)


@pytest.mark.parametrize("limit", [0, 1_000_001])
def test_bad_requests_are_refused(office: Office, limit: int) -> None:
    for command in (
        Lock(b"", owner=b"a"),
        Lock(b"n" * 201, owner=b"a"),
        Lock(NAME),
        Lock(NAME, owner=b"o" * 101),
        Lock(NAME, ttl_ms=999, owner=b"a"),
        Lock(NAME, ttl_ms=86_400_001, owner=b"a"),
        Lock(NAME, LockMode.LIMITED, limit, owner=b"a"),
        Lock(NAME, LockMode.SHARED, 2, owner=b"a"),
        Renew(b"n" * 201, 1),
        Unlock(b"", 1),
        Fence(b"n" * 300, 1),
        LockInfo(b"n" * 300),
        LeaveLine(NAME, b""),
        UnlockOwned(NAME, b"o" * 101),
        Locks(b"n" * 201),
        Locks(b"", b"", 1_001),
    ):
        assert isinstance(office.ask(command), ReplyError)


def test_giving_up_a_place_lets_the_next_ones_in(office: Office) -> None:
    office.tries("ana", mode=SHARED)
    office.waits("budi")
    office.waits("citra", mode=SHARED)
    assert office.ask(LeaveLine(NAME, owner_in(b"", b"budi"))) == Result(None, None)
    assert office.holders() == ["ana", "citra"]


def test_giving_up_a_place_that_was_served_answers_the_grant(office: Office) -> None:
    office.tries("ana")
    office.waits("budi")
    office.unlocks("ana")
    reply = office.ask(LeaveLine(NAME, owner_in(b"", b"budi")))
    assert isinstance(reply, Result)
    assert isinstance(reply.value, list)
    assert reply.value[0] == office.token("budi")
    assert office.holders() == ["budi"]
    assert office.ask(LeaveLine(NAME, owner_in(b"", b"nobody"))) == Result(None, None)


def test_an_owner_may_give_back_all_that_it_has(office: Office) -> None:
    office.tries("ana", mode=SHARED)
    office.tries("budi", mode=SHARED)
    office.waits("ana")
    assert office.ask(UnlockOwned(NAME, b"ana")) == Result(True, None)
    assert (office.holders(), office.line()) == (["budi"], [])
    assert office.ask(UnlockOwned(NAME, b"ana")) == Result(False, None)


def test_who_waits_is_told_by_the_change_of_its_place(office: Office) -> None:
    office.tries("ana")
    office.waits("budi")
    office.waits("citra")
    budi, citra = (Lock(NAME, owner=owner) for owner in (b"budi", b"citra"))
    layer = office.database.layer
    assert WAITING.outcome(layer, budi, NOBODY) is None
    assert [name for name, _ in WAITING.places(layer, b"", 10)] == sorted(
        WAITING.place(command, NOBODY) for command in (budi, citra)
    )
    before = len(layer.events)
    office.unlocks("ana")
    told = [event for event in layer.events[before:] if event[:1] == b"O"]
    assert told == [place_key(owner_in(b"", b"budi"), NAME)]
    outcome = WAITING.outcome(layer, budi, NOBODY)
    assert outcome is not None
    assert outcome == office.ask(LeaveLine(NAME, owner_in(b"", b"budi")))
    ((_, give_up),) = WAITING.places(layer, b"", 10)
    assert give_up == WAITING.give_up(citra, NOBODY) == LeaveLine(NAME, owner_in(b"", b"citra"))
    office.ask(give_up)
    with pytest.raises(ReplyError) as gone:
        WAITING.outcome(layer, citra, NOBODY)
    assert gone.value.code == "not_found"


def test_many_that_share_are_served_over_several_entries(office: Office) -> None:
    office.tries("ana")
    office.database.run(Expire())
    count = SHARED_GRANTS_MAX + 20
    for number in range(count):
        operation = WaitingOperation(Lock(NAME, SHARED, owner=b"%05d" % number))
        office.database.applied(operation)
    token = office.token("ana")
    office.database.applied(Unlock(NAME, token))
    check_books(office.database.layer)
    info = office.database.value(LockInfo(NAME))
    assert isinstance(info, list)
    assert (info[3], info[5]) == (SHARED_GRANTS_MAX, 20)
    assert office.tries("late", mode=SHARED) == 0, "nobody overtakes those that are yet to be served"
    office.passes(2)
    info = office.database.value(LockInfo(NAME))
    assert isinstance(info, list)
    assert (info[3], info[5]) == (count, 0)


def test_many_holders_whose_time_is_over_make_room(office: Office) -> None:
    for number in range(SETTLED_MAX):
        office.database.applied(Lock(NAME, SHARED, 0, 1_000, b"%d" % number))
    office.passes(1_001, sweeps=False)
    assert office.tries("ana")
    assert office.holders() == ["ana"]


class TestInASession:
    @pytest.fixture
    def office(self) -> Office:
        made = Office()
        made.database.run(RegisterSession(SESSION))
        return made

    def test_the_session_is_the_owner(self, office: Office) -> None:
        assert isinstance(office.ask(Lock(NAME), SESSION), Result)
        assert office.holders() == [shown_session(SESSION)]
        assert office.tries("ana") == 0

    def test_a_repetition_has_the_same_token(self, office: Office) -> None:
        operation = SessionOperation(SESSION, 1, 1, Lock(NAME))
        first = office.database.applied(operation).reply
        again = office.database.applied(operation).reply
        assert isinstance(again, Repetition)
        assert again.reply == first

    def test_nothing_is_kept_while_it_waits(self, office: Office) -> None:
        """The same sequence gets the token in the end."""
        office.tries("ana")
        operation = SessionOperation(SESSION, 1, 1, Lock(NAME))
        assert office.database.applied(WaitingOperation(operation)).reply == Result(None, None)
        assert office.line() == [shown_session(SESSION)]
        office.unlocks("ana")
        reply = office.database.applied(WaitingOperation(operation)).reply
        assert isinstance(reply, Result)
        assert isinstance(reply.value, list)
        assert reply.value[0] == office.token(shown_session(SESSION))

    def test_closing_it_gives_all_back_at_once(self, office: Office) -> None:
        office.ask(Lock(NAME), SESSION)
        office.ask(Lock(b"second", owner=b"ana"), SESSION)
        office.waits("budi", b"second")
        office.tries("citra", b"third")
        office.ask(Lock(b"third"), SESSION, waits=True)
        office.database.run(CloseSession(SESSION))
        check_books(office.database.layer)
        assert [office.holders(name) for name in (NAME, b"second", b"third")] == [[], [], ["citra"]]
        assert office.line(b"third") == []
        assert office.tries("dewi"), "what is over is over before it is swept"
        office.passes(2)
        assert office.holders(b"second") == ["budi"]
        assert office.holders() == ["dewi"]

    def test_a_session_that_has_ended_waits_for_nothing(self, office: Office) -> None:
        """Hazard B68: it is looked at in the same apply that grants."""
        office.tries("ana")
        office.ask(Lock(NAME), SESSION, waits=True)
        office.waits("budi")
        office.database.run(CloseSession(SESSION))
        office.unlocks("ana")
        assert office.holders() == ["budi"]

    def test_many_are_given_back_over_several_entries(self, office: Office) -> None:
        names = [b"%04d" % number for number in range(250)]
        for number, name in enumerate(names, start=1):
            office.database.applied(SessionOperation(SESSION, number, number, Lock(name)))
        office.database.run(CloseSession(SESSION))
        for _ in range(3):
            office.passes(2)
        assert office.database.value(Locks(limit=1_000)) == []
        assert not office.database.layer.scan(b"I", b"J", limit=1)

    def test_one_that_holds_or_waits_does_not_idle_out(self, office: Office) -> None:
        office.database.run(RegisterSession(OTHER))
        office.ask(Lock(NAME, ttl_ms=86_400_000), SESSION)
        office.passes(3 * SESSION_IDLE_MS)
        assert office.holders() == [shown_session(SESSION)]
        reply = office.ask(Unlock(NAME, office.token(shown_session(SESSION))), SESSION)
        assert reply == Result(True, None)
        office.passes(3 * SESSION_IDLE_MS)
        assert isinstance(office.ask(Get(b"k"), SESSION), ReplyError)

    def test_nor_does_it_make_room(self, office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
        assert SESSIONS_MAX > 2
        monkeypatch.setattr(sessions, "SESSIONS_MAX", 2)
        office.ask(Lock(NAME), SESSION)
        office.database.run(RegisterSession(OTHER))
        office.ask(Lock(b"other"), OTHER)
        refused = office.database.run(RegisterSession(b"u" * 16))
        assert isinstance(refused, ReplyError)
        assert refused.code == "busy"
        office.ask(UnlockOwned(NAME, shown_session(SESSION).encode()))
        assert isinstance(office.database.run(RegisterSession(b"u" * 16)), Result)
        assert office.holders(b"other") == [shown_session(OTHER)]

    def test_the_session_of_a_node_owns_nothing(self, office: Office) -> None:
        office.database.run(RegisterSession(OTHER, SessionOwner.NODE))
        assert isinstance(office.ask(Lock(NAME), OTHER), ReplyError)
        office.ask(Lock(NAME, owner=b"ana"), OTHER)
        office.database.run(CloseSession(OTHER))
        assert office.holders() == ["ana"]

    def test_it_has_so_many_at_most(self, office: Office) -> None:
        for number in range(SESSION_BOUND_MAX):
            operation = SessionOperation(SESSION, number + 1, number + 1, Lock(b"%d" % number))
            assert isinstance(office.database.applied(operation).reply, Result)
        operation = SessionOperation(SESSION, 2_000, 2_000, Lock(NAME))
        reply = office.database.applied(operation).reply
        assert isinstance(reply, ReplyError)
        assert reply.code == "too_large"

    def test_nor_does_it_take_over_more(self, office: Office) -> None:
        for number in range(SESSION_BOUND_MAX):
            operation = SessionOperation(SESSION, number + 1, number + 1, Lock(b"%d" % number))
            assert isinstance(office.database.applied(operation).reply, Result)
        office.tries("ana")
        office.waits("budi")
        for sequence, owner in ((2_000, b"ana"), (2_001, b"budi")):
            operation = SessionOperation(SESSION, sequence, sequence, Lock(NAME, owner=owner))
            reply = office.database.applied(WaitingOperation(operation)).reply
            assert isinstance(reply, ReplyError)
            assert reply.code == "too_large"
        again = SessionOperation(SESSION, 2_002, 2_002, Lock(b"5"))
        assert isinstance(office.database.applied(again).reply, Result), "what it has it may renew"
        assert (office.holders(), office.line()) == (["ana"], ["budi"])
        check_books(office.database.layer)

    def test_a_lock_belongs_to_the_session_in_which_it_was_asked_for_last(self, office: Office) -> None:
        office.database.run(RegisterSession(OTHER))
        office.ask(Lock(NAME, owner=b"ana"), SESSION)
        office.ask(Lock(NAME, owner=b"ana"), OTHER)
        office.database.run(CloseSession(SESSION))
        assert office.holders() == ["ana"]
        office.ask(Lock(NAME, owner=b"ana"))
        office.database.run(CloseSession(OTHER))
        assert office.holders() == []


class TestInATransaction:
    @pytest.mark.parametrize("mode", Mode)
    @pytest.mark.parametrize("kind", [Renew, Unlock, Fence])
    def test_a_token_that_is_over_refuses_the_whole(
        self, office: Office, mode: Mode, kind: type[Renew | Unlock | Fence]
    ) -> None:
        token = office.tries("ana", ttl_ms=1_000)
        transaction = TransactionOperation((Set(b"k", b"v"), kind(NAME, token)), (), mode)
        reply = office.database.run(transaction)
        assert isinstance(reply, Result)
        if kind is Unlock:
            token = office.tries("ana", ttl_ms=1_000)
        office.passes(1_001, sweeps=False)
        late = TransactionOperation((Set(b"k", b"late"), kind(NAME, token)), (), mode)
        error = office.database.failed(late)
        assert isinstance(error, Fenced)
        assert error.failed_command == 1
        assert office.database.value(Get(b"k")) == b"v"

    def test_a_shared_token_passes_only_where_it_is_said(self, office: Office) -> None:
        token = office.tries("ana", mode=SHARED)
        assert isinstance(office.database.failed(TransactionOperation((Fence(NAME, token),))), Fenced)
        assert office.database.value(TransactionOperation((Fence(NAME, token, SHARED),))) == [1]
        alone = office.tries("ana")
        assert office.database.value(TransactionOperation((Fence(NAME, alone, SHARED),))) == [1]

    @pytest.mark.parametrize("mode", Mode)
    def test_a_set_under_a_fence_refuses_the_whole_too(self, office: Office, mode: Mode) -> None:
        token = office.tries("ana")
        fenced = FencedSet(b"k", b"v", NAME, token)
        assert office.database.value(fenced) == "OK"
        assert office.database.value(TransactionOperation((Set(b"l", b"v"), fenced), (), mode)) == [
            "OK",
            "OK",
        ]
        office.unlocks("ana")
        assert isinstance(office.database.failed(fenced), Fenced)
        assert isinstance(
            office.database.failed(TransactionOperation((Set(b"l", b"w"), fenced), (), mode)), Fenced
        )

    def test_guards_stand_before_what_they_guard(self, office: Office) -> None:
        token = office.tries("ana")
        guards = (Fence(NAME, token),)
        assert office.database.result(GuardedOperation(guards, Set(b"k", b"v"))).revision == 2
        both = GuardedOperation(guards, TransactionOperation((Set(b"k", b"w"), Unlock(NAME, token))))
        assert office.database.value(both) == ["OK", 1]
        error = office.database.failed(both)
        assert isinstance(error, Fenced)
        assert error.failed_command is None
        assert isinstance(office.database.failed(GuardedOperation(guards, Get(b"k"))), Fenced)

    def test_locks_are_taken_and_given_back_with_what_else_is_done(self, office: Office) -> None:
        first = office.tries("ana")
        office.waits("budi")
        commands = (Set(b"k", b"v"), Unlock(NAME, first), Lock(b"next", owner=b"ana"), Unlock(NAME, first))
        results = office.database.value(TransactionOperation(commands, (), Mode.ATOMIC))
        assert isinstance(results, list)
        assert (results[0], results[1], results[3]) == ("OK", 1, 0)
        assert office.holders() == ["budi"]
        assert results[2][0] == office.token("ana", b"next") > office.token("budi")
        check_books(office.database.layer)

    def test_nobody_waits_in_one(self, office: Office) -> None:
        office.tries("ana")
        assert office.database.value(TransactionOperation((Lock(NAME, owner=b"budi"),))) == [None]
        assert office.line() == []

    def test_what_is_undone_is_undone_of_locks_too(self, office: Office) -> None:
        token = office.tries("ana")
        office.waits("budi")
        undone = TransactionOperation((Unlock(NAME, token), Set(b"", b"v")), (), Mode.ATOMIC)
        office.database.failed(undone)
        assert (office.holders(), office.line()) == (["ana"], ["budi"])


def test_lines_and_owners_have_limits(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    assert LOCK_LINE_MAX == 10_000
    assert OWNER_PLACES_MAX == 1_000
    from raftdb.machine.locks import holding

    monkeypatch.setattr(holding, "LOCK_LINE_MAX", 2)
    monkeypatch.setattr(holding, "OWNER_PLACES_MAX", 1)
    office.tries("ana")
    office.tries("ana", b"other")
    office.waits("budi")
    office.waits("citra")
    line = office.ask(Lock(NAME, owner=b"dewi"), waits=True)
    places = office.ask(Lock(b"other", owner=b"budi"), waits=True)
    assert [getattr(reply, "code", "") for reply in (line, places)] == ["too_large"] * 2


def test_locks_are_listed_page_by_page(office: Office) -> None:
    for name in (b"a", b"b", b"c", b"x"):
        office.tries("ana", name)
    office.waits("budi", b"b")
    exclusive = b"exclusive"
    assert office.database.value(Locks(limit=2)) == [[b"a", exclusive, 1, 0], [b"b", exclusive, 1, 1]]
    assert office.database.value(Locks(after=b"b")) == [[b"c", exclusive, 1, 0], [b"x", exclusive, 1, 0]]
    assert office.database.value(Locks(b"x", b"a")) == [[b"x", exclusive, 1, 0]]
    assert office.database.value(LockInfo(b"nobody")) is None
