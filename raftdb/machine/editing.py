"""Parts of values that are byte strings: put behind what is there."""

from dataclasses import dataclass

from raftdb.machine.keyspace import NEVER_EXPIRES
from raftdb.machine.reply import Result
from raftdb.machine.service import (
    Arity,
    Command,
    CommandSpec,
    CommandType,
    Example,
    ReplyKind,
    Service,
    as_done,
)
from raftdb.machine.transaction import Transaction
from raftdb.machine.values import check_value, put_value, state_key_of, string_of, visible


@dataclass(frozen=True, slots=True)
class Append(Command):
    """Put `value` behind the value of `key`, creating the key; an expiry that the key had stays."""

    key: bytes
    value: bytes


def append(transaction: Transaction, command: Append, revision: int) -> Result:
    """Put the text behind the value, which a missing key has empty; the expiry stays. Answers the new length."""
    state_key = state_key_of(command.key)
    before = transaction.get(state_key)
    stored = visible(transaction, before)
    data, expires_ms = (b"", NEVER_EXPIRES) if stored is None else (string_of(stored), stored.expires_ms)
    # Looked at before they are joined, which costs the sum of both.
    length = len(data) + len(command.value)
    check_value(length)
    put_value(transaction, state_key, before, data + command.value, revision=revision, expires_ms=expires_ms)
    return Result(length, revision)


EDITING = Service(
    heading="values",
    commands=(
        CommandType(
            type=Append,
            number=6,
            write=append,
            grows=True,
            shown=as_done,
            names=(
                CommandSpec(
                    name="append",
                    syntax="append KEY VALUE",
                    summary="Put text behind a value; creates the key if there is none.",
                    examples=(
                        Example("append kunci satu", "OK"),
                        Example("append kunci dua", "OK"),
                        Example("get kunci", '"satudua"'),
                    ),
                    arity=Arity(2, 2),
                    reply=ReplyKind.STATUS,
                    build=lambda given: Append(given[0], given[1]),
                ),
            ),
        ),
    ),
)
