"""Peers that prove by certificates which node of which cluster they are, before anything of theirs is decoded
(hazards B95, B101)."""

import asyncio
import shutil
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvloop

from raftdb.core.messages import Heartbeat
from raftdb.server.certificates import Certificates
from raftdb.server.config import BOTH, OFF, Settings
from raftdb.transport.certificates import PEER_NAME, ids_in, name_of_peer, uris_in
from raftdb.transport.handshake import LocalIdentity
from raftdb.transport.limits import PEER_PATH
from raftdb.transport.peer_client import PeerLinks
from raftdb.transport.proof import PeerProof
from raftdb.wire.handshake import Hello, encode_handshake
from raftdb.wire.peer import encode_frame
from raftdb.wire.stream import Kind
from tests.certificates import CLUSTER, Authority, tls_of
from tests.server.snapshot_support import MemoryReceiver, Source, content, follower, member
from tests.transport.support import (
    WAIT_S,
    EventLog,
    RawPeer,
    Receiver,
    heartbeat,
    identity,
    receiver,
    sender,
    status_of_dial,
    wait_until,
)

ONE, TWO = b"1" * 32, b"2" * 32


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "one")


@pytest.fixture
def new_authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "two")


def having(node: str, tls: Certificates | None, *secrets: bytes | None) -> LocalIdentity:
    proof = PeerProof(secrets or (None,))
    proof.tls = None if tls is None else tls.peers
    return replace(identity(node), proof=proof)


@asynccontextmanager
async def linked(
    own: Settings, theirs: Settings, *, names: tuple[str, str] = ("n1", "n2"), cluster: str = CLUSTER
) -> AsyncIterator[tuple[PeerLinks, EventLog, Receiver]]:
    """A node that dials another one, as nodes of `cluster`."""
    dialler = None if own.tls == OFF else await tls_of(own, cluster)
    listener = None if theirs.tls == OFF else await tls_of(theirs, cluster)
    door = None if listener is None else listener.http
    async with (
        receiver(having(names[1], listener), tls=door) as there,
        sender(having(names[0], dialler), {names[1]: there.address}) as (links, log),
    ):
        yield links, log, there


def on_both_loops(run: Callable[[], Coroutine[Any, Any, None]]) -> None:
    for loop_of in (asyncio.new_event_loop, uvloop.new_event_loop):
        with asyncio.Runner(loop_factory=loop_of) as runner:
            runner.run(run())


def test_two_nodes_with_certificates_of_their_cluster_are_linked(authority: Authority) -> None:
    """With messages of all lengths, some of which fill the buffers of TLS."""
    sent = [heartbeat(round_) for round_ in range(2000)]

    async def run() -> None:
        async with linked(authority.settings("n1"), authority.settings("n2")) as (links, log, n2):
            await wait_until(lambda: log.count("up") == 1)
            for message in sent[:100]:
                links.send("n2", [message])
            links.send("n2", sent[100:])
            await wait_until(lambda: len(n2.received) == len(sent))
            assert n2.received == sent

    on_both_loops(run)


async def calls(
    n2: Receiver, context: ssl.SSLContext, name: str = PEER_NAME, path: str = PEER_PATH
) -> str | None:
    """Call as a peer over TLS, and say all that a leader would; returns the status line of the answer, None if the
    connection ends without one."""
    context.check_hostname = False
    hello = encode_handshake(identity("n1").introduce(Hello, "n2"))
    message = encode_frame(1, [Heartbeat("n1", "n2", 10**9, 0, 1)])
    head = f"GET {path} HTTP/1.1\r\nHost: {n2.address}\r\nConnection: Upgrade\r\nUpgrade: raftdb\r\n\r\n"
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(WAIT_S):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", n2.port, ssl=context, server_hostname=name
            )
            writer.write(head.encode())
            peer = RawPeer(reader, writer)
            await peer.send(hello, Kind.HANDSHAKE)
            await peer.send(message)
            answer = await reader.readline()
    except (OSError, asyncio.IncompleteReadError):
        return None
    finally:
        if writer is not None:
            writer.transport.abort()
    return answer.decode().strip() or None


@pytest.mark.parametrize("who", ["stranger", "other cluster", "client", "expired", "other CA", "nobody"])
def test_b101_who_is_no_node_of_this_cluster_is_refused_in_the_handshake(
    who: str, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of it is decoded, on any path and by whatever name it calls."""
    other = Authority(tmp_path / "two")
    cert = {
        "stranger": authority.node("n1", cluster=""),
        "other cluster": authority.node("n1", cluster="c2"),
        "client": authority.client("n1"),
        "expired": authority.expired("n1", monkeypatch),
        "other CA": other.node("n1"),
        "nobody": None,
    }[who]
    decoded: list[bytes] = []
    for name in ("greeting.decode_handshake", "peer_server.decode_frame"):
        monkeypatch.setattr(f"raftdb.transport.{name}", decoded.append)

    async def run() -> None:
        tls = await tls_of(authority.settings("n2"))
        async with receiver(having("n2", tls), tls=tls.http) as n2:
            for name in (PEER_NAME, name_of_peer("n2")):
                assert await calls(n2, authority.context(cert), name) is None
                assert await calls(n2, authority.context(cert), name, "/v1/status") is None
            # As a client it gets in, where clients need no certificate, and is no peer.
            answer = await calls(n2, authority.context(), "localhost")
            assert answer is not None
            assert "403" in answer
            assert (decoded, n2.received, n2.log.lines) == ([], [], [])

    on_both_loops(run)


async def test_b101_a_node_that_is_dialled_has_to_be_one_of_this_cluster(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dialler says nothing to another one, and reads nothing of it."""
    decoded: list[bytes] = []
    monkeypatch.setattr("raftdb.transport.greeting.decode_handshake", decoded.append)
    theirs = authority.settings("n2")
    cert, key = await asyncio.to_thread(authority.node, "n2", cluster="c2")
    async with linked(authority.settings("n1"), replace(theirs, tls_cert=cert, tls_key=key)) as (
        links,
        log,
        n2,
    ):
        await wait_until(lambda: links.failure("n2") is not None)
        assert "names no node of this cluster" in str(links.failure("n2"))
        assert (decoded, n2.received, log.count("up")) == ([], [], 0)


@pytest.mark.parametrize("names", [("n3", "n2"), ("n1", "n3")])
async def test_a_member_may_not_introduce_itself_as_another_one(
    names: tuple[str, str], authority: Authority
) -> None:
    """Neither who dials nor who is dialled."""
    own, theirs = authority.settings("n1"), authority.settings("n2")
    async with linked(own, theirs, names=names) as (_, log, n2):
        await wait_until(lambda: log.count("refused") > 0)
        assert log.last("refused")[2] == "certificate"
        assert (log if names[0] == "n1" else n2.log).count("up") == 0, "the end that tells the truth"


async def test_names_of_hosts_may_stand_for_nodes(authority: Authority) -> None:
    names = {"n1": "One.example", "n2": "two.example"}
    settings = []
    for node, host in names.items():
        cert, key = await asyncio.to_thread(authority.node, node, cluster="none", hosts=(host.lower(),))
        settings.append(replace(authority.settings(node), tls_cert=cert, tls_key=key, tls_peer_names=names))
    async with linked(*settings) as (_, log, _n2):
        await wait_until(lambda: log.count("up") == 1)
    swapped = {"n2": "one.example", "n1": "two.example"}
    async with linked(settings[0], replace(settings[1], tls_peer_names=swapped)) as (links, log, _n2):
        await wait_until(lambda: links.failure("n2") is not None)
        assert log.count("up") == 0


@pytest.mark.parametrize(
    ("own", "theirs", "is_linked"),
    [
        ("off", "both", True),
        ("both", "both", True),
        ("both", "off", True),
        ("required", "both", True),
        ("off", "required", False),
        ("required", "off", False),
    ],
)
async def test_which_nodes_come_together_while_a_cluster_changes_to_tls(
    own: str, theirs: str, is_linked: bool, authority: Authority
) -> None:
    def settings(node: str, tls: str) -> Settings:
        return Settings(id=node) if tls == OFF else authority.settings(node, tls=tls)

    async with linked(settings("n1", own), settings("n2", theirs)) as (links, log, _n2):
        await wait_until(lambda: log.count("up") == 1 or links.failure("n2") is not None)
        assert log.count("up") == is_linked, links.failure("n2")


async def test_a_plain_caller_is_told_that_there_is_tls(authority: Authority) -> None:
    tls = await tls_of(authority.settings("n2"))
    async with receiver(having("n2", tls), tls=tls.http) as n2:
        assert await status_of_dial(n2.address) == 403


async def test_where_both_are_accepted_a_secret_still_proves_who_comes_without(authority: Authority) -> None:
    tls = await tls_of(authority.settings("n2", tls=BOTH))
    async with receiver(having("n2", tls, ONE), tls=tls.http) as n2:
        for secret, count in ((ONE, 1), (TWO, 0)):
            async with sender(having("n1", None, secret), {"n2": n2.address}) as (links, log):
                await wait_until(lambda: log.count("up") == 1 or links.failure("n2") is not None)
                assert log.count("up") == count
        # A certificate is proof enough.
        dialler = await tls_of(authority.settings("n1"))
        async with sender(having("n1", dialler, TWO), {"n2": n2.address}) as (_, log):
            await wait_until(lambda: log.count("up") == 1)


async def test_what_is_read_again_is_used_from_the_next_connection_on(
    authority: Authority, new_authority: Authority
) -> None:
    """The old connection stays, and one with a certificate of the former CA is refused."""
    new, theirs = new_authority, authority.settings("n2")
    listener, former = await tls_of(theirs), await tls_of(authority.settings("n1"))
    files = [path for path in (theirs.tls_cert, theirs.tls_key, theirs.tls_ca) if path is not None]
    async with (
        receiver(having("n2", listener), tls=listener.http) as n2,
        sender(having("n1", former), {"n2": n2.address}) as (links, log),
    ):
        await wait_until(lambda: log.count("up") == 1)
        for file, replacement in zip(files, (*new.node("n2"), new.ca), strict=True):
            await asyncio.to_thread(shutil.copy, replacement, file)
        (await asyncio.to_thread(listener.read))()
        links.send("n2", [heartbeat(1)])
        await wait_until(lambda: n2.received == [heartbeat(1)])
        async with sender(having("n1", former), {"n2": n2.address}) as (second, log_of_second):
            await wait_until(lambda: second.failure("n2") is not None)
            assert (log_of_second.count("up"), log.count("down")) == (0, 0)
        async with sender(having("n1", await tls_of(new.settings("n1"))), {"n2": n2.address}) as (
            _,
            log_of_third,
        ):
            await wait_until(lambda: log_of_third.count("up") == 1)


DATA = content(10_500)


async def test_a_snapshot_comes_over_tls_from_the_node_that_was_asked_alone(authority: Authority) -> None:
    async def fetched(serving: str) -> tuple[bool, MemoryReceiver, Source]:
        source, fetching = Source(DATA), MemoryReceiver()
        listener, dialler = await tls_of(authority.settings(serving)), await tls_of(authority.settings("n2"))
        async with (
            member(having("n1", listener), source, tls=listener.http) as leader,
            follower(having("n2", dialler), fetching, {"n1": leader.address}) as node,
        ):
            return await node.incoming.fetch(source.offer()), fetching, source

    is_done, fetching, _ = await fetched("n1")
    assert is_done
    assert fetching.disk.whole == DATA
    # Another member is not that one, and hears nothing.
    is_done, fetching, source = await fetched("n3")
    assert not is_done
    assert (source.reads, fetching.count("append")) == ([], 0)


async def test_no_snapshot_for_a_caller_under_another_name(authority: Authority) -> None:
    source, fetching = Source(DATA), MemoryReceiver()
    listener, dialler = await tls_of(authority.settings("n1")), await tls_of(authority.settings("n3"))
    async with (
        member(having("n1", listener), source, tls=listener.http) as leader,
        follower(having("n2", dialler), fetching, {"n1": leader.address}) as node,
    ):
        assert not await node.incoming.fetch(source.offer())
    assert (source.reads, fetching.count("append")) == ([], 0)


@pytest.mark.parametrize(
    ("names", "ids", "uris"),
    [
        ((("URI", "raftdb://c1/n1"),), {"n1"}, {("c1", "n1")}),
        ((("URI", "raftdb://c2/n1"), ("URI", "raftdb://c1/n2")), {"n2"}, {("c2", "n1"), ("c1", "n2")}),
        ((("URI", "https://c1/n1"), ("DNS", "raftdb://c1/n1"), ("URI", "raftdb://c1/")), set(), set()),
        ((("DNS", "NINE.example"),), {"n9"}, set()),
        ((("DNS", "*.example"), ("IP Address", "nine.example")), set(), set()),
        ((), set(), set()),
    ],
)
def test_whom_a_certificate_names(
    names: tuple[tuple[str, str], ...], ids: set[str], uris: set[tuple[str, str]]
) -> None:
    certificate = {"subjectAltName": names}
    assert ids_in(certificate, "c1", {"n9": "nine.example"}) == ids
    assert uris_in(certificate) == uris
