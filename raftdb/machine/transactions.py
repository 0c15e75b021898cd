"""Several commands as one: all of them at one point of the log, if the keys that they depend on have not changed.

The watched revisions are compared here, at apply, by the clock of the entry: so a key whose time is up counts as
missing, and a key that came back has another revision (hazards B57, B58). That a missing key came and went is found by
the trace that it left (`raftdb.machine.removals`). The commands run on a layer of their own, which becomes part of the
entry at the end. Reads among them see the commands before them (hazard B61). Comparisons are made there, too, and
decide which of two lists of commands runs.

A command that names something held, a lock or a delivery, is refused there as well if that is over, and the whole with
it (`CommandType.guard`).

A failing command is an error in its place, and the others run, as in Redis; or, in the atomic mode, it undoes the
whole. Too long a reply undoes the whole in both modes, because the client could not learn what was done. So does too
much work, whatever the configuration: all else that a node does waits until an entry is applied.
"""

from collections.abc import Callable, Sequence

from raftdb.errors import Conflict, Fenced, ReplyError, failure_of
from raftdb.limits import REPLY_BYTES_MAX, TRANSACTION_KEYS_MAX, TRANSACTION_MOVED_BYTES_MAX
from raftdb.machine.layer import TOO_MANY_KEYS, KeyValueView, Layer
from raftdb.machine.operations import Comparison, Mode, Relation, TransactionOperation
from raftdb.machine.reply import ELEMENT_BYTES, Result, shown_key, value_bytes
from raftdb.machine.service import Command
from raftdb.machine.services import GUARDS, keys_named
from raftdb.machine.values import has_changed, load, load_head, string_of

KEYS_SHOWN = 3
"""How many of the keys that have changed the message names; the error has them all."""

Execute = Callable[[Command, Layer, int], Result | ReplyError]
"""Runs one command as part of the entry at an index; a command that answers an error has changed nothing."""


def run(layer: Layer, operation: TransactionOperation, revision: int, execute: Execute) -> Result:
    """Answer the list of the commands' answers. Raises `Conflict` or `Fenced`, or `ReplyError` if the whole is
    undone."""
    named = keys_named(operation)
    if named > TRANSACTION_KEYS_MAX:
        raise _too_many_keys()
    changed = tuple(
        key for key, revision in operation.watched if has_changed(layer, key, revision, operation.watched_at)
    )
    if changed:
        raise _conflict(changed)
    branches = bool(operation.comparisons)
    holds = all(_holds(layer, comparison) for comparison in operation.comparisons)
    commands = operation.commands if holds else operation.otherwise
    check_guards(layer, commands, is_among_commands=True)
    upper = Layer(layer, passed_max=TRANSACTION_KEYS_MAX - named)
    try:
        results = _run_all(upper, commands, operation.mode, revision, execute)
    finally:
        layer.count(upper)
    layer.merge(upper)
    return Result([holds, *results] if branches else results, None)


def _holds(layer: Layer, comparison: Comparison) -> bool:
    """Whether what is there compares with the operand as it has to."""
    key, relation, operand = comparison
    found: int | bytes
    if isinstance(operand, int):
        found = _revision(layer, key)
        order = (found > operand) - (found < operand)
    else:
        stored = load(layer, key)
        if stored is None:
            return relation is Relation.NOT_EQUAL
        found = string_of(stored)
        order = (found > operand) - (found < operand)
    if relation is Relation.NOT_EQUAL:
        return order != 0
    return order == {Relation.EQUAL: 0, Relation.LESS: -1, Relation.GREATER: 1}[relation]


def check_guards(view: KeyValueView, commands: Sequence[Command], *, is_among_commands: bool = False) -> None:
    """Raise `Fenced` for the first command that names something held which is over. `is_among_commands`: they are those
    of a transaction, and the error says which it is."""
    for position, command in enumerate(commands):
        guard = GUARDS.get(type(command))
        if guard is not None:
            try:
                guard(view, command)
            except Fenced as error:
                failed_command = position if is_among_commands else None
                raise Fenced(error.message, hint=error.hint, failed_command=failed_command) from None


def _run_all(
    layer: Layer, commands: Sequence[Command], mode: Mode, revision: int, execute: Execute
) -> list[Result | ReplyError]:
    """The answers of the commands, one after the other. Raises `ReplyError` if the whole is undone."""
    results: list[Result | ReplyError] = []
    reply_bytes = 0
    for position, command in enumerate(commands):
        reply = execute(command, layer, revision)
        if layer.passed_max is not None and layer.passed > layer.passed_max:
            raise _too_many_keys()
        if layer.moved_bytes > TRANSACTION_MOVED_BYTES_MAX:
            raise _failed(
                position,
                "the transaction reads and writes too much",
                f"the limit is {TRANSACTION_MOVED_BYTES_MAX} bytes of values",
            )
        if isinstance(reply, ReplyError) and mode is Mode.ATOMIC:
            raise _failed(position, reply.message, reply.hint, _code_among_commands(reply))
        results.append(reply)
        value = reply if isinstance(reply, ReplyError) else reply.value
        reply_bytes += value_bytes(value) + ELEMENT_BYTES
        if reply_bytes > REPLY_BYTES_MAX:
            raise _failed(position, "the reply is too long", f"the limit is {REPLY_BYTES_MAX} bytes")
    return results


def _too_many_keys() -> ReplyError:
    return ReplyError(TOO_MANY_KEYS, hint=f"the limit is {TRANSACTION_KEYS_MAX}")


def _revision(view: KeyValueView, key: bytes) -> int:
    stored = load_head(view, key)
    return 0 if stored is None else stored.revision


def _conflict(keys: tuple[bytes, ...]) -> Conflict:
    shown = ", ".join(map(shown_key, keys[:KEYS_SHOWN]))
    more = f" and {len(keys) - KEYS_SHOWN} more" if len(keys) > KEYS_SHOWN else ""
    return Conflict(f"changed meanwhile: {shown}{more}", keys=keys, hint="read again, and decide anew")


def _failed(position: int, why: str, hint: str | None, code: str = "command_failed") -> ReplyError:
    """The error of the command at `position`, which undoes the whole. The name by which it was called is not known here
    (`called_by_name`)."""
    return failure_of(code, why, hint, position)


def _code_among_commands(failure: ReplyError) -> str:
    """The code of a command's failure for the whole transaction. It stays what it is, but for `conflict`, which says of
    a transaction that what it watches has changed."""
    return "command_failed" if isinstance(failure, Conflict) else failure.code
