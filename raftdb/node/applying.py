"""One committed entry and the state: what it changes, what that costs, and what its proposer is told."""

from collections.abc import Mapping
from typing import NamedTuple

from raftdb.core.model import Entry, EntryKind
from raftdb.errors import ReplyError
from raftdb.machine.keyspace import CONFIGURATION_KEY, pack_configuration
from raftdb.machine.machine import Machine
from raftdb.machine.reply import Repetition, Reply, Result, value_bytes
from raftdb.machine.transaction import Transaction
from raftdb.node.turn import Answer, State

CHANGE_BYTES = 64
"""What a change counts for beside its value: many small ones take their time too."""


class Applied(NamedTuple):
    """What applying an entry came to. `touched_bytes` is what it read and wrote, about; `deadline_ms` the earliest
    deadline that it set, None if it set none."""

    reply: Reply
    touched_bytes: int
    deadline_ms: int | None


def apply_entry(entry: Entry, state: State, machine: Machine) -> Applied:
    """Change the state by one entry, and move its applied index there."""
    reply: Reply = Result(None, entry.index)
    changes: Mapping[bytes, bytes | None] = {}
    deadline_ms = None
    if entry.kind is EntryKind.COMMAND:
        transaction = Transaction(state)
        reply = machine.apply(entry.index, entry.term, entry.data, transaction)
        changes, deadline_ms = transaction.changes, transaction.deadline_ms
    elif entry.kind is EntryKind.CONFIGURATION:
        changes = {CONFIGURATION_KEY: pack_configuration(entry.index, entry.data)}
    state.write(changes, index=entry.index, term=entry.term)
    touched_bytes = len(entry.data) + CHANGE_BYTES * len(changes)
    touched_bytes += sum(len(value) for value in changes.values() if value is not None)
    if isinstance(reply, Result):
        touched_bytes += value_bytes(reply.value)
    return Applied(reply, touched_bytes, deadline_ms)


def answer_of(reply: Reply, entry: Entry) -> Answer | ReplyError:
    """What who proposed `entry` is told. What was done before is answered with the place where it was done."""
    index, term = entry.index, entry.term
    if isinstance(reply, Repetition):
        index, term, reply = reply
    return Answer(reply.value, index, term, reply.revision) if isinstance(reply, Result) else reply
