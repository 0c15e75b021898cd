"""A listener with TLS: who gets in, what others are told, and how handshakes are bounded; by both loops."""

import asyncio
import shutil
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvloop

from raftdb.endpoint import Endpoint
from raftdb.frontend import tls
from raftdb.frontend.accepting import Acceptor
from raftdb.frontend.http_browser import Browsers
from tests.addresses import at
from tests.certificates import Authority, tls_of, write_chain
from tests.frontend.support import running

WAIT_S = 10.0
REFUSAL = b"TLS alone"
BEGUN = b"\x16\x03\x01\x02\x00\x01"
"""The beginning of a handshake."""
PING = b'{"command": "ping"}'


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "one")


class Echo(asyncio.Protocol):
    """Says what it hears."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)  # type: ignore[attr-defined]


@dataclass
class Listener:
    acceptor: Acceptor
    port: int

    async def says(self, context: ssl.SSLContext | None, content: bytes = b"hello") -> bytes:
        """What a client hears that says this."""
        name = None if context is None else "localhost"
        async with asyncio.timeout(WAIT_S):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", self.port, ssl=context, server_hostname=name
            )
            writer.write(content)
            heard = await reader.read(100)
        writer.transport.abort()
        return heard

    async def dialled(self, source: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection from this address."""
        return await asyncio.open_connection("127.0.0.1", self.port, local_addr=(source, 0))


@asynccontextmanager
async def listening(
    authority: Authority, mode: str, client_ca: Path | None = None
) -> AsyncIterator[Listener]:
    door = (await tls_of(authority.settings("n1", tls=mode, client_ca=client_ca))).redis
    acceptor = Acceptor(Echo, door, refusal=lambda: REFUSAL)
    _, port = await acceptor.start("127.0.0.1", 0)
    try:
        yield Listener(acceptor, port)
    finally:
        acceptor.close()
        await acceptor.wait_closed()


def on_both_loops(run: Callable[[], Coroutine[Any, Any, None]]) -> None:
    for loop_of in (asyncio.new_event_loop, uvloop.new_event_loop):
        with asyncio.Runner(loop_factory=loop_of) as runner:
            runner.run(run())


def test_both_are_told_apart_by_their_first_byte(authority: Authority) -> None:
    async def run() -> None:
        async with listening(authority, "both") as listener:
            for content in (b"hello", b"\x15", b"P" * 50):
                assert await listener.says(None, content) == content
                assert await listener.says(authority.context(), content) == content

    on_both_loops(run)


def test_where_tls_is_required_others_are_told_so(authority: Authority) -> None:
    async def run() -> None:
        async with listening(authority, "required") as listener:
            assert await listener.says(None) == REFUSAL
            assert await listener.says(authority.context()) == b"hello"

    on_both_loops(run)


def test_one_who_says_nothing_is_one_without_tls(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "FIRST_BYTE_S", 0.01)

    async def run() -> None:
        async with listening(authority, "both") as listener:
            reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
            while listener.acceptor._opening:
                await asyncio.sleep(0.001)
            writer.write(b"late")
            assert await reader.read(100) == b"late"
            writer.transport.abort()

    on_both_loops(run)


def test_old_versions_of_tls_are_refused(authority: Authority) -> None:
    """And TLS 1.2 is spoken."""

    async def run() -> None:
        async with listening(authority, "required") as listener:
            context = authority.context()
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            assert await listener.says(context) == b"hello"
            with pytest.warns(DeprecationWarning, match="TLSv1"):
                context.minimum_version = ssl.TLSVersion.TLSv1
            with pytest.warns(DeprecationWarning, match="TLSv1_1"):
                context.maximum_version = ssl.TLSVersion.TLSv1_1
            context.set_ciphers("ALL:@SECLEVEL=0")
            with pytest.raises(OSError):
                await listener.says(context)

    on_both_loops(run)


def test_a_flood_of_handshakes_from_one_address_keeps_nobody_else_out(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their number is bounded, and the oldest of that address are given up."""
    monkeypatch.setattr("raftdb.frontend.accepting.HANDSHAKES_MAX", 8)

    async def run() -> None:
        async with listening(authority, "required") as listener:
            opening = listener.acceptor._opening
            async with asyncio.timeout(WAIT_S):
                _, patient = await listener.dialled("127.0.0.2")
                patient.write(BEGUN)
                flood = [await listener.dialled("127.0.0.3") for _ in range(50)]
                for _, writer in flood:
                    writer.write(BEGUN)
                assert await flood[0][0].read() == b"", "the oldest has ended"
                while len(opening) < 8:
                    await asyncio.sleep(0.001)
                assert sorted(opening.values()) == ["127.0.0.2", *["127.0.0.3"] * 7]
                # And who comes now is served.
                assert await listener.says(authority.context()) == b"hello"
                assert "127.0.0.2" in opening.values()
            for _, writer in [*flood, (None, patient)]:
                writer.transport.abort()

    on_both_loops(run)


def test_a_handshake_that_is_not_ended_is(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "HANDSHAKE_S", 0.01)

    async def run() -> None:
        async with listening(authority, "required") as listener:
            reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
            writer.write(BEGUN)
            async with asyncio.timeout(WAIT_S):
                assert await reader.read(1) == b""
            writer.transport.abort()

    on_both_loops(run)


@pytest.mark.parametrize("garbage", [b"\x16" * 1000, b"\x16\x03\x01\xff\xff" + b"x" * 70000, b"\x16"])
def test_what_is_no_handshake_ends_the_connection(garbage: bytes, authority: Authority) -> None:
    async def run() -> None:
        async with listening(authority, "required") as listener:
            reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
            writer.write(garbage)
            writer.write_eof()
            async with asyncio.timeout(WAIT_S):
                await asyncio.wait([asyncio.ensure_future(reader.read())])
            writer.transport.abort()
            assert await listener.says(authority.context()) == b"hello"

    on_both_loops(run)


@pytest.mark.parametrize("length", [2, 90, 130, 250, 2_000])
def test_certificates_behind_which_many_others_stand_are_refused(
    length: int, authority: Authority, tmp_path: Path
) -> None:
    """In one look, whose cost is bounded: no more of them are read than 100 KB, nor followed than a hundred."""
    chain, app = write_chain(tmp_path, length), authority.client("app")

    async def run() -> None:
        async with listening(authority, "required", client_ca=authority.ca) as listener:
            for context in (authority.context(chain), authority.context(chain)):
                context.maximum_version = ssl.TLSVersion.TLSv1_3
                with suppress(OSError):
                    assert await listener.says(context) == b""
                context.maximum_version = ssl.TLSVersion.TLSv1_2
                with suppress(OSError):
                    assert await listener.says(context) == b""
            assert await listener.says(authority.context(app)) == b"hello"

    on_both_loops(run)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_nobody_shakes_hands_again_on_a_connection(authority: Authority) -> None:
    """Which would cost a node much more than who asks for it (TLS 1.2; there is no such thing in 1.3)."""

    async def run() -> None:
        async with listening(authority, "required") as listener:
            command = [
                "s_client",
                "-connect",
                f"127.0.0.1:{listener.port}",
                "-tls1_2",
                "-legacy_renegotiation",
            ]
            client = await asyncio.create_subprocess_exec(
                "openssl", *command,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            )  # fmt: skip
            assert client.stdin is not None
            assert client.stdout is not None
            async with asyncio.timeout(WAIT_S):
                client.stdin.write(b"hello\n")
                told = b""
                while b"hello\n" not in told:
                    told += await client.stdout.read(4096)
                # A line with this letter alone asks for it.
                client.stdin.write(b"R\n")
                rest, _ = await client.communicate()
            assert b"RENEGOTIATING" in rest
            assert b"no renegotiation" in rest
            assert client.returncode != 0
            assert await listener.says(authority.context()) == b"hello"

    with asyncio.Runner() as runner:
        runner.run(run())


async def test_clients_show_certificates_of_their_own_ca(authority: Authority, tmp_path: Path) -> None:
    clients = await asyncio.to_thread(Authority, tmp_path / "two")
    app = await asyncio.to_thread(clients.client, "app")
    stranger = await asyncio.to_thread(authority.client, "app")
    door = (await tls_of(authority.settings("n1", client_ca=clients.ca))).http
    async with running(tls=door) as http:

        async def status(cert: tuple[Path, Path] | None) -> bytes:
            context = authority.context(cert)
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", http.port, ssl=context, server_hostname="localhost"
            )
            writer.write(b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n")
            try:
                return await reader.readline()
            except OSError:
                return b""
            finally:
                writer.transport.abort()

        assert await status(app) == b"HTTP/1.1 200 OK\r\n"
        for cert in (None, stranger, authority.node("n2")):
            assert await status(cert) == b""


async def test_a_page_that_came_without_tls_is_none_of_a_node_with_it(authority: Authority) -> None:
    """Under the same host it may be of anybody on the way."""
    door = (await tls_of(authority.settings("n1"))).http
    members: list[Endpoint] = [at("db.example:8002").over_tls()]
    async with running(
        tls=door, browsers=Browsers(lambda: members, token="the-token-of-this-session")
    ) as http:
        for origin, status in (("http", 403), ("https", 200)):
            for host in ("localhost", "db.example:8002"):
                context = authority.context()
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", http.port, ssl=context, server_hostname="localhost"
                )
                lines = [
                    "POST /v1/execute HTTP/1.1",
                    "Host: localhost",
                    f"Origin: {origin}://{host}",
                    "Authorization: Bearer the-token-of-this-session",
                    f"Content-Length: {len(PING)}",
                    "",
                    "",
                ]
                writer.write("\r\n".join(lines).encode() + PING)
                assert f" {status} ".encode() in await reader.readline(), (origin, host)
                writer.transport.abort()
