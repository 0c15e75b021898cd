"""Applying one committed entry to the state: what it changes, what that costs, and what its proposer is told."""

from collections.abc import Mapping

from raftdb.budgets import KEY_BYTES
from raftdb.core.model import Entry, EntryKind
from raftdb.errors import ReplyError
from raftdb.machine.keyspace import CONFIGURATION_KEY, pack_configuration
from raftdb.machine.layer import Layer
from raftdb.machine.machine import Applied, Machine
from raftdb.machine.reply import Repetition, Reply, Result
from raftdb.node.turn import Answer, State


def apply_entry(entry: Entry, state: State, machine: Machine) -> tuple[Applied, int]:
    """Change the state by one entry, and move its applied index there.

    Returns the outcome, and the work that it was (`raftdb.budgets`).
    """
    applied = Applied(Result(None, entry.index), (), None)
    changes: Mapping[bytes, bytes | None] = {}
    work_bytes = len(entry.data)
    if entry.kind is EntryKind.COMMAND:
        layer = Layer(state)
        applied = machine.apply(entry.index, entry.term, entry.data, layer)
        changes = layer.changes
        work_bytes += work_of(layer)
    elif entry.kind is EntryKind.CONFIGURATION:
        changes = {CONFIGURATION_KEY: pack_configuration(entry.index, entry.data)}
    state.write(changes, index=entry.index, term=entry.term)
    return applied, work_bytes


def work_of(layer: Layer) -> int:
    """How much was done in a layer, in bytes as `raftdb.budgets` counts."""
    keys = layer.looked_up + layer.passed + len(layer.changes)
    return KEY_BYTES * keys + layer.moved_bytes


def answer_of(reply: Reply, entry: Entry) -> Answer | ReplyError:
    """The answer for the proposer of `entry`. A command that was done before is answered with the place where it was
    done."""
    index, term = entry.index, entry.term
    if isinstance(reply, Repetition):
        index, term, reply = reply
    if isinstance(reply, ReplyError):
        return reply
    value, revision = reply
    return Answer(value, index, term, revision)
