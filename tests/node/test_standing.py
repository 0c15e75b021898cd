"""Who is believed to be who: by the configurations, and by what was met."""

import pytest

from raftdb.core.events import PeerMet
from raftdb.core.messages import Heartbeat
from raftdb.core.model import ORIGIN, Entry, EntryId, EntryKind, StartId
from raftdb.core.raft import FOLDERS_MAX
from raftdb.node.standing import Standing, is_unproven, standing_of
from tests.core.cluster import encode_members
from tests.core.direct import ME, Direct

STRANGER = Standing(is_removed=False, is_member=False, uuid=None, met=None)


def node_with(configuration: bytes, *, committed: bool = True) -> Direct:
    """Node n1 of three, behind an entry with this configuration."""
    node = Direct()
    entry = Entry(2, 2, EntryKind.CONFIGURATION, configuration)
    node.disk.entries.append(entry)
    node.raft = node.disk.boot(ME, node.state.settings, lambda low, high: low)
    if committed:
        node.receive(Heartbeat("n2", ME, 2, 2, 1))
    return node


def test_who_was_removed_for_certain_is_turned_away() -> None:
    """Hazard B41; until it is certain, the node may be needed."""
    removed = encode_members((ME, "n2"), (), ("n3",))
    assert standing_of(node_with(removed).state, "n3").is_removed
    uncertain = standing_of(node_with(removed, committed=False).state, "n3")
    assert uncertain == STRANGER._replace(is_member=True)


def test_a_voter_is_the_folder_that_the_configuration_names() -> None:
    state = node_with(encode_members((ME, "n2#first", "n3"))).state
    assert standing_of(state, "n2").uuid == "first"
    assert standing_of(state, "n3") == STRANGER._replace(is_member=True)
    assert standing_of(state, "n9") == STRANGER


def test_a_learner_is_the_folder_that_it_was_met_as_before_it_was_one() -> None:
    """Hazard B36: a leader counts what it has heard of it since."""
    node = Direct()
    node.step(PeerMet("n4", "first"))
    assert standing_of(node.state, "n4") == STRANGER._replace(met="first")


def test_there_is_a_limit_of_strangers_that_are_remembered() -> None:
    node = Direct()
    node.step(PeerMet("n2", "folder"))
    node.step(PeerMet("n3", "folder", StartId(1, "again"), ("again",), put_back=True))
    for number in range(FOLDERS_MAX + 1):
        start = StartId(1, f"nonce {number}")
        node.step(PeerMet(f"stranger{number}", "folder", start, (start.nonce,), put_back=True))
        state = node.state
        assert max(len(state.folders), len(state.starts), len(state.doubts)) <= FOLDERS_MAX
    assert standing_of(node.state, "n2").met == "folder"
    assert node.state.doubts.keys() >= {"n3"}


@pytest.mark.parametrize(
    ("links", "unproven"), [((), True), (("n9",), True), (("n2",), False), (("n2", "n3"), False)]
)
def test_a_first_member_is_unproven_until_a_majority_has_met_it(
    links: tuple[str, ...], unproven: bool
) -> None:
    """Hazard B36."""
    assert is_unproven(Direct().state, set(links), EntryId(1, 1)) == unproven
    later = Direct(terms=(1, 2))
    assert not is_unproven(later.state, set(), EntryId(1, 1))


def test_who_has_no_configuration_is_unproven_whoever_it_has_met() -> None:
    node = Direct()
    node.disk.entries.clear()
    node.raft = node.disk.boot(ME, node.state.settings, lambda low, high: low)
    assert node.state.log.last == ORIGIN
    assert is_unproven(node.state, {"n2", "n3"}, EntryId(1, 1))
