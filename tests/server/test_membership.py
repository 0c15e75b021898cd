"""A node's care for its own membership: joining, against a cluster that is made up."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp import web

from raftdb.core.membership import Configuration
from raftdb.core.model import Member
from raftdb.endpoint import Endpoint
from raftdb.errors import Fatal, LeaderHint, RequestRefused, Unavailable
from raftdb.frontend.http_server import HttpServer
from raftdb.route import Permission, Route
from raftdb.server import membership
from raftdb.server.config import Settings
from raftdb.server.membership import Registrar
from raftdb.transport import PeerProof
from tests.addresses import at
from tests.frontend.support import StubNode, running
from tests.node.views import view_of

HERE = at("127.0.0.1:8004")
THERE = at("127.0.0.1:9004")


@pytest.fixture(autouse=True)
def _no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership, "PAUSE_MIN_S", 0.001)
    monkeypatch.setattr(membership, "PAUSE_MAX_S", 0.01)


class World:
    """A registrar, its node's state, and what came of it."""

    def __init__(self, settings: Settings, http: Endpoint, *members: Member) -> None:
        latest = Configuration(members)
        self.core = SimpleNamespace(
            id="n4",
            leader_id=None,
            configurations=SimpleNamespace(latest=latest, latest_index=1 if members else 0),
        )
        self.fatal: list[Fatal] = []
        self.registrar = Registrar(
            settings,
            view_of(SimpleNamespace(state=self.core)),
            http,
            proof=PeerProof(),
            on_fatal=self.fatal.append,
        )


def joining(port: int) -> World:
    settings = Settings(id="n4", listen=HERE, join=(at("127.0.0.1:1"), at(f"127.0.0.1:{port}")))
    return World(settings, HERE)


def asked(node: StubNode) -> list[str]:
    return [f"{type(change).__name__} {change}" for change, _ in node.changes]


async def test_a_new_node_asks_whoever_answers_to_take_it_in() -> None:
    async with running() as cluster:
        world = joining(cluster.port)
        await asyncio.wait_for(world.registrar.run(), 10)
        assert len(cluster.node.changes) == 1
        assert "AddMember" in asked(cluster.node)[0]
        assert repr(HERE) in asked(cluster.node)[0]
        assert not world.fatal


async def test_a_node_that_is_known_already_asks_for_nothing() -> None:
    """Somebody added it by hand, or the answer to its first question was lost."""
    async with running() as cluster:
        cluster.node.membership = lambda: {"members": [{"id": "n4", "http": str(HERE)}]}  # type: ignore[method-assign]
        world = joining(cluster.port)
        await asyncio.wait_for(world.registrar.run(), 10)
        assert not cluster.node.changes
        assert not world.fatal


async def test_a_node_that_has_members_asks_for_nothing() -> None:
    """It was taken in before: whatever the cluster thinks of it now, asking again is not its business."""
    settings = Settings(id="n4", listen=HERE, join=(at("127.0.0.1:1"),))
    world = World(settings, HERE, Member("n1", at("127.0.0.1:8001")))
    await asyncio.wait_for(world.registrar.run(), 10)
    assert not world.fatal


@pytest.mark.parametrize("others", [(), (Member("n1", at("127.0.0.1:8001")),)])
async def test_a_folder_that_is_a_cluster_of_its_own_says_that_it_does_not_join(
    others: tuple[Member, ...], caplog: pytest.LogCaptureFixture
) -> None:
    """Started once without `join`, it leads itself: what is written there never comes to the cluster that was meant."""
    settings = Settings(id="n4", listen=HERE, join=(at("127.0.0.1:1"),))
    world = World(settings, HERE, *others, Member("n4", HERE))
    with caplog.at_level("WARNING"):
        await asyncio.wait_for(world.registrar.run(), 10)
    told = [record.getMessage() for record in caplog.records if "join is ignored" in record.getMessage()]
    assert len(told) == (0 if others else 1)
    assert not world.fatal


async def test_an_id_that_stands_for_another_address_stops_the_node() -> None:
    async with running() as cluster:
        cluster.node.membership = lambda: {"members": [{"id": "n4", "http": str(THERE)}]}  # type: ignore[method-assign]
        world = joining(cluster.port)
        await asyncio.wait_for(world.registrar.run(), 10)
        assert not cluster.node.changes
        (fatal,) = world.fatal
        assert fatal.exit_code == 2
        assert str(THERE) in fatal.message
        assert f"raftdb cluster address n4 {HERE}" in (fatal.hint or "")


async def test_a_refusal_for_good_stops_the_node_and_one_that_passes_does_not() -> None:
    async with running() as cluster:
        cluster.node.failure = Unavailable("busy", "another change of the members is under way")
        world = joining(cluster.port)
        task = asyncio.create_task(world.registrar.run())
        await asyncio.sleep(0.05)
        assert not task.done()
        cluster.node.failure = RequestRefused(
            "conflict", "n4 was removed from this cluster", hint="another id"
        )
        await asyncio.wait_for(task, 10)
        (fatal,) = world.fatal
        assert fatal.exit_code == 2
        assert "n4 was removed from this cluster" in fatal.message
        assert fatal.hint == "another id"


async def test_a_redirect_is_followed_with_the_body() -> None:
    async with running() as leader, running() as follower:
        follower.node.leads = False
        follower.node.leader = LeaderHint("n1", at(f"127.0.0.1:{leader.port}"))
        world = joining(follower.port)
        await asyncio.wait_for(world.registrar.run(), 10)
        assert not follower.node.changes
        assert repr(HERE) in asked(leader.node)[0]


@asynccontextmanager
async def nonsense() -> AsyncIterator[int]:
    """A server that is no raftdb node."""

    async def answer(request: web.BaseRequest) -> web.Response:
        return web.Response(text="hello")

    server = HttpServer({"/v1/members": {"GET": Route(cast(Any, answer), Permission.READ)}})
    _, port = await server.start("127.0.0.1", 0)
    try:
        yield port
    finally:
        await server.close(grace_s=0.1)


async def test_nonsense_and_closed_ports_are_survived() -> None:
    async with nonsense() as port, running() as cluster:
        settings = Settings(
            id="n4",
            listen=HERE,
            join=(at("127.0.0.1:1"), at(f"127.0.0.1:{port}"), at(f"127.0.0.1:{cluster.port}")),
        )
        world = World(settings, HERE)
        await asyncio.wait_for(world.registrar.run(), 10)
        assert len(cluster.node.changes) == 1
