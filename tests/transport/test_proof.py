"""Peers that prove that they know the cluster's secret: before anything of theirs is decoded, and with every frame
(hazards B95, B101, B104)."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from raftdb.core.messages import Heartbeat
from raftdb.endpoint import Endpoint
from raftdb.frontend.http_server import HttpServer
from raftdb.transport import ForwardEvents, ForwardLink, ForwardServer, ForwardStream
from raftdb.transport.handshake import LocalIdentity
from raftdb.transport.peer_client import PeerLinks
from raftdb.transport.proof import NONCE_HEADER, PeerProof, Secrets
from raftdb.wire.handshake import Hello, encode_handshake
from raftdb.wire.peer import encode_frame
from raftdb.wire.sealing import TAG_BYTES
from raftdb.wire.stream import HEAD_BYTES, Kind
from tests.streams import stream_server
from tests.transport.support import (
    FAST,
    WAIT_S,
    EventLog,
    RawPeer,
    Receiver,
    accept_everybody,
    heartbeat,
    identity,
    receiver,
    sender,
    upgrade,
    wait_until,
)

ONE, TWO = b"1" * 32, b"2" * 32
NONCE = "0" * 64


def knowing(node: str, *secrets: bytes | None) -> LocalIdentity:
    return replace(identity(node), proof=PeerProof(secrets or (ONE,)))


@asynccontextmanager
async def linked(
    own: Secrets, theirs: Secrets
) -> AsyncIterator[tuple[PeerLinks, EventLog, Receiver, list[str]]]:
    """n1, which dials n2; the last is of whom anything was believed."""
    met: list[str] = []

    def check(introduction: object) -> None:
        met.append(introduction.source)  # type: ignore[attr-defined]

    async with (
        receiver(knowing("n2", *theirs), check_peer=check) as n2,
        sender(knowing("n1", *own), {"n2": n2.address}, check_peer=check) as (links, log),
    ):
        yield links, log, n2, met


@pytest.mark.parametrize(
    ("own", "theirs"),
    [
        ((ONE,), (ONE,)),
        ((ONE,), (TWO, ONE)),
        ((ONE, TWO), (TWO, ONE)),
        ((None, ONE), (None,)),
        ((None, ONE), (ONE, None)),
        ((ONE, None), (None, ONE)),
    ],
)
async def test_a_link_of_two_that_know_a_secret_of_each_other(own: Secrets, theirs: Secrets) -> None:
    async with linked(own, theirs) as (links, log, n2, met):
        await wait_until(lambda: log.count("up") == 1)
        for round_ in range(20):
            links.send("n2", [heartbeat(round_)])
        await wait_until(lambda: len(n2.received) == 20)
        assert n2.received == [heartbeat(round_) for round_ in range(20)]
        assert sorted(met) == ["n1", "n2"]


@pytest.mark.parametrize(
    ("own", "theirs"),
    [
        ((TWO,), (ONE,)),
        ((TWO, ONE), (ONE,)),
        ((None,), (ONE,)),
        ((None, ONE), (ONE,)),
        ((ONE,), (None,)),
    ],
)
async def test_of_one_that_proves_nothing_nothing_is_decoded(
    own: Secrets, theirs: Secrets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By neither end, and nothing is sent to it but that it is refused."""
    decoded: list[bytes] = []
    monkeypatch.setattr("raftdb.transport.greeting.decode_handshake", decoded.append)
    async with linked(own, theirs) as (links, log, n2, met):
        await wait_until(lambda: links.failure("n2") is not None)
        assert "secret" in str(links.failure("n2"))
        links.send("n2", [heartbeat(1)])
        assert (met, decoded, n2.received) == ([], [], [])
        assert not log.count("up") + log.count("refused")
        await wait_until(lambda: None in theirs or n2.peers._identity.proof.refused_count > 0)


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.CLOSE])
async def test_no_kind_of_frame_is_read_from_one_without_a_secret(
    kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it leaves the proof out, or sends what is none (hazard B101)."""
    decoded: list[bytes] = []
    for name in ("greeting.decode_handshake", "peer_server.decode_frame"):
        monkeypatch.setattr(f"raftdb.transport.{name}", decoded.append)
    hello = encode_handshake(identity("n1").introduce(Hello, "n2"))
    message = encode_frame(1, [Heartbeat("n1", "n2", 10**9, 0, 1)])
    async with receiver(knowing("n2")) as n2:
        status, _, writer = await upgrade(n2.address)
        writer.close()
        assert status == 403
        status, reader, writer = await upgrade(n2.address, headers={NONCE_HEADER: NONCE})
        assert status == 101
        peer = RawPeer(reader, writer)
        body = hello if kind is Kind.HANDSHAKE else message
        await peer.send(body, kind)
        await peer.send(body, kind)
        assert "prove" in (await peer.ends() or "") or kind is not Kind.HANDSHAKE
        writer.close()
        assert (decoded, n2.received, n2.log.lines) == ([], [], [])


@pytest.mark.parametrize("nonce", ["", "0" * 63, "0" * 65, "g" * 64, "0" * 5000])
async def test_a_nonce_is_as_long_as_it_has_to_be(nonce: str) -> None:
    async with receiver(knowing("n2")) as n2:
        status, _, writer = await upgrade(n2.address, headers={NONCE_HEADER: nonce})
        writer.close()
        assert status == 400


class Meddler:
    """One on the wire, who knows no secret: `meddle` gets each frame of the dialler after its hello, with those before
    it, and returns what is passed on."""

    def __init__(self, target: str, meddle: Callable[[bytes, list[bytes]], list[bytes]]) -> None:
        self._target = target
        self._meddle = meddle
        self.answers: list[bytes] = []

    async def pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = self._target.rpartition(":")
        answers, upstream = await asyncio.open_connection(host, int(port))
        backwards = asyncio.create_task(self._backwards(answers, writer))
        try:
            upstream.write(await reader.readuntil(b"\r\n\r\n"))
            before: list[bytes] = []
            while True:
                head = await reader.readexactly(HEAD_BYTES)
                rest = await reader.readexactly(int.from_bytes(head[:4], "big") + TAG_BYTES)
                frame = head + rest
                for passed in self._meddle(frame, before) if before else [frame]:
                    upstream.write(passed)
                before.append(frame)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            backwards.cancel()
            upstream.close()
            writer.close()

    async def _backwards(self, answers: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await answers.read(65536):
            self.answers.append(data)
            writer.write(data)
        writer.close()


MEDDLING: dict[str, Callable[[bytes, list[bytes]], list[bytes]]] = {
    "repeats the hello": lambda frame, before: [before[0], frame],
    "repeats a frame": lambda frame, before: [frame, frame],
    "repeats an older frame": lambda frame, before: [frame, before[1]] if len(before) > 1 else [frame],
    "leaves a frame out": lambda frame, before: [] if len(before) == 1 else [frame],
    "swaps two frames": lambda frame, before: (
        [] if len(before) == 1 else [frame, before[1]] if len(before) == 2 else [frame]
    ),
    "changes a frame": lambda frame, before: [frame[:9] + bytes([frame[9] ^ 1]) + frame[10:]],
    "makes a ping of a frame": lambda frame, before: [b"\0\0\0\0\3" + frame[-TAG_BYTES:]],
    "adds a frame": lambda frame, before: [frame, b"\0\0\0\0\3" + bytes(TAG_BYTES)],
}


@pytest.mark.parametrize("what", MEDDLING)
async def test_one_on_the_wire_can_only_cut_the_link(what: str) -> None:
    """What arrives is a beginning of what was sent; no message twice, none changed, and none after a gap."""
    async with receiver(knowing("n2")) as n2:
        meddler = Meddler(n2.address, MEDDLING[what])
        async with (
            stream_server(meddler.pass_on) as port,
            sender(knowing("n1"), {"n2": f"127.0.0.1:{port}"}) as (links, log),
        ):
            await wait_until(lambda: log.count("up") == 1)
            for round_ in range(5):
                links.send("n2", [heartbeat(round_)])
            await wait_until(lambda: log.count("down") == 1)
            received = list(n2.received)
            assert received == [heartbeat(round_) for round_ in range(len(received))]
            assert len(received) < 5
            why = "comes here" if what == "repeats the hello" else "not the next one"
            assert why in log.last("down")[2]


async def test_a_frame_that_is_sent_back_is_not_taken() -> None:
    """One's own messages are sealed with the key of the other direction."""

    async def reflect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: raftdb\r\n"
        writer.write(f"{head}{NONCE_HEADER}: {NONCE}\r\n\r\n".encode())
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async with (
        stream_server(reflect) as port,
        sender(knowing("n1"), {"n2": f"127.0.0.1:{port}"}) as (links, log),
    ):
        await wait_until(lambda: links.failure("n2") is not None)
        assert "does not prove" in str(links.failure("n2"))
        assert log.lines == []


async def test_a_node_that_answers_without_a_proof_is_not_believed() -> None:
    """One at a member's address that leaves the proof out, as a node without a secret does."""

    async def strip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: raftdb\r\n\r\n")
        said.append(await reader.read())
        writer.close()

    said: list[bytes] = []
    async with (
        stream_server(strip) as port,
        sender(knowing("n1"), {"n2": f"127.0.0.1:{port}"}) as (links, _),
    ):
        await wait_until(lambda: links.failure("n2") is not None)
        assert "does not prove" in str(links.failure("n2"))
        await wait_until(lambda: len(said) > 0)
    assert not any(said), "and it is told nothing"


async def test_the_secret_is_changed_while_links_stand() -> None:
    """Old and new for a while, then the new one alone; only what was proved by one that is given up ends."""
    async with linked((ONE,), (ONE,)) as (links, log, n2, _):
        own, theirs = links._context.identity.proof, n2.peers._identity.proof
        await wait_until(lambda: log.count("up") == 1)
        for proof in (own, theirs):
            proof.change((ONE, TWO))
        for proof in (own, theirs):
            proof.change((TWO, ONE))
        links.send("n2", [heartbeat(1)])
        await wait_until(lambda: n2.received == [heartbeat(1)])
        assert not log.count("down")
        theirs.change((TWO,))
        await wait_until(lambda: log.count("up") == 2)
        own.change((TWO,))
        links.send("n2", [heartbeat(2)])
        await wait_until(lambda: n2.received == [heartbeat(1), heartbeat(2)])
        own.change((ONE,))
        await wait_until(lambda: log.count("down") == 2)
        await wait_until(lambda: links.failure("n2") is not None)


@pytest.mark.parametrize("secret", [ONE, TWO, None])
async def test_requests_are_passed_on_under_the_same_rule(secret: bytes | None) -> None:
    taken: list[bytes] = []
    answers: list[bytes] = []
    ended: list[str] = []

    def opened(stream: ForwardStream) -> Callable[[bytes], None]:
        def take(body: bytes) -> None:
            taken.append(body)
            stream.send(body)

        return take

    server = ForwardServer(
        knowing("n2"),
        check_peer=accept_everybody,
        is_member=lambda peer: True,
        on_opened=opened,
        limits=FAST,
    )
    http = HttpServer(server.routes)
    _, port = await http.start("127.0.0.1", 0)
    ready = asyncio.Event()
    events = ForwardEvents(on_room=ready.set, on_answers=answers.append, on_down=ended.append)
    link = ForwardLink(
        knowing("n1", secret),
        peer="n2",
        endpoint=Endpoint("127.0.0.1", port),
        check_peer=accept_everybody,
        events=events,
        limits=FAST,
    )
    try:
        if secret == ONE:
            async with asyncio.timeout(WAIT_S):
                await ready.wait()
            link.send(b"set a 1")
            await wait_until(lambda: answers == [b"set a 1"])
        else:
            await wait_until(lambda: len(ended) == 1)
            assert "secret" in ended[0]
            assert taken == []
    finally:
        link.close()
        await server.close()
        await http.close(grace_s=0.2)


def test_no_secret_is_shown() -> None:
    assert ONE.decode() not in repr(knowing("n1")) + repr(PeerProof((ONE,)))
