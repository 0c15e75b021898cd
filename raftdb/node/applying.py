"""One committed entry and the state: what it changes, what that costs, and what its proposer is told."""

from collections.abc import Mapping

from raftdb.core.model import Entry, EntryKind
from raftdb.errors import ReplyError
from raftdb.machine.keyspace import CONFIGURATION_KEY, pack_configuration
from raftdb.machine.machine import Machine
from raftdb.machine.reply import Repetition, Reply, Result, value_bytes
from raftdb.machine.transaction import Transaction
from raftdb.node.turn import Answer, State

CHANGE_BYTES = 64
"""What a change counts for beside its value: many small ones take their time too."""


def apply_entry(entry: Entry, state: State, machine: Machine) -> tuple[Reply, int, int | None]:
    """Change the state by one entry, and move its applied index there.

    Returns the reply, about how many bytes that read and wrote, and the earliest deadline that it set (None: it set
    none).
    """
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
    touched_bytes += sum([len(value) for value in changes.values() if value])
    # A status, which most writes answer, has no bytes to speak of.
    if type(reply) is Result and type(reply.value) is not str:
        touched_bytes += value_bytes(reply.value)
    return reply, touched_bytes, deadline_ms


def answer_of(reply: Reply, entry: Entry) -> Answer | ReplyError:
    """What who proposed `entry` is told. What was done before is answered with the place where it was done."""
    index, term = entry.index, entry.term
    if isinstance(reply, Repetition):
        index, term, reply = reply
    if isinstance(reply, ReplyError):
        return reply
    value, revision = reply
    return Answer(value, index, term, revision)
