"""A block: entries in, the same entries out, however it is cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftdb.core.block import (
    BLOCK_BYTES_MAX,
    BLOCK_ENTRIES_MAX,
    ENTRY_OVERHEAD_BYTES,
    Block,
    blocks_of,
    cut_to,
    entries_of,
    entry_bytes,
)
from raftdb.core.model import Entry, EntryKind

EVERYTHING = 1 << 40
PAYLOADS = st.lists(st.binary(max_size=20), min_size=1, max_size=12)


def entries_with(payloads: list[bytes], *, first: int = 7) -> list[Entry]:
    return [Entry(index, 3, EntryKind.COMMAND, data) for index, data in enumerate(payloads, start=first)]


def test_the_layout_is_what_the_module_says() -> None:
    block = Block.of(258, 3, EntryKind.COMMAND, [b"abc", b"", b"de"])
    header = "0000000000000102 0000000000000003 00000003 01 00000003 00000000 00000002"
    assert block.encoded[4:] == bytes.fromhex(header) + b"abcde"
    assert Block.read(block.encoded) == Block.verified(block.encoded) == block
    assert (block.first_index, block.last_index, block.entry_count) == (258, 260, 3)


@given(PAYLOADS, st.data())
def test_a_part_is_a_block_of_those_entries(payloads: list[bytes], data: st.DataObject) -> None:
    entries = entries_with(payloads)
    block = Block.of(7, 3, EntryKind.COMMAND, payloads)
    first = data.draw(st.integers(7, block.last_index))
    last = data.draw(st.integers(first, block.last_index))
    part = block.part(first, last)
    inside = entries[first - 7 : last - 6]
    assert part == Block.of(first, 3, EntryKind.COMMAND, [entry.data for entry in inside])
    assert Block.verified(part.encoded) == part
    assert list(part.entries()) == inside
    assert list(block.payloads(first, last)) == [entry.data for entry in inside]
    assert part.data_bytes == sum(len(entry.data) for entry in inside)
    assert part.size_bytes == sum(entry_bytes(entry.data) for entry in inside)


def test_a_whole_block_is_not_encoded_again() -> None:
    block = Block.of(7, 3, EntryKind.COMMAND, [b"a", b"b"])
    assert block.part(7, 8) is block
    assert cut_to([block], 7, 8, bytes_max=EVERYTHING)[0] is block


@given(PAYLOADS, st.integers(0, 700))
def test_the_bytes_of_entries_are_found_by_index_and_the_index_by_bytes(
    payloads: list[bytes], size_bytes: int
) -> None:
    block = Block.of(7, 3, EntryKind.COMMAND, payloads)
    sums = [sum(map(entry_bytes, payloads[:count])) for count in range(len(payloads) + 1)]
    assert [block.bytes_up_to(index) for index in range(5, block.last_index + 1)] == [0, *sums]
    expected = [index for index, total in enumerate(sums[1:], start=7) if total >= size_bytes]
    assert block.index_at(size_bytes) == (expected[0] if expected else block.last_index + 1)


@given(st.lists(PAYLOADS, min_size=1, max_size=4), st.data(), st.integers(0, 600))
def test_what_is_cut_out_of_blocks_fits_and_is_as_much_as_possible(
    runs: list[list[bytes]], data: st.DataObject, bytes_max: int
) -> None:
    blocks: list[Block] = []
    for payloads in runs:
        first = blocks[-1].last_index + 1 if blocks else 7
        blocks.append(Block.of(first, 3, EntryKind.COMMAND, payloads))
    entries = list(entries_of(blocks))
    first = data.draw(st.integers(7, blocks[0].last_index))
    last = data.draw(st.integers(first, entries[-1].index))
    expected = entries[first - 7 : last - 6]
    while len(expected) > 1 and sum(entry_bytes(entry.data) for entry in expected) > bytes_max:
        expected.pop()
    assert list(entries_of(cut_to(blocks, first, last, bytes_max=bytes_max))) == expected


@pytest.mark.parametrize(
    ("payloads", "counts"),
    [
        ([], []),
        ([b""], [1]),
        ([b""] * (2 * BLOCK_ENTRIES_MAX + 1), [BLOCK_ENTRIES_MAX, BLOCK_ENTRIES_MAX, 1]),
        ([bytes(BLOCK_BYTES_MAX // 4 - ENTRY_OVERHEAD_BYTES)] * 9, [4, 4, 1]),
        ([bytes(BLOCK_BYTES_MAX), b"", b""], [1, 2]),
        ([b"", bytes(BLOCK_BYTES_MAX), b""], [1, 1, 1]),
    ],
)
def test_payloads_fill_as_few_blocks_as_the_limits_allow(payloads: list[bytes], counts: list[int]) -> None:
    blocks = blocks_of(5, 2, EntryKind.COMMAND, payloads)
    assert [block.entry_count for block in blocks] == counts
    expected = [Entry(index, 2, EntryKind.COMMAND, data) for index, data in enumerate(payloads, start=5)]
    assert list(entries_of(blocks)) == expected
