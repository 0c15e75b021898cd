"""From an entry of the log to its reply: decode, move the clock, find the handler, run it.

The machine itself keeps nothing: everything that apply depends on is in the entry and in the key space, and
so in every checkpoint and snapshot.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from raftdb.commands import operations
from raftdb.commands.model import Command
from raftdb.commands.operations import CloseSession, Expire, RegisterSession, SessionOperation
from raftdb.commands.queries import Query
from raftdb.errors import Fatal, LocalProtocolError, RemoteProtocolError, ReplyError
from raftdb.machine import expiry, kv, scanning, sessions, transactions
from raftdb.machine.clock import advance_clock, read_clock
from raftdb.machine.deadlines import next_deadline_ms
from raftdb.machine.reply import Reply, Result
from raftdb.machine.transaction import KeyValueView, Transaction
from raftdb.wire.operations import decode, session_payload

READS: dict[type[Command], kv.ReadHandler] = {**kv.READS, **expiry.READS, **scanning.READS}
"""Handlers of the commands that only look, of all services."""

WRITES: dict[type[Command], kv.WriteHandler] = {**kv.WRITES, **expiry.WRITES}
"""Handlers of the commands that may change the state, of all services."""

_BESIDE_THE_LOG: dict[type[Any], kv.ReadHandler] = {**READS, **scanning.QUERIES}


class _Entry(NamedTuple):
    index: int  # type: ignore[assignment]  # hides tuple.index
    term: int
    data: bytes


class Machine:
    """Applies entries to a transaction and answers reads from a view. Entries of one transaction see each other."""

    __slots__ = ()

    def apply(self, index: int, term: int, data: bytes, transaction: Transaction) -> Reply:
        """Apply the operation in `data`, committed at `index` in `term`, and return its reply, which may be a
        `ReplyError`.

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
        advance_clock(transaction, time_ms)
        handler = _OPERATIONS.get(type(operation))
        if handler is None:
            return perform(operation, transaction, index)  # type: ignore[arg-type]  # a command
        try:
            return handler(transaction, operation, _Entry(index, term, data))
        except ReplyError as error:
            return error.with_traceback(None)

    def read(self, query: Command | Query, view: KeyValueView) -> Result | ReplyError:
        """Answer what only reads, from `view`, beside the log; the reply may be a `ReplyError`.

        Raises `LocalProtocolError` for a command that writes: it has to go through the log.
        """
        read = _BESIDE_THE_LOG.get(type(query))
        if read is None:
            raise LocalProtocolError(f"{type(query).__name__} cannot be read beside the log")
        try:
            return read(view, query)
        except ReplyError as error:
            return error.with_traceback(None)

    def clock_ms(self, view: KeyValueView) -> int:
        """Return the cluster clock as `view` has it."""
        return read_clock(view)

    def next_deadline_ms(self, view: KeyValueView) -> int | None:
        """Return the time of the cluster clock at which the next value or session is to end, None if none is."""
        return next_deadline_ms(view)

    def session_count(self, view: KeyValueView) -> int:
        """Return how many sessions there are."""
        return sessions.session_count(view)


def perform(
    operation: Command | operations.Transaction, transaction: Transaction, index: int
) -> Result | ReplyError:
    """Run a command or a transaction as part of the entry at `index`. What answers a `ReplyError` has changed
    nothing."""
    write = WRITES.get(type(operation))  # type: ignore[arg-type]
    try:
        if write is not None:
            return write(transaction, operation, index)
        if isinstance(operation, operations.Transaction):
            return transactions.run(transaction, operation, index, perform)
        return READS[type(operation)](transaction, operation)
    except ReplyError as error:
        # The reply outlives this call: it must not keep the frames of the handler alive.
        return error.with_traceback(None)


def _in_session(transaction: Transaction, operation: SessionOperation, entry: _Entry) -> Reply:
    payload = session_payload(entry.data, operation)
    return sessions.run(transaction, operation, payload, (entry.index, entry.term), perform)


_OPERATIONS: dict[type[Any], Callable[[Transaction, Any, _Entry], Reply]] = {
    SessionOperation: _in_session,
    RegisterSession: lambda transaction, operation, entry: sessions.register(
        transaction, operation, entry.index, entry.term
    ),
    CloseSession: lambda transaction, operation, entry: sessions.close(transaction, operation),
    Expire: lambda transaction, operation, entry: expiry.sweep(transaction),
}
"""What is neither a command nor a transaction."""
