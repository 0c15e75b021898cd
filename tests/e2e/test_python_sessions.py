"""Keys that are bound to the session of a Python client, on real nodes: with their program they stay, and go."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from raftdb import AsyncClient, Client, SessionLost
from raftdb.client.flow import Method
from raftdb.client.leased import LeasedSessions
from raftdb.client.protocol import close_request
from raftdb.client.session import Session
from raftdb.machine.session_records import shown_session
from tests.e2e.cluster import ROOT, Cluster, clean_environment
from tests.e2e.waiting import wait_for

LONG_S = 60.0
"""A wait that ends early, unless the test fails."""


@pytest.fixture
def client(shared_cluster: Cluster) -> Iterator[Client]:
    with Client(shared_cluster.addresses, timeout_ms=30_000) as client:
        yield client


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the sessions that bind keys, which nobody else is told."""
    ids: list[str] = []
    registered = LeasedSessions.registered

    def noting(sessions: LeasedSessions, session: Session) -> None:
        ids.append(session.id)
        registered(sessions, session)

    monkeypatch.setattr(LeasedSessions, "registered", noting)
    return ids


def end_session(client: Client, session: str) -> None:
    """End a session of somebody else."""
    client._run(Method(close_request(session), lambda response: None))


PROGRAM = """
import sys, time
from raftdb import Client

client = Client(sys.argv[1], session_ttl=2)
client.set("program", "here", session=True)
client.set("program-other", "stays")
print("bound", flush=True)
time.sleep(600)
"""


def test_a_key_stays_while_its_program_lives_and_goes_soon_after_it_is_killed(client: Client) -> None:
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, ",".join(client.addresses)],
        cwd=ROOT,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert program.stdout is not None
        assert program.stdout.readline() == "bound\n"
        # Three times the time to live of its session, by the cluster's clock.
        client.set("clock", "1", ttl=6)
        wait_for(lambda: client.get("clock") is None, "six seconds of the cluster's clock")
        assert client.get("program") == b"here"
    finally:
        program.kill()
        program.communicate()
    wait_for(lambda: client.get("program") is None, "the key is gone with its program")
    assert client.get("program-other") == b"stays"


def test_a_loss_is_told_and_the_keys_can_be_bound_again(client: Client, begun: list[str]) -> None:
    told = threading.Event()
    with Client(client.addresses, timeout_ms=30_000, session_ttl=3, on_session_lost=told.set) as binder:
        with binder.watch("lost") as changes:
            binder.set("lost", "1", session=True)
            change = next(changes)
        assert change.session == shown_session(bytes.fromhex(begun[0]))
        end_session(client, begun[0])
        assert told.wait(LONG_S)
        assert client.get("lost") is None
        with pytest.raises(SessionLost):
            binder.set("lost", "2", session=True)
        assert client.get("lost") is None
        binder.set("lost", "3", session=True)
        assert client.get("lost") == b"3"
    assert client.get("lost") is None


async def test_a_loss_is_told_on_the_event_loop(shared_cluster: Cluster, begun: list[str]) -> None:
    told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    addresses = shared_cluster.addresses
    async with AsyncClient(addresses, session_ttl=3, on_session_lost=lambda: told.set_result(None)) as binder:
        await binder.set("async-lost", "1", session=True)
        with Client(addresses) as ender:
            await asyncio.to_thread(end_session, ender, begun[0])
        async with asyncio.timeout(LONG_S):
            await told
        with pytest.raises(SessionLost):
            await binder.set("async-lost", "2", session=True)
