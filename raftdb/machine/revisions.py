"""Changes that are made only if the key was not changed meanwhile."""

from collections.abc import Sequence
from dataclasses import dataclass

from raftdb.errors import Conflict, RequestRefused
from raftdb.machine.arguments import integer
from raftdb.machine.integers import NotNegative
from raftdb.machine.keyspace import HEADER_BYTES
from raftdb.machine.layer import KeyValueView, Layer
from raftdb.machine.reply import Result, shown_key
from raftdb.machine.service import (
    Arity,
    Command,
    CommandSpec,
    CommandType,
    Example,
    Query,
    ReplyKind,
    Service,
    as_done,
)
from raftdb.machine.values import check_value, load_head, put_value, state_key_of, visible


@dataclass(frozen=True, slots=True)
class CompareAndSet(Command):
    """Store `value` under `key` if the key's revision is `revision`, 0 for a missing key; without an expiry."""

    key: bytes
    revision: NotNegative
    value: bytes


def compare_and_set(layer: Layer, command: CompareAndSet, revision: int) -> Result:
    """Store the value, without an expiry, if the key has that revision; raises `Conflict` otherwise."""
    state_key = state_key_of(layer, command.key)
    check_value(len(command.value))
    before = layer.head(state_key, HEADER_BYTES)
    stored = visible(layer, before)
    present = 0 if stored is None else stored.revision
    if present != command.revision:
        raise Conflict(
            f"the revision of {shown_key(command.key)} is {present}, not {command.revision}",
            keys=(command.key,),
            hint="read the key again, and decide anew",
        )
    put_value(layer, state_key, before, command.value, revision=revision)
    return Result(True, revision)


@dataclass(frozen=True, slots=True)
class ReadRevisions(Query):
    """Read the revisions of `keys` at one moment."""

    keys: tuple[bytes, ...]


def read_revisions(view: KeyValueView, query: ReadRevisions) -> Result:
    """Answer the revisions in the order of the keys, 0 for a missing one."""
    heads = [load_head(view, key) for key in query.keys]
    return Result([0 if head is None else head.revision for head in heads], None)


def _build(arguments: Sequence[bytes]) -> Command:
    """`cas KEY REVISION VALUE`."""
    revision = integer(arguments[1], hint="a revision as an answer gave it, or 0 for a missing key")
    if revision < 0:
        raise RequestRefused("bad_request", "a revision is 0 or above")
    return CompareAndSet(arguments[0], revision, arguments[2])


REVISIONS = Service(
    heading="transactions",
    queries={ReadRevisions: read_revisions},
    commands=(
        CommandType(
            type=CompareAndSet,
            number=12,
            write=compare_and_set,
            grows=True,
            shown=as_done,
            names=(
                CommandSpec(
                    name="cas",
                    syntax="cas KEY REVISION VALUE",
                    summary="Store a value if nobody has changed the key since that revision"
                    " (0: there is no such key).",
                    examples=(Example("cas kunci 0 satu", "OK"), Example("get kunci", '"satu"')),
                    arity=Arity(3, 3),
                    reply=ReplyKind.STATUS,
                    build=_build,
                ),
            ),
        ),
    ),
)
