"""Applying committed entries to the state, a slice at a time: what they change, what that costs, and what their
proposers are told.

The entries of a slice are applied one after the other to one layer over the state, where each sees what those before it
have changed. An entry is decoded only here. The state gets the changes of all, and the index of the last, in one write:
a key that many of them change, as the cluster clock and the number of values, is written once. A slice has no meaning
beyond that; nodes cut them differently, and come to the same state.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from raftdb.budgets import KEY_BYTES
from raftdb.core.block import Block
from raftdb.core.model import EntryKind, Index, Term
from raftdb.errors import ReplyError
from raftdb.machine.keyspace import CONFIGURATION_KEY, pack_configuration
from raftdb.machine.layer import Layer
from raftdb.machine.machine import Machine
from raftdb.machine.reply import Repetition, Reply, Result
from raftdb.node.turn import Answer, State


class Slice(NamedTuple):
    """Entries that were applied together: index, term and reply of each; and the earliest deadline that they have set
    (None: none)."""

    replies: list[tuple[Index, Term, Reply]]
    deadline_ms: int | None


def apply_slice(
    blocks: Iterable[Block], first: Index, last: Index, state: State, machine: Machine, *, bytes_max: int
) -> Slice:
    """Change the state by the entries `first` to `last`, or by as many as make `bytes_max` of work (`raftdb.budgets`),
    at least one; and move its applied index there. `blocks` are neighbours, of which the first has `first`."""
    layer = Layer(state)
    replies: list[tuple[Index, Term, Reply]] = []
    data_bytes = 0
    for index, block, data in _entries(blocks, first, last):
        if block.kind is EntryKind.COMMAND:
            reply = machine.apply(index, block.term, data, layer).reply
        else:
            reply = Result(None, index)
            if block.kind is EntryKind.CONFIGURATION:
                layer.put(CONFIGURATION_KEY, pack_configuration(index, data))
        replies.append((index, block.term, reply))
        data_bytes += len(data)
        if data_bytes + work_of(layer) >= bytes_max:
            break
    state.write(layer.changes, index=replies[-1][0], term=replies[-1][1])
    return Slice(replies, layer.deadline_ms)


def _entries(blocks: Iterable[Block], first: Index, last: Index) -> Iterator[tuple[Index, Block, bytes]]:
    """Index, block and data of the entries `first` to `last`."""
    for block in blocks:
        if block.first_index > last:
            return
        start = max(first, block.first_index)
        payloads = block.payloads(start, min(last, block.last_index))
        for index, data in enumerate(payloads, start):
            yield index, block, data


def work_of(layer: Layer) -> int:
    """How much was done in a layer, in bytes as `raftdb.budgets` counts."""
    keys = layer.looked_up + layer.passed + len(layer.changes)
    return KEY_BYTES * keys + layer.moved_bytes


def answer_of(reply: Reply, index: Index, term: Term) -> Answer | ReplyError:
    """The answer for the proposer of the entry there. A command that was done before is answered with the place where
    it was done."""
    if isinstance(reply, Repetition):
        index, term, reply = reply
    if isinstance(reply, ReplyError):
        return reply
    value, revision = reply
    return Answer(value, index, term, revision)
