"""Changes of the members and transfers of the leadership, rule by rule. Whole stories: `scenarios`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftdb.core.block import entries_of
from raftdb.core.events import (
    AddMember,
    Change,
    ConfigurationChangeAsked,
    NewAddress,
    PeerMet,
    PromoteMember,
    Received,
    RemoveMember,
    TransferAsked,
    UpdateAddresses,
)
from raftdb.core.membership import MEMBERS_MAX, Configuration, ConfigurationHistory
from raftdb.core.messages import (
    AppendEntries,
    AppendEntriesReply,
    Heartbeat,
    HeartbeatReply,
    Message,
    RequestVote,
    RequestVoteReply,
    TimeoutNow,
)
from raftdb.core.model import Entry, EntryKind, Member, Role
from raftdb.core.progress import Progress
from raftdb.core.update import Refusal, TransferEnded, Update
from raftdb.endpoint import RedisAddresses
from tests.addresses import at
from tests.blocks import blocks
from tests.core.cluster import FORM, LIFE, decode_members, encode_configuration, encode_members
from tests.core.direct import ME, Direct, offer


def change(node: Direct, change: Change, *, force: bool = False) -> Update:
    """Ask for a change."""
    return node.step(ConfigurationChangeAsked(change, force))


def code(update: Update) -> str | None:
    """The code of the refusal, if it is one; nothing is appended then."""
    assert (update.refusal is None) == (update.accepted is not None)
    if update.refusal is None:
        return None
    assert update.persist is None
    return update.refusal.code


def leader(nodes: int = 3) -> Direct:
    """n1 leads term 2; all others hold all of its log, and their folders are known."""
    node = Direct(nodes=nodes)
    for peer in (ME, *node.peers):
        node.step(PeerMet(peer, f"{peer}-folder"))
    node.become_leader()
    return node


def commit(node: Direct) -> None:
    """All members acknowledge the whole log."""
    for peer in node.state.configurations.ids:
        if peer != ME:
            node.acknowledge(peer, node.state.log.last_index)
    assert node.state.commit_index == node.state.log.last_index


def latest(node: Direct) -> Configuration:
    """The configuration in force."""
    return node.state.configurations.latest


def timeouts(messages: list[Message]) -> list[str]:
    """Who is told to take over."""
    return [message.target for message in messages if isinstance(message, TimeoutNow)]


# 4.1 Safety of single changes


def test_4_1_only_a_leader_changes_the_members() -> None:
    node = Direct()
    assert code(change(node, RemoveMember("n2"))) == "no_leader"


def test_4_1_a_leader_changes_nothing_before_an_entry_of_its_term_is_committed() -> None:
    """The correction of 2015; hazard B38."""
    node = Direct()
    node.become_leader(agreed=False)
    assert code(change(node, RemoveMember("n2"))) == "busy"
    node.acknowledge("n3", node.state.log.last_index)
    assert code(change(node, RemoveMember("n2"), force=True)) is None


@pytest.mark.parametrize(
    "second",
    [
        RemoveMember("n4"),
        AddMember(Member("n9", at("h:9"))),
        PromoteMember("n4"),
        UpdateAddresses((NewAddress("n2", at("h:8")),)),
    ],
)
@pytest.mark.parametrize("force", [False, True])
def test_4_1_one_change_at_a_time(second: Change, force: bool) -> None:
    node = leader(5)
    assert code(change(node, RemoveMember("n5"))) is None
    assert code(change(node, second, force=force)) == "busy"
    node.acknowledge("n2", 3)
    assert code(change(node, RemoveMember("n4"), force=True)) == "busy"
    node.acknowledge("n3", 3)
    assert code(change(node, RemoveMember("n4"), force=True)) is None


def test_4_1_a_change_counts_from_when_it_is_appended() -> None:
    node = leader(5)
    change(node, RemoveMember("n5"))
    node.acknowledge("n2", 3)
    assert node.state.commit_index == 2, "three of the four voters that are left"
    node.acknowledge("n5", 3)
    assert node.state.commit_index == 2, "n5 does not count"
    node.acknowledge("n3", 3)
    assert node.state.commit_index == 3


def test_4_1_every_change_is_one_entry_whose_name_is_the_answer() -> None:
    node = leader()
    update = change(node, AddMember(Member("n4", at("h:4"), voter=True, uuid="not believed")))
    assert update.accepted == (3, 2)
    assert update.persist is not None
    (entry,) = entries_of(update.persist.blocks)
    assert entry.kind is EntryKind.CONFIGURATION
    assert decode_members(entry.data) == latest(node)
    assert latest(node).find("n4") == Member("n4", at("h:4"), voter=False, joining=True)


# 4.2.1 Catching up


def test_4_2_1_a_learner_counts_for_nothing() -> None:
    node = leader()
    change(node, AddMember(Member("n4", at("h:4"))))
    node.acknowledge("n4", 3)
    assert (latest(node).voters, node.state.commit_index) == (("n1", "n2", "n3"), 2)


def joined(node: Direct, *, stay_learner: bool = False) -> None:
    """n4 is in, holds the whole log, and its folder is known."""
    node.step(PeerMet("n4", "n4-folder"))
    change(node, AddMember(Member("n4", at("h:4")), stay_learner))
    commit(node)


def test_4_2_1_a_learner_that_has_caught_up_is_promoted_by_the_leader_itself() -> None:
    node = leader()
    joined(node)
    node.tick(1)
    assert latest(node).voters == ("n1", "n2", "n3")
    node.tick(1)
    assert latest(node).voters == ("n1", "n2", "n3", "n4")
    assert latest(node).find("n4") == Member("n4", at("h:4"), uuid="n4-folder")


def test_4_2_1_a_learner_that_is_to_stay_one_does() -> None:
    node = leader()
    joined(node, stay_learner=True)
    for _ in range(20):
        node.tick(1)
        commit(node)
    assert latest(node).voters == ("n1", "n2", "n3")
    assert code(change(node, PromoteMember("n4"))) is None
    assert latest(node).voters == ("n1", "n2", "n3", "n4")


def test_4_2_1_promotion_waits_for_the_change_before_it() -> None:
    node = leader()
    joined(node)
    node.tick(1)
    change(node, UpdateAddresses((NewAddress("n2", at("h:9")),)))
    node.tick(3)
    assert latest(node).voters == ("n1", "n2", "n3")
    commit(node)
    node.tick(1)
    assert latest(node).voters == ("n1", "n2", "n3", "n4")


def test_4_2_1_a_node_whose_folder_is_not_known_is_not_promoted() -> None:
    """Hazard B36: the entry that lets it vote says which folder it is."""
    node = leader()
    change(node, AddMember(Member("n4", at("h:4"))))
    commit(node)
    node.tick(5)
    assert code(change(node, PromoteMember("n4"), force=True)) == "conflict"
    node.step(PeerMet("n4", "n4-folder"))
    node.tick(1)
    assert latest(node).voters == ("n1", "n2", "n3", "n4")


def test_4_2_1_a_learner_that_fell_silent_is_not_promoted() -> None:
    """Hazard B44: it held everything, and is gone now."""
    node = leader()
    node.step(PeerMet("n4", "n4-folder"))
    change(node, AddMember(Member("n4", at("h:4")), stay_learner=True))
    commit(node)
    for round_ in range(1, 6):
        node.tick(2)
        node.confirm_round("n2", round_)
        node.confirm_round("n3", round_)
    assert code(change(node, PromoteMember("n4"))) == "conflict"
    assert code(change(node, PromoteMember("n4"), force=True)) is None


@given(st.lists(st.integers(0, 40), min_size=1, max_size=30), st.integers(1, 30))
def test_4_2_1_a_follower_has_caught_up_if_it_keeps_pace_for_a_round(gains: list[int], pace: int) -> None:
    """The leader's log grows by 10 a tick. Who takes in so much within the round's bound has caught up."""
    follower = Progress(next_index=1, has_answered=True)
    last_index, goals = 100, []
    for gain in [pace] * 100 + gains:
        last_index += 10
        follower.acknowledged(min(last_index, follower.match_index + gain))
        follower.tick(last_index=last_index, round_ticks_max=5)
        goals.append(follower.is_caught_up)
        assert not follower.is_caught_up or last_index - follower.match_index <= 10 * 2 * 5
    if pace < 10:
        assert not any(goals[60:100]), "it falls behind more and more"
    if pace > 20:
        assert goals[99]


def test_4_2_1_who_never_answered_has_not_caught_up() -> None:
    silent = Progress(next_index=1)
    for _ in range(10):
        silent.tick(last_index=0, round_ticks_max=5)
    assert not silent.is_caught_up


# 4.2.2 Removing


def test_4_2_2_a_leader_that_removes_itself_does_not_count_itself() -> None:
    """Hazard B40."""
    node = leader(5)
    change(node, RemoveMember(ME))
    node.acknowledge("n2", 3)
    node.acknowledge("n3", 3)
    assert (node.state.commit_index, node.state.role) == (2, Role.LEADER)
    sent = node.acknowledge("n4", 3)
    assert (node.state.commit_index, node.state.role, node.state.leader_id) == (3, Role.FOLLOWER, None)
    assert timeouts(sent) == ["n2"]
    assert node.state.is_removed


def test_4_2_2_a_leader_that_removes_itself_takes_nothing_more() -> None:
    node = leader()
    change(node, RemoveMember(ME))
    assert node.propose(b"x").accepted is None
    assert code(change(node, AddMember(Member("n9", at("h:9"))))) == "busy"
    assert ended(node.step(TransferAsked(1, "n2"))) == ["busy"]


def test_4_2_2_who_is_removed_by_an_entry_that_may_not_be_committed_still_stands() -> None:
    """Hazard B40."""
    node = Direct()
    entry = Entry(2, 2, EntryKind.CONFIGURATION, encode_members(("n2", "n3"), (), (ME,)))
    node.receive(AppendEntries("n2", ME, 2, 1, 1, 1, blocks([entry])))
    assert (node.state.is_voter, node.state.may_stand, node.state.is_removed) == (False, True, False)
    node.receive(Heartbeat("n2", ME, 2, 2, 1))
    assert (node.state.is_voter, node.state.may_stand, node.state.is_removed) == (False, False, True)
    assert node.tick(50) == []


def test_4_2_2_a_node_that_was_never_a_member_does_not_stand() -> None:
    node = Direct()
    node.disk.entries[0] = node.disk.entries[0]._replace(data=encode_members(("n2", "n3")))
    node.raft = node.disk.boot(ME, node.state.settings, lambda low, high: low)
    assert node.tick(50) == []


def test_4_2_2_a_removed_node_is_told_and_then_forgotten() -> None:
    node = leader()
    update = change(node, RemoveMember("n3"))
    assert update.peers_changed
    assert set(node.raft.peers()) == {"n2", "n3"}
    sent = node.take()
    assert sorted(message.target for message in sent) == ["n2", "n3"]
    node.acknowledge("n3", 3)
    node.tick(2)
    node.confirm_round("n3", 1)
    assert set(node.raft.peers()) == {"n2", "n3"}, "it does not know yet that this is committed"
    node.acknowledge("n2", 3)
    node.tick(2)
    assert node.confirm_round("n3", 1).peers_changed is False
    assert node.confirm_round("n3", 2).peers_changed
    assert set(node.raft.peers()) == {"n2"}
    assert {message.target for message in node.tick(4)} == {"n2"}


def test_4_2_2_a_removed_node_that_answers_for_ever_is_forgotten_too() -> None:
    """It says that it lives, but never acknowledges the entry."""
    node = leader()
    change(node, RemoveMember("n3"))
    node.acknowledge("n2", 3)
    for round_ in range(1, 51):
        assert "n3" in node.raft.peers()
        node.tick(2)
        node.confirm_round("n2", round_)
        node.confirm_round("n3", round_)
    assert "n3" not in node.raft.peers()


# Refusals


def test_what_is_unknown_known_taken_or_removed_is_refused() -> None:
    node = leader(4)
    change(node, RemoveMember("n4"))
    commit(node)
    refused: list[tuple[Change, str]] = [
        (RemoveMember("n9"), "not_found"),
        (RemoveMember("n4"), "not_found"),
        (PromoteMember("n9"), "not_found"),
        (PromoteMember("n2"), "conflict"),
        (UpdateAddresses((NewAddress("n4", at("h:1")),)), "not_found"),
        (UpdateAddresses((NewAddress("n3", at("n2")),)), "conflict"),
        (UpdateAddresses((NewAddress("n3", at("h:1"), RedisAddresses(at("n2"))),)), "conflict"),
        (AddMember(Member("n2", at("h:2"))), "conflict"),
        (AddMember(Member("n4", at("h:2"))), "conflict"),
        (AddMember(Member("n5", at("n2"))), "conflict"),
        (AddMember(Member("n5", at("h:5"), RedisAddresses(at("n2")))), "conflict"),
    ]
    for asked, wanted in refused:
        for force in (False, True):
            assert code(change(node, asked, force=force)) == wanted, asked
    assert (
        code(change(node, UpdateAddresses((NewAddress("n3", at("n3"), RedisAddresses(at("h:3"))),)))) is None
    )


def test_members_that_change_places_do_so_in_one_entry() -> None:
    node = leader(3)
    moved = (
        NewAddress("n1", at("n2")),
        NewAddress("n2", at("n3")),
        NewAddress("n3", at("n1")),
    )
    assert code(change(node, UpdateAddresses(moved[:2]))) == "conflict", "n3 is still there"
    assert code(change(node, UpdateAddresses(moved))) is None
    commit(node)
    assert {member.id: member.http for member in latest(node).members} == {
        "n1": at("n2"),
        "n2": at("n3"),
        "n3": at("n1"),
    }


def test_the_arithmetic_counts_voters_that_answer() -> None:
    node = leader(5)
    node.tick(10)
    node.acknowledge("n2", 2)
    node.acknowledge("n3", 2)
    refusal = change(node, RemoveMember("n3")).refusal
    assert refusal is not None
    assert refusal.reason == (
        "without n3 the cluster has 4 voters and needs 3 of them, but only 2 (n1, n2) would be alive: n4, n5 not "
        "heard from"
    )
    assert code(change(node, RemoveMember("n5"))) is None, "three of four"


def test_the_only_voter_stays() -> None:
    node = Direct(nodes=1)
    node.become_leader()
    assert code(change(node, RemoveMember(ME), force=True)) == "conflict"


def test_there_is_a_limit_of_members_and_of_what_is_remembered() -> None:
    node = leader(MEMBERS_MAX)
    assert code(change(node, AddMember(Member("more", at("h:1"))))) == "conflict"
    node = leader(2)
    node.state.configurations.form = FORM._replace(bytes_max=40)
    update = change(node, AddMember(Member("n3", at("h" * 30))))
    assert code(update) == "conflict"
    assert update.refusal is not None
    assert "at most 40 are possible" in update.refusal.reason


def test_a_configuration_has_no_member_that_was_removed() -> None:
    with pytest.raises(ValueError, match="still members"):
        Configuration((Member("n1", at("")),), ("n1",))
    with pytest.raises(ValueError, match="not unique and sorted"):
        Configuration((Member("n1", at("")),), ("n3", "n2"))


# Folders (hazard B36)


def test_each_change_writes_down_which_folders_the_voters_are() -> None:
    node = Direct(nodes=4)
    for peer in (ME, "n2", "n4"):
        node.step(PeerMet(peer, f"{peer}-folder"))
    node.become_leader()
    change(node, AddMember(Member("n5", at("h:5"))))
    assert [member.uuid for member in latest(node).members] == [
        "n1-folder",
        "n2-folder",
        None,
        "n4-folder",
        None,
    ]


def test_what_is_written_down_stays() -> None:
    node = leader()
    change(node, UpdateAddresses((NewAddress("n2", at("h:2")),)))
    commit(node)
    node.step(PeerMet("n2", "another"))
    change(node, UpdateAddresses((NewAddress("n2", at("h:3")),)))
    assert latest(node).find("n2") == Member("n2", at("h:3"), uuid="n2-folder")


def test_the_form_of_these_tests_keeps_everything() -> None:
    configuration = Configuration(
        (Member("n1", at("h"), uuid="u"), Member("n2", at("n2"), voter=False, joining=True)),
        ("n0", "n3"),
        LIFE,
    )
    assert decode_members(encode_configuration(configuration)) == configuration


def test_possible_are_the_committed_configuration_and_all_behind_it() -> None:
    history = ConfigurationHistory(FORM, [(index, decode_members(b"n%d/" % index)) for index in (1, 4, 7)])
    possible = {
        commit_index: [configuration.voters[0] for configuration in history.possible_at(commit_index)]
        for commit_index in (0, 1, 3, 4, 7, 9)
    }
    everything = ["n1", "n4", "n7"]
    assert possible == {0: everything, 1: everything, 3: everything, 4: ["n4", "n7"], 7: ["n7"], 9: ["n7"]}
    assert (history.find("n4"), history.find("n9")) == (Member("n4", at("n4")), None)


# 3.10 Leadership transfer


def ended(update: Update) -> list[str | None]:
    """The outcomes of transfers: codes of refusals, None for success."""
    return [None if refusal is None else refusal.code for _, refusal in update.transfers]


def test_3_10_the_target_is_told_once_it_holds_everything() -> None:
    node = leader()
    node.propose(b"x")
    node.take()
    assert ended(node.step(TransferAsked(7, "n2"))) == []
    assert timeouts(node.take()) == []
    assert timeouts(node.acknowledge("n3", 3)) == []
    assert timeouts(node.acknowledge("n2", 3)) == ["n2"]
    assert timeouts(node.acknowledge("n2", 3)) == [], "once is enough"
    node.tick(2)
    assert timeouts(node.receive(HeartbeatReply("n2", ME, 2, 1))) == ["n2"], "it may have got lost"


def test_3_10_nothing_new_is_taken_meanwhile() -> None:
    node = leader()
    node.step(TransferAsked(1, "n2"))
    assert node.propose(b"x").accepted is None
    assert code(change(node, RemoveMember("n3"))) == "busy"
    node.tick(9)
    assert node.propose(b"x").accepted is None
    node.tick(1)
    assert node.propose(b"x").accepted is not None


def test_3_10_nobody_named_means_who_holds_most_and_answers() -> None:
    node = leader(5)
    node.propose(b"x")
    node.acknowledge("n4", 3)
    node.acknowledge("n3", 3)
    node.take()
    node.step(TransferAsked(1))
    assert timeouts(node.take()) == ["n3"]


def test_3_10_success_is_said_when_the_target_is_heard_to_lead() -> None:
    node = leader()
    node.step(TransferAsked(5, "n2"))
    node.receive(RequestVote("n2", ME, 3, 2, 2, transfer=True))
    assert node.is_a(Role.FOLLOWER)
    update = node.step(Received(Heartbeat("n2", ME, 3, 2, 1)))
    assert update.transfers == (TransferEnded(5, None),)


@pytest.mark.parametrize("role", [Role.FOLLOWER, Role.PRE_CANDIDATE])
def test_3_10_who_is_told_stands_at_once_and_says_why(role: Role) -> None:
    node = Direct(terms=(1, 2), term=2)
    if role is Role.PRE_CANDIDATE:
        node.tick(10)
    sent = node.receive(TimeoutNow("n2", ME, 2, 2, 2))
    assert [(type(message), message.term) for message in sent] == [(RequestVote, 3)] * 2
    assert all(isinstance(message, RequestVote) and message.transfer for message in sent)


def test_3_10_a_learner_and_who_has_another_log_do_not_take_over() -> None:
    node = Direct(terms=(1, 2), term=2)
    assert node.receive(TimeoutNow("n2", ME, 2, 1, 1)) == []
    assert node.receive(TimeoutNow("n2", ME, 1, 2, 2)) == [], "of an older term"
    data = encode_members(("n2", "n3"), (ME,))
    entry = Entry(3, 2, EntryKind.CONFIGURATION, data)
    node.receive(AppendEntries("n2", ME, 2, 2, 2, 3, blocks([entry])))
    assert node.receive(TimeoutNow("n2", ME, 2, 3, 2)) == []
    assert node.is_a(Role.FOLLOWER)


def test_3_10_a_single_node_has_nobody_to_hand_over_to() -> None:
    node = Direct(nodes=1)
    node.become_leader()
    update = node.step(TransferAsked(1))
    assert update.transfers == (
        TransferEnded(1, Refusal("conflict", "no voter but n1 answers", hint="start another node")),
    )
    assert node.propose(b"x").accepted is not None


# Strangers: 4.1, and hazard B101


def stranger_messages(term: int) -> list[Message]:
    """What a process that is no member may say to depose a leader, or to become one."""
    return [
        AppendEntries("evil", ME, term, 0, 0, 0, ()),
        AppendEntriesReply("evil", ME, term, 0, False, 0),
        Heartbeat("evil", ME, term, 9, 1),
        HeartbeatReply("evil", ME, term, 1),
        RequestVote("evil", ME, term, 99, 99, transfer=True),
        RequestVoteReply("evil", ME, term, False),
        TimeoutNow("evil", ME, term, 99, 99),
    ]


@pytest.mark.parametrize("position", range(7))
def test_b101_a_stranger_deposes_nobody(position: int) -> None:
    node = leader()
    assert node.receive(stranger_messages(99)[position]) == []
    assert (node.state.role, node.state.term) == (Role.LEADER, 2)


@pytest.mark.parametrize("position", range(7))
def test_b101_who_hears_a_leader_does_not_hear_a_stranger(position: int) -> None:
    node = Direct()
    node.hear_leader("n2", 2)
    assert node.receive(stranger_messages(99)[position]) == []
    assert (node.state.leader_id, node.state.term) == ("n2", 2)


def test_b101_the_snapshot_of_a_stranger_is_not_fetched_while_a_leader_is_heard() -> None:
    """A stranger that names a high term would be taken for the newest leader, and its file for the state."""
    node = Direct()
    node.hear_leader("n2", 2)
    data = encode_members(("n1", "n2", "n3"))
    stranger = node.step(Received(offer("n9", 99, (50, 9), data)))
    assert (stranger.snapshot_offered, node.state.term) == (None, 2)
    assert node.step(Received(offer("n2", 2, (5, 2), data))).snapshot_offered is not None


def test_4_1_a_leader_that_is_no_member_here_is_followed_by_who_hears_nobody_else() -> None:
    node = Direct()
    node.hear_leader("n2", 2)
    node.tick(node.state.election_deadline_ticks)
    node.hear_leader("n9", 3)
    assert (node.state.leader_id, node.state.term) == ("n9", 3)
    node.hear_entries("n9", 3, (1, 1), [3])
    assert node.state.log.last_index == 2, "from now on it is a leader like any other"


def test_no_single_message_uses_up_the_terms() -> None:
    """Behind the last term that the wire can name nobody could be elected any more."""
    node = Direct()
    node.hear_leader("n2", 2**63 - 1)
    assert (node.state.leader_id, node.state.term) == (None, 1)
    node.hear_leader("n2", 1000)
    assert (node.state.leader_id, node.state.term) == ("n2", 1000)
