"""A node that joins under the secret of a cluster: who proves it is taken in and believed, and nobody else
(hazard B101)."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest

from raftdb.core.events import AddMember
from raftdb.core.membership import Configuration
from raftdb.core.model import Member
from raftdb.endpoint import RedisAddresses
from raftdb.errors import Fatal, LeaderHint, RemoteProtocolError, RequestRefused
from raftdb.server import membership
from raftdb.server.config import Settings
from raftdb.server.membership import Registrar, find_cluster
from raftdb.server.taking_in import TakingIn
from raftdb.transport import JoinServer, PeerProof, ask_to_join, joining, new_session
from raftdb.transport.joining import JOIN_PATH, MEMBER_HEADER, parse_member, write_member
from raftdb.transport.proof import NONCE_HEADER, Secrets
from raftdb.transport.sealed_requests import Prover, frame_of, seal_headers
from tests.addresses import at
from tests.frontend.support import Harness, StubNode, running
from tests.node.views import view_of

ONE, TWO = b"1" * 32, b"2" * 32
HERE = at("127.0.0.1:8004")
FACTS = {"id": "n4", "http": str(HERE), "redis": "127.0.0.1:6394", "redis_cluster": None}


@pytest.fixture(autouse=True)
def _no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership, "PAUSE_MIN_S", 0.001)
    monkeypatch.setattr(membership, "PAUSE_MAX_S", 0.01)


@asynccontextmanager
async def member_with(*secrets: bytes | None) -> AsyncIterator[Harness]:
    """A member of the cluster c1 that accepts these."""
    node = StubNode()
    server = JoinServer(PeerProof(secrets or (None,)), TakingIn(cast(Any, node), "c1").answer)
    async with running(node=node, more_routes=server.routes) as harness:
        yield harness


class Joining:
    """A new node with these secrets, which asks at these ports."""

    def __init__(self, secrets: Secrets, *ports: int) -> None:
        join = tuple(at(f"127.0.0.1:{port}") for port in ports)
        self.settings = Settings(id="n4", listen=HERE, redis=at("127.0.0.1:6394"), join=join)
        core = SimpleNamespace(
            id="n4",
            leader_id=None,
            configurations=SimpleNamespace(latest=Configuration(()), latest_index=0),
        )
        self.fatal: list[Fatal] = []
        self.proof = PeerProof(secrets)
        view = view_of(SimpleNamespace(state=core))
        self.registrar = Registrar(self.settings, view, HERE, proof=self.proof, on_fatal=self.fatal.append)

    async def ask(self) -> None:
        await asyncio.wait_for(self.registrar.run(), 10)


async def ask(harness: Harness, secret: bytes, facts: Mapping[str, Any] | None) -> tuple[int, dict[str, Any]]:
    async with new_session() as session:
        return await ask_to_join(session, at(f"127.0.0.1:{harness.port}"), PeerProof((secret,)), facts)


@pytest.mark.parametrize(
    ("own", "theirs"), [((ONE,), (ONE,)), ((TWO, ONE), (ONE, TWO)), ((ONE, None), (None, ONE))]
)
async def test_who_knows_the_secret_learns_which_cluster_this_is_and_is_taken_in(
    own: Secrets, theirs: Secrets
) -> None:
    async with member_with(*theirs) as harness:
        node = Joining(own, harness.port)
        assert await asyncio.to_thread(find_cluster, node.settings, node.proof) == "c1"
        await node.ask()
        taken_in = Member("n4", HERE, RedisAddresses(at("127.0.0.1:6394")), voter=False)
        assert harness.node.changes == [(AddMember(taken_in), False)]
        assert not node.fatal


async def test_the_leader_is_asked_if_another_node_answers() -> None:
    async with member_with(ONE) as leader, member_with(ONE) as follower:
        follower.node.leads = False
        follower.node.leader = LeaderHint("n1", at(f"127.0.0.1:{leader.port}"))
        await Joining((ONE,), follower.port).ask()
        assert not follower.node.changes
        assert len(leader.node.changes) == 1


async def test_a_refusal_for_good_stops_the_node() -> None:
    async with member_with(ONE) as harness:
        harness.node.failure = RequestRefused("conflict", "n4 was removed", hint="another id")
        node = Joining((ONE,), harness.port)
        await node.ask()
        (fatal,) = node.fatal
        assert ("n4 was removed" in fatal.message, fatal.hint) == (True, "another id")


@pytest.mark.parametrize("theirs", [(TWO,), (None,), ()])
async def test_who_does_not_prove_it_is_not_believed_and_hears_nothing(
    theirs: Secrets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What answers at the address may be anything, and would take the node into a cluster of its own."""
    read: list[bytes] = []
    monkeypatch.setattr(joining, "_object", read.append)
    async with member_with(*theirs) as harness:
        node = Joining((ONE,), harness.port)
        with pytest.raises(RemoteProtocolError):
            await asyncio.to_thread(membership._proved_cluster_id, node.settings.join or (), node.proof)
        task = asyncio.create_task(node.registrar.run())
        await asyncio.sleep(0.05)
        assert not task.done()
        task.cancel()
        assert (harness.node.changes, read) == ([], [])


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {NONCE_HEADER: "0f" * 32},
        {"Raftdb-Seal": "0f" * 32},
        {"Origin": "http://evil.example"},
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_who_proves_nothing_is_not_taken_in_and_learns_nothing(
    method: str, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    monkeypatch.setattr(joining, "parse_member", read.append)
    async with member_with(ONE) as harness, aiohttp.ClientSession() as session:
        url = at(f"127.0.0.1:{harness.port}").url(JOIN_PATH)
        every = {**headers, MEMBER_HEADER: write_member(FACTS)}
        async with session.request(method, url, headers=every) as response:
            assert response.status in (401, 403)
            assert b"c1" not in await response.read()
        assert (harness.node.changes, read) == ([], [])


async def test_another_secret_takes_nobody_in() -> None:
    async with member_with(ONE) as harness:
        for facts in (None, FACTS):
            with pytest.raises(RemoteProtocolError):
                await ask(harness, TWO, facts)
        assert not harness.node.changes


@pytest.mark.parametrize("what", ["facts", "method", "repeated"])
async def test_a_request_that_was_changed_on_its_way_or_comes_again_is_refused(what: str) -> None:
    async with member_with(ONE) as harness, new_session() as session:
        target = at(f"127.0.0.1:{harness.port}")
        url, prover = target.url(JOIN_PATH), Prover(PeerProof((ONE,)), JOIN_PATH, target)
        async with session.get(url, headers=prover.begin()) as response:
            prover.begun(response.status, response.headers)
        assert prover.seal is not None
        headers = {MEMBER_HEADER: write_member(FACTS)}
        sealed = seal_headers(prover.seal, frame_of("POST", headers, (MEMBER_HEADER,)))
        sent = {MEMBER_HEADER: write_member({**FACTS, "http": "6.6.6.6:1"})} if what == "facts" else headers
        method, statuses = "GET" if what == "method" else "POST", []
        for _ in range(2 if what == "repeated" else 1):
            async with session.request(method, url, headers={**sent, **sealed}) as response:
                statuses.append(response.status)
        assert statuses == ([200, 403] if what == "repeated" else [403])
        assert len(harness.node.changes) == (1 if what == "repeated" else 0)


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"id": 5},
        {"id": "n 4", "http": "h:1"},
        {"id": "n4"},
        {"id": "n4", "http": "0.0.0.0:1"},
        {"id": "n4", "http": "h:1", "redis": 5},
    ],
)
async def test_facts_that_cannot_be_are_refused(facts: dict[str, Any]) -> None:
    async with member_with(ONE) as harness:
        status, answer = await ask(harness, ONE, facts)
        assert (status, answer["error"]["code"]) == (400, "bad_request")
        assert not harness.node.changes


def test_what_is_no_member_is_refused() -> None:
    assert parse_member(write_member(FACTS)) == FACTS
    for text in ("", "!", "AAAA", write_member(FACTS)[:-4], "é", "A" * 5000):
        with pytest.raises(RemoteProtocolError):
            parse_member(text)


async def test_a_node_that_still_dials_without_a_secret_joins_as_a_client() -> None:
    async with member_with(None, ONE) as harness:
        node = Joining((None, ONE), harness.port)
        await node.ask()
        assert len(harness.node.changes) == 1
