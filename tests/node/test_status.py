"""What a node says about itself, from a replica and a driver made by hand."""

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from raftdb.core.model import Member, Role
from raftdb.core.state import RaftState
from raftdb.node.contacts import Contacts
from raftdb.node.driver import Driver
from raftdb.node.replica import Replica
from raftdb.node.status import members_of
from raftdb.node.view import NodeView
from raftdb.server.local_node import LocalNode
from tests.addresses import at

MEMBERS = tuple(Member(f"n{number}", at(f"127.0.0.1:{8000 + number}")) for number in (1, 2, 3))

PROGRESS = {
    "n2": SimpleNamespace(match_index=7, is_caught_up=True),
    "n3": SimpleNamespace(match_index=5, is_caught_up=False),
}


def driver(
    *,
    leads: bool = False,
    leader: str | None = "n2",
    applied_index: int = 7,
    commit_index: int = 7,
    clock: Callable[[], float] = time.monotonic,
) -> Driver:
    """Node n1, which heard from n2 when it was last expected to speak."""
    state = SimpleNamespace(
        id="n1",
        role=Role.LEADER if leads else Role.FOLLOWER,
        leader_id=leader,
        leadership=SimpleNamespace(progress=PROGRESS) if leads else None,
        log=SimpleNamespace(persisted_index=7),
        commit_index=commit_index,
        doubts={},
        configurations=SimpleNamespace(latest=SimpleNamespace(members=MEMBERS)),
    )
    replica = SimpleNamespace(
        raft=SimpleNamespace(state=state), links={"n2", "n3"}, applied_index=applied_index
    )
    contacts = Contacts(heartbeat_s=0.075, clock=clock)
    contacts.look(cast(RaftState, state))
    contacts.heard("n2")
    made = SimpleNamespace(view=NodeView(cast(Replica, replica)), contacts=contacts, state=state)
    return cast(Driver, made)


@pytest.mark.parametrize(
    ("leads", "leader", "expected", "heard"),
    [(True, "n1", ["n2", "n3"], ["n2"]), (False, "n2", ["n2"], ["n2"]), (False, None, [], [])],
)
def test_contact_and_suspicion_are_told_of_those_who_speak_to_this_node(
    leads: bool, leader: str | None, expected: list[str], heard: list[str]
) -> None:
    members = members_of(driver(leads=leads, leader=leader))
    assert [member["id"] for member in members if "suspicion" in member] == expected
    assert [member["id"] for member in members if "last_contact_seconds" in member] == heard
    assert all(member["alive"] for member in members)


def test_who_is_connected_and_silent_is_not_alive() -> None:
    now_s = 0.0
    made = driver(leads=True, leader="n1", clock=lambda: now_s)
    while now_s < 2:
        now_s += 0.05
        made.contacts.heard("n2")
        made.contacts.look(cast(Any, made).state)
    assert {member["id"]: member["alive"] for member in members_of(made)} == {
        "n1": True,
        "n2": True,
        "n3": False,
    }
    made.contacts.heard("n3")
    assert all(member["alive"] for member in members_of(made))


@pytest.mark.parametrize("leader", ["n2", None])
def test_lag_is_about_applying_and_not_about_a_leader(leader: str | None) -> None:
    def lag(applied_index: int) -> str | None:
        made = driver(leader=leader, applied_index=applied_index)
        nothing = cast(Any, None)
        return LocalNode(made, nothing, nothing, nothing, node_id="n1", cluster_id="c", users=nothing).lag()

    assert lag(7) is None
    assert lag(6) == "committed entries wait to be applied"
