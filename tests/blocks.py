"""Entries as blocks, for tests that think in entries."""

from collections.abc import Iterable
from itertools import groupby

from raftdb.core.block import Block
from raftdb.core.model import Entry


def blocks(entries: Iterable[Entry]) -> tuple[Block, ...]:
    """Each run of entries that follow each other, of one term and kind, as a block."""
    numbered = groupby(enumerate(entries), key=lambda one: (one[1].index - one[0], *one[1][1:3]))
    runs = [[entry for _, entry in run] for _, run in numbered]
    return tuple(Block.of(*run[0][:3], [entry.data for entry in run]) for run in runs)
