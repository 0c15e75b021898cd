"""Connections over which requests are passed on, from the dial to the end."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import pytest

from raftdb.endpoint import Endpoint
from raftdb.errors import RemoteProtocolError
from raftdb.frontend.http_server import HttpServer
from raftdb.transport import ForwardEvents, ForwardLink, ForwardServer, ForwardStream
from raftdb.transport.handshake import Introduction
from raftdb.transport.limits import FORWARD_PATH, LinkLimits
from raftdb.wire.handshake import Hello, Refused, encode_handshake
from raftdb.wire.stream import Kind
from tests.transport.support import FAST, accept_everybody, identity, raw_peer, upgrade, wait_until


class Leader:
    """A node that answers each frame with the same in capitals."""

    def __init__(self, is_member: Callable[[str], bool], limits: LinkLimits) -> None:
        self.streams: list[ForwardStream] = []
        self.taken: list[bytes] = []
        self.server = ForwardServer(
            identity("n2"),
            check_peer=accept_everybody,
            is_member=is_member,
            on_opened=self._opened,
            limits=limits,
        )
        self.http = HttpServer(self.server.routes)
        self.endpoint = Endpoint("127.0.0.1", 0)

    def _opened(self, stream: ForwardStream) -> Callable[[bytes], None]:
        self.streams.append(stream)

        def take(body: bytes) -> None:
            if body == b"nonsense":
                raise RemoteProtocolError("that is nonsense")
            self.taken.append(body)
            stream.send(body.upper())

        return take


@asynccontextmanager
async def leading(
    is_member: Callable[[str], bool] = lambda peer: True, limits: LinkLimits = FAST
) -> AsyncIterator[Leader]:
    leader = Leader(is_member, limits)
    _, port = await leader.http.start("127.0.0.1", 0)
    leader.endpoint = Endpoint("127.0.0.1", port)
    try:
        yield leader
    finally:
        await leader.server.close()
        await leader.http.close(grace_s=0.2)


class Dialler:
    """A connection to a leader, and what came of it."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        source: str = "n1",
        peer: str = "n2",
        check_peer: Callable[[Introduction], Refused | None] = accept_everybody,
    ) -> None:
        self.answers: list[bytes] = []
        self.ended: list[str] = []
        self.ups = 0
        self.link = ForwardLink(
            identity(source),
            peer=peer,
            endpoint=endpoint,
            check_peer=check_peer,
            events=ForwardEvents(
                on_room=self._has_room, on_answers=self.answers.append, on_down=self.ended.append
            ),
            limits=FAST,
        )

    def _has_room(self) -> None:
        self.ups += 1


async def test_frames_go_there_and_answers_come_back() -> None:
    async with leading() as leader:
        dialler = Dialler(leader.endpoint)
        assert not dialler.link.has_room
        await wait_until(lambda: dialler.link.has_room)
        assert dialler.ups == 1
        for body in (b"one", b"two", b"x" * 1_000_000):
            dialler.link.send(body)
        await wait_until(lambda: len(dialler.answers) == 3)
        assert dialler.answers == [b"ONE", b"TWO", b"X" * 1_000_000]
        leader.streams[0].send(b"last words")
        leader.streams[0].close("it does not lead any more")
        await wait_until(lambda: bool(dialler.ended))
        assert dialler.answers[-1] == b"last words"
        assert dialler.ended == ["closed by the peer: it does not lead any more"]
        assert not dialler.link.has_room
        await dialler.link.task


async def test_after_a_close_nothing_is_called() -> None:
    async with leading() as leader:
        dialler = Dialler(leader.endpoint)
        await wait_until(lambda: dialler.link.has_room)
        dialler.link.send(b"one")
        dialler.link.close()
        early = Dialler(leader.endpoint)
        early.link.close()
        await asyncio.wait({dialler.link.task, early.link.task})
        assert (dialler.answers, dialler.ended, early.ups, early.ended) == ([], [], 0, [])


async def test_a_newer_connection_of_a_node_replaces_the_older_one() -> None:
    async with leading() as leader:
        older = Dialler(leader.endpoint)
        await wait_until(lambda: older.link.has_room)
        newer = Dialler(leader.endpoint)
        await wait_until(lambda: newer.link.has_room and bool(older.ended))
        newer.link.send(b"one")
        await wait_until(lambda: newer.answers == [b"ONE"])
        newer.link.close()


async def test_what_the_leader_cannot_read_ends_the_connection() -> None:
    async with leading() as leader:
        dialler = Dialler(leader.endpoint)
        await wait_until(lambda: dialler.link.has_room)
        dialler.link.send(b"nonsense")
        dialler.link.send(b"one")
        await wait_until(lambda: bool(dialler.ended))
        assert dialler.ended == ["closed by the peer: that is nonsense"]
        assert leader.taken == []


async def test_nobody_who_is_no_member_and_nobody_else_is_taken_for_the_leader() -> None:
    async with leading(lambda peer: peer == "n1") as leader:
        stranger = Dialler(leader.endpoint, source="n9")
        misled = Dialler(leader.endpoint, peer="n3")
        doubting = Dialler(
            leader.endpoint, check_peer=lambda introduction: Refused("other", "another folder")
        )
        await wait_until(lambda: all(each.ended for each in (stranger, misled, doubting)))
        assert stranger.ended == ["refused: n9 is no member"]
        assert misled.ended == ["refused: this is n2, not n3"]
        assert doubting.ended == ["another folder"]
        assert len(leader.streams) == 1
        assert leader.taken == []
    lost = Dialler(leader.endpoint)
    await wait_until(lambda: bool(lost.ended))


@pytest.mark.parametrize("kind", [Kind.MESSAGES, Kind.ANSWERS, Kind.PING])
async def test_other_frames_end_the_connection(kind: Kind) -> None:
    async with leading() as leader, raw_peer(str(leader.endpoint), path=FORWARD_PATH) as peer:
        await peer.send(encode_handshake(identity("n1").introduce(Hello, "n2")), Kind.HANDSHAKE)
        await peer.send(b"", kind)
        assert "carries requests and answers" in (await peer.ends() or "")


async def test_silent_connections_do_not_keep_the_members_out() -> None:
    limits = replace(FAST, handshakes_pending_max=2)
    async with leading(limits=limits) as leader, AsyncExitStack() as stack:
        silent = [
            await stack.enter_async_context(raw_peer(str(leader.endpoint), path=FORWARD_PATH))
            for _ in range(5)
        ]
        for peer in silent[:3]:
            assert await peer.ends() is None
        dialler = Dialler(leader.endpoint)
        await wait_until(lambda: dialler.link.has_room)
        dialler.link.close()


async def test_pages_of_browsers_are_refused() -> None:
    async with leading() as leader:
        headers = {"Origin": f"http://{leader.endpoint}"}
        status, _, writer = await upgrade(str(leader.endpoint), headers=headers, path=FORWARD_PATH)
        writer.close()
        assert status == 403
