"""The budget of space: what a leader refuses, what a follower says and leaves out, and for how long (hazard B84)."""

import pytest

from raftdb.core.messages import AppendEntries, Heartbeat, HeartbeatReply
from raftdb.core.model import Entry, EntryKind
from raftdb.node.pending import no_space
from raftdb.node.space import GROWTH_OVERHEAD_BYTES, SpaceBudget
from tests.blocks import blocks
from tests.core.direct import ME, Direct

DATA = bytes(1000)
COST_BYTES = 2 * len(DATA) + GROWTH_OVERHEAD_BYTES
HEARTBEAT = Heartbeat("n2", ME, 2, 0, 1)
ANSWER = HeartbeatReply(ME, "n2", 2, 1)


def append(kind: EntryKind = EntryKind.COMMAND) -> AppendEntries:
    return AppendEntries("n2", ME, 2, 0, 0, 0, blocks([Entry(1, 2, kind, DATA)]))


def budget(*, headroom_bytes: int, last_headroom_bytes: int, reason: str | None = None) -> SpaceBudget:
    found = SpaceBudget()
    found.measured(
        reason, grown_bytes=0, headroom_bytes=headroom_bytes, last_headroom_bytes=last_headroom_bytes
    )
    return found


def test_without_a_look_there_is_no_limit() -> None:
    space = SpaceBudget()
    assert space.hears(append())
    assert space.says([ANSWER]) == [ANSWER]
    assert (space.shortage, space.is_spent, space.is_exhausted) == (None, False, False)


def test_what_is_taken_on_between_two_looks_counts() -> None:
    space = budget(headroom_bytes=COST_BYTES + 1, last_headroom_bytes=1 << 40)
    for is_spent in (False, True):
        space.take(len(DATA))
        assert space.is_spent == is_spent == bool(space.shortage)
    # A look that began before the second command finds room for that one, too.
    space.measured(None, grown_bytes=COST_BYTES, headroom_bytes=COST_BYTES + 1, last_headroom_bytes=1 << 40)
    assert space.shortage is None


def test_a_follower_that_is_short_says_so_and_goes_on() -> None:
    space = budget(headroom_bytes=0, last_headroom_bytes=1 << 40, reason="full")
    assert space.shortage == "full"
    assert space.hears(append())
    said = space.says([HEARTBEAT, ANSWER])
    assert said == [HEARTBEAT, HeartbeatReply(ME, "n2", 2, 1, is_short_of_space=True)]


def test_entries_from_a_leader_count_and_the_last_bytes_are_not_given_for_them() -> None:
    space = budget(headroom_bytes=COST_BYTES, last_headroom_bytes=2 * COST_BYTES)
    assert space.shortage is None
    assert space.hears(append())
    assert space.is_spent
    assert space.hears(append())
    assert space.is_exhausted
    assert not space.hears(append())
    # What keeps a cluster together still passes.
    for message in (append(EntryKind.NOOP), append(EntryKind.CONFIGURATION), HEARTBEAT):
        assert space.hears(message)
    assert space.hears(AppendEntries("n2", ME, 2, 0, 0, 0, ()))
    space.measured(None, grown_bytes=space.grown_bytes, headroom_bytes=1, last_headroom_bytes=1)
    assert space.hears(append())


@pytest.mark.parametrize(
    ("short", "reached", "is_refused"),
    [
        ((), ("n2", "n3"), False),
        (("n2",), ("n2", "n3"), False),
        (("n2", "n3"), ("n2", "n3"), True),
        (("n2",), ("n2",), True),
        (("n2", "n3"), (), False),
    ],
)
def test_a_leader_refuses_growth_if_those_that_have_space_are_no_majority(
    short: tuple[str, ...], reached: tuple[str, ...], is_refused: bool
) -> None:
    """Without anybody that is short it is not the space that is missing: `no_quorum` says that."""
    leader = Direct(nodes=3)
    leader.become_leader()
    space = SpaceBudget()
    for node in ("n2", "n3"):
        space.hears(HeartbeatReply(node, ME, 1, 1, is_short_of_space=node in short))
    reason = space.shortage_of_members(leader.state, set(reached))
    assert (reason is not None) == is_refused
    for node in short:
        space.hears(HeartbeatReply(node, ME, 1, 2))
    assert space.shortage_of_members(leader.state, set(reached)) is None


def test_on_a_full_disk_nothing_is_written_that_can_be_left_undone() -> None:
    """A write that finds no space ends the node; that another program has filled the disk may pass."""
    space = SpaceBudget()
    assert space.refusal(1 << 40) is None
    space.measured("full", grown_bytes=0, headroom_bytes=0, last_headroom_bytes=0, room_bytes=5000)
    assert space.refusal(5000) is None
    assert space.refusal(5001) == "the disk is full: 5000 bytes are left, and that takes 5001"


@pytest.mark.parametrize(
    ("nodes", "is_own", "says_transfer"), [(3, True, True), (3, False, False), (1, True, False)]
)
def test_a_leader_whose_own_disk_is_short_says_that_another_node_may_lead(
    nodes: int, is_own: bool, says_transfer: bool
) -> None:
    hint = no_space(Direct(nodes=nodes).state, "full", is_own=is_own).hint or ""
    assert hint.startswith("delete keys, or give the disk more space")
    assert ("'raftdb cluster transfer'" in hint) == says_transfer
