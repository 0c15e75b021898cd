"""Who was put back, and what its word is worth meanwhile (hazard B108)."""

from collections.abc import Sequence
from itertools import combinations

import pytest

from raftdb.core.events import ConfigurationChangeAsked, PeerMet, Received, RemoveMember, TransferAsked
from raftdb.core.messages import AppendEntries, RequestVote, RequestVoteReply
from raftdb.core.model import NodeId, Role, StartId
from raftdb.core.quorum import is_majority, is_sound, majority, reached_by_majority, reached_soundly
from tests.core.direct import Direct

NODES = ("n1", "n2", "n3", "n4", "n5")


def subsets(nodes: Sequence[NodeId]) -> list[frozenset[NodeId]]:
    return [frozenset(some) for count in range(len(nodes) + 1) for some in combinations(nodes, count)]


@pytest.mark.parametrize("size", range(1, 5))
def test_who_decides_without_those_in_doubt_meets_every_majority_there_was(size: int) -> None:
    """Hazard B108: in somebody who has forgotten nothing. Also when a voter is being added or removed meanwhile, and
    some only know the configuration before, some the one after."""
    smaller, larger = NODES[:size], NODES[: size + 1]
    for electorates in ((smaller,), (larger,), (smaller, larger), (larger, smaller)):
        voters = electorates[-1]
        for doubted in subsets(voters):
            for nodes in subsets(voters):
                if not is_majority(voters, nodes) or not is_sound(electorates, nodes, doubted):
                    continue
                for electorate in electorates:
                    for before in combinations(electorate, majority(electorate)):
                        assert (nodes - doubted).intersection(before), (electorates, doubted, nodes, before)


@pytest.mark.parametrize("doubted", subsets(NODES[:4]), ids=lambda nodes: ",".join(sorted(nodes)))
def test_what_is_reached_is_what_who_decides_has_reached(doubted: frozenset[NodeId]) -> None:
    voters = NODES[:4]
    values = {"n1": 7, "n2": 3, "n3": 5, "n4": 3}
    reached = min(reached_by_majority(voters, values), reached_soundly([voters], values, doubted))
    at = {value: {node for node in voters if values[node] >= value} for value in (3, 5, 7)}
    deciding = [value for value, nodes in at.items() if is_majority(voters, nodes)]
    assert reached == max([value for value in deciding if is_sound([voters], at[value], doubted)], default=0)


def put_back(node: NodeId, nonce: str = "again 3") -> PeerMet:
    """The meeting that shows that a folder was put back."""
    return PeerMet(node, f"{node}'s", StartId(3, nonce), (nonce,), put_back=True)


def test_a_leader_that_learns_that_its_own_folder_was_put_back_steps_down() -> None:
    """It may have been elected by a vote that it had given before, to somebody else."""
    node = Direct()
    node.become_leader()
    node.step(put_back("n1"))
    assert node.is_a(Role.FOLLOWER)
    node.tick(50)
    assert node.is_a(Role.FOLLOWER), "and does not stand again"


def test_a_configuration_that_names_an_earlier_start_settles_nothing() -> None:
    """n2 was put back twice. What the leader wrote down after the first time says nothing of the second."""
    node = Direct()
    node.become_leader()
    node.acknowledge("n3", node.state.log.last_index)
    node.step(put_back("n2", "first 1"))
    node.tick(1)
    named = node.state.log.last_index
    node.step(put_back("n2", "second 2"))
    node.acknowledge("n3", named)
    assert node.state.commit_index == named
    assert node.state.doubts == {"n2": ("second 2",)}
    node.tick(1)
    node.acknowledge("n3", node.state.log.last_index)
    assert node.state.doubts == {}


def test_a_match_index_is_unlearned_by_that_alone() -> None:
    """Hazard B13: a refusal, however late, takes nothing back; the same start, met again, neither."""
    node = Direct()
    node.become_leader()
    node.propose(b"a", b"b")
    node.acknowledge("n2", 4)
    assert node.state.leadership is not None
    node.refuse("n2", 1, 0)
    node.step(PeerMet("n2", "n2's", StartId(2, "usual 2")))
    assert node.state.leadership.progress["n2"].match_index == 4
    node.take()
    node.step(put_back("n2"))
    assert node.state.leadership.progress["n2"].match_index == 0
    (probe,) = node.take()
    assert isinstance(probe, AppendEntries)
    assert (probe.target, probe.previous_index) == ("n2", node.state.log.last_index)
    assert node.state.commit_index == 4, "what is committed stays"


def test_who_is_in_doubt_is_neither_voted_for_nor_handed_the_leadership_nor_counted_as_alive() -> None:
    voter = Direct()
    voter.step(put_back("n2"))
    voter.take()
    voter.step(Received(RequestVote("n2", "n1", 9, 99, 8), "again 3"))
    assert voter.take() == [RequestVoteReply("n1", "n2", 9, granted=False)]
    leader = Direct(nodes=4)
    leader.become_leader()
    for peer in ("n2", "n3"):
        leader.acknowledge(peer, leader.state.log.last_index)
    leader.step(put_back("n2"))
    update = leader.step(TransferAsked(1, "n2"))
    assert update.transfers[0].refusal is not None
    assert update.transfers[0].refusal.code == "busy"
    leader.step(TransferAsked(2))
    assert leader.state.transfer is not None
    assert leader.state.transfer.target == "n3"
    small = Direct()
    small.become_leader()
    small.acknowledge("n2", small.state.log.last_index)
    small.step(put_back("n2"))
    refusal = small.step(ConfigurationChangeAsked(RemoveMember("n3"))).refusal
    assert refusal is not None
    assert "n2 not heard from" in refusal.reason
