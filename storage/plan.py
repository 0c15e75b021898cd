"""The outcome of a write, computed and checked before anything is written.

Batches that queued up while the last fsync ran may append, truncate and append again. Only the outcome needs to
reach the disk: one cut, one run of blocks, the last hard state. Deciding that here, in plain Python, leaves few and
large LMDB calls, and finds a caller's mistake while nothing has been touched.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from storage.blocks import cut_before, span_of
from storage.contract import INDEX_MAX, KEY_BYTES_MAX, LogBatch
from storage.errors import Misused


class WritePlan(NamedTuple):
    """The outcome of some batches on a log: cut it from `cut_from` (None: nowhere), then append `blocks`, each with its
    first index."""

    cut_from: int | None
    blocks: list[tuple[int, bytes]]
    hard_state: bytes | None
    last_index: int


def plan_write(batches: Sequence[LogBatch], *, base_index: int, last_index: int) -> WritePlan:
    """Combine `batches` into one plan for a log that holds base_index + 1 to last_index. Raises `Misused`."""
    blocks: list[tuple[int, bytes]] = []
    hard_state: bytes | None = None
    cut_from: int | None = None
    last = last_index
    for batch in batches:
        if batch.hard_state is not None:
            hard_state = batch.hard_state
        if batch.truncate_from is not None:
            truncate_from = batch.truncate_from
            if not base_index < truncate_from <= last + 1:
                raise Misused(
                    f"cannot truncate from {truncate_from}: the log holds {base_index + 1} to {last}"
                )
            _cut_unwritten(blocks, truncate_from)
            if truncate_from <= last_index:
                cut_from = truncate_from if cut_from is None else min(cut_from, truncate_from)
            last = truncate_from - 1
        for block in batch.blocks:
            span = span_of(block)
            if span.first_index != last + 1 or span.term > INDEX_MAX:
                raise Misused(f"cannot append {span}: index {last + 1} is next")
            blocks.append((span.first_index, block))
            last = span.last_index
    return WritePlan(cut_from, blocks, hard_state, last)


def _cut_unwritten(blocks: list[tuple[int, bytes]], index: int) -> None:
    """Remove the entries from `index` on from blocks that are not written yet."""
    while blocks and blocks[-1][0] >= index:
        blocks.pop()
    if blocks and span_of(blocks[-1][1]).last_index >= index:
        first, block = blocks.pop()
        blocks.append((first, cut_before(block, index)))


def check_write(changes: Mapping[bytes, bytes | None], *, index: int, applied_index: int) -> None:
    """Refuse keys that a flush could not store, and an index that was applied already. Raises `Misused` (hazards B30,
    B67)."""
    if not applied_index < index <= INDEX_MAX:
        raise Misused(f"cannot apply index {index} after {applied_index}")
    for key in changes:
        if not 0 < len(key) <= KEY_BYTES_MAX:
            raise Misused(f"a key of {len(key)} bytes cannot be stored: 1 to {KEY_BYTES_MAX}")
