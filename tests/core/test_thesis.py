"""The rules of Raft one by one, each test named after the section of Ongaro's thesis that states it."""

from collections.abc import Callable, Sequence

import pytest

from raftdb.core.block import entries_of
from raftdb.core.events import EntriesLoaded, Persisted, ReadRequested, Received
from raftdb.core.messages import (
    AppendEntries,
    AppendEntriesReply,
    Heartbeat,
    HeartbeatReply,
    Message,
    RequestPreVote,
    RequestPreVoteReply,
    RequestVote,
    RequestVoteReply,
)
from raftdb.core.model import EntryKind, HardState, Role, Term
from raftdb.core.progress import Pace
from raftdb.core.state import RaftSettings
from raftdb.errors import InvariantBroken
from tests.blocks import blocks
from tests.core.direct import ME, SETTINGS, Direct


def kinds(messages: Sequence[Message]) -> list[type[Message]]:
    """The types of messages, in their order."""
    return [type(message) for message in messages]


def votes(messages: Sequence[Message]) -> list[bool]:
    """The answers to vote requests among messages."""
    return [message.granted for message in messages if isinstance(message, RequestVoteReply)]


def in_role(role: Role) -> Direct:
    """A node in this role, in a term above 1."""
    node = Direct(terms=(1, 2), term=2)
    if role is Role.PRE_CANDIDATE:
        node.tick(10)
    elif role is Role.CANDIDATE:
        node.become_candidate()
    elif role is Role.LEADER:
        node.become_leader()
    assert node.state.role is role
    return node


def newer_messages(term: Term) -> list[Message]:
    """Every message that speaks for its sender's own term."""
    return [
        RequestPreVoteReply("n2", ME, term, False),
        RequestVote("n2", ME, term, 9, term),
        RequestVoteReply("n2", ME, term, False),
        AppendEntries("n2", ME, term, 0, 0, 0, ()),
        AppendEntriesReply("n2", ME, term, 0, False, 0),
        Heartbeat("n2", ME, term, 0, 1),
        HeartbeatReply("n2", ME, term, 1),
    ]


# 3.3 Terms


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("message", newer_messages(7), ids=lambda message: type(message).__name__)
def test_3_3_a_newer_term_is_entered_from_every_role_by_every_message(role: Role, message: Message) -> None:
    """Also hazard B10: a leader steps down on every kind of answer."""
    node = in_role(role)
    if role is Role.LEADER:
        node.tick(15)  # nobody was heard for a while, or a request for a vote would not be considered
    node.receive(message)
    assert (node.state.term, node.state.role) == (7, Role.FOLLOWER)


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        (RequestVote("n2", ME, 4, 9, 4), RequestVoteReply),
        (AppendEntries("n2", ME, 4, 0, 0, 0, ()), AppendEntriesReply),
        (Heartbeat("n2", ME, 4, 0, 1), HeartbeatReply),
        (RequestPreVote("n2", ME, 4, 9, 4), RequestPreVoteReply),
    ],
)
def test_3_3_a_request_of_an_older_term_is_answered_with_the_newer(
    message: Message, answer: type[Message]
) -> None:
    node = Direct(term=5)
    (reply,) = node.receive(message)
    assert type(reply) is answer
    assert reply.term == 5
    assert node.state.leader_id is None


@pytest.mark.parametrize(
    "message",
    [
        RequestVoteReply("n2", ME, 1, True),
        AppendEntriesReply("n2", ME, 1, 0, True, 9),
        HeartbeatReply("n2", ME, 1, 99),
    ],
)
def test_3_3_an_answer_of_an_older_term_is_ignored(message: Message) -> None:
    for role in Role:
        node = in_role(role)
        node.receive(message)
        assert node.state.role is role


# 3.4 Leader election


def test_3_4_a_node_starts_as_a_follower_and_with_what_its_disk_knows() -> None:
    node = Direct(terms=(1, 2, 2), term=4, voted_for="n3")
    state = node.state
    assert (state.role, state.term, state.voted_for) == (Role.FOLLOWER, 4, "n3")
    assert (state.log.last_index, state.commit_index, state.leader_id) == (3, 0, None)


def test_3_4_a_follower_that_hears_its_leader_starts_no_election() -> None:
    node = Direct()
    for _ in range(10):
        assert node.tick(9) == []
        assert kinds(node.hear_leader("n2", 2)) == [HeartbeatReply]
    assert node.is_a(Role.FOLLOWER)


def test_3_4_entries_count_as_hearing_the_leader() -> None:
    node = Direct()
    for index in range(1, 6):
        assert node.tick(9) == []
        node.hear_entries("n2", 2, (index, 1 if index == 1 else 2), [2])
    assert node.state.log.last_index == 6


def test_3_4_a_candidate_starts_a_new_term_and_votes_for_itself() -> None:
    node = Direct(term=4, voted_for="n2")
    node.become_candidate()
    assert node.disk.hard_state == HardState(5, ME)


def test_3_4_a_majority_of_votes_makes_a_leader() -> None:
    for nodes, needed in [(2, 1), (3, 1), (4, 2), (5, 2), (7, 3)]:
        node = Direct(nodes=nodes)
        node.become_candidate()
        for peer in node.peers[: needed - 1]:
            node.receive(RequestVoteReply(peer, ME, 2, True))
        assert node.is_a(Role.CANDIDATE), nodes
        node.receive(RequestVoteReply(node.peers[needed - 1], ME, 2, True))
        assert node.is_a(Role.LEADER), nodes


def test_3_4_a_vote_from_somebody_who_does_not_vote_counts_for_nothing() -> None:
    node = Direct(nodes=3)
    node.become_candidate()
    for stranger in ("n7", "n8", "n9"):
        node.receive(RequestVoteReply(stranger, ME, 2, True))
    assert node.is_a(Role.CANDIDATE)


def test_3_4_a_server_votes_at_most_once_per_term() -> None:
    node = Direct()
    assert votes(node.receive(RequestVote("n2", ME, 2, 1, 1))) == [True]
    assert votes(node.receive(RequestVote("n3", ME, 2, 9, 1))) == [False]
    assert votes(node.receive(RequestVote("n2", ME, 2, 1, 1))) == [True], "the same question again"
    assert votes(node.receive(RequestVote("n3", ME, 3, 9, 1))) == [True], "a new term, a new vote"


def test_3_4_a_vote_is_said_only_when_it_is_on_disk() -> None:
    """Hazard B02. Term and vote are one record (hazard B03)."""
    node = Direct(disk_is_quick=False)
    update = node.step(Received(RequestVote("n2", ME, 2, 1, 1)))
    assert update.messages == ()
    assert votes(update.messages_after_persist) == [True]
    assert update.persist is not None
    assert update.persist.hard_state == HardState(2, "n2")


def test_3_4_a_vote_repeated_before_it_is_on_disk_waits_as_well() -> None:
    node = Direct(disk_is_quick=False)
    request = Received(RequestVote("n2", ME, 2, 1, 1))
    node.step(request)
    assert node.step(request).messages == ()


def test_3_4_a_candidate_asks_for_votes_only_when_its_own_is_on_disk() -> None:
    node = Direct(disk_is_quick=False)
    node.tick(10)
    update = node.step(Received(RequestPreVoteReply("n2", ME, 2, True)))
    assert update.messages == ()
    assert kinds(update.messages_after_persist) == [RequestVote, RequestVote]


def test_3_4_the_own_vote_counts_when_it_is_on_disk() -> None:
    node = Direct(nodes=1, disk_is_quick=False)
    node.tick(10)
    assert node.is_a(Role.CANDIDATE)
    node.persist()
    assert node.is_a(Role.LEADER)


def test_3_4_a_candidate_that_hears_the_leader_of_its_term_follows_and_keeps_its_vote() -> None:
    """Hazard B04."""
    for hear in (Direct.hear_leader, lambda node, leader, term: node.hear_entries(leader, term, (1, 1), [])):
        node = Direct(nodes=5)
        node.become_candidate()
        hear(node, "n2", 2)
        assert (node.state.role, node.state.leader_id, node.state.voted_for) == (Role.FOLLOWER, "n2", ME)
        assert votes(node.receive(RequestVote("n3", ME, 2, 9, 9))) == [False]


def test_3_4_a_candidate_refused_by_a_majority_stops() -> None:
    node = Direct()
    node.become_candidate()
    node.receive(RequestVoteReply("n2", ME, 2, False))
    assert node.is_a(Role.CANDIDATE)
    node.receive(RequestVoteReply("n3", ME, 2, False))
    assert node.is_a(Role.FOLLOWER)


def test_3_4_a_candidate_without_an_outcome_tries_again() -> None:
    node = Direct()
    node.become_candidate()
    node.tick(9)
    assert node.is_a(Role.CANDIDATE)
    assert kinds(node.tick()) == [RequestPreVote, RequestPreVote]
    assert node.state.term == 2


def test_3_1_a_request_for_a_vote_that_nobody_answers_is_sent_again() -> None:
    """Once the answer is late, and only to those who have said nothing."""
    node = Direct(nodes=5)
    node.become_candidate()
    assert node.tick() == []
    assert [message.target for message in node.tick()] == ["n2", "n3", "n4", "n5"]
    node.receive(RequestVoteReply("n2", ME, 2, True))
    node.receive(RequestVoteReply("n4", ME, 2, False))
    assert kinds(again := node.tick(2)) == [RequestVote, RequestVote]
    assert [message.target for message in again] == ["n3", "n5"]


def test_3_4_who_has_voted_says_so_again_and_waits_no_longer_for_that() -> None:
    node = Direct()
    request = RequestVote("n2", ME, 2, 9, 9)
    assert votes(node.receive(request)) == [True]
    node.tick(5)
    assert votes(node.receive(request)) == [True]
    assert kinds(node.tick(4)) == []
    assert kinds(node.tick()) == [RequestPreVote, RequestPreVote]


def test_3_4_timeouts_are_drawn_between_one_and_two_election_timeouts() -> None:
    drawn: list[tuple[int, int]] = []

    def randrange(low: int, high: int) -> int:
        drawn.append((low, high))
        return high - 1

    node = Direct()
    node.state.randrange = randrange
    node.hear_leader("n2", 2)
    assert set(drawn) == {(10, 20)}
    assert node.tick(18) == []
    assert kinds(node.tick(1)) == [RequestPreVote, RequestPreVote]


def test_3_4_who_hears_of_a_second_leader_in_its_term_leads_no_more() -> None:
    """It may be a liar: the node steps down, says so, and goes on."""
    for message in (Heartbeat("n2", ME, 2, 0, 1), AppendEntries("n2", ME, 2, 0, 0, 0, ())):
        node = Direct()
        node.become_leader()
        traces = node.step(Received(message)).traces
        assert [trace.event for trace in traces if trace.level == "warning"] == [
            "another node claims to lead this term, steps down"
        ]
        assert (node.state.role, node.state.term) == (Role.FOLLOWER, 2)


# 3.5 Log replication


def test_3_5_a_leader_appends_and_sends_at_once() -> None:
    node = Direct()
    node.become_leader()
    node.disk_is_quick = False
    update = node.propose(b"a", b"b")
    assert update.accepted == (3, 2)
    assert [message.target for message in update.messages] == ["n2", "n3"]
    for message in update.messages:
        assert isinstance(message, AppendEntries)
        assert (message.previous_index, message.previous_term) == (2, 2)
        assert [entry.data for entry in entries_of(message.blocks)] == [b"a", b"b"]


def test_3_5_only_a_leader_takes_proposals() -> None:
    for role in (Role.FOLLOWER, Role.PRE_CANDIDATE, Role.CANDIDATE):
        node = in_role(role)
        last = node.state.log.last
        assert node.propose(b"a").accepted is None
        assert node.state.log.last == last


def test_3_5_a_follower_takes_entries_only_behind_one_it_has() -> None:
    node = Direct(terms=(1, 2, 2))
    for previous in [(4, 2), (3, 1), (2, 1), (9, 9)]:
        (reply,) = node.hear_entries("n2", 3, previous, [3])
        assert isinstance(reply, AppendEntriesReply)
        assert not reply.success
    assert node.log_terms() == [1, 2, 2]
    (reply,) = node.hear_entries("n2", 3, (3, 2), [3])
    assert isinstance(reply, AppendEntriesReply)
    assert (reply.success, reply.match_index) == (True, 4)


@pytest.mark.parametrize(
    ("mine", "previous", "entries", "expected"),
    [
        ([1, 2, 2], (1, 1), [], [1, 2, 2]),  # nothing new, nothing lost
        ([1, 2, 2], (1, 1), [2], [1, 2, 2]),  # a late shorter message (hazard B15)
        ([1, 2, 2], (1, 1), [2, 2, 3], [1, 2, 2, 3]),
        ([1, 2, 2, 2], (1, 1), [3], [1, 3]),  # all behind the conflict goes (hazard B16)
        ([1, 2, 2, 2], (2, 2), [3, 3, 3], [1, 2, 3, 3, 3]),
        ([1, 2, 2], (3, 2), [2], [1, 2, 2, 2]),
        ([1], (0, 0), [1, 2], [1, 2]),
    ],
)
def test_3_5_a_follower_drops_its_log_from_the_first_conflict_on(
    mine: list[Term], previous: tuple[int, Term], entries: list[Term], expected: list[Term]
) -> None:
    node = Direct(terms=mine)
    node.hear_entries("n2", 4, previous, entries)
    assert node.log_terms() == expected
    assert [entry.term for entry in node.disk.entries] == expected


def test_3_5_a_follower_acknowledges_only_what_is_on_disk() -> None:
    node = Direct(disk_is_quick=False)
    node.hear_leader("n2", 2)
    node.persist()
    update = node.step(Received(AppendEntries("n2", ME, 2, 1, 1, 0, ())))
    assert update.messages == ()
    assert kinds(update.messages_after_persist) == [AppendEntriesReply]


def test_3_5_a_refusal_names_the_last_entry_not_newer_than_the_one_asked_for() -> None:
    node = Direct(terms=(1, 2, 2, 4, 4, 4))
    for previous, hint in [((6, 3), (3, 2)), ((6, 2), (3, 2)), ((6, 1), (1, 1)), ((9, 5), (6, 4))]:
        (reply,) = node.hear_entries("n2", 5, previous, [5])
        assert isinstance(reply, AppendEntriesReply)
        assert (reply.hint_index, reply.hint_term) == hint


def test_3_5_a_leader_goes_back_a_whole_term_at_a_refusal() -> None:
    node = Direct(terms=(1, 2, 2, 4, 4, 4))
    node.become_leader(agreed=False)
    assert node.refuse("n2", 6, 5, 3) == [], "the bodies come from disk first"
    assert node.state.leadership is not None
    assert node.state.leadership.progress["n2"].next_index == 4


def test_3_5_match_is_the_highest_acknowledged_and_late_answers_change_nothing() -> None:
    """Hazard B13."""
    node = Direct()
    node.become_leader()
    node.propose(*[b"x"] * 10)
    leadership = node.state.leadership
    assert leadership is not None
    progress = leadership.progress["n2"]
    for match, expected in [(9, 9), (5, 9), (2, 9), (12, 12), (9, 12)]:
        node.acknowledge("n2", match)
        assert progress.match_index == expected
    assert node.refuse("n2", 7, 1, 1) == []
    assert (progress.match_index, progress.next_index, progress.pace) == (12, 13, Pace.REPLICATE)


def test_3_5_a_follower_commits_what_it_has_compared_and_the_leader_has_committed() -> None:
    """Hazard B14: also what a heartbeat says is bounded, by the leader, to what this follower is known to hold."""
    node = Direct(terms=(1, 2, 2, 2))
    node.hear_entries("n2", 3, (1, 1), [2], commit_index=4)
    assert node.state.commit_index == 2
    node.hear_entries("n2", 3, (2, 2), [], commit_index=1)
    assert node.state.commit_index == 2, "it never goes back (hazard B12)"


def test_3_5_a_heartbeat_carries_no_commit_index_above_what_the_follower_holds() -> None:
    node = Direct(terms=(1, 2, 2))
    node.become_leader(agreed=False)
    node.acknowledge("n2", 4)
    assert node.state.commit_index == 4
    by_target = {message.target: message for message in node.tick(2) if isinstance(message, Heartbeat)}
    assert (by_target["n2"].commit_index, by_target["n3"].commit_index) == (4, 0)


def test_3_5_what_begins_below_the_commit_index_is_agreed_and_only_its_rest_is_looked_at() -> None:
    """Hazards B18 and B20."""
    node = Direct(terms=(1, 2, 2))
    node.hear_entries("n2", 2, (3, 2), [], commit_index=3)
    (reply,) = node.hear_entries("n2", 2, (1, 1), [2, 2, 2])
    assert isinstance(reply, AppendEntriesReply)
    assert (reply.success, reply.match_index) == (True, 4)
    assert node.log_terms() == [1, 2, 2, 2]
    (reply,) = node.hear_entries("n2", 2, (0, 0), [1])
    assert isinstance(reply, AppendEntriesReply)
    assert (reply.success, reply.match_index) == (True, 3)


# 3.6 Safety


@pytest.mark.parametrize(
    ("mine", "candidate", "granted"),
    [
        ([1], (1, 1), True),
        ([1, 1], (1, 1), False),
        ([1], (2, 1), True),
        ([1, 2], (5, 1), False),
        ([1, 1, 1], (1, 2), True),
        ([1, 2, 2], (3, 2), True),
        ([1, 2, 2], (2, 2), False),
        ([1, 2, 2], (2, 3), True),
    ],
)
def test_3_6_1_a_vote_goes_only_to_a_log_that_is_not_behind(
    mine: list[Term], candidate: tuple[int, Term], granted: bool
) -> None:
    assert votes(Direct(terms=mine).receive(RequestVote("n2", ME, 5, *candidate))) == [granted]
    (reply,) = Direct(terms=mine).receive(RequestPreVote("n2", ME, 5, *candidate))
    assert isinstance(reply, RequestPreVoteReply)
    assert reply.granted == granted


def test_3_6_2_a_leader_commits_only_entries_of_its_own_term_by_counting() -> None:
    """Figure 3.7, hazard B11."""
    node = Direct(terms=(1, 2, 2))
    node.become_leader(agreed=False)
    for peer in node.peers:
        node.acknowledge(peer, 3)
    assert node.state.commit_index == 0
    node.acknowledge("n2", 4)
    assert node.state.commit_index == 4


def test_3_6_2_a_leader_opens_its_term_with_a_no_op() -> None:
    node = Direct()
    node.become_leader(agreed=False)
    assert node.disk.entries[-1] == (2, 2, EntryKind.NOOP, b"")


def test_3_6_3_to_undo_a_committed_entry_stops_the_node() -> None:
    node = Direct(terms=(1, 2, 2))
    node.hear_entries("n2", 2, (3, 2), [], commit_index=3)
    with pytest.raises(InvariantBroken, match="would undo commit 3"):
        node.state.truncate_log_from(3)


# 3.8 Persisted state


def test_3_8_nothing_is_said_in_a_term_that_is_not_on_disk() -> None:
    node = Direct(disk_is_quick=False)
    update = node.step(Received(Heartbeat("n2", ME, 5, 0, 1)))
    assert update.messages == ()
    assert kinds(update.messages_after_persist) == [HeartbeatReply]
    node.persist()
    assert kinds(node.step(Received(Heartbeat("n2", ME, 5, 0, 2))).messages) == [HeartbeatReply]


# 4 Membership


def test_4_1_a_configuration_counts_from_when_it_is_appended_and_until_it_is_truncated() -> None:
    """Hazard B37."""
    node = Direct(terms=(1,))
    entry = Direct(nodes=5).disk.entries[0]._replace(index=2, term=2)
    node.receive(AppendEntries("n2", ME, 2, 1, 1, 0, blocks([entry])))
    assert len(node.state.configurations.voters) == 5
    node.hear_entries("n3", 3, (1, 1), [3])
    assert len(node.state.configurations.voters) == 3


def test_4_2_2_a_voter_does_not_ask_whether_it_is_one() -> None:
    """Hazard B09: its configuration may be old."""
    node = Direct()
    data = b"n2,n3/n1"
    entry = node.disk.entries[0]._replace(index=2, term=2, data=data)
    node.receive(AppendEntries("n2", ME, 2, 1, 1, 0, blocks([entry])))
    assert not node.state.is_voter
    node.tick(10)
    assert votes(node.receive(RequestVote("n3", ME, 3, 2, 2))) == [True]


def test_4_2_3_a_living_leader_keeps_others_from_being_elected() -> None:
    """Stated in 6.2 as well. A candidate that the leader itself asked to take over is heard."""
    node = Direct()
    node.hear_leader("n2", 2)
    node.tick(9)
    assert node.receive(RequestVote("n3", ME, 9, 9, 9)) == []
    assert node.state.term == 2
    assert votes(node.receive(RequestVote("n3", ME, 9, 9, 9, transfer=True))) == [True]


def test_4_2_3_a_leader_that_reaches_a_majority_does_not_hear_candidates() -> None:
    node = Direct()
    node.become_leader()
    assert node.receive(RequestVote("n3", ME, 9, 9, 9)) == []
    assert (node.state.term, node.state.role) == (2, Role.LEADER)


# 6 Clients


def test_6_2_a_leader_without_a_majority_steps_down() -> None:
    """CheckQuorum, hazard B08."""
    node = Direct(nodes=5)
    node.become_leader()
    for _ in range(5):
        node.tick(19)
        node.confirm_round("n2", 1)
        node.confirm_round("n4", 1)
    assert node.is_a(Role.LEADER)
    node.confirm_round("n2", 1)
    node.tick(19)
    assert node.is_a(Role.LEADER)
    node.tick(1)
    assert (node.state.role, node.state.term, node.state.leader_id) == (Role.FOLLOWER, 2, None)


def test_6_4_a_read_waits_for_the_no_op_and_for_a_round_begun_after_it() -> None:
    """Hazards B49 and B50."""
    node = Direct(terms=(1, 2))
    node.become_leader(agreed=False)
    node.tick(2)
    assert node.step(ReadRequested((1,))).reads == ()
    node.acknowledge("n2", 3)
    assert node.confirm_round("n2", 1).reads == (), "round 1 is older than the read"
    assert node.confirm_round("n3", 2).reads == ((1, 3),)


def test_6_4_reads_that_arrive_together_share_a_round_and_later_ones_wait_for_the_next() -> None:
    node = Direct()
    node.become_leader()
    assert kinds(node.step(ReadRequested((1, 2))).messages) == [Heartbeat, Heartbeat]
    assert node.step(ReadRequested((3,))).messages == ()
    assert node.step(ReadRequested((4,))).messages == ()
    update = node.confirm_round("n2", 1)
    assert [read.request_id for read in update.reads] == [1, 2]
    assert kinds(update.messages) == [Heartbeat, Heartbeat]
    assert [read.request_id for read in node.confirm_round("n3", 2).reads] == [3, 4]


def test_6_4_a_leader_that_steps_down_turns_its_reads_away() -> None:
    node = Direct()
    node.become_leader()
    node.step(ReadRequested((1,)))
    node.step(ReadRequested((2,)))
    assert node.step(Received(HeartbeatReply("n2", ME, 9, 1))).reads_dropped == (1, 2)
    assert node.step(ReadRequested((3,))).reads_dropped == (3,)


def test_6_4_a_heartbeat_of_an_older_term_is_answered_with_no_round() -> None:
    """Hazard B50: its sender may lead the newer term as well, and would take the old round for one of that term."""
    node = Direct(term=3)
    (reply,) = node.receive(Heartbeat("n2", ME, 2, 1, round=7))
    assert isinstance(reply, HeartbeatReply)
    assert (reply.target, reply.term, reply.round) == ("n2", 3, 0)


def test_6_4_a_single_node_confirms_itself() -> None:
    node = Direct(nodes=1)
    node.tick(10)
    assert node.step(ReadRequested((1,))).reads == ((1, 2),)


# 9.6 Pre-vote


def test_9_6_a_pre_vote_changes_nothing_at_either_side() -> None:
    node = Direct(term=4, voted_for="n3")
    before = (node.state.term, node.state.voted_for, node.state.role)
    (reply,) = node.receive(RequestPreVote("n2", ME, 5, 1, 1))
    assert reply == RequestPreVoteReply(ME, "n2", 5, True)
    assert (node.state.term, node.state.voted_for, node.state.role) == before
    assert kinds(node.tick(10)) == [RequestPreVote, RequestPreVote]
    assert (node.state.term, node.state.voted_for) == (4, "n3")


def test_9_6_a_pre_vote_is_refused_while_the_leader_lives() -> None:
    node = Direct()
    node.hear_leader("n2", 2)
    for elapsed_ticks, granted in [(9, False), (1, True)]:
        for _ in range(elapsed_ticks):
            node.state.election_deadline_ticks = 20
            node.tick()
        (reply,) = node.receive(RequestPreVote("n3", ME, 3, 1, 1))
        assert isinstance(reply, RequestPreVoteReply)
        assert (reply.granted, reply.term) == (granted, 3 if granted else 2)


def test_9_6_only_a_majority_of_pre_votes_starts_a_term() -> None:
    node = Direct(nodes=5)
    node.tick(10)
    node.receive(RequestPreVoteReply("n2", ME, 2, True))
    node.receive(RequestPreVoteReply("n2", ME, 2, True))
    node.receive(RequestPreVoteReply("n3", ME, 1, True))
    assert (node.state.role, node.state.term) == (Role.PRE_CANDIDATE, 1)
    node.receive(RequestPreVoteReply("n3", ME, 2, True))
    assert (node.state.role, node.state.term) == (Role.CANDIDATE, 2)


# 10.2.1 Writing to the leader's disk in parallel, pipelining


def test_10_2_1_the_leader_counts_itself_when_its_disk_has_answered() -> None:
    """Hazard B24."""
    node = Direct(nodes=3)
    node.become_leader()
    node.disk_is_quick = False
    node.propose(b"a")
    node.acknowledge("n2", 3)
    assert node.state.commit_index == 2
    node.persist()
    assert node.state.commit_index == 3


def test_10_2_1_followers_commit_without_the_leaders_disk() -> None:
    node = Direct(nodes=3)
    node.become_leader()
    node.disk_is_quick = False
    node.propose(b"a")
    node.acknowledge("n2", 3)
    node.acknowledge("n3", 3)
    assert node.state.commit_index == 3


def test_10_2_1_a_write_of_entries_that_were_replaced_proves_nothing() -> None:
    """Hazard B17."""
    node = Direct(disk_is_quick=False)
    node.hear_entries("n2", 2, (1, 1), [2, 2])
    node.hear_entries("n3", 3, (1, 1), [3, 3, 3])
    node.step(Persisted(1))
    assert node.state.log.persisted_index == 1
    node.step(Persisted(2))
    assert node.state.log.persisted_index == 4


def test_10_2_1_messages_go_ahead_of_their_answers_within_a_window() -> None:
    """Hazard B92."""
    limits: list[Callable[[], RaftSettings]] = [
        lambda: RaftSettings(10, 2, in_flight_messages_max=3),
        lambda: RaftSettings(10, 2, in_flight_bytes_max=3 * 33),
    ]
    for limit in limits:
        node = Direct(nodes=2, settings=limit())
        node.become_leader()
        sent = [len(node.propose(b"x").messages) for _ in range(5)]
        assert sent == [1, 1, 1, 0, 0]
        (message,) = node.acknowledge("n2", 3)
        assert isinstance(message, AppendEntries)
        assert [entry.index for entry in entries_of(message.blocks)] == [6, 7]


def test_10_2_1_a_batch_is_cut_by_bytes_but_for_one_large_entry() -> None:
    """Hazard B23."""
    node = Direct(nodes=2, settings=RaftSettings(10, 2, batch_bytes_max=100))
    node.become_leader()
    update = node.propose(b"x" * 500, b"y" * 10, b"y" * 10, b"y" * 10)
    batches = [message.entry_count for message in update.messages if isinstance(message, AppendEntries)]
    assert batches == [1, 2, 1]


# Not in the thesis: limits, and bodies that come from disk


def test_uncommitted_proposals_are_bounded_also_when_they_are_on_the_own_disk() -> None:
    """Hazard B21: the bound holds whatever the cache holds, and nothing of it is left when all is committed."""
    node = Direct(nodes=3, settings=RaftSettings(10, 2, uncommitted_bytes_max=1_000, cache_bytes_max=100))
    node.become_leader()
    accepted = [node.propose(b"x" * 68).accepted is not None for _ in range(50)]
    assert accepted.count(True) == 11, "ten fill the limit, the eleventh passes it"
    node.acknowledge("n2", node.state.log.last_index)
    assert node.state.log.cached_bytes_above(node.state.commit_index) == 0
    assert node.propose(b"x").accepted is not None


def test_bodies_that_are_not_wanted_any_more_are_not_sent() -> None:
    node = Direct(terms=(1, 2, 2), nodes=2)
    node.become_leader(agreed=False)
    node.take()
    update = node.step(Received(AppendEntriesReply("n2", ME, 3, 3, False, 0, 1, 1)))
    (wanted,) = update.entries_wanted
    assert (wanted.target, wanted.first, wanted.last) == ("n2", 2, 3)
    replaced = blocks(entry._replace(term=1) for entry in node.disk.entries[1:3])
    update = node.step(EntriesLoaded("n2", replaced))
    assert update.messages == ()
    (again,) = update.entries_wanted
    assert again == wanted
    (message,) = node.step(EntriesLoaded("n2", blocks(node.disk.entries[1:3]))).messages
    assert isinstance(message, AppendEntries)
    assert list(entries_of(message.blocks)) == node.disk.entries[1:3]


def test_a_message_for_another_node_is_ignored() -> None:
    node = Direct()
    assert node.receive(Heartbeat("n2", "n3", 9, 0, 1)) == []
    assert node.receive(Heartbeat(ME, ME, 9, 0, 1)) == []
    assert node.state.term == 1


def test_settings_that_cannot_work_are_refused() -> None:
    assert SETTINGS.election_timeout_ticks == 10
    for wrong in (
        {"heartbeat_ticks": 0},
        {"heartbeat_ticks": 12},
        {"batch_bytes_max": 0},
        {"in_flight_bytes_max": 0},
        {"in_flight_messages_max": 0},
        {"uncommitted_bytes_max": 0},
    ):
        with pytest.raises(ValueError, match="must be at least 1"):
            RaftSettings(**wrong)  # type: ignore[arg-type]  # all but one are numbers
