"""The parts that decide by themselves: majorities, a leader's view of a follower, the history of members."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raftdb.core.membership import Configuration, ConfigurationHistory
from raftdb.core.model import Entry, EntryKind, Member
from raftdb.core.progress import Pace, Progress
from raftdb.core.quorum import is_majority, majority, reached_by_majority
from tests.addresses import at
from tests.blocks import blocks
from tests.core.cluster import FORM, decode_members, encode_members

NODES = tuple(f"n{number}" for number in range(1, 10))
some_nodes = st.sets(st.sampled_from(NODES))
quickly = settings(max_examples=200, deadline=None, derandomize=True, database=None)

# Majorities


def test_sizes_of_majorities() -> None:
    assert [majority(NODES[:count]) for count in range(1, 8)] == [1, 2, 2, 3, 3, 4, 4]


@quickly
@given(voters=st.sets(st.sampled_from(NODES), min_size=1), one=some_nodes, other=some_nodes)
def test_two_majorities_share_a_voter(voters: set[str], one: set[str], other: set[str]) -> None:
    if is_majority(voters, one) and is_majority(voters, other):
        assert one & other & voters


@quickly
@given(voters=some_nodes, nodes=some_nodes)
def test_a_majority_is_more_than_half_of_the_voters_and_of_nobody_else(
    voters: set[str], nodes: set[str]
) -> None:
    assert is_majority(voters, nodes) == (2 * len(voters & nodes) > len(voters))


@quickly
@given(voters=some_nodes, values=st.dictionaries(st.sampled_from(NODES), st.integers(0, 5)))
def test_what_a_majority_has_reached_is_the_highest_such_value(
    voters: set[str], values: dict[str, int]
) -> None:
    reached = reached_by_majority(voters, values)
    if not voters:
        assert reached == 0
        return
    assert is_majority(voters, {node for node in voters if values.get(node, 0) >= reached})
    assert not is_majority(voters, {node for node in voters if values.get(node, 0) > reached})


# A leader's view of a follower


def is_paused(progress: Progress) -> bool:
    return progress.is_paused(in_flight_bytes_max=100, in_flight_messages_max=3)


def test_a_probe_waits_for_its_answer() -> None:
    progress = Progress(next_index=5)
    assert not is_paused(progress)
    progress.sent(9, 10, round_=0)
    assert is_paused(progress)
    assert progress.next_index == 5
    assert progress.acknowledged(9)
    assert (progress.pace, progress.match_index, progress.next_index) == (Pace.REPLICATE, 9, 10)
    assert not is_paused(progress)


def test_a_window_closes_by_messages_and_by_bytes_and_opens_with_their_answers() -> None:
    progress = Progress(next_index=1, pace=Pace.REPLICATE)
    for index in (1, 2, 3):
        assert not is_paused(progress)
        progress.sent(index, 10, round_=0)
    assert is_paused(progress)
    assert progress.acknowledged(2)
    assert (progress.in_flight_bytes, list(progress.in_flight)) == (10, [(3, 10, 0)])
    progress.sent(4, 90, round_=0)
    assert is_paused(progress)


def test_a_message_without_entries_takes_no_place_in_the_window() -> None:
    progress = Progress(next_index=4, match_index=3, pace=Pace.REPLICATE)
    progress.sent(3, 0, round_=0)
    assert (progress.next_index, list(progress.in_flight)) == (4, [])


def test_nothing_is_sent_while_bodies_are_read() -> None:
    assert is_paused(Progress(next_index=4, pace=Pace.REPLICATE, loading=True))
    assert is_paused(Progress(next_index=4, loading=True))


@pytest.mark.parametrize(
    ("previous_index", "agree_at_most", "next_index"),
    [(9, 6, 7), (9, 2, 4), (9, 20, 9), (8, 6, None), (3, 1, None), (10, 6, None)],
)
def test_a_probe_goes_back_but_never_to_what_is_known(
    previous_index: int, agree_at_most: int, next_index: int | None
) -> None:
    progress = Progress(next_index=10, match_index=3, probe_in_flight=True)
    assert progress.rejected(previous_index, agree_at_most) == (next_index is not None)
    assert progress.next_index == (next_index or 10)
    assert progress.probe_in_flight == (next_index is None)


def test_who_waits_for_a_snapshot_is_sent_nothing_until_it_answers() -> None:
    progress = Progress(next_index=4, match_index=1, pace=Pace.REPLICATE)
    progress.sent(6, 10, round_=0)
    progress.wait_for_snapshot()
    assert (progress.pace, progress.next_index, progress.in_flight_bytes) == (Pace.SNAPSHOT, 7, 0)
    assert is_paused(progress)
    assert not progress.rejected(6, 2), "what is refused is old news: it is known what it needs"
    progress.await_answer(round_=1)
    assert not progress.rejected(6, 2)
    assert (progress.pace, progress.match_index) == (Pace.SNAPSHOT, 1)
    assert is_paused(progress)
    assert progress.acknowledged(11)
    assert (progress.pace, progress.next_index, progress.probe_in_flight) == (Pace.REPLICATE, 12, False)
    assert not is_paused(progress)


def test_a_refusal_of_what_was_sent_ahead_gives_all_of_it_up() -> None:
    progress = Progress(next_index=4, match_index=3, pace=Pace.REPLICATE)
    for index in (5, 7, 9):
        progress.sent(index, 10, round_=0)
    assert not progress.rejected(3, 1), "what is known to be held cannot be refused"
    assert progress.rejected(5, 3)
    assert (progress.pace, progress.next_index, progress.in_flight_bytes) == (Pace.PROBE, 4, 0)


@quickly
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("sent"), st.integers(0, 3), st.just(0)),
            st.tuples(st.just("acknowledged"), st.integers(0, 20), st.just(0)),
            st.tuples(st.just("rejected"), st.integers(0, 20), st.integers(0, 20)),
            st.tuples(st.just("probe"), st.just(0), st.just(0)),
            st.tuples(st.just("snapshot"), st.just(0), st.just(0)),
            st.tuples(st.just("offered"), st.just(0), st.just(0)),
        ),
        max_size=40,
    )
)
def test_whatever_the_answers_match_only_grows_and_stays_below_next(
    steps: list[tuple[str, int, int]],
) -> None:
    progress = Progress(next_index=1)
    for step, number, hint in steps:
        before = progress.match_index
        if step == "sent" and not is_paused(progress):
            progress.sent(progress.next_index - 1 + number, 10 * number, round_=0)
        elif step == "acknowledged":
            assert progress.acknowledged(number) == (number > before)
        elif step == "rejected":
            progress.rejected(number, hint)
        elif step == "probe":
            progress.probe_from(progress.match_index + 1)
        elif step == "snapshot":
            progress.wait_for_snapshot()
        elif step == "offered" and progress.pace is Pace.SNAPSHOT:
            progress.await_answer(round_=number)
        assert before <= progress.match_index < progress.next_index
        assert progress.in_flight_bytes == sum(size for _, size, _ in progress.in_flight)
        assert progress.pace is Pace.REPLICATE or not progress.in_flight


# The history of members


def configuration_entry(index: int, voters: str, learners: str = "") -> Entry:
    data = encode_members(filter(None, voters.split(",")), filter(None, learners.split(",")))
    return Entry(index, 1, EntryKind.CONFIGURATION, data)


def test_members_are_unique_and_sorted() -> None:
    with pytest.raises(ValueError, match="not unique and sorted"):
        Configuration((Member("n2", at("")), Member("n1", at(""))))
    with pytest.raises(ValueError, match="not unique and sorted"):
        Configuration((Member("n1", at("")), Member("n1", at(""), voter=False)))


def test_a_configuration_tells_voters_from_learners() -> None:
    configuration = decode_members(b"n1,n3/n2")
    assert configuration.ids == ("n1", "n2", "n3")
    assert configuration.voters == ("n1", "n3")
    assert configuration.find("n2") == Member("n2", at("n2"), voter=False)
    assert configuration.find("n9") is None


def test_the_latest_configuration_counts_and_truncation_goes_back() -> None:
    """Hazard B37."""
    history = ConfigurationHistory(FORM, [(1, decode_members(b"n1,n2,n3/"))])
    assert not history.appended(blocks([Entry(2, 1, EntryKind.COMMAND, b"n9/")]))
    assert history.appended(blocks([configuration_entry(3, "n1,n2"), configuration_entry(4, "n1", "n2")]))
    assert (history.latest_index, history.voters, history.ids) == (4, ("n1",), ("n1", "n2"))
    assert not history.truncated_from(5)
    assert history.truncated_from(4)
    assert (history.latest_index, history.voters) == (3, ("n1", "n2"))
    assert history.truncated_from(2)
    assert (history.latest_index, history.voters) == (1, ("n1", "n2", "n3"))


def test_a_snapshot_carries_the_last_committed_configuration() -> None:
    """Hazard B35."""
    history = ConfigurationHistory(FORM, [])
    assert history.voters == ()
    assert history.committed_at(9) == (0, Configuration(()))
    history.appended(blocks([configuration_entry(1, "n1,n2"), configuration_entry(5, "n1")]))
    assert [history.committed_at(index)[0] for index in (0, 1, 4, 5, 9)] == [0, 1, 1, 5, 5]


def test_a_compacted_history_begins_with_what_is_in_force_there() -> None:
    history = ConfigurationHistory(FORM, [])
    history.appended(blocks(configuration_entry(index, f"n{index}") for index in (1, 4, 7, 9)))
    for index, known in [
        (0, [0, 1, 4, 7, 9]),
        (3, [0, 1, 4, 7, 9]),
        (7, [0, 0, 0, 7, 9]),
        (8, [0, 0, 0, 7, 9]),
    ]:
        history.compacted_to(index)
        assert [history.committed_at(at)[0] for at in (0, 3, 4, 7, 9)] == known
        assert (history.latest_index, history.voters) == (9, ("n9",))
    assert history.truncated_from(9)
    assert (history.latest_index, history.voters) == (7, ("n7",)), "what the state holds is never truncated"
    history.compacted_to(20)
    assert (history.latest_index, history.voters) == (7, ("n7",))


def test_a_history_begins_anew_with_the_configuration_of_a_snapshot() -> None:
    """Hazard B35: whatever the log had, also with a higher index."""
    history = ConfigurationHistory(FORM, [(1, decode_members(b"n1/"))])
    history.appended(blocks([configuration_entry(8, "n8")]))
    history.reset(5, encode_members(("n2", "n3"), ("n4",)))
    assert (history.latest_index, history.voters, history.ids) == (5, ("n2", "n3"), ("n2", "n3", "n4"))
    assert history.committed_at(5)[0] == 5
    assert not history.truncated_from(6)


@quickly
@given(steps=st.lists(st.tuples(st.integers(1, 12), st.sampled_from(["n1", "n1,n2", "n1,n2,n3", ""]))))
def test_a_history_is_that_of_the_log(steps: list[tuple[int, str]]) -> None:
    """At each step the log is cut before an index, and a command or a configuration is added."""
    log = [configuration_entry(1, "n1,n2,n3")]
    history = ConfigurationHistory(FORM, [(1, decode_members(log[0].data))])
    for index, voters in steps:
        if 1 < index <= len(log):
            del log[index - 1 :]
            history.truncated_from(index)
        next_index = len(log) + 1
        new = (
            configuration_entry(next_index, voters)
            if voters
            else Entry(next_index, 1, EntryKind.COMMAND, b"")
        )
        log.append(new)
        history.appended(blocks([new]))
        latest = [entry for entry in log if entry.kind is EntryKind.CONFIGURATION][-1]
        assert history.latest_index == latest.index
        assert history.voters == decode_members(latest.data).voters
