"""What a node that executes nothing says: who leads, what is missing, and the next step."""

import pytest

from raftdb.core.messages import Heartbeat
from raftdb.errors import LeaderHint
from raftdb.node.pending import leader_hint, not_executed
from tests.addresses import at
from tests.core.direct import ME, Direct

LEADER = LeaderHint("n2", at("127.0.0.1:8002"))


@pytest.mark.parametrize("links", [(), ("n9",), ("n9", "n8")])
def test_without_a_majority_the_hint_says_what_finds_one(links: tuple[str, ...]) -> None:
    """Nodes that have all moved cannot find each other, and only a person knows where they are."""
    refusal = not_executed(Direct().state, set(links), None, is_removed=False)
    assert refusal.code == "no_quorum"
    assert refusal.message == "n1 reaches 1 of 3 voters, no majority"
    assert refusal.hint is not None
    assert "start or reconnect the other nodes" in refusal.hint
    assert "if all have moved, --members tells one where they are" in refusal.hint


def test_with_a_majority_in_reach_a_leader_is_to_come() -> None:
    refusal = not_executed(Direct().state, {"n3"}, None, is_removed=False)
    assert (refusal.code, refusal.hint) == ("no_leader", "try again in a second")


def test_another_leader_is_named_whoever_is_reached() -> None:
    refusal = not_executed(Direct().state, set(), LEADER, is_removed=False)
    assert (refusal.code, refusal.leader) == ("not_leader", LEADER)


def test_who_was_removed_names_the_members() -> None:
    refusal = not_executed(Direct().state, set(), None, is_removed=True)
    assert refusal.message == f"{ME} was removed from the cluster"
    assert "ask another node" in (refusal.hint or "")
    assert "--members" not in (refusal.hint or "")


def test_the_leader_is_where_it_was_found_last() -> None:
    node = Direct()
    assert leader_hint(node.state, lambda _node: at("127.0.0.1:9")) is None
    node.receive(Heartbeat("n2", ME, 2, 0, 1))
    found = leader_hint(node.state, lambda _node: at("127.0.0.1:9"))
    assert found is not None
    assert (found.id, found.http) == ("n2", "127.0.0.1:9")
