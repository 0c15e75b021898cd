"""Members and leadership through both clients: what is asked, what is understood, and what is asked only once."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from raftdb.client.async_client import AsyncClient
from raftdb.client.model import Member, Membership
from raftdb.client.sync_client import Client
from raftdb.errors import Conflict, LeaderHint, OutcomeUnknown, RemoteProtocolError
from tests.addresses import at
from tests.client.fake_node import Canned, FakeCluster, error

CHANGED = {
    "index": 7,
    "members": [
        {"id": "n1", "http": "127.0.0.1:8001", "voter": True, "alive": True, "match_index": 12},
        {
            "id": "n4",
            "http": "http://127.0.0.1:8004/",
            "redis": "127.0.0.1:6384",
            "voter": False,
            "joining": True,
            "alive": False,
            "problem": "connection refused",
            "last_contact_seconds": 2,
            "suspicion": 99.5,
        },
    ],
    "removed": ["n3"],
    "last_index": 12,
    "pending": True,
}
UNDERSTOOD = Membership(
    members=(
        Member(id="n1", http="127.0.0.1:8001", redis=None, voter=True, match_index=12, alive=True),
        Member(
            id="n4",
            http="127.0.0.1:8004",
            redis="127.0.0.1:6384",
            voter=False,
            joining=True,
            match_index=None,
            alive=False,
            problem="connection refused",
            last_contact_seconds=2.0,
            suspicion=99.5,
        ),
    ),
    removed=("n3",),
    last_index=12,
    index=7,
    pending=True,
)
LEADER = {"leader": {"id": "n4", "http": "127.0.0.1:8004", "redis": None}}

CALLS: dict[str, tuple[Callable[[Any], Any], str, object, object]] = {
    "membership": (lambda client: client.membership(), "GET /v1/members", None, CHANGED),
    "add": (
        lambda client: client.add_member(
            "n4", "h:1", redis="h:2", redis_cluster="h:3", learner=True, force=True
        ),
        "POST /v1/members",
        {"id": "n4", "http": "h:1", "redis": "h:2", "redis_cluster": "h:3", "learner": True, "force": True},
        CHANGED,
    ),
    "remove": (lambda client: client.remove_member("n/4"), "DELETE /v1/members/n%2F4", None, CHANGED),
    "promote": (
        lambda client: client.promote_member("n4", force=True),
        "POST /v1/members/n4/promote?force=true",
        None,
        CHANGED,
    ),
    "move": (
        lambda client: client.move_member("n4", "h:1", redis="h:2", redis_cluster="h:3"),
        "POST /v1/members/n4/address",
        {"http": "h:1", "redis": "h:2", "redis_cluster": "h:3"},
        CHANGED,
    ),
    "transfer": (
        lambda client: client.transfer_leadership("n4"),
        "POST /v1/leader/transfer",
        {"to": "n4"},
        LEADER,
    ),
}


def run_async(cluster: FakeCluster, call: Callable[[AsyncClient], Awaitable[object]]) -> object:
    async def run() -> object:
        async with AsyncClient(cluster.addresses, timeout_ms=5_000) as client:
            return await call(client)

    return asyncio.run(run())


def run_sync(cluster: FakeCluster, call: Callable[[Client], object]) -> object:
    with Client(cluster.addresses, timeout_ms=5_000) as client:
        return call(client)


RUN: dict[str, Callable[[FakeCluster, Callable[[Any], Any]], object]] = {"sync": run_sync, "async": run_async}


@pytest.mark.parametrize("kind", RUN)
@pytest.mark.parametrize("name", CALLS)
def test_what_is_asked_and_understood(cluster: FakeCluster, kind: str, name: str) -> None:
    """Also of a client with sessions: a change of the cluster is no write of the database."""
    call, request, sent, answer = CALLS[name]
    leader = cluster.nodes[0]
    if name != "membership":
        leader.script.append(Canned(body={"leader": cluster.leader_body()}))
    leader.script.append(Canned(202, answer))  # type: ignore[arg-type]
    understood = LeaderHint("n4", at("127.0.0.1:8004")) if name == "transfer" else UNDERSTOOD
    result = RUN[kind](cluster, call)
    assert result == understood
    assert [f"{method} {path}" for method, path in leader.requests][-1] == request
    assert leader.bodies[-1] == sent


@pytest.mark.parametrize("kind", RUN)
def test_a_change_whose_outcome_is_unknown_is_not_asked_for_again(cluster: FakeCluster, kind: str) -> None:
    for lost in (Canned(cut=True), error(504, "outcome_unknown")):
        leader = cluster.nodes[0]
        leader.requests.clear()
        leader.script += [Canned(body={"leader": cluster.leader_body()}), lost]
        with pytest.raises(OutcomeUnknown):
            RUN[kind](cluster, lambda client: client.remove_member("n3"))
        assert [method for method, _ in leader.requests] == ["GET", "DELETE"]


def test_a_change_that_cannot_be_is_a_conflict_with_its_words(cluster: FakeCluster) -> None:
    cluster.nodes[0].script += [
        Canned(body={"leader": cluster.leader_body()}),
        error(409, "conflict", "n3 is the only voter", hint="add another node first"),
    ]
    with pytest.raises(Conflict, match="only voter") as conflict:
        run_sync(cluster, lambda client: client.remove_member("n3"))
    assert conflict.value.keys == ()
    assert conflict.value.hint == "add another node first"


def test_an_answer_that_names_no_leader_is_none_of_ours(cluster: FakeCluster) -> None:
    cluster.nodes[0].script += [Canned(body={"leader": cluster.leader_body()}), Canned(body={"leader": None})]
    with pytest.raises(RemoteProtocolError):
        run_sync(cluster, lambda client: client.transfer_leadership())
