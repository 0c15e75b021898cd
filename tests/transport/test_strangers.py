"""Callers of whom nothing is known: what they may send before they are known, and how many may have a link (B92)."""

import asyncio
import itertools
from contextlib import AsyncExitStack, suppress
from dataclasses import replace

from raftdb.memory import MemoryAccount
from raftdb.transport.handshake import Introduction
from raftdb.transport.stream import READ_AHEAD_BYTES
from raftdb.wire.handshake import Hello, Refused, Welcome
from raftdb.wire.peer import encode_frame
from raftdb.wire.stream import Kind
from tests.transport.support import (
    FAST,
    WAIT_S,
    heartbeat,
    identity,
    raw_peer,
    receiver,
    upgrade,
    wait_until,
)

N2 = identity("n2")


def hello_of(name: str) -> Hello:
    return identity(name).introduce(Hello, "n2")


async def test_those_who_are_no_members_have_only_so_many_links_and_members_are_not_locked_out() -> None:
    """Each is dialled back and remembered: under names that nobody knows, one host could have thousands."""
    limits = replace(FAST, strangers_max=2)
    async with (
        receiver(N2, limits=limits, is_member=lambda peer: peer == "n1") as node,
        AsyncExitStack() as stack,
    ):
        peers = [await stack.enter_async_context(raw_peer(node.address)) for _ in range(4)]
        for number in range(2):
            assert isinstance(await peers[number].greet(hello_of(f"x{number}")), Welcome)
        refused = await peers[2].greet(hello_of("x2"))
        assert isinstance(refused, Refused)
        assert refused.code == "too_many_strangers"
        assert isinstance(await peers[3].greet(hello_of("n1")), Welcome)
        assert node.peers.connected() == {"x0", "x1", "n1"}
        again = await stack.enter_async_context(raw_peer(node.address))
        assert isinstance(await again.greet(hello_of("x1")), Welcome), "it takes the place of its own link"
        again.writer.close()
        await wait_until(lambda: node.peers.connected() == {"x0", "n1"})
        late = await stack.enter_async_context(raw_peer(node.address))
        assert isinstance(await late.greet(hello_of("x2")), Welcome)


async def test_who_is_not_known_yet_is_not_listened_to_for_long() -> None:
    """A frame may have megabytes, and all of one is in memory before anybody looks at it."""
    async with receiver(N2, limits=replace(FAST, hello_timeout_s=3600.0)) as node:
        for length in (8 << 20, 100):
            _, reader, writer = await upgrade(node.address)
            # A frame of which a part comes, and much behind it.
            writer.write(length.to_bytes(4, "big") + bytes([Kind.HANDSHAKE]) + bytes(1 << 20))
            async with asyncio.timeout(WAIT_S):
                with suppress(ConnectionError):
                    assert (await reader.read())[4] == Kind.CLOSE
            writer.close()
        assert node.peers.connected() == frozenset()


async def test_who_is_known_may_send_long_frames() -> None:
    async with receiver(N2) as node, raw_peer(node.address) as peer:
        await peer.greet(hello_of("n1"))
        messages = [heartbeat(number) for number in range(1, 60)]
        for sequence in range(1, 401):
            await peer.send(encode_frame(sequence, messages))
        await wait_until(lambda: len(node.received) == 400 * len(messages))
        assert node.peers.connected() == {"n1"}


def part_of_a_frame(size: int) -> bytes:
    """The head of a frame of 8 MiB, and so much of it."""
    return (8 << 20).to_bytes(4, "big") + bytes([Kind.MESSAGES]) + bytes(size)


async def test_who_is_being_judged_is_not_listened_to() -> None:
    """That may take long, and a frame may have megabytes."""
    judging = asyncio.Event()

    async def judge(_introduction: Introduction) -> Refused | None:
        await judging.wait()
        return None

    async with receiver(N2, check_peer=judge) as node, raw_peer(node.address) as peer:
        await peer.say(hello_of("n1"))
        writing = asyncio.create_task(peer.write(part_of_a_frame(8 << 20)))
        await wait_until(
            lambda: any(one.stream.buffered_bytes > READ_AHEAD_BYTES for one in node.peers._open)
        )
        (incoming,) = node.peers._open
        assert incoming.stream.transport is not None
        assert not incoming.stream.transport.is_reading()
        assert incoming.stream.buffered_bytes < 4 * READ_AHEAD_BYTES
        judging.set()
        assert isinstance(await peer.answer(), Welcome)
        await writing


async def test_what_strangers_send_of_a_frame_is_in_the_account() -> None:
    """Dozens of them with most of a frame each would take hundreds of megabytes."""
    account = MemoryAccount(256 << 20)
    async with (
        receiver(N2, is_member=lambda peer: peer == "n1", memory=account) as node,
        raw_peer(node.address) as member,
        raw_peer(node.address) as stranger,
    ):
        await member.greet(hello_of("n1"))
        await stranger.greet(hello_of("x1"))
        await stranger.write(part_of_a_frame(3 << 20))
        await wait_until(lambda: account.request_bytes >= 3 << 20)
        held = account.request_bytes
        await member.write(part_of_a_frame(3 << 20))
        await member.send(b"")
        assert account.request_bytes == held, "a member is never kept waiting for memory"
        stranger.abort()
        await wait_until(lambda: account.request_bytes == 0)


async def test_a_stranger_for_whose_frame_there_is_no_memory_is_cut_off() -> None:
    account = MemoryAccount(4 << 20)
    async with (
        receiver(N2, is_member=lambda peer: False, memory=account) as node,
        raw_peer(node.address) as stranger,
    ):
        await stranger.greet(hello_of("x1"))
        await stranger.send(encode_frame(1, [heartbeat(1, source="x1")]))
        await wait_until(lambda: len(node.received) == 1)
        await stranger.write(part_of_a_frame(6 << 20))
        await wait_until(lambda: node.peers.connected() == frozenset())
        await wait_until(lambda: account.request_bytes == 0)


async def test_strangers_have_only_a_share_of_the_loop() -> None:
    """A frame takes milliseconds to read, whether anything comes of it or not: a few links would depose a leader."""
    limits = replace(FAST, strangers_share=1e-9)
    async with (
        receiver(N2, limits=limits, is_member=lambda peer: peer == "n1") as node,
        raw_peer(node.address) as member,
        raw_peer(node.address) as first,
        raw_peer(node.address) as second,
    ):
        await member.greet(hello_of("n1"))
        for name, peer in (("x1", first), ("x2", second)):
            await peer.greet(hello_of(name))
            for sequence in range(1, 4):
                await peer.send(encode_frame(sequence, [heartbeat(sequence, source=name)]))
        await wait_until(lambda: len(node.received) == 1)
        for sequence in range(1, 51):
            await member.send(encode_frame(sequence, [heartbeat(sequence)]))
        await wait_until(lambda: len(node.received) == 51)
        assert [message.source for message in node.received] == ["x1"] + 50 * ["n1"]


async def test_the_loop_turns_between_two_frames_that_came_together() -> None:
    lengths = [0]
    loop = asyncio.get_running_loop()
    async with receiver(N2) as node, raw_peer(node.address) as member:

        def turn() -> None:
            lengths.append(len(node.frames))
            handles[0] = loop.call_soon(turn)

        handles = [loop.call_soon(turn)]
        await member.greet(hello_of("n1"))
        for sequence in range(1, 101):
            await member.send(encode_frame(sequence, [heartbeat(sequence)]))
        await wait_until(lambda: len(node.frames) == 100)
        handles[0].cancel()
    assert max(after - before for before, after in itertools.pairwise(lengths)) == 1
