"""Making a transaction of commands, given by name, and the properties of an operation as a whole."""

from collections.abc import Sequence
from typing import TypeVar

from raftdb.commands.spec import GROWING, parse
from raftdb.commands.waiting import split_wait
from raftdb.errors import ReplyError, RequestRefused, failure_of, names_of
from raftdb.limits import (
    DEFAULT_LIMITS,
    FENCES_MAX,
    KEY_BYTES_MAX,
    TRANSACTION_KEYS_MAX,
    Limits,
)
from raftdb.machine.integers import INTEGER_MAX
from raftdb.machine.locks.fencing import Fence, checked_fence
from raftdb.machine.operations import (
    ClientOperation,
    Comparison,
    GuardedOperation,
    Mode,
    Operation,
    SessionOperation,
    TransactionOperation,
    asked_of,
)
from raftdb.machine.service import Command
from raftdb.machine.services import READS, keys_named

NO_WAIT_HINT = "leave WAIT out: all of a transaction happens at one moment"


def parse_part(name: str, arguments: Sequence[bytes], *, limits: Limits = DEFAULT_LIMITS) -> Command:
    """The same as `parse` for a command of a transaction, which cannot wait."""
    if split_wait(name, arguments)[1] is not None:
        raise RequestRefused("bad_request", f"{name!r} cannot wait in a transaction", hint=NO_WAIT_HINT)
    return parse(name, arguments, limits=limits)


def build_transaction(
    commands: Sequence[tuple[str, Sequence[bytes]]],
    *,
    watched: Sequence[tuple[bytes, int]] = (),
    watched_at: int = 0,
    mode: Mode = Mode.REDIS,
    comparisons: Sequence[Comparison] = (),
    otherwise: Sequence[tuple[str, Sequence[bytes]]] = (),
    limits: Limits = DEFAULT_LIMITS,
) -> TransactionOperation:
    """Return the transaction of `commands`, pairs of a name and its arguments, or of `otherwise` if not all
    `comparisons` hold.

    Raises `RequestRefused` for the first command that `parse_part` refuses, with its number, counted from 1; for a bad
    watched or compared key or revision; and `too_large` if all arguments together have too many bytes, or the commands
    name too many keys.
    """
    if otherwise and not comparisons:
        raise RequestRefused("bad_request", "there is an else, and nothing to compare")
    parsed = _parsed("command", commands, limits)
    parsed_otherwise = _parsed("command of else", otherwise, limits)
    transaction_bytes = sum(len(text) for _, arguments in (*commands, *otherwise) for text in arguments)
    for key, _, operand in comparisons:
        _check_key("compared", key)
        transaction_bytes += len(key) + (len(operand) if isinstance(operand, bytes) else 0)
    for key, revision in watched:
        _check_key("watched", key)
        if not 0 <= revision <= INTEGER_MAX:
            raise RequestRefused("bad_request", "a watched revision is 0 or above, and below 2^63")
        transaction_bytes += len(key)
    transaction = TransactionOperation(
        tuple(parsed), tuple(watched), mode, tuple(comparisons), tuple(parsed_otherwise), watched_at
    )
    check_transaction(transaction, transaction_bytes, limits)
    return transaction


def _parsed(what: str, commands: Sequence[tuple[str, Sequence[bytes]]], limits: Limits) -> list[Command]:
    parsed = []
    for number, (name, arguments) in enumerate(commands, start=1):
        try:
            parsed.append(parse_part(name, arguments, limits=limits))
        except RequestRefused as error:
            raise RequestRefused(error.code, f"{what} {number}: {error.message}", hint=error.hint) from None
    return parsed


def _check_key(what: str, key: bytes) -> None:
    if not 0 < len(key) <= KEY_BYTES_MAX:
        raise RequestRefused("bad_key", f"a {what} key has {len(key)} bytes, not 1 to {KEY_BYTES_MAX}")


def check_transaction(transaction: TransactionOperation, transaction_bytes: int, limits: Limits) -> None:
    """Raise `RequestRefused` (`too_large`) for a transaction that names too many keys, or whose arguments have too many
    bytes."""
    if transaction_bytes > limits.command_bytes:
        raise _too_large(f"has {transaction_bytes} bytes", limits.command_bytes)
    named = keys_named(transaction)
    if named > TRANSACTION_KEYS_MAX:
        raise _too_large(f"touches at least {named} keys", TRANSACTION_KEYS_MAX)


Plain = TypeVar("Plain", Command, TransactionOperation)


def fenced(operation: Plain, fences: tuple[Fence, ...]) -> Plain | GuardedOperation:
    """Return `operation` under these fences, if there are any.

    Raises `RequestRefused` for a name that no lock can have, and if there are too many.
    """
    if not fences:
        return operation
    if len(fences) > FENCES_MAX:
        raise RequestRefused("too_large", f"a request has {len(fences)} fences: the limit is {FENCES_MAX}")
    return GuardedOperation(tuple(map(checked_fence, fences)), operation)


def called_by_name(error: ReplyError, names: Sequence[str]) -> ReplyError:
    """Return the `error` of a transaction with the number, counted from 1, and the name of the command that failed, as
    it is in `names`. An error that is not of a single command is returned unchanged.

    A command in the log has no name: `incr` is an `incrby` there.
    """
    position = error.failed_command
    if position is None:
        return error
    message = f"command {position + 1} ({names[position]}): {error.message}"
    return failure_of(error.code, message, error.hint, position, names_of(error))


def is_read(operation: object) -> bool:
    """Return whether `operation` is a command that needs no entry of the log."""
    return type(asked_of(operation)) in READS


def branches(operation: ClientOperation) -> bool:
    """Return whether `operation` is a transaction that compares, so that True or False stands before its answers."""
    if isinstance(operation, SessionOperation):
        operation = operation.operation
    if isinstance(operation, GuardedOperation):
        operation = operation.operation
    return isinstance(operation, TransactionOperation) and bool(operation.comparisons)


def grows(operation: Operation) -> bool:
    """Return whether `operation` may make the state larger, so that it is refused while space is short.

    Registering a session does not count: sessions are bounded, and without one a client could not delete anything.
    """
    operation = asked_of(operation)
    if isinstance(operation, Command):
        return type(operation) in GROWING
    if isinstance(operation, SessionOperation):
        operation = operation.operation
    if isinstance(operation, GuardedOperation):
        operation = operation.operation
    if isinstance(operation, TransactionOperation):
        return any(type(command) in GROWING for command in (*operation.commands, *operation.otherwise))
    return type(operation) in GROWING


def _too_large(what: str, limit: int) -> RequestRefused:
    return RequestRefused(
        "too_large", f"the transaction {what}: the limit is {limit}", hint="split it into several"
    )
