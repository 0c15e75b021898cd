"""MULTI, EXEC, DISCARD, WATCH and UNWATCH: queued commands become one entry of the log.

A queued command is parsed when EXEC comes, as in Redis: if it is malformed, its reply is an error, and the others run.
Commands that this node answers without an operation are not part of the entry; they are run in their order.

WATCH reads the revisions of its keys, by a linearizable read, and the entry contains them: they are compared when it is
applied, on every replica in the same way, so it does not matter by which node, or in which term, it was proposed.
"""

from collections.abc import Callable
from functools import partial
from typing import cast

from raftdb.commands.transactions import check_transaction
from raftdb.errors import CommandFailed, RequestRefused, required
from raftdb.frontend.redis.client_state import ClientState
from raftdb.frontend.redis.errors import EXEC_ABORT, CommandRefused, error_of
from raftdb.frontend.redis.rows import ALL_KEYS, SESSION, Arguments, Call, ReplyOf, Row, WaitingCall, run_here
from raftdb.frontend.redis.watching import WATCHED_MAX
from raftdb.limits import TRANSACTION_KEYS_MAX, Limits
from raftdb.machine.operations import TransactionOperation
from raftdb.machine.reply import Result, Told
from raftdb.machine.revisions import ReadRevisions
from raftdb.machine.service import Command
from raftdb.node.turn import Answer
from raftdb.wire.resp import ARGUMENT_BYTES
from raftdb.wire.resp_replies import Error

NOT_IN_ENTRY = Error("ERR this command cannot be part of a transaction")
"""The reply to a read that cannot be part of the log."""

NO_WAIT = Error("ERR a command cannot wait in a transaction: leave WAIT out")
"""The reply to a command that wants to wait, though all of a transaction happens at one moment."""

Begin = Callable[[ClientState, Arguments], object]
"""A queued command when EXEC comes: a `Call`, or the reply of one that needs no operation."""


def _multi(client: ClientState, given: Arguments) -> object:
    if client.queued is not None:
        raise CommandRefused("ERR MULTI calls can not be nested")
    client.queued = []
    return "OK"


def _discard(client: ClientState, given: Arguments) -> object:
    if client.queued is None:
        raise CommandRefused("ERR DISCARD without MULTI")
    client.leave_transaction()
    return "OK"


def _unwatch(client: ClientState, given: Arguments) -> object:
    client.watched.clear()
    return "OK"


def _watch(client: ClientState, given: Arguments) -> object:
    if client.queued is not None:
        raise CommandRefused("ERR WATCH inside MULTI is not allowed")
    keys = tuple(given[1:])
    watched = client.watched
    if len(watched) + len(keys) > WATCHED_MAX:
        raise CommandRefused(f"ERR too many keys are watched: the limit is {WATCHED_MAX}")
    generation = watched.generation

    def reply(told: Told) -> object:
        seen_at = cast(Answer, told).index
        watched.add(keys, cast(list[int], told.value), seen_at, generation)
        return "OK"

    return ReadRevisions(keys), reply


def queue_request(client: ClientState, arguments: Arguments, *, bytes_max: int) -> object:
    """Keep a request for EXEC, unless the transaction has failed already; returns the reply."""
    queued = required(client.queued, "queue")
    client.queued_bytes += sum(map(len, arguments)) + ARGUMENT_BYTES * len(arguments)
    if client.queued_bytes > bytes_max or len(queued) >= TRANSACTION_KEYS_MAX:
        client.queue_failed = True
        queued.clear()
        return Error("ERR the transaction is too large")
    if not client.queue_failed:
        queued.append(arguments)
    return "QUEUED"


def begin_exec(client: ClientState, begin: Begin, limits: Limits) -> object:
    """Begin EXEC; returns a `Call` for the one entry, or the reply if no entry is needed."""
    queued, watched, failed = client.queued, client.watched.pairs(), client.queue_failed
    watched_at = client.watched.since
    if queued is None:
        raise CommandRefused("ERR EXEC without MULTI")
    client.leave_transaction()
    if failed:
        return EXEC_ABORT
    replies: list[object] = []
    places: list[tuple[int, ReplyOf]] = []
    commands: list[Command] = []
    for place, arguments in enumerate(queued):
        try:
            begun = begin(client, arguments)
        except CommandRefused as refused:
            begun = refused.error
        if isinstance(begun, WaitingCall):
            begun = NO_WAIT
        if type(begun) is tuple:
            operation, reply_of = cast(Call, begun)
            if isinstance(operation, Command):
                commands.append(operation)
                places.append((place, reply_of))
                begun = None
            else:
                begun = NOT_IN_ENTRY
        replies.append(begun)
    if not commands and not watched:
        return replies
    transaction = TransactionOperation(tuple(commands), watched, watched_at=watched_at)
    try:
        check_transaction(transaction, sum(len(text) for request in queued for text in request), limits)
    except RequestRefused as refusal:
        raise CommandRefused(f"EXECABORT Transaction discarded: {refusal.message}.") from None

    def reply(told: Told) -> object:
        results = cast(list[Result | CommandFailed], told.value)
        for (place, reply_of), result in zip(places, results, strict=True):
            replies[place] = error_of(result) if isinstance(result, CommandFailed) else reply_of(result)
        return replies

    return transaction, reply


def _exec(client: ClientState, given: Arguments) -> object:
    """Never run: the connection begins EXEC (`begin_exec`)."""
    raise CommandRefused("ERR EXEC without MULTI")


_row = partial(run_here, "transactions")


TRANSACTIONS: tuple[Row, ...] = (
    _row("multi", 1, SESSION, "1.2.0", "Queue what follows", _multi, is_immediate=True),
    _row(
        "exec",
        1,
        SESSION,
        "1.2.0",
        "Run what is queued, at one point of the log",
        _exec,
        is_immediate=True,
        waits_for_reads=True,
    ),
    _row("discard", 1, SESSION, "2.0.0", "Forget what is queued", _discard, is_immediate=True),
    _row(
        "watch",
        -2,
        SESSION,
        "2.2.0",
        "Let EXEC run nothing if these keys change",
        _watch,
        is_immediate=True,
        keys=ALL_KEYS,
        waits_for_writes=True,
    ),
    _row("unwatch", 1, SESSION, "2.2.0", "Watch nothing", _unwatch),
)
"""The rows of the table."""
