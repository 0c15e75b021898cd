"""Reads of a replica: of the key space, as its state has it, and of the log itself."""

from collections.abc import Callable, Sequence

from raftdb.budgets import KEY_BYTES
from raftdb.core.block import Block, entries_of, entry_bytes
from raftdb.core.model import Entry, Index
from raftdb.core.state import RaftState
from raftdb.errors import RaftdbError
from raftdb.limits import PAGE_BYTES_MAX
from raftdb.machine.layer import Layer
from raftdb.machine.machine import Machine
from raftdb.machine.reply import Result
from raftdb.machine.service import Command
from raftdb.machine.service import Query as RecordQuery
from raftdb.node.applying import work_of
from raftdb.node.pending import LogPage
from raftdb.node.turn import Answer, State

Bodies = Callable[[Index, Index, int], Sequence[Block]]
"""Entries from a first to a last index, as many as fit into so many bytes, at least one."""


def serve(
    query: Command | RecordQuery | LogPage, core: RaftState, state: State, machine: Machine, bodies: Bodies
) -> tuple[Answer | RaftdbError, int]:
    """The answer to `query` from the state, or from the log, as they are; and the work that it was (see `work_of`)."""
    if isinstance(query, LogPage):
        return _read_log(query, core, bodies)
    view = Layer(state)
    reply = machine.read(query, view)
    if not isinstance(reply, Result):
        return reply, work_of(view)
    index, term = state.applied
    return Answer(reply.value, index, term, reply.revision), work_of(view)


def _read_log(page: LogPage, core: RaftState, bodies: Bodies) -> tuple[Answer | RaftdbError, int]:
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
