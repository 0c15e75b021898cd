"""A log that is compacted, and the state that takes its place: a follower's part, then a leader's."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from raftdb.core.block import entries_of
from raftdb.core.events import Compacted, Persisted, Received, SnapshotFetched, SnapshotMade
from raftdb.core.messages import (
    AppendEntries,
    AppendEntriesReply,
    Heartbeat,
    HeartbeatReply,
    InstallSnapshot,
    Message,
    RequestVote,
    RequestVoteReply,
)
from raftdb.core.model import EntryId, EntryKind, HardState, Role, Term
from raftdb.core.progress import Pace, Progress
from raftdb.core.update import Output, Update
from raftdb.errors import InvariantBroken
from tests.blocks import blocks
from tests.core.cluster import encode_members
from tests.core.direct import ME, SETTINGS, SNAPSHOT_BYTES, SNAPSHOT_DIGEST, Direct, command, offer

THREE = encode_members(("n1", "n2", "n3"))


def answer(messages: Sequence[Message]) -> AppendEntriesReply:
    """The one message, which answers entries or a snapshot."""
    (reply,) = messages
    assert isinstance(reply, AppendEntriesReply)
    return reply


def held_up_to(messages: Sequence[Message]) -> int:
    """What the one message says to be held."""
    reply = answer(messages)
    assert reply.success
    return reply.match_index


def outline(node: Direct) -> tuple[int, int, int]:
    """Where its log begins and ends, and what is committed of it."""
    log = node.state.log
    return log.base.index, log.last_index, node.state.commit_index


def installed(end: tuple[int, Term] = (5, 2)) -> Direct:
    """A follower that has installed a snapshot which ends there."""
    node = Direct(terms=(1, 1))
    node.hear_snapshot("n2", 3, end)
    assert outline(node) == (end[0], end[0], end[0])
    return node


# A follower takes a state


def test_a_late_snapshot_from_before_the_beginning_of_the_log_is_not_installed_either() -> None:
    """Hazard B26: the term of its end is not known here any more; that it is committed is."""
    node = Direct(terms=(1, 2, 2, 2, 2), base_index=4)
    assert held_up_to(node.hear_snapshot("n2", 2, (3, 2))) == 4
    assert outline(node) == (4, 5, 4)


@pytest.mark.parametrize("end", [(4, 2), (3, 2), (1, 1)])
def test_a_late_snapshot_at_or_below_the_commit_index_is_answered_with_it_and_not_installed(
    end: tuple[int, Term],
) -> None:
    """Hazard B26."""
    node = Direct(terms=(1, 2, 2, 2, 2))
    node.hear_leader("n2", 2, commit_index=4)
    node.take()
    update = node.step(Received(offer("n2", 2, end, THREE)))
    assert update.snapshot_offered is None
    assert update.persist is None
    assert update.commit_index is None
    assert held_up_to(node.take()) == 4
    assert outline(node) == (0, 5, 4)
    assert node.log_terms() == [1, 2, 2, 2, 2]


@pytest.mark.parametrize("end", [3, 5])
def test_a_snapshot_whose_end_the_log_holds_keeps_what_is_behind_it_and_only_commits(end: int) -> None:
    """Hazard B26."""
    node = Direct(terms=(1, 2, 2, 2, 2))
    update = node.step(Received(offer("n2", 2, (end, 2), THREE)))
    assert update.snapshot_offered is None
    assert update.persist is None
    assert update.commit_index == end
    assert outline(node) == (0, 5, end)
    assert held_up_to(node.take()) == end


@pytest.mark.parametrize(
    "terms",
    [
        (1, 2, 2),  # it ends before (hazard B34)
        (1, 2, 2, 2, 2, 2, 2),  # another entry stands at the end, and more behind it (hazard B25)
        (1, 1, 1, 1, 4),  # a newer one does: what was never committed may be newer
    ],
)
def test_a_log_that_conflicts_or_ends_before_is_dropped_whole(terms: Sequence[Term]) -> None:
    """Hazards B25, B34."""
    node = Direct(terms=terms)
    node.hear_snapshot("n2", 5, (5, 3))
    assert outline(node) == (5, 5, 5)
    assert node.state.log.last == (5, 3)
    assert node.log_terms() == [None] * 4 + [3]
    assert (node.disk.base, len(node.disk.entries)) == ((5, 3), 5)


def test_a_snapshot_is_answered_when_it_is_installed_and_not_before() -> None:
    """Hazard B34; hazard B02: what is acknowledged must outlive a crash."""
    node = Direct(terms=(1, 2), disk_is_quick=False)
    update = node.fetch(offer("n2", 2, (5, 2), THREE))
    assert update.messages == ()
    assert held_up_to(update.messages_after_persist) == 5
    assert update.persist is not None
    assert (update.persist.install, update.persist.truncate_from, update.persist.blocks) == (
        (5, 2),
        None,
        (),
    )
    assert update.commit_index == 5
    assert node.fetch(offer("n2", 2, (5, 2), THREE)).messages == (), "the same again"
    node.persist()
    assert [held_up_to([message]) for message in node.take()] == [5, 5]


def test_the_term_of_a_snapshot_is_written_before_it() -> None:
    node = Direct(terms=(1,), disk_is_quick=False)
    update = node.step(Received(offer("n2", 7, (5, 6), THREE)))
    assert update.persist is not None
    assert update.persist.hard_state is not None
    assert (update.persist.hard_state.term, update.persist.install) == (7, None)
    assert update.snapshot_offered is not None
    installing = node.step(SnapshotFetched(update.snapshot_offered)).persist
    assert installing is not None
    assert (installing.sequence, installing.install) == (update.persist.sequence + 1, (5, 6))


def test_a_node_that_starts_after_an_installation_goes_on_from_it() -> None:
    """Hazard B34: it takes the next entry, votes and can lead."""
    node = installed()
    again = Direct(terms=(1, 1, 1, 1, 2), term=3, base_index=5)
    assert again.disk.base == node.disk.base == (5, 2)
    assert outline(again) == (5, 5, 5)
    assert held_up_to(again.hear_entries("n2", 3, (5, 2), [3])) == 6
    again.become_leader()
    assert again.log_terms()[4:] == [2, 3, 4]


@pytest.mark.parametrize("role", [Role.PRE_CANDIDATE, Role.CANDIDATE])
def test_a_candidate_that_is_sent_a_snapshot_in_its_term_follows(role: Role) -> None:
    """Hazard B04: and keeps its vote."""
    node = Direct(nodes=5)
    node.become_candidate() if role is Role.CANDIDATE else node.tick(10)
    vote = node.state.voted_for
    node.hear_snapshot("n2", node.state.term, (5, 1), nodes=5)
    assert (node.state.role, node.state.leader_id, node.state.voted_for) == (Role.FOLLOWER, "n2", vote)
    assert outline(node) == (5, 5, 5)


def test_a_snapshot_counts_as_hearing_the_leader() -> None:
    node = Direct()
    for index in range(5, 9):
        assert node.tick(9) == []
        node.hear_snapshot("n2", 1, (index, 1))
    assert node.is_a(Role.FOLLOWER)


def test_a_snapshot_of_an_older_term_is_answered_with_the_newer_one() -> None:
    node = Direct(terms=(1, 2), term=5)
    reply = answer(node.hear_snapshot("n2", 4, (9, 4)))
    assert (reply.term, reply.success) == (5, False)
    assert outline(node) == (0, 2, 0)
    assert node.state.leader_id is None


def test_a_leader_to_whom_a_second_one_sends_a_snapshot_leads_no_more_and_takes_nothing() -> None:
    node = Direct()
    node.become_leader()
    committed = node.state.commit_index
    node.hear_snapshot("n2", 2, (9, 2))
    assert (node.state.role, node.state.commit_index) == (Role.FOLLOWER, committed)


def test_the_configuration_of_a_snapshot_takes_the_place_of_uncommitted_ones() -> None:
    """Hazard B35."""
    node = Direct(terms=(1, 1, 1))
    alone = command(4, 2, encode_members(("n1", "n9")))._replace(kind=EntryKind.CONFIGURATION)
    node.receive(AppendEntries("n2", ME, 2, 3, 1, 0, blocks([alone])))
    assert node.state.configurations.voters == ("n1", "n9")
    node.hear_snapshot("n3", 3, (5, 3), nodes=5)
    configurations = node.state.configurations
    assert configurations.voters == ("n1", "n2", "n3", "n4", "n5")
    assert (configurations.latest_index, configurations.committed_at(5)[0]) == (1, 1)


def test_a_snapshot_of_which_the_log_holds_the_end_leaves_the_configuration_behind_it_in_force() -> None:
    """Hazard B35, the other way round: what stays in the log counts."""
    node = Direct(terms=(1, 1, 1))
    alone = command(4, 2, encode_members(("n1", "n9")))._replace(kind=EntryKind.CONFIGURATION)
    node.receive(AppendEntries("n2", ME, 2, 3, 1, 0, blocks([alone])))
    node.hear_snapshot("n2", 2, (3, 1))
    assert (node.state.configurations.latest_index, outline(node)) == (4, (0, 4, 3))


# Entries around the end of an installed snapshot


@pytest.mark.parametrize(
    ("previous", "terms", "match_index", "last_index"),
    [
        ((4, 2), [], 5, 5),
        ((4, 2), [2], 5, 5),
        ((4, 2), [2, 3], 6, 6),
        ((5, 2), [], 5, 5),
        ((5, 2), [3], 6, 6),
        ((5, 2), [3, 3], 7, 7),
        ((2, 1), [1, 2], 5, 5),
        ((0, 0), [1, 1, 1, 1, 2, 3], 6, 6),
    ],
)
def test_entries_around_the_end_of_a_snapshot_are_taken_from_its_end_on(
    previous: tuple[int, Term], terms: list[Term], match_index: int, last_index: int
) -> None:
    """Hazards B27, B18, B20: below the end all is agreed; what overlaps is skipped."""
    node = installed()
    assert held_up_to(node.hear_entries("n2", 3, previous, terms)) == match_index
    assert outline(node)[:2] == (5, last_index)
    assert [entry.index for entry in node.disk.entries] == list(range(1, last_index + 1))


@pytest.mark.parametrize("terms", [[], [3]])
def test_a_gap_behind_a_snapshot_is_refused_with_its_end_as_hint(terms: list[Term]) -> None:
    """Hazard B27."""
    node = installed()
    reply = answer(node.hear_entries("n2", 3, (6, 3), terms))
    assert (reply.success, reply.hint_index, reply.hint_term) == (False, 5, 2)
    assert outline(node) == (5, 5, 5)


def test_the_first_append_of_all_that_comes_again_after_a_snapshot_adds_nothing() -> None:
    """Hazard B18."""
    node = Direct(terms=(1,))
    first = AppendEntries("n2", ME, 3, 0, 0, 0, blocks([node.disk.entries[0], command(2, 3)]))
    node.receive(first)
    node.hear_snapshot("n2", 3, (5, 3))
    assert held_up_to(node.hear_entries("n2", 3, (5, 3), [3])) == 6
    assert held_up_to(node.receive(first)) == 5, "what it can vouch for unseen: all that is committed"
    assert outline(node) == (5, 6, 5)
    assert [entry.index for entry in node.disk.entries] == [1, 2, 3, 4, 5, 6]


def test_a_log_that_holds_only_a_state_is_compared_by_the_end_of_it() -> None:
    """Thesis 3.6.1: it votes for whoever has that entry, and not for less."""
    node = installed()
    node.tick(10)
    less = RequestVote("n3", ME, node.state.term + 1, 9, 1)
    (refused,) = node.receive(less)
    assert isinstance(refused, RequestVoteReply)
    assert not refused.granted
    (granted,) = node.receive(RequestVote("n3", ME, node.state.term, 5, 2))
    assert isinstance(granted, RequestVoteReply)
    assert granted.granted


# Writes in flight


def test_a_write_that_was_on_its_way_when_the_log_was_dropped_counts_up_to_the_snapshot_only() -> None:
    """Hazard B17: another entry stands there now."""
    node = Direct(terms=(1, 2), disk_is_quick=False)
    old = node.step(
        Received(AppendEntries("n2", ME, 2, 2, 2, 0, blocks(command(i, 2) for i in range(3, 10))))
    )
    offered = node.step(Received(offer("n3", 4, (5, 3), THREE)))
    assert sequence_of(offered) == 2
    install = node.step(SnapshotFetched(offer("n3", 4, (5, 3), THREE)))
    new = node.step(Received(AppendEntries("n3", ME, 4, 5, 3, 5, blocks([command(6, 4), command(7, 4)]))))
    assert (sequence_of(old), sequence_of(install), sequence_of(new)) == (1, 3, 4)
    log = node.state.log
    assert (log.persisted_index, log.last_index) == (5, 7)
    for sequence, expected in [(1, 5), (2, 5), (3, 5), (4, 7)]:
        node.step(Persisted(sequence))
        assert log.persisted_index == expected


def sequence_of(update: Update) -> int:
    """The number of the write that an update asks for."""
    assert update.persist is not None
    return update.persist.sequence


# Compaction


def test_a_log_is_compacted_up_to_what_is_committed_and_no_further() -> None:
    node = Direct(terms=(1, 2, 2, 2, 2))
    node.step(Compacted(3))
    assert outline(node) == (0, 5, 0)
    node.hear_leader("n2", 2, commit_index=3)
    node.step(Compacted(5))
    assert outline(node) == (3, 5, 3)
    assert node.log_terms() == [None, None, 2, 2, 2]


def test_a_log_is_compacted_up_to_what_is_on_its_own_disk_and_no_further() -> None:
    node = Direct(terms=(1, 2), disk_is_quick=False)
    node.hear_entries("n2", 2, (2, 2), [2, 2], commit_index=4)
    assert outline(node) == (0, 4, 4)
    node.step(Compacted(4))
    assert outline(node) == (2, 4, 4)
    node.persist()
    node.step(Compacted(4))
    assert outline(node) == (4, 4, 4)


@pytest.mark.parametrize("index", [0, 2, 3])
def test_a_compaction_to_where_the_log_begins_or_before_is_ignored(index: int) -> None:
    node = Direct(terms=(1, 2, 2, 2), base_index=3)
    update = node.step(Compacted(index))
    assert update == Update()
    assert outline(node) == (3, 4, 3)


def test_a_compaction_does_not_change_who_the_members_are() -> None:
    """Hazard B32: also not the second one, with no configuration in between."""
    node = Direct(terms=(1, 1, 1, 1))
    node.hear_leader("n2", 1, commit_index=4)
    for index in (2, 4):
        node.step(Compacted(index))
        configurations = node.state.configurations
        assert configurations.voters == ("n1", "n2", "n3")
        assert configurations.committed_at(index)[0] == 1


def test_a_compaction_forgets_the_members_that_were_replaced_before_it() -> None:
    node = Direct(terms=(1, 1))
    four = command(3, 1, encode_members(("n1", "n2", "n3", "n4")))._replace(kind=EntryKind.CONFIGURATION)
    node.receive(AppendEntries("n2", ME, 1, 2, 1, 3, blocks([four])))
    configurations = node.state.configurations
    assert [configurations.committed_at(index)[0] for index in (2, 3)] == [1, 3]
    node.step(Compacted(3))
    assert [configurations.committed_at(index)[0] for index in (2, 3)] == [0, 3]


# A leader delivers


def leader_with_a_short_log() -> Direct:
    """A leader whose log begins behind entry 4 and ends at 5, its no-op; n2 holds all of it, n3 was not heard."""
    node = Direct(terms=(1, 2, 2, 2))
    node.become_leader(agreed=False)
    node.acknowledge("n2", 5)
    node.step(Compacted(4))
    assert outline(node) == (4, 5, 5)
    return node


def progress_of(node: Direct, peer: str = "n3") -> Progress:
    """What the leader knows of a follower."""
    assert node.state.leadership is not None
    return node.state.leadership.progress[peer]


def to(peer: str, messages: Sequence[Message]) -> list[Message]:
    """The messages to one peer, without heartbeats."""
    return [m for m in messages if m.target == peer and not isinstance(m, Heartbeat)]


def leader_that_waits_for_a_snapshot() -> Direct:
    """The same, once n3 has said that it holds nothing but its first entry."""
    node = leader_with_a_short_log()
    node.take()
    update = node.step(
        Received(AppendEntriesReply("n3", ME, node.state.term, 4, False, 0, hint_index=1, hint_term=1))
    )
    assert update.snapshots_wanted == ("n3",)
    assert to("n3", node.take()) == []
    assert progress_of(node).pace is Pace.SNAPSHOT
    return node


def confirm_latest_round(node: Direct, peer: str = "n3") -> Update:
    """A peer answers the latest heartbeat."""
    assert node.state.leadership is not None
    return node.confirm_round(peer, node.state.leadership.round)


MADE = SnapshotMade("n3", EntryId(4, 2), 1, THREE, SNAPSHOT_BYTES, SNAPSHOT_DIGEST)
FAILED = SnapshotMade("n3", None)


def test_a_place_that_is_compacted_is_never_taken_for_one_with_term_0() -> None:
    """Hazard B19: n3 was elected to get entries from 3 on, and the log begins behind 4 by then."""
    node = Direct(terms=(1, 2, 2, 2))
    node.become_leader(agreed=False)
    node.acknowledge("n2", 5)
    node.refuse("n3", 4, 2, 1)
    progress_of(node).loading = False  # what was read is lost, as is everything behind it
    node.step(Compacted(4))
    for _ in range(6):
        node.tick(2)
        update = confirm_latest_round(node)
        assert not [m for m in update.messages if isinstance(m, AppendEntries)]
    assert progress_of(node).pace is Pace.SNAPSHOT


def test_a_follower_that_fetches_a_snapshot_is_sent_no_entries_meanwhile_but_heartbeats() -> None:
    node = leader_that_waits_for_a_snapshot()
    sent = [*node.take()]
    for number in range(20):
        node.propose(b"x" * number)
        sent += node.tick(2)
        update = node.step(Received(HeartbeatReply("n3", ME, node.state.term, number)))
        assert update.snapshots_wanted == (), "it is being made"
        sent += node.acknowledge("n2", node.state.log.last_index)
    assert to("n3", sent) == []
    assert len([m for m in sent if m.target == "n3"]) == 20
    assert node.is_a(Role.LEADER)
    assert node.state.commit_index == 25


def test_a_heartbeat_to_a_follower_that_fetches_a_snapshot_commits_nothing_that_it_may_not_have() -> None:
    """Hazard B14."""
    node = leader_that_waits_for_a_snapshot()
    beats = [m for m in node.tick(2) if isinstance(m, Heartbeat)]
    assert [(beat.target, beat.commit_index) for beat in beats] == [("n2", 5), ("n3", 0)]


def test_the_state_is_asked_for_once_whatever_is_refused_meanwhile() -> None:
    """The answer to a probe that was sent again may come when the state is already on its way."""
    node = leader_that_waits_for_a_snapshot()
    for previous_index in range(6):
        reply = AppendEntriesReply("n3", ME, node.state.term, previous_index, False, 0, 1, 1)
        assert node.step(Received(reply)).snapshots_wanted == ()
    assert progress_of(node).pace is Pace.SNAPSHOT


def test_a_snapshot_that_could_not_be_made_is_tried_again_after_a_heartbeat() -> None:
    node = leader_that_waits_for_a_snapshot()
    update = node.step(FAILED)
    assert (update.messages, update.snapshots_wanted) == ((), ())
    node.propose(b"x")
    assert to("n3", node.take()) == []
    node.tick(2)
    assert confirm_latest_round(node).snapshots_wanted == ("n3",)
    assert progress_of(node).pace is Pace.SNAPSHOT


def test_a_snapshot_that_was_made_is_offered_and_entries_go_on_behind_it() -> None:
    node = leader_that_waits_for_a_snapshot()
    node.propose(b"x")
    node.take()
    update = node.step(MADE)
    assert update.messages == (InstallSnapshot(ME, "n3", 3, 4, 2, 1, THREE, SNAPSHOT_BYTES, SNAPSHOT_DIGEST),)
    assert progress_of(node).pace is Pace.SNAPSHOT
    node.propose(b"y")
    assert to("n3", node.take()) == [update.messages[0]], "one thing at a time"
    (append,) = node.acknowledge("n3", 4)
    assert isinstance(append, AppendEntries)
    assert (append.previous_index, append.previous_term) == (4, 2)
    assert [entry.index for entry in entries_of(append.blocks)] == [5, 6, 7]
    assert progress_of(node).pace is Pace.REPLICATE


def test_an_offer_that_brings_nothing_is_made_again_once_the_follower_is_heard() -> None:
    """It was lost, or the follower fetches still, or has given up; meanwhile the snapshot may be another one."""
    node = leader_that_waits_for_a_snapshot()
    node.step(MADE)
    node.tick(SETTINGS.election_timeout_ticks)
    assert to("n3", node.take()) == [], "not to a follower that is silent"
    assert confirm_latest_round(node).snapshots_wanted == ("n3",)
    assert confirm_latest_round(node).snapshots_wanted == (), "once"
    assert isinstance(node.step(MADE).messages[0], InstallSnapshot)
    node.tick(2)
    assert confirm_latest_round(node).snapshots_wanted == (), "it takes its time"
    assert to("n3", node.acknowledge("n3", 4))


def test_an_installation_whose_answer_is_lost_is_found_out_by_the_next_offer() -> None:
    """Hazard B20."""
    node = leader_that_waits_for_a_snapshot()
    node.step(MADE)
    node.tick(SETTINGS.election_timeout_ticks)
    confirm_latest_round(node)
    node.step(MADE)
    node.acknowledge("n3", 5)
    assert (progress_of(node).pace, progress_of(node).match_index) == (Pace.REPLICATE, 5)


def test_a_follower_that_turns_out_to_hold_enough_is_sent_entries_at_once() -> None:
    """A late answer: what it was thought to lack it had."""
    node = leader_that_waits_for_a_snapshot()
    node.step(MADE)
    (append,) = to("n3", node.acknowledge("n3", 4))
    assert isinstance(append, AppendEntries)
    assert append.previous_index == 4


def test_a_log_that_was_compacted_beyond_the_fetched_state_makes_another_one_necessary() -> None:
    node = leader_that_waits_for_a_snapshot()
    node.step(MADE)
    node.step(Compacted(5))
    update = node.step(Received(AppendEntriesReply("n3", ME, node.state.term, 4, True, 4)))
    assert update.snapshots_wanted == ("n3",)
    assert (progress_of(node).pace, progress_of(node).match_index) == (Pace.SNAPSHOT, 4)


def test_a_snapshot_that_nobody_waits_for_changes_nothing() -> None:
    """It was wanted in an earlier leadership, or the follower has been removed since."""
    nodes = [Direct(), leader_with_a_short_log()]
    for node in nodes:
        for event in (MADE, FAILED, replace(MADE, target="n9")):
            assert node.step(event) == Update()


def test_a_follower_that_fetches_a_snapshot_counts_as_heard() -> None:
    """CheckQuorum, thesis 6.2: a transfer may take long; here n2 is gone and n3 receives."""
    node = leader_that_waits_for_a_snapshot()
    for _ in range(100):
        node.tick(2)
        confirm_latest_round(node)
    assert node.is_a(Role.LEADER)


def test_a_snapshot_that_was_fetched_is_installed_whoever_leads_by_then() -> None:
    """It is committed. Who leads now offers its own, and then hears that it is not needed."""
    node = Direct(terms=(1, 1))
    update = node.step(Received(offer("n2", 3, (5, 2), THREE)))
    assert update.snapshot_offered is not None
    node.hear_leader("n3", 4)
    installing = node.step(SnapshotFetched(update.snapshot_offered))
    assert outline(node) == (5, 5, 5)
    assert installing.messages_after_persist == (), "n2 leads no more"
    node.take()
    assert held_up_to(node.hear_snapshot("n3", 4, (5, 2))) == 5


def test_a_snapshot_that_was_fetched_too_late_takes_nothing_back() -> None:
    """Hazard B26: entries came meanwhile."""
    node = Direct(terms=(1, 1))
    update = node.step(Received(offer("n2", 3, (5, 2), THREE)))
    assert update.snapshot_offered is not None
    node.hear_entries("n2", 3, (2, 1), [1, 1, 2, 3], commit_index=6)
    node.take()
    late = node.step(SnapshotFetched(update.snapshot_offered))
    assert late.persist is None
    assert held_up_to(node.take()) == 6
    assert outline(node) == (0, 6, 6)


def test_a_leader_takes_no_snapshot() -> None:
    node = Direct(terms=(1, 2))
    node.become_leader()
    assert node.step(SnapshotFetched(offer("n2", 1, (9, 1), THREE))) == Update()


def test_a_newer_term_in_the_answer_to_a_snapshot_deposes_a_leader() -> None:
    """Hazard B10."""
    node = leader_that_waits_for_a_snapshot()
    node.step(MADE)
    node.receive(AppendEntriesReply("n3", ME, 9, 4, False, 0))
    assert (node.state.role, node.state.term) == (Role.FOLLOWER, 9)


def test_a_step_that_installs_a_snapshot_writes_nothing_else() -> None:
    """The log begins anew with a write of its own, which leaves term and vote as they are."""
    output = Output(install=EntryId(5, 2), hard_state=HardState(3, None))
    with pytest.raises(InvariantBroken):
        output.freeze(1)
