"""What is executed on the state: committed entries, a slice at a time, and reads; what that costs, and what those who
asked are told.

The entries of a slice are applied one after the other to one layer over the state, where each sees what those before it
have changed. The state gets the changes of all, and the index of the last, in one write:
a key that many of them change, as the cluster clock and the number of values, is written once. A slice has no meaning
beyond that; nodes cut them differently, and come to the same state.

Reads are of the key space, as the state has it, or of the log itself.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from time import perf_counter
from typing import Any, NamedTuple

from raftdb.budgets import KEY_BYTES
from raftdb.core.block import Block, entries_of, entry_bytes
from raftdb.core.model import Entry, EntryKind, Index, Term
from raftdb.core.state import RaftState
from raftdb.errors import RaftdbError, ReplyError
from raftdb.limits import PAGE_BYTES_MAX
from raftdb.machine.happenings import Happened
from raftdb.machine.keyspace import CONFIGURATION_KEY, pack_configuration
from raftdb.machine.layer import Layer
from raftdb.machine.machine import Machine
from raftdb.machine.operations import UserOperation
from raftdb.machine.reply import Repetition, Reply, Result
from raftdb.machine.service import Command
from raftdb.machine.service import Query as RecordQuery
from raftdb.machine.services import BESIDE
from raftdb.node.counts import NodeCounts
from raftdb.node.history import History
from raftdb.node.pending import LogPage, Writes
from raftdb.node.turn import Answer, State
from raftdb.node.waiting import Waiters


class Slice(NamedTuple):
    """Entries that were applied together: index, term and reply of each; the names of what they have changed that
    somebody may wait for; the earliest deadline that they have set (None: none); what is to be counted; and how
    long it took."""

    replies: list[tuple[Index, Term, Reply]]
    events: Sequence[bytes]
    deadline_ms: int | None
    happened: Sequence[Happened]
    seconds: float


def apply_slice(
    blocks: Iterable[Block],
    first: Index,
    last: Index,
    state: State,
    machine: Machine,
    *,
    bytes_max: int,
    history: History | None = None,
) -> Slice:
    """Change the state by the entries `first` to `last`, or by as many as make `bytes_max` of work (`raftdb.budgets`),
    at least one; and move its applied index there. `blocks` are neighbours, of which the first has `first`. What they
    change is kept in the `history`, if there is one."""
    began_s = perf_counter()
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
        if layer.written and history is not None:
            history.take(index, layer, state)
        data_bytes += len(data)
        if data_bytes + work_of(layer) >= bytes_max:
            break
    if history is not None:
        history.sliced(replies[-1][0])
    state.write(layer.changes, index=replies[-1][0], term=replies[-1][1])
    return Slice(replies, layer.events, layer.deadline_ms, layer.happened, perf_counter() - began_s)


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
    if isinstance(reply, Result):
        return Answer(reply.value, index, term, reply.revision)
    return reply


def answers_to(
    taken: Iterable[Writes],
    first: Index,
    replies: Sequence[tuple[Index, Term, Reply]],
    refusal: Callable[[], RaftdbError],
    counts: NodeCounts,
) -> Iterator[tuple[int, Answer | RaftdbError]]:
    """The answers for the proposers of the entries from `first` on, which have these places: a `refusal` for one in
    whose place another entry stands."""
    for start, proposed_term, request_ids, _ in taken:
        for request_id, (index, term, reply) in zip(request_ids, replies[start - first :], strict=False):
            if proposed_term == term:
                yield request_id, answer_of(reply, index, term)
            else:
                yield from counts.refused((request_id,), refusal())


FindBlocks = Callable[[Index, Index, int], Sequence[Block]]
"""Finds the entries from a first to a last index, as many as fit into so many bytes, at least one."""


def serve(
    query: Command | RecordQuery | UserOperation | LogPage,
    core: RaftState,
    state: State,
    machine: Machine,
    bodies: FindBlocks,
    waiters: Waiters,
) -> tuple[Answer | RaftdbError, int]:
    """The answer to `query` from the state, or from the log, as they are; and the work that it was (see `work_of`). A
    leader tells of those that wait, where the command asks for that."""
    if isinstance(query, LogPage):
        return _read_log(query, core, bodies)
    view = Layer(state)
    reply = machine.read(query, view)
    if not isinstance(reply, Result):
        return reply, work_of(view)
    index, term = state.applied
    asked: Any = query.operation if isinstance(query, UserOperation) else query
    beside = BESIDE.get(type(asked)) if core.leadership is not None else None
    value = reply.value if beside is None else beside(asked, reply.value, waiters.count_in)
    return Answer(value, index, term, reply.revision), work_of(view)


def _read_log(page: LogPage, core: RaftState, bodies: FindBlocks) -> tuple[Answer | RaftdbError, int]:
    """Entries in order, the newest included, committed or not; the answer's index is the commit index."""
    log = core.log
    first = page.first if page.first is not None else max(log.base.index + 1, log.last_index - page.limit + 1)
    if first <= log.base.index:
        refusal = RaftdbError(
            "compacted",
            f"entries up to {log.base.index} are compacted away",
            hint=f"the first one available is {log.base.index + 1}",
        )
        return refusal, KEY_BYTES
    last = min(log.last_index, first + page.limit - 1)
    entries: list[Entry] = []
    page_bytes = 0
    while first + len(entries) <= last and page_bytes < PAGE_BYTES_MAX:
        entries.extend(entries_of(bodies(first + len(entries), last, PAGE_BYTES_MAX)))
        page_bytes = sum(entry_bytes(entry.data) for entry in entries)
    return Answer(entries, core.commit_index, core.term), page_bytes + KEY_BYTES * len(entries)
