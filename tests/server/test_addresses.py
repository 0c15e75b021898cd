"""Where members are: the configuration, what they say of themselves, and who writes it down."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace

import pytest

from raftdb.core.events import NewAddress, UpdateAddresses
from raftdb.core.membership import Configuration
from raftdb.core.model import Member, Role
from raftdb.endpoint import Endpoint, RedisAddresses
from raftdb.errors import Fatal, Unavailable
from raftdb.server.addresses import (
    STRANGERS_MAX,
    AddressBook,
    AddressKeeper,
    OwnAddress,
    own_address,
    without_clashes,
)
from raftdb.server.config import BadSetting, Settings, load
from raftdb.server.facts import ADDRESS_FACT
from storage import MemoryLogStore
from tests.addresses import at
from tests.node.views import view_of

HERE = at("127.0.0.1:8004")
THERE = at("127.0.0.1:9004")
N4 = Member("n4", HERE)
MEMBERS = {"n2": at("10.0.0.2:1"), "n3": at("10.0.0.3:1")}


def book(members: Mapping[str, Endpoint] = MEMBERS, **given: Endpoint) -> AddressBook:
    made = AddressBook(given)
    made.members = dict(members)
    return made


class TestBook:
    def test_members_are_dialled_where_the_configuration_says(self) -> None:
        assert book().wanted(["n2"]) == {"n2": (at("10.0.0.2:1"),), "n3": (at("10.0.0.3:1"),)}
        assert book().of("n9") is None

    def test_who_says_that_it_has_moved_is_dialled_there_first(self) -> None:
        known = book()
        known.stated("n2", at("10.0.0.9:1"))
        assert known.take_news("n2")
        known.stated("n2", at("10.0.0.9:1"))
        assert not known.take_news("n2"), "it is no news any more"
        assert known.wanted(["n2"])["n2"] == (at("10.0.0.9:1"), at("10.0.0.2:1"))
        known.stated("n2", at("10.0.0.8:1"))
        known.stated("n2", at("10.0.0.8:1"))
        assert known.of("n2") == at("10.0.0.8:1")
        assert known.take_news("n2"), "it was not asked for in between"
        assert not known.take_news("n2")
        assert known.wanted([])["n2"] == (at("10.0.0.8:1"), at("10.0.0.2:1")), "also while its link is down"

    def test_what_the_configuration_says_later_counts(self) -> None:
        known = book()
        known.stated("n2", at("10.0.0.9:1"))
        known.members = {**MEMBERS, "n2": at("10.0.0.9:1")}
        assert known.of("n2") == at("10.0.0.9:1")
        known.members = {**MEMBERS, "n2": at("10.0.0.7:1")}
        assert known.of("n2") == at("10.0.0.7:1")
        assert known.moved() == {}

    def test_what_the_configuration_says_later_may_have_been_written_earlier(self) -> None:
        """A follower that was away gets the entries of the moves that it has missed from a leader that has moved again
        since: its answers would go nowhere, and nobody could be elected."""
        known = book()
        known.stated("n2", at("10.0.0.9:1"))
        known.members = {**MEMBERS, "n2": at("10.0.0.7:1")}
        assert known.candidates("n2") == (at("10.0.0.7:1"), at("10.0.0.9:1"))
        known.stated("n2", at("10.0.0.9:1"))
        assert known.candidates("n2") == (at("10.0.0.9:1"), at("10.0.0.7:1")), "it says so still"
        assert known.moved() == {"n2": at("10.0.0.9:1")}

    def test_where_somebody_says_that_the_members_are_is_tried_before_the_configuration(self) -> None:
        known = book(n2=at("10.0.0.3:1"), n3=at("10.0.0.2:1"))
        assert known.wanted([]) == {
            "n2": (at("10.0.0.3:1"), at("10.0.0.2:1")),
            "n3": (at("10.0.0.2:1"), at("10.0.0.3:1")),
        }
        known.stated("n2", at("10.0.0.4:1"))
        assert known.of("n2") == at("10.0.0.4:1"), "its own word counts more"

    def test_who_answered_in_the_place_of_another_is_dialled_there_too(self) -> None:
        known = book()
        assert known.sighted("n3", at("10.0.0.2:1"))
        assert not known.sighted("n3", at("10.0.0.2:1"))
        assert not known.sighted("n7", at("10.0.0.2:1")), "it is no member"
        known.stated("n7", at("10.0.0.7:1"))
        assert not known.sighted("n3", at("10.0.0.7:1")), "where no member can be somebody may lie"
        assert known.candidates("n3") == (at("10.0.0.3:1"), at("10.0.0.2:1"))
        assert known.moved() == {}, "only its own word is written down"

    @pytest.mark.parametrize("members", [{}, MEMBERS])
    def test_who_dials_a_node_that_does_not_know_it_is_dialled_back(
        self, members: dict[str, Endpoint]
    ) -> None:
        """A node that joins knows nobody, or only members of long ago, until it has the log of its unknown leader."""
        known = book(members)
        known.stated("n7", at("10.0.0.7:1"))
        expected = {peer: (address,) for peer, address in members.items()}
        assert known.wanted(["n7"]) == {**expected, "n7": (at("10.0.0.7:1"),)}
        assert known.wanted([]) == expected, "not for longer than it dials"
        assert known.of("n7") == at("10.0.0.7:1")

    def test_who_has_said_nothing_cannot_be_dialled_back(self) -> None:
        assert list(book().wanted(["n7"])) == ["n2", "n3"]

    def test_a_leader_that_is_being_removed_still_gets_its_answers(self) -> None:
        """Who has the entry that removes it must acknowledge it, or it is never committed."""
        known = book()
        known.stated("n2", MEMBERS["n2"])
        known.members = {"n3": MEMBERS["n3"]}
        assert list(known.wanted(["n2", "n3"])) == ["n2", "n3"]
        assert list(known.wanted(["n3"])) == ["n3"]

    def test_strangers_do_not_fill_the_book(self) -> None:
        known = book()
        known.stated("n2", at("10.0.0.9:1"))
        for number in range(3 * STRANGERS_MAX):
            known.stated(f"s{number}", at("10.0.0.1:1"))
        assert [f"s{number}" for number in range(3 * STRANGERS_MAX) if known.of(f"s{number}")] == [
            f"s{number}" for number in range(2 * STRANGERS_MAX, 3 * STRANGERS_MAX)
        ]
        assert [f"s{number}" for number in range(3 * STRANGERS_MAX) if known.take_news(f"s{number}")] == [
            f"s{number}" for number in range(2 * STRANGERS_MAX, 3 * STRANGERS_MAX)
        ], "nor with what is new of them"
        assert known.take_news("n2")
        assert known.moved() == {"n2": at("10.0.0.9:1")}


def test_of_moves_to_one_address_only_one_is_made() -> None:
    members = {"n1": at("a:1"), "n2": at("b:1"), "n3": at("c:1")}
    swapped = {"n1": at("b:1"), "n2": at("a:1")}
    assert without_clashes(swapped, members) == swapped
    assert without_clashes({"n1": at("b:1")}, members) == {}
    assert without_clashes({"n1": at("d:1"), "n2": at("d:1")}, members) == {"n2": at("d:1")}
    assert without_clashes({"n1": at("b:1"), "n2": at("c:1")}, members) == {}


class World:
    """A keeper, its node's state, and what came of it."""

    def __init__(self, own: OwnAddress, *members: Member, redis: Endpoint | None = None) -> None:
        configurations = SimpleNamespace(latest=Configuration(members))
        configurations.committed_at = lambda index: (1, configurations.latest)
        self.core = SimpleNamespace(
            id="n4", role=Role.FOLLOWER, commit_index=1, configurations=configurations
        )
        self.own = own
        self.book = book({member.id: member.http for member in members if member.id != "n4"})
        self.changes: list[UpdateAddresses] = []
        self.failure: Exception | None = None
        self.facts: dict[str, bytes] = {}
        self.keeper = AddressKeeper(
            Settings(id="n4", listen=HERE, redis=redis),
            view_of(SimpleNamespace(state=self.core)),
            self.book,
            own,
            change_members=self.change,
            write_fact=self.put,
        )

    async def change(self, change: UpdateAddresses) -> None:
        self.changes.append(change)
        if self.failure is not None:
            raise self.failure
        before = self.core.configurations.latest.members
        moved = {new.id: new for new in change.moved}
        after = tuple(Member(*moved[one.id]) if one.id in moved else one for one in before)
        self.core.configurations.latest = Configuration(after)
        self.book.members = {member.id: member.http for member in after if member.id != "n4"}

    async def put(self, name: str, value: bytes) -> None:
        self.facts[name] = value

    async def look(self, times: int = 3) -> None:
        """Let the keeper look so often."""
        pauses = 0

        async def pause(seconds: float) -> None:
            nonlocal pauses
            pauses += 1
            if pauses == times:
                raise asyncio.CancelledError

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(asyncio, "sleep", pause)
            with pytest.raises(asyncio.CancelledError):
                await self.keeper.run()


async def test_a_leader_writes_down_all_that_have_moved_in_one_entry() -> None:
    world = World(
        OwnAddress(at("b:1"), moved=True),
        Member("n2", at("b:1"), RedisAddresses(at("b:6"))),
        Member("n3", at("c:1")),
        Member("n4", at("a:1")),
    )
    world.book.stated("n2", at("a:1"))
    await world.look()
    assert not world.changes, "it does not lead"
    world.core.role = Role.LEADER
    await world.look()
    assert world.changes == [
        UpdateAddresses((NewAddress("n2", at("a:1"), RedisAddresses(at("b:6"))), NewAddress("n4", at("b:1"))))
    ]
    assert world.facts == {ADDRESS_FACT: str(HERE).encode()}
    assert not world.own.moved


async def test_a_leader_writes_down_where_redis_clients_find_members_unless_that_is_known() -> None:
    own, members = OwnAddress(HERE, moved=False), (Member("n2", at("b:1")), Member("n4", HERE))
    world = World(own, *members, redis=at("a:6"))
    world.core.role = Role.LEADER
    await world.look()
    assert world.changes == [UpdateAddresses((NewAddress("n4", HERE, RedisAddresses(at("a:6"))),))]
    world.book.stated("n2", at("b:1"), RedisAddresses(at("b:6")))
    world.book.stated("n9", at("z:1"), RedisAddresses(at("z:6")))
    await world.look()
    assert world.changes[1:] == [UpdateAddresses((NewAddress("n2", at("b:1"), RedisAddresses(at("b:6"))),))]
    known = World(own, members[0], Member("n4", HERE, RedisAddresses(at("proxy:6"))), redis=at("a:6"))
    known.core.role = Role.LEADER
    await known.look()
    assert not known.changes
    both = RedisAddresses(at("b:6"), at("b:7"))
    known.book.stated("n2", at("b:1"), both)
    await known.look()
    assert known.changes == [UpdateAddresses((NewAddress("n2", at("b:1"), both),))]
    member = Member("n4", HERE, RedisAddresses(None, at("proxy:7")))
    half = World(own, members[0], member, redis=at("a:6"))
    half.core.role = Role.LEADER
    await half.look()
    assert half.changes == [
        UpdateAddresses((NewAddress("n4", HERE, RedisAddresses(at("a:6"), at("proxy:7"))),))
    ]


async def test_what_is_refused_is_tried_again() -> None:
    world = World(OwnAddress(HERE, moved=True), Member("n2", at("b:1")), Member("n4", THERE))
    world.core.role = Role.LEADER
    world.failure = Unavailable("busy", "another change of the members is under way")
    await world.look()
    assert len(world.changes) == 3
    assert world.own.moved
    assert not world.facts
    world.failure = None
    await world.look()
    assert len(world.changes) == 4
    assert not world.own.moved


async def test_a_node_that_has_moved_remembers_it_once_the_cluster_knows() -> None:
    world = World(OwnAddress(HERE, moved=True), Member("n1", at("a:1")), Member("n4", THERE))
    await world.look()
    assert not world.facts
    world.core.configurations.latest = Configuration((Member("n1", at("a:1")), N4))
    await world.look()
    assert world.facts == {ADDRESS_FACT: str(HERE).encode()}
    assert not world.changes


def log_with(fact: Endpoint | None) -> MemoryLogStore:
    log = MemoryLogStore()
    if fact is not None:
        log.put_meta(ADDRESS_FACT, str(fact).encode())
    return log


@pytest.mark.parametrize(
    ("fact", "member", "address", "is_moved", "kept"),
    [
        pytest.param(None, None, HERE, False, HERE, id="a node that joins"),
        pytest.param(
            None, at("db4:8004"), at("db4:8004"), False, HERE, id="a first start; --peers has a better name"
        ),
        pytest.param(HERE, at("db4:8004"), at("db4:8004"), False, HERE, id="a second start"),
        pytest.param(THERE, at("db4:8004"), HERE, True, THERE, id="a move, not told yet"),
        pytest.param(THERE, THERE, HERE, True, THERE, id="the same"),
        pytest.param(THERE, HERE, HERE, False, HERE, id="a move that is known already"),
        pytest.param(THERE, None, HERE, False, HERE, id="a move before anything was learnt"),
    ],
)
def test_a_move_is_a_start_at_another_address_than_before(
    fact: Endpoint | None, member: Endpoint | None, address: Endpoint, is_moved: bool, kept: Endpoint
) -> None:
    log = log_with(fact)
    known = None if member is None else Member("n4", member)
    assert own_address(Settings(id="n4", listen=HERE), log, known) == OwnAddress(address, is_moved)
    assert log.get_meta(ADDRESS_FACT) == str(kept).encode()


def test_an_address_among_the_members_is_a_move_whatever_was_set_before() -> None:
    settings = Settings(id="n4", listen=at("0.0.0.0:8004"), members={"n4": at("db4:8004")})
    log = log_with(at("0.0.0.0:8004"))
    assert own_address(settings, log, N4) == OwnAddress(at("db4:8004"), moved=True)
    assert own_address(settings, log, Member("n4", at("db4:8004"))) == OwnAddress(at("db4:8004"), moved=False)
    assert log.get_meta(ADDRESS_FACT) == b"0.0.0.0:8004", "a start without the flag is no move back"


def test_a_node_that_comes_to_tls_or_leaves_it_keeps_its_name() -> None:
    """Whatever it listens on: `advertise` is not needed for that."""
    plain = Settings(id="n4", listen=at("0.0.0.0:8004"))
    member = Member("n4", at("db4:8004"))
    by_tls = replace(plain, tls="required")
    log = log_with(at("0.0.0.0:8004"))
    assert own_address(by_tls, log, member) == OwnAddress(at("db4:8004").over_tls(), moved=True)
    known = Member("n4", at("db4:8004").over_tls())
    assert own_address(by_tls, log, known) == OwnAddress(known.http, moved=False)
    assert own_address(plain, log, known) == OwnAddress(at("db4:8004"), moved=True)


def test_members_and_advertise_must_not_contradict_each_other() -> None:
    flags = {"id": "n4", "advertise": str(HERE), "members": f"n4={THERE},n1=127.0.0.1:1"}
    with pytest.raises(BadSetting, match=f"n4 is at {THERE}, and advertise {HERE}"):
        load(flags)
    assert load({**flags, "advertise": str(THERE)}).members == {"n4": THERE, "n1": at("127.0.0.1:1")}


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]"])
def test_a_move_to_all_addresses_needs_one_that_others_can_use(host: str) -> None:
    settings = Settings(id="n4", listen=at(f"{host}:8004"))
    with pytest.raises(Fatal, match="no address") as refused:
        own_address(settings, log_with(THERE), Member("n4", THERE))
    assert refused.value.exit_code == 2
    assert "--advertise" in (refused.value.hint or "")
    told = Settings(id="n4", listen=at(f"{host}:8004"), advertise=HERE)
    assert own_address(told, log_with(THERE), Member("n4", THERE)) == OwnAddress(HERE, moved=True)


def test_what_is_said_of_the_own_address_follows_the_configuration_once_it_knows() -> None:
    """Somebody may write down another address than the node itself would: it must not go on saying its own."""
    address = OwnAddress(HERE, moved=True)
    assert address.now(Member("n4", THERE)) == HERE
    address.moved = False
    assert address.now(N4) == HERE
    assert address.now(Member("n4", THERE)) == THERE
    assert address.now(None) == HERE
