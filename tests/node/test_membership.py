"""A replica alone: what those are told who ask for other members or another leader, and how a node joins or goes."""

import pytest

from raftdb.core.events import (
    AddMember,
    Change,
    NewAddress,
    PeerMet,
    PromoteMember,
    RemovalTold,
    RemoveMember,
    UpdateAddresses,
)
from raftdb.core.membership import Configuration
from raftdb.core.messages import (
    AppendEntries,
    AppendEntriesReply,
    Heartbeat,
    HeartbeatReply,
    RequestPreVote,
    RequestVote,
    RequestVoteReply,
    TimeoutNow,
)
from raftdb.core.model import Entry, EntryKind, Member, Role
from raftdb.endpoint import RedisAddresses
from raftdb.errors import LeaderHint, RequestRefused, Unavailable
from raftdb.machine.strings import Set
from raftdb.node import membership
from raftdb.node.membership import (
    CatchingUp,
    ChangeRequest,
    MembersChanged,
    TransferRequest,
    check_change,
)
from raftdb.node.stored import begin_empty
from raftdb.node.turn import Effects
from raftdb.wire.configuration import encode_configuration
from storage.memory import MemoryLogStore
from tests.addresses import at
from tests.blocks import blocks
from tests.node.bench import Bench, code_of, members, set_entry, value_of

N4 = Member("n4", at("h:4"))


def ask(bench: Bench, change: Change, *, force: bool = False) -> int:
    """Somebody wants other members; returns the number of the request."""
    number = bench._number()
    bench.turn(changes=[ChangeRequest(number, change, force)])
    return number


def transfer(bench: Bench, target: str | None) -> int:
    """Somebody wants another leader; returns the number of the request."""
    number = bench._number()
    bench.turn(transfers=[TransferRequest(number, target)])
    return number


def commit(bench: Bench, *peers: str) -> None:
    """These peers hold the whole log."""
    for peer in peers:
        bench.acknowledge(peer, bench.core.log.last_index)


def leading(nodes: int = 3) -> Bench:
    """A leader that has committed its no-op, and was heard by all."""
    bench = Bench(nodes=nodes)
    bench.lead()
    commit(bench, *(f"n{number}" for number in range(2, nodes + 1)))
    return bench


def members_in(bench: Bench, request: int) -> list[str]:
    """The ids in the answer to a change."""
    value = value_of(bench.answers[request])
    assert isinstance(value, MembersChanged)
    assert value.catching_up is None
    return [member.id for member in value.members]


# Changes


@pytest.mark.parametrize(
    "change",
    [
        RemoveMember("n3"),
        UpdateAddresses((NewAddress("n2", at("h:9")),)),
        AddMember(N4, stay_learner=True),
    ],
)
def test_a_change_is_answered_when_it_is_committed(change: Change) -> None:
    bench = leading()
    request = ask(bench, change)
    assert request not in bench.answers
    assert bench.replica.pending_count == 1
    commit(bench, "n2")
    answer = bench.answers[request]
    assert not isinstance(answer, Exception)
    assert (answer.index, answer.term) == (3, 2)
    assert members_in(bench, request) == list(bench.core.configurations.ids)
    assert bench.replica.pending_count == 0


def test_a_node_that_is_added_is_a_voter_when_that_is_answered() -> None:
    bench = leading()
    request = ask(bench, AddMember(N4))
    commit(bench, "n2", "n3")
    assert request not in bench.answers, "it is a learner"
    bench.turn(handshakes=[PeerMet("n4", "folder")])
    commit(bench, "n4")
    bench.turn(ticks=1)
    bench.turn(ticks=1)
    assert request not in bench.answers, "a voter, but not committed"
    commit(bench, "n2", "n3")
    assert members_in(bench, request) == ["n1", "n2", "n3", "n4"]
    value = value_of(bench.answers[request])
    assert isinstance(value, MembersChanged)
    assert value.members[3] == Member("n4", at("h:4"), uuid="folder")


def test_patience_ends_with_how_far_it_is() -> None:
    bench = leading(nodes=1)
    request = ask(bench, AddMember(N4))
    bench.write(b"v")
    bench.receive(AppendEntriesReply("n4", "n1", 2, 1, True, 2))
    bench.turn(ticks=999)
    assert request not in bench.answers
    bench.turn(ticks=1)
    value = value_of(bench.answers[request])
    assert isinstance(value, MembersChanged)
    assert value.catching_up == CatchingUp("n4", 2, 4)
    assert [member.id for member in value.members] == ["n1", "n4"]
    # The same on a node that leads no more: it is certain that the node was added, and no more.
    bench = leading(nodes=2)
    request = ask(bench, AddMember(N4))
    commit(bench, "n2")
    bench.receive(Heartbeat("n2", "n1", 3, 3, 1))
    bench.turn(ticks=1000)
    value = value_of(bench.answers[request])
    assert isinstance(value, MembersChanged)
    assert value.catching_up == CatchingUp("n4", None, 3)


def test_a_node_that_is_removed_while_it_catches_up_was_not_added() -> None:
    bench = leading(nodes=1)
    request = ask(bench, AddMember(N4))
    ask(bench, RemoveMember("n4"))
    assert code_of(bench.answers[request]) == "conflict"


def test_what_the_core_refuses_is_told_with_its_words() -> None:
    bench = leading()
    request = ask(bench, RemoveMember("n9"))
    refusal = bench.answers[request]
    assert isinstance(refusal, RequestRefused)
    assert (refusal.code, refusal.hint) == ("not_found", "members: n1, n2, n3")
    ask(bench, RemoveMember("n3"))
    assert code_of(bench.answers[ask(bench, RemoveMember("n2"))]) == "busy"


def test_who_does_not_lead_says_who_does() -> None:
    bench = Bench(nodes=3)
    bench.receive(Heartbeat("n2", "n1", 2, 0, 1))
    for request in (ask(bench, RemoveMember("n3")), transfer(bench, "n1")):
        assert code_of(bench.answers[request]) == "not_leader"


def test_who_does_not_lead_says_where_the_leader_is_by_now() -> None:
    """The network finds a peer that has moved before the configuration says so."""
    bench = Bench(nodes=3)
    bench.replica.endpoint_of = {"n2": at("elsewhere:2")}.get
    bench.follow(2, [], commit_index=0)
    refused = bench.answers[ask(bench, RemoveMember("n3"))]
    assert isinstance(refused, Unavailable)
    assert (refused.code, refused.leader) == ("not_leader", LeaderHint("n2", at("elsewhere:2")))
    written = bench.do(Set(b"k", b"v"))
    assert isinstance(written, Unavailable)
    assert written.leader == LeaderHint("n2", at("elsewhere:2"))
    bench.replica.endpoint_of = lambda peer: None
    assert bench.replica.leader_hint() == LeaderHint("n2", at("h:2"))


def test_a_change_that_was_overwritten_was_not_made() -> None:
    bench = leading()
    request = ask(bench, RemoveMember("n3"))
    bench.receive(AppendEntries("n2", "n1", 3, 2, 2, 2, blocks([set_entry(3, 3)])))
    assert request not in bench.answers, "the new leader may fail, and the old entry come back"
    bench.receive(Heartbeat("n2", "n1", 3, 3, 1))
    assert code_of(bench.answers[request]) == "no_leader"


def test_a_node_that_somebody_else_has_added_is_added_and_the_answer_names_what_is_committed() -> None:
    """Found by the simulator: the own entry was overwritten, and the next leader was asked for the same."""
    bench = leading()
    bench.write(b"v")
    request = ask(bench, AddMember(N4))
    voter = Configuration((*members(3).members, Member("n4", at("h:4"), uuid="folder")))
    entry = Entry(3, 3, EntryKind.CONFIGURATION, encode_configuration(voter))
    bench.receive(AppendEntries("n2", "n1", 3, 2, 2, 3, blocks([entry])))
    answer = bench.answers[request]
    assert not isinstance(answer, Exception)
    assert (answer.index, answer.term) == (3, 3)
    assert members_in(bench, request) == ["n1", "n2", "n3", "n4"]


def test_what_became_of_a_change_that_nobody_confirms_is_not_known() -> None:
    bench = leading()
    request = ask(bench, RemoveMember("n3"))
    bench.turn(ticks=1000)
    assert code_of(bench.answers[request]) == "outcome_unknown"
    assert bench.replica.pending_count == 0


@pytest.mark.parametrize(
    "change",
    [
        AddMember(Member("", at("h:1"))),
        AddMember(Member("n\n", at("h:1"))),
        AddMember(Member("a/b", at("h:1"))),
        AddMember(Member("n" * 64, at("h:1"))),
        AddMember(Member("n4", at(""))),
        UpdateAddresses((NewAddress("n1", at("h" * 400)),)),
        UpdateAddresses((NewAddress("n1", at("h:1"), RedisAddresses(at(""))),)),
    ],
)
def test_what_no_configuration_can_hold_never_reaches_the_core(change: Change) -> None:
    with pytest.raises(RequestRefused, match="not a member that can be"):
        check_change(change)


def test_what_a_configuration_can_hold_is_let_through() -> None:
    for change in (
        AddMember(N4),
        RemoveMember("anything"),
        PromoteMember(""),
        UpdateAddresses((NewAddress("n1", at("h:1")),)),
    ):
        check_change(change)


def test_the_owner_learns_whom_to_talk_to() -> None:
    bench = leading(nodes=2)
    assert bench.turn().peers is None
    effects = bench.turn(changes=[ChangeRequest(1, AddMember(N4), False)])
    assert effects.peers == {"n2": at("h:2"), "n4": at("h:4")}
    commit(bench, "n2", "n4")
    effects = bench.turn(changes=[ChangeRequest(2, RemoveMember("n4"), False)])
    assert effects.peers == {"n2": at("h:2"), "n4": at("h:4")}, "until it knows"
    commit(bench, "n2", "n4")
    bench.turn(ticks=2)
    assert bench.receive(HeartbeatReply("n4", "n1", 2, 1)).peers == {"n2": at("h:2")}


# Transfers


def test_a_transfer_is_answered_with_the_new_leader() -> None:
    bench = leading()
    request = transfer(bench, "n2")
    assert bench.replica.pending_count == 1
    assert [message.target for message in bench.sent if isinstance(message, TimeoutNow)] == ["n2"]
    bench.receive(RequestVote("n2", "n1", 3, 2, 2, transfer=True))
    assert request not in bench.answers
    bench.receive(Heartbeat("n2", "n1", 3, 2, 1))
    assert value_of(bench.answers[request]) == LeaderHint("n2", at("h:2"))
    assert bench.replica.pending_count == 0


def test_writes_wait_for_a_transfer_and_learn_who_leads() -> None:
    bench = leading()
    transfer(bench, "n2")
    (write,) = bench.write(b"v")
    bench.receive(RequestVote("n2", "n1", 3, 2, 2, transfer=True))
    assert write not in bench.answers, "it would only be told that nobody leads"
    bench.receive(Heartbeat("n2", "n1", 3, 2, 1))
    refusal = bench.answers[write]
    assert code_of(refusal) == "not_leader"
    assert bench.core.log.last_index == 2


def test_writes_that_waited_are_taken_when_the_leader_goes_on() -> None:
    bench = leading()
    request = transfer(bench, "n2")
    write, other = bench.write(b"v", b"w")
    for _ in range(10):
        bench.turn(ticks=1)
        bench.receive(HeartbeatReply("n3", "n1", 2, bench.core.leadership.round))
    assert code_of(bench.answers[request]) == "outcome_unknown"
    commit(bench, "n3")
    for number in (write, other):
        assert value_of(bench.answers[number]) is not None
    assert bench.core.log.last_index == 4


def test_no_more_waits_than_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = leading()
    monkeypatch.setattr(membership, "HELD_BYTES_MAX", 100)
    transfer(bench, "n2")
    first, second, third = bench.write(b"x" * 60, b"x" * 60, b"x")
    assert code_of(bench.answers[second]) == "busy"
    assert first not in bench.answers
    assert third not in bench.answers
    bench.receive(Heartbeat("n2", "n1", 3, 2, 1))
    assert code_of(bench.answers[first]) == code_of(bench.answers[third]) == "not_leader"


def test_a_leader_that_removes_itself_answers_and_goes() -> None:
    bench = leading()
    request = ask(bench, RemoveMember("n1"))
    (write,) = bench.write(b"v")
    commit(bench, "n2")
    assert (bench.core.role, request in bench.answers) == (Role.LEADER, False)
    commit(bench, "n3")
    assert members_in(bench, request) == ["n2", "n3"]
    assert bench.replica.is_removed
    refusal = bench.answers[write]
    assert code_of(refusal) == "no_leader"
    assert "n1 was removed from the cluster" in str(refusal)


# Going and coming


def test_a_node_that_is_told_that_it_was_removed_does_not_stand() -> None:
    bench = Bench(nodes=3)
    bench.turn(handshakes=[RemovalTold()])
    bench.turn(ticks=100)
    assert (bench.core.role, bench.sent) == (Role.FOLLOWER, [])
    (write,) = bench.write(b"v")
    assert "removed" in str(bench.answers[write])


def joining() -> Bench:
    """Node n1, which begins with an empty folder."""
    bench = Bench(nodes=3)
    bench.log = MemoryLogStore()
    begin_empty(bench.log)
    begin_empty(bench.log)
    bench.start()
    bench.replica.links.clear()
    return bench


def hear(bench: Bench, *, entries: int) -> Effects:
    """The leader n2 of term 2 sends its log, up to so many entries."""
    first = Entry(1, 1, EntryKind.CONFIGURATION, encode_configuration(members(3)))
    log = [first, Entry(2, 2, EntryKind.NOOP, b""), set_entry(3, 2)]
    return bench.receive(AppendEntries("n2", "n1", 2, 0, 0, 0, blocks(log[:entries])))


def test_a_node_that_joins_begins_with_nothing_and_stays_quiet() -> None:
    """Hazard B36: an empty folder neither votes nor stands for election."""
    bench = joining()
    assert (bench.core.term, bench.core.log.last_index, bench.core.configurations.ids) == (0, 0, ())
    assert bench.replica.is_unproven
    bench.turn(ticks=200)
    bench.receive(RequestPreVote("n3", "n1", 9, 5, 5), RequestVote("n3", "n1", 9, 5, 5))
    assert (bench.sent, bench.core.term) == ([], 0)
    (write,) = bench.write(b"v")
    assert code_of(bench.answers[write]) == "no_quorum"


def test_a_node_that_joins_is_filled_by_the_leader_and_votes_when_it_is_asked() -> None:
    """Also for a candidate that knows it as a voter before it does itself (hazard B09)."""
    bench = joining()
    hear(bench, entries=3)
    assert bench.core.configurations.ids == ("n1", "n2", "n3")
    bench.turn(ticks=50)
    bench.sent.clear()
    bench.receive(RequestVote("n3", "n1", 9, 5, 5))
    assert bench.sent == [RequestVoteReply("n1", "n3", 9, granted=True)]


def test_a_node_that_joins_starts_again_where_it_was() -> None:
    bench = joining()
    hear(bench, entries=3)
    bench.start()
    assert (bench.core.term, bench.core.log.last_index) == (2, 3)
    assert bench.core.configurations.ids == ("n1", "n2", "n3")
