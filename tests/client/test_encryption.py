"""Clients over TLS: both halves, whom they trust, and that nobody talks them out of it."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from raftdb import AsyncClient, Client, RequestRefused, Tls, Unavailable
from raftdb.client.async_io import connect
from raftdb.client.dialing import now_ms
from raftdb.client.encryption import Encryption
from raftdb.client.tls import Tunnel
from raftdb.errors import LeaderHint
from raftdb.frontend.tls import Tls as Door
from tests.addresses import at
from tests.certificates import Authority, tls_of
from tests.frontend.support import Harness, StubNode, running
from tests.log_records import recorded


@pytest.fixture(autouse=True)
def log_records() -> Iterator[list[logging.LogRecord]]:
    """Log lines of the node go to a list, and not to a file, which would block its loop."""
    with recorded() as records:
        yield records


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "one")


@asynccontextmanager
async def node(door: Door | None) -> AsyncIterator[Harness]:
    stub = StubNode()
    stub.values = {b"key": b"v" * 300_000}
    async with running(tls=door, node=stub) as http:
        yield http


@asynccontextmanager
async def required(authority: Authority, client_ca: Path | None = None) -> AsyncIterator[str]:
    """The address of a node that requires TLS."""
    async with node((await tls_of(authority.settings("n1", client_ca=client_ca))).http) as http:
        yield f"localhost:{http.port}"


async def test_the_blocking_half_reads_over_tls(authority: Authority) -> None:
    def read(address: str, tls: Tls | ssl.SSLContext) -> None:
        with Client(address, tls=tls) as client:
            for _ in range(3):
                assert client.get("key") == b"v" * 300_000

    async with required(authority) as address:
        for tls in (Tls(ca=authority.ca), Tls(ca=str(authority.ca)), authority.context()):
            await asyncio.to_thread(read, address, tls)
            await asyncio.to_thread(read, f"https://{address}", tls)


async def test_the_asynchronous_half_reads_over_tls(authority: Authority) -> None:
    async with required(authority) as address, AsyncClient(address, tls=Tls(ca=authority.ca)) as client:
        assert client.addresses == (f"https://{address}",)
        found = await asyncio.gather(*(client.get("key") for _ in range(10)))
        assert set(found) == {b"v" * 300_000}


async def test_connections_are_kept(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    begun = Tunnel.__init__

    def noted(self: Tunnel, context: ssl.SSLContext, host: str) -> None:
        made.append(host)
        begun(self, context, host)

    monkeypatch.setattr(Tunnel, "__init__", noted)
    async with required(authority) as address, AsyncClient(address, tls=Tls(ca=authority.ca)) as client:
        for _ in range(5):
            await client.get("key")
    assert made == ["localhost"]


async def failure(client: AsyncClient) -> str:
    """Why a client gets no answer."""
    async with client:
        with pytest.raises(Unavailable) as failed:
            await client.status()
    return failed.value.message


async def test_a_node_is_believed_by_its_ca_and_its_host(authority: Authority, tmp_path: Path) -> None:
    other = await asyncio.to_thread(Authority, tmp_path / "two")
    cert, key = await asyncio.to_thread(authority.node, "n1", cluster="far", hosts=("far.example",))
    far = replace(authority.settings("n1"), tls_cert=cert, tls_key=key)
    async with required(authority) as address:
        said = await failure(AsyncClient(address, tls=Tls(ca=other.ca), unreachable_timeout_ms=0))
        assert "certificate is not accepted" in said
    async with node((await tls_of(far)).http) as http:
        tls = Tls(ca=authority.ca)
        said = await failure(AsyncClient(f"localhost:{http.port}", tls=tls, unreachable_timeout_ms=0))
        assert "Hostname mismatch" in said


async def test_a_node_that_asks_for_a_certificate_gets_it(authority: Authority) -> None:
    """Without one a write surely was not executed, so that it is no unknown outcome."""
    cert, key = await asyncio.to_thread(authority.client, "app")
    async with required(authority, authority.ca) as address:
        async with AsyncClient(address, tls=Tls(ca=authority.ca, cert=cert, key=key)) as client:
            assert await client.get("key") == b"v" * 300_000
        bare = AsyncClient(address, tls=Tls(ca=authority.ca), sessions=False, unreachable_timeout_ms=0)
        async with bare as client:
            with pytest.raises(Unavailable, match="wants a certificate"):
                await client.set("key", "w")


async def test_a_watch_that_is_let_in_by_no_node_says_why(authority: Authority) -> None:
    """Also if the node says so only once the client believes that the handshake is over."""
    async with (
        required(authority, authority.ca) as address,
        AsyncClient(address, tls=Tls(ca=authority.ca), timeout_ms=300) as client,
    ):
        watch = client.watch("key")
        watch._gives_up_ms = 0.0
        watch._parser = watch._following.connected()
        stream = await connect(at(address), now_ms() + 5_000, client._encryption)
        with pytest.raises(Unavailable, match="wants a certificate"):
            await watch._receive(stream)
        stream.close()


def test_nobody_talks_a_client_out_of_tls(authority: Authority) -> None:
    """Neither a node that names an address without it, nor one who answers there."""
    encryption = Encryption(Tls(ca=authority.ca), (at("n1:1"),))
    assert encryption.reached(at("n2:1")) == at("n2:1").over_tls()
    assert Encryption(None, (at("n1:1").over_tls(),)).reached(at("n2:1")) == at("n2:1").over_tls()
    assert Encryption(None, (at("n1:1"),)).reached(at("n2:1")) == at("n2:1")
    assert Encryption(None, (at("n1:1"),)).reached(at("n2:1").over_tls()) == at("n2:1").over_tls()
    with pytest.raises(RequestRefused, match="told not to"):
        Encryption(False).reached(at("n2:1").over_tls())


async def test_a_redirect_to_an_address_without_tls_is_followed_by_tls(authority: Authority) -> None:
    door = (await tls_of(authority.settings("n1", tls="both"))).http
    async with node(door) as leader, node(door) as other:
        other.node.leads = False
        other.node.leader = LeaderHint("n1", at(f"localhost:{leader.port}"))
        other.node.failure = Unavailable("not_leader", "n1 leads", leader=other.node.leader)
        async with AsyncClient(f"localhost:{other.port}", tls=Tls(ca=authority.ca)) as client:
            assert await client.get("key") == b"v" * 300_000
            assert set(client._calls.connections._idle) == {
                at(f"localhost:{http.port}").over_tls() for http in (leader, other)
            }


async def test_a_node_without_tls_is_named_as_such(authority: Authority) -> None:
    async with node(None) as http:
        tls = Tls(ca=authority.ca)
        said = await failure(AsyncClient(f"localhost:{http.port}", tls=tls, unreachable_timeout_ms=0))
        assert "does not speak TLS" in said


async def test_files_that_cannot_be_used_are_named(authority: Authority, tmp_path: Path) -> None:
    for tls in (Tls(ca=tmp_path / "none.crt"), Tls(ca=authority.ca, cert=authority.ca, key=authority.ca)):
        async with required(authority) as address, AsyncClient(address, tls=tls) as client:
            with pytest.raises(RequestRefused, match="certificates cannot be used"):
                await client.status()
