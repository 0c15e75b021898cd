"""Waits that would never end are refused, and no others; the search is bounded."""

import random
from contextlib import suppress
from itertools import pairwise

import pytest

from raftdb.errors import Deadlock, ReplyError
from raftdb.machine.layer import Layer
from raftdb.machine.locks import deadlocks, holding, over
from raftdb.machine.locks.holding import Lock
from raftdb.machine.locks.line import OpenLock
from raftdb.machine.locks.looking import LockInfo
from raftdb.machine.locks.records import LockMode, Wait, owner_in
from raftdb.machine.locks.service import WAITING
from raftdb.machine.operations import WaitingOperation
from raftdb.machine.reply import Result
from raftdb.machine.sessions import CloseSession, RegisterSession
from tests.machine.database import check_books
from tests.machine.office import NOBODY, Office

SHARED, EXCLUSIVE, LIMITED = LockMode.SHARED, LockMode.EXCLUSIVE, LockMode.LIMITED
SESSION = b"s" * 16


@pytest.fixture
def office() -> Office:
    return Office()


def refused(
    office: Office, owner: str, name: bytes, mode: LockMode = EXCLUSIVE
) -> tuple[tuple[str, bytes], ...]:
    """The cycle for which a wait is refused; nothing has changed by it."""
    before = (office.holders(name), office.line(name))
    events = len(office.database.layer.events)
    reply = office.ask(Lock(name, mode, owner=owner.encode()), waits=True)
    assert isinstance(reply, Deadlock), reply
    assert reply.code == "deadlock"
    assert (office.holders(name), office.line(name)) == before
    assert len(office.database.layer.events) == events
    return tuple((who.decode(), lock) for who, lock in reply.cycle)


def test_two_that_wait_for_each_other(office: Office) -> None:
    office.tries("ana", b"1")
    office.tries("budi", b"2")
    assert office.waits("ana", b"2") == 0
    assert refused(office, "budi", b"1") == (("budi", b"1"), ("ana", b"2"))
    office.unlocks("budi", b"2")
    assert office.holders(b"2") == ["ana"]
    assert office.waits("budi", b"1") == 0, "it holds nothing any more"


def test_a_try_waits_for_nobody(office: Office) -> None:
    office.tries("ana", b"1")
    office.tries("budi", b"2")
    office.waits("ana", b"2")
    assert office.tries("budi", b"1") == 0


def test_a_longer_cycle_is_named(office: Office) -> None:
    owners = ["ana", "budi", "citra", "dewi"]
    for number, owner in enumerate(owners):
        office.tries(owner, b"%d" % number)
    for number, owner in enumerate(owners[:-1], start=1):
        office.waits(owner, b"%d" % number)
    cycle = refused(office, "dewi", b"0")
    assert cycle == (("dewi", b"0"), ("ana", b"1"), ("budi", b"2"), ("citra", b"3"))


def test_requests_ahead_in_the_line_are_waited_for(office: Office) -> None:
    """Ana waits for budi, who is before her in the line, and not only for citra, who holds the lock."""
    office.tries("citra", b"1")
    office.tries("ana", b"2")
    office.waits("budi", b"1")
    office.waits("budi", b"2")
    assert refused(office, "ana", b"1") == (("ana", b"1"), ("budi", b"2"))


def test_those_that_share_are_not_in_each_others_way(office: Office) -> None:
    office.tries("citra", b"1")
    office.tries("ana", b"2")
    office.waits("budi", b"1", SHARED)
    office.waits("budi", b"2")
    assert office.waits("ana", b"1", SHARED) == 0
    office.unlocks("citra", b"1")
    assert office.holders(b"1") == ["budi", "ana"]


def test_a_shared_request_waits_for_all_before_an_exclusive_one(office: Office) -> None:
    """Ana waits for dewi, who wants it alone, and so for budi before him."""
    office.tries("citra", b"1")
    office.tries("ana", b"2")
    office.waits("budi", b"1", SHARED)
    office.waits("budi", b"2")
    office.waits("dewi", b"1")
    assert refused(office, "ana", b"1", SHARED) == (("ana", b"1"), ("dewi", b"1"), ("budi", b"2"))


def test_a_shared_request_behind_an_exclusive_one_waits_for_those_that_share(office: Office) -> None:
    office.tries("budi", b"1", SHARED)
    office.tries("ana", b"2")
    office.waits("dewi", b"1")
    office.waits("budi", b"2")
    assert refused(office, "ana", b"1", SHARED) == (("ana", b"1"), ("dewi", b"1"), ("budi", b"2"))


def test_two_upgrades_of_one_lock(office: Office) -> None:
    office.tries("ana", b"1", SHARED)
    office.tries("budi", b"1", SHARED)
    office.waits("ana", b"1")
    assert refused(office, "budi", b"1") == (("budi", b"1"), ("ana", b"1"))
    office.unlocks("budi", b"1")
    assert office.holders(b"1") == ["ana"]


def test_an_upgrade_waits_for_the_others_that_share(office: Office) -> None:
    office.tries("ana", b"1", SHARED)
    office.tries("budi", b"1", SHARED)
    office.tries("ana", b"2")
    office.waits("budi", b"2")
    assert refused(office, "ana", b"1") == (("ana", b"1"), ("budi", b"2"))


def test_those_behind_an_upgrade_wait_for_it(office: Office) -> None:
    office.tries("ana", b"1", SHARED)
    office.tries("budi", b"1", SHARED)
    office.tries("citra", b"2")
    office.waits("citra", b"1")
    office.waits("budi", b"1")
    assert refused(office, "budi", b"2") == (("budi", b"2"), ("citra", b"1"))


def test_locks_with_a_limit_are_outside(office: Office) -> None:
    assert office.tries("ana", b"1", LIMITED, limit=1)
    office.tries("budi", b"2")
    office.waits("ana", b"2")
    assert office.waits("budi", b"1", LIMITED, limit=1) == 0


def test_a_hold_that_is_over_closes_no_cycle(office: Office) -> None:
    office.tries("ana", b"1")
    office.tries("budi", b"2", ttl_ms=1_000)
    office.waits("ana", b"2")
    office.passes(1_001, sweeps=False)
    assert office.waits("budi", b"1") == 0


def test_the_place_of_an_upgrade_counts_though_its_hold_is_over(office: Office) -> None:
    """Ana will have the lock as soon as somebody looks: before budi, who waits behind her."""
    office.tries("ana", b"1", SHARED, ttl_ms=1_000)
    office.tries("citra", b"1", SHARED, ttl_ms=1_000)
    office.waits("budi", b"1")
    office.waits("ana", b"1")
    office.passes(1_001, sweeps=False)
    office.tries("budi", b"2")
    assert refused(office, "ana", b"2", SHARED) == (("ana", b"2"), ("budi", b"1"))


def test_nor_does_what_an_ended_session_waited_for(office: Office) -> None:
    """Citra stands between: budi would wait for her, and she for whoever waits for budi's lock."""
    office.database.run(RegisterSession(SESSION))
    office.tries("budi", b"2")
    office.tries("ana", b"1")
    office.ask(Lock(b"1", owner=b"citra"), SESSION, waits=True)
    office.ask(Lock(b"2", owner=b"citra"), SESSION, waits=True)
    office.database.run(CloseSession(SESSION))
    assert office.waits("budi", b"1") == 0
    office.unlocks("ana", b"1")
    assert office.holders(b"1") == ["budi"]


def test_nor_does_a_place_of_the_owner_who_asks_that_is_gone(office: Office) -> None:
    """Budi stands behind ana, whose session has ended."""
    office.database.run(RegisterSession(SESSION))
    office.tries("citra", b"2")
    office.tries("budi", b"1")
    office.ask(Lock(b"2", owner=b"ana"), SESSION, waits=True)
    office.waits("budi", b"2")
    office.database.run(CloseSession(SESSION))
    assert office.waits("ana", b"1") == 0
    office.unlocks("citra", b"2")
    assert office.holders(b"2") == ["budi"]


def test_with_more_ends_than_are_looked_at_nothing_waits_that_might_be_in_a_cycle(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.tries("ana", b"1")
    office.tries("budi", b"2", ttl_ms=2_000)
    for number in range(3):
        office.tries("citra", b"c%d" % number, ttl_ms=1_000)
    office.waits("ana", b"2")
    office.passes(2_001, sweeps=False)
    with monkeypatch.context() as patch:
        patch.setattr(over, "OVER_MAX", 3)
        reply = office.ask(Lock(b"1", owner=b"budi"), waits=True)
        assert isinstance(reply, ReplyError)
        assert reply.code == "too_large"
    assert office.waits("budi", b"1") == 0


def test_of_owners_whose_request_is_given_up_nobody_waits(office: Office) -> None:
    office.tries("ana", b"1")
    office.tries("budi", b"2")
    office.waits("ana", b"2")
    office.database.run(WAITING.give_up(Lock(b"2", owner=b"ana"), NOBODY))
    assert office.waits("budi", b"1") == 0


def test_what_cannot_be_searched_does_not_wait(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlocks, "VISITED_MAX", 12)
    owners = ["ana", "budi", "citra", "dewi", "eka", "fitri", "gita"]
    for number, owner in enumerate(owners):
        office.tries(owner, b"%d" % number)
    for number, owner in enumerate(owners[:-2], start=1):
        office.waits(owner, b"%d" % number)
    assert len(refused(office, "fitri", b"0")) == 6, (
        "one lock that is held, five owners, and what they wait for"
    )
    office.waits("fitri", b"6")
    reply = office.ask(Lock(b"0", owner=b"gita"), waits=True)
    assert isinstance(reply, ReplyError)
    assert reply.code == "too_large"


def conflicts(one: int, other: int) -> bool:
    return EXCLUSIVE in (one, other)


def waits_for(office: Office, names: list[bytes]) -> dict[str, set[str]]:
    """Who waits for whom, by the definition: those that hold in a way that excludes it, and such requests ahead."""
    modes = {b"exclusive": EXCLUSIVE, b"shared": SHARED}
    graph: dict[str, set[str]] = {}
    for name in names:
        info = office.database.value(LockInfo(name))
        if not isinstance(info, list):
            continue
        ahead = [(holder[0].decode(), modes[holder[1]]) for holder in info[7]]
        for place in info[9]:
            owner, mode = place[0].decode(), modes[place[1]]
            graph.setdefault(owner, set()).update(
                other for other, of in ahead if other != owner and conflicts(of, mode)
            )
            ahead.append((owner, mode))
    return graph


def has_cycle(graph: dict[str, set[str]]) -> bool:
    while ends := [owner for owner, others in graph.items() if not others & set(graph)]:
        for owner in ends:
            del graph[owner]
    return bool(graph)


@pytest.mark.parametrize("first_max", [0, 1_000])
@pytest.mark.parametrize("seed", range(20))
def test_a_wait_is_refused_exactly_if_it_closes_a_cycle(
    office: Office, seed: int, first_max: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random requests against the definition, on a graph that is written down here once more; whether those who wait
    for the owner are looked at first, or not."""
    monkeypatch.setattr(deadlocks, "FIRST_MAX", first_max)
    chance = random.Random(seed)
    owners = [f"o{number}" for number in range(5)]
    names = [b"%d" % number for number in range(4)]
    refusals = 0
    for _ in range(150):
        owner, name = chance.choice(owners), chance.choice(names)
        if chance.random() < 0.3 and owner in office.holders(name):
            office.unlocks(owner, name)
            continue
        command = Lock(name, chance.choice([SHARED, EXCLUSIVE]), owner=owner.encode())
        reply = office.ask(command, waits=True)
        if isinstance(reply, Result):
            assert not has_cycle(waits_for(office, names))
            continue
        assert isinstance(reply, Deadlock)
        refusals += 1
        steps = [owner.decode() for owner, _ in reply.cycle]
        wait_unsearched(office, command)
        graph = waits_for(office, names)
        assert has_cycle(dict(graph))
        assert steps[0] == owner
        assert all(after in graph[before] for before, after in pairwise([*steps, owner]))
        office.database.run(WAITING.give_up(command, NOBODY))
        check_books(office.database.layer)
    assert refusals > 0


def wait_unsearched(office: Office, command: Lock) -> None:
    """Let a request wait unsearched."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(holding, "check_wait", lambda *given: None)
        office.database.applied(WaitingOperation(command))


def looked_up(office: Office, name: bytes, owner: str) -> int:
    """How many records a wait looks at."""
    layer = Layer(office.database.layer)
    OpenLock(layer, name, 1)  # the lock itself is read once
    layer.looked_up = layer.passed = 0
    with suppress(Deadlock):
        deadlocks.check_wait(
            layer, owner_in(b"", owner.encode()), Wait(2**63 + 2**62, EXCLUSIVE, name), 5_000
        )
    return layer.looked_up + layer.passed


def test_a_search_looks_at_two_records_for_each_owner_in_a_chain(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 100
    for number in range(count):
        office.database.applied(Lock(b"%d" % number, owner=b"o%d" % number))
    for number in range(count - 1):
        office.database.applied(WaitingOperation(Lock(b"%d" % (number + 1), owner=b"o%d" % number)))
    office.tries("ana", b"mine")
    office.waits("budi", b"mine")
    few = looked_up(office, b"0", "ana")
    assert few < 2 * deadlocks.FIRST_MAX + 20, "only budi waits for ana"
    for number in range(deadlocks.NEAR_MAX):
        office.database.applied(WaitingOperation(Lock(b"mine", owner=b"b%d" % number)))
    assert few < looked_up(office, b"0", "ana") < 2 * count + 20 + 2 * deadlocks.NEAR_MAX
    monkeypatch.setattr(deadlocks, "NEAR_MAX", 0)
    assert looked_up(office, b"0", f"o{count - 1}") < 2 * count + 20, "the cycle of all of them"


def test_a_cycle_is_searched_once_however_much_of_it_is_over(office: Office) -> None:
    """Budi waits for many who wait for ana, and whose locks are all over."""
    count = 40
    office.tries("ana", b"mine")
    for number in range(count):
        name = b"%d" % number
        office.database.applied(Lock(name, owner=b"o%d" % number, ttl_ms=1_000))
        office.database.applied(WaitingOperation(Lock(name, owner=b"budi")))
        office.database.applied(WaitingOperation(Lock(b"mine", owner=b"o%d" % number)))
    office.tries("budi", b"last")
    office.passes(4_000, sweeps=False)
    assert looked_up(office, b"last", "ana") < 8 * count
    assert office.waits("ana", b"last") == 0


def test_those_that_may_wait_for_who_asks_are_looked_for_within_a_bound(office: Office) -> None:
    """As many owners stand in each of forty lines: far more places than owners."""
    count = 40
    for number in range(count):
        office.database.applied(Lock(b"%d" % number, owner=b"ana"))
        for other in range(count):
            wait_unsearched(office, Lock(b"%d" % number, owner=b"o%d" % other))
    ana, nothing = owner_in(b"", b"ana"), over.Over({}, {}, are_all=True)
    search = deadlocks._Search(office.database.layer, ana, Wait(2**63, EXCLUSIVE, b"x"), nothing, {}, [])
    before = office.database.layer.passed
    assert search._waiting_for_asker() is None
    assert office.database.layer.passed - before < 2 * deadlocks.NEAR_VISITED_MAX


def test_it_passes_by_those_in_a_line_who_wait_nowhere_else(office: Office) -> None:
    office.tries("ana", b"mine")
    office.waits("budi", b"mine")
    office.tries("citra", b"line")
    for number in range(500):
        office.database.applied(WaitingOperation(Lock(b"line", owner=b"o%d" % number)))
    assert looked_up(office, b"line", "ana") < 10
