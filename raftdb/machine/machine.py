"""From an entry of the log to its reply: decode, move the clock, find the handler, run it.

The machine itself keeps nothing: everything that apply depends on is in the entry and in the key space, and
so in every checkpoint and snapshot.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from raftdb.errors import Fatal, LocalProtocolError, RemoteProtocolError, ReplyError
from raftdb.machine import keeping, sessions, sweeper, transactions
from raftdb.machine.clock import advance_clock, read_clock
from raftdb.machine.entries import decode, session_payload, user_data, waiting_data
from raftdb.machine.layer import KeyValueView, Layer
from raftdb.machine.operations import (
    Expire,
    GuardedOperation,
    Operation,
    SessionOperation,
    TransactionOperation,
    UserOperation,
    WaitingOperation,
    Work,
)
from raftdb.machine.reply import Reply, Result
from raftdb.machine.service import Command, EntryPlace, OperationType, Query, ReadHandler
from raftdb.machine.services import OPERATIONS, QUERIES, READS, WRITES
from raftdb.machine.users.checking import NODE, authorized, told
from raftdb.machine.users.narrowing import LISTED, listed

_BESIDE_THE_LOG: dict[type[Any], ReadHandler] = {**READS, **QUERIES}


class Applied(NamedTuple):
    """The outcome of an entry: the reply for its proposer; for others that wait for changes, the names of what has
    changed (`Layer.note_change`); and the earliest deadline that was set (None: none)."""

    reply: Reply
    events: Sequence[bytes]
    deadline_ms: int | None


class Machine:
    """Applies entries to a layer and answers reads from a view. Entries of one layer see each other."""

    __slots__ = ()

    def apply(self, index: int, term: int, data: bytes, layer: Layer) -> Applied:
        """Apply the operation in `data`, committed at `index` in `term`; its reply may be a `ReplyError`.

        Raises `Fatal` if `data` is no operation that this node knows: it cannot be skipped (hazards B67,
        B107).
        """
        try:
            time_ms, operation = decode(data)
        except RemoteProtocolError as error:
            raise Fatal(
                f"the entry at index {index} cannot be applied: {error.message}",
                hint="if others run a newer raftdb, start this node with it; otherwise run: raftdb doctor DIR",
            ) from error
        advance_clock(layer, time_ms)
        run = _OPERATIONS.get(type(operation))
        # Without users nobody is judged: that is known from the first entry of a layer on.
        if run is None and layer.users_revision == 0:
            reply: Reply = perform(operation, layer, index)  # type: ignore[arg-type]  # no other is left
        else:
            try:
                reply = _judged(layer, operation, EntryPlace(index, term), data)
            except ReplyError as error:
                reply = error.with_traceback(None)
        return Applied(reply, layer.events, layer.deadline_ms)

    def read(self, query: Command | Query | UserOperation, view: Layer) -> Result | ReplyError:
        """Answer an operation that only reads, from `view`, beside the log; the reply may be a `ReplyError`.

        Raises `LocalProtocolError` for a command that writes: it has to go through the log.
        """
        try:
            asked: Any = authorized(view, query)
            read = _BESIDE_THE_LOG.get(type(asked))
            if read is None:
                raise LocalProtocolError(f"{type(asked).__name__} cannot be read beside the log")
            if type(asked) in LISTED and isinstance(query, UserOperation):
                return listed(view, query.user, asked, read)
            return read(view, asked)
        except ReplyError as error:
            return error.with_traceback(None)

    def clock_ms(self, view: KeyValueView) -> int:
        """Return the cluster clock as `view` has it."""
        return read_clock(view)

    def next_deadline_ms(self, view: KeyValueView) -> int | None:
        """Return the time of the next deadline on the cluster clock, None if there is none."""
        return sweeper.next_deadline_ms(view)


def _judged(layer: Layer, operation: Operation, entry: EntryPlace, data: bytes) -> Reply:
    """Run an operation if who asks for it may. Raises `ReplyError`."""
    asked: Any = authorized(layer, operation)
    run = _OPERATIONS.get(type(asked))
    if not isinstance(operation, UserOperation):
        return perform(asked, layer, entry.index) if run is None else run(layer, asked, entry, data)
    if type(asked) in LISTED:
        return listed(layer, operation.user, asked, READS[type(asked)])
    layer.user = operation.user
    try:
        if run is None:
            return told(layer, operation.user, perform(asked, layer, entry.index))
        return told(layer, operation.user, run(layer, asked, entry, user_data(data, operation)))
    finally:
        layer.user = NODE


def perform(operation: Work, layer: Layer, index: int) -> Result | ReplyError:
    """Run a command or a transaction, under guards or without, as part of the entry at `index`. If the reply is a
    `ReplyError`, nothing has changed."""
    write = WRITES.get(type(operation))  # type: ignore[arg-type]
    try:
        if write is not None:
            return write(layer, operation, index)
        if isinstance(operation, TransactionOperation):
            return transactions.run(layer, operation, index, perform)
        if isinstance(operation, GuardedOperation):
            transactions.check_guards(layer, operation.guards)
            return perform(operation.operation, layer, index)
        return READS[type(operation)](layer, operation)
    except ReplyError as error:
        # The reply outlives this call: it must not keep the frames of the handler alive.
        return error.with_traceback(None)


_PERFORMING = sessions.Performing(perform, keeping.shortened, keeping.completed)


def _in_session(layer: Layer, operation: SessionOperation, entry: EntryPlace, data: bytes) -> Reply:
    payload = session_payload(data, operation)
    return sessions.run(layer, operation, payload, entry, _PERFORMING)


def _waiting(layer: Layer, operation: WaitingOperation, entry: EntryPlace, data: bytes) -> Reply:
    inner = operation.operation
    layer.waits = True
    try:
        if isinstance(inner, SessionOperation):
            return _in_session(layer, inner, entry, waiting_data(data))
        return perform(inner, layer, entry.index)
    finally:
        layer.waits = False


def _of_service(kind: OperationType) -> Callable[[Layer, Any, EntryPlace, bytes], Reply]:
    return lambda layer, operation, entry, data: kind.run(layer, operation, entry)


_OPERATIONS: dict[type[Any], Callable[[Layer, Any, EntryPlace, bytes], Reply]] = {
    SessionOperation: _in_session,
    WaitingOperation: _waiting,
    UserOperation: _judged,
    Expire: lambda layer, operation, entry, data: sweeper.sweep(layer, entry.index),
    **{kind.type: _of_service(kind) for kind in OPERATIONS.values()},
}
"""The operations that are neither commands nor transactions, and how each is run; `data` is that of the whole entry."""
