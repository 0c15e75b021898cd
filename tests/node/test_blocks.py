"""One encoding from the proposal to every disk: the bytes of a block are made once, and nobody makes them again."""

from raftdb.core.block import Block
from raftdb.core.messages import AppendEntries
from raftdb.core.model import EntryKind
from raftdb.wire.peer import decode_frame, encode_frame
from tests.blocks import blocks
from tests.node.bench import Bench, set_entry


def appended(bench: Bench) -> list[AppendEntries]:
    """What was sent to followers since the last call."""
    sent = [message for message in bench.sent if isinstance(message, AppendEntries) and message.blocks]
    bench.sent.clear()
    return sent


def test_the_writes_of_a_turn_are_one_block_for_the_own_disk_and_for_every_follower() -> None:
    bench = Bench(nodes=3)
    bench.lead()
    for peer in ("n2", "n3"):
        bench.acknowledge(peer, 2)
    appended(bench)
    bench.write(*[b"v"] * 50)
    (stored,) = bench.log.read(3, 52, bytes_max=1 << 30)
    assert [len(message.blocks) for message in appended(bench)] == [1, 1]
    bench.write(b"w")
    for message in appended(bench):
        (block,) = message.blocks
        assert block.encoded in encode_frame(1, [message])
        assert [block.encoded] == bench.log.read(53, 53, bytes_max=1 << 30)
    assert Block.read(stored).entry_count == 50


def test_a_follower_stores_the_bytes_that_it_received() -> None:
    bench = Bench(nodes=3)
    (sent,) = blocks([set_entry(index, 2) for index in range(2, 30)])
    message = AppendEntries("n2", "n1", 2, 1, 1, 1, (sent,))
    _, (received,) = decode_frame(encode_frame(1, [message]))
    bench.receive(received)
    assert bench.log.read(2, 29, bytes_max=1 << 30) == [sent.encoded]


def test_blocks_of_a_message_that_comes_again_longer_are_cut_to_what_is_new() -> None:
    bench = Bench(nodes=3)
    entries = [set_entry(index, 2) for index in range(2, 10)]
    for count in (3, 5, 4, 8):
        bench.receive(AppendEntries("n2", "n1", 2, 1, 1, 1, blocks(entries[:count])))
    expected = [*blocks(entries[:3]), *blocks(entries[3:5]), *blocks(entries[5:])]
    assert bench.log.read(2, 9, bytes_max=1 << 30) == [block.encoded for block in expected]


def test_a_conflict_inside_a_block_keeps_its_beginning() -> None:
    bench = Bench(nodes=3)
    old = [set_entry(index, 2, b"old") for index in range(2, 8)]
    bench.receive(AppendEntries("n2", "n1", 2, 1, 1, 1, blocks(old)))
    new = [*old[:3], *(set_entry(index, 3, b"new") for index in range(5, 7))]
    bench.receive(AppendEntries("n3", "n1", 3, 1, 1, 1, blocks(new)))
    kept = [*blocks(old[:3]), *blocks(new[3:])]
    assert bench.log.read(2, 6, bytes_max=1 << 30) == [block.encoded for block in kept]
    assert bench.core.log.last == (6, 3)
    assert {block.kind for block in kept} == {EntryKind.COMMAND}
