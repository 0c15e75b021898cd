"""Entries of the log as plain values, for people: what a page of `request_log` shows."""

from collections.abc import Callable, Iterable
from typing import Any

from raftdb.commands.spec import unparse
from raftdb.core.model import Entry, EntryKind
from raftdb.limits import PAGE_BYTES_MAX
from raftdb.machine.entries import decode
from raftdb.machine.operations import (
    Expire,
    GuardedOperation,
    Operation,
    Relation,
    SessionOperation,
    TransactionOperation,
    UserOperation,
    WaitingOperation,
)
from raftdb.machine.service import Command
from raftdb.machine.session_records import shown_session
from raftdb.machine.sessions import CloseSession, KeepSession, RegisterSession
from raftdb.machine.users.service import PutRole, PutToken, PutUser, RemoveRole, RemoveToken, RemoveUser
from raftdb.wire.configuration import decode_configuration
from raftdb.wire.json_bytes import json_bytes_max

KIND_NAMES = {EntryKind.NOOP: "noop", EntryKind.COMMAND: "command", EntryKind.CONFIGURATION: "configuration"}

_RELATIONS = {Relation.EQUAL: "=", Relation.NOT_EQUAL: "!=", Relation.LESS: "<", Relation.GREATER: ">"}

Described = dict[str, Any]
"""Names to plain values; keys and values of the database are bytes."""


def describe_entries(entries: Iterable[Entry]) -> list[Described]:
    """Each entry with `index`, `term`, `kind` and the details of its kind: at least one entry, and no more once they
    have `PAGE_BYTES_MAX` bytes as JSON, in which many short commands are much longer than in the log."""
    described: list[Described] = []
    page_bytes = 0
    for entry in entries:
        if page_bytes >= PAGE_BYTES_MAX:
            break
        described.append(_describe_entry(entry))
        page_bytes += json_bytes_max(described[-1])
    return described


def _describe_entry(entry: Entry) -> Described:
    described: Described = {"index": entry.index, "term": entry.term, "kind": KIND_NAMES[entry.kind]}
    if entry.kind is EntryKind.COMMAND:
        time_ms, operation = decode(entry.data)
        described |= _describe_operation(operation)
        described["time_ms"] = time_ms
    elif entry.kind is EntryKind.CONFIGURATION:
        configuration = decode_configuration(entry.data)
        described["members"] = [
            {"id": member.id, "http": str(member.http), **member.redis.named(), "voter": member.voter}
            for member in configuration.members
        ]
        if configuration.removed:
            described["removed"] = list(configuration.removed)
    return described


def _describe_operation(operation: Operation) -> Described:
    describe = _DESCRIBE.get(type(operation))
    return _describe_command(operation) if describe is None else describe(operation)  # type: ignore[arg-type]


def _describe_command(command: Command) -> Described:
    name, arguments = unparse(command)
    return {"command": name, "args": arguments}


def _describe_transaction(transaction: TransactionOperation) -> Described:
    described: Described = {
        "command": "transaction",
        "args": [],
        "mode": transaction.mode.name.lower(),
        "commands": [_describe_command(command) for command in transaction.commands],
    }
    if transaction.comparisons:
        described["compare"] = [
            [key, _RELATIONS[relation], operand] for key, relation, operand in transaction.comparisons
        ]
        described["else"] = [_describe_command(command) for command in transaction.otherwise]
    if transaction.watched:
        described["watch"] = [list(pair) for pair in transaction.watched]
        if transaction.watched_at:
            described["watched_at"] = transaction.watched_at
    return described


def _describe_guarded(operation: GuardedOperation) -> Described:
    guards = [_describe_command(guard) for guard in operation.guards]
    return {**_describe_operation(operation.operation), "guards": guards}


def _describe_in_session(operation: SessionOperation) -> Described:
    session = {
        "id": shown_session(operation.session),
        "seq": operation.sequence,
        "acknowledged": operation.acknowledged,
    }
    return {**_describe_operation(operation.operation), "session": session}


def _describe_of_session(name: str) -> Callable[[RegisterSession | KeepSession | CloseSession], Described]:
    def described(operation: RegisterSession | KeepSession | CloseSession) -> Described:
        session: dict[str, object] = {"id": shown_session(operation.session)}
        if not isinstance(operation, CloseSession) and operation.ttl_ms:
            session["ttl_ms"] = operation.ttl_ms
        return {"command": name, "args": [], "session": session}

    return described


def _described_by(name: str, *fields: str) -> Callable[[Any], Described]:
    """What a change of users says, without the digests of secrets."""

    def described(operation: Any) -> Described:
        return {"command": name, "args": [], **{field: getattr(operation, field) for field in fields}}

    return described


_DESCRIBE: dict[type[Operation], Callable[[Any], Described]] = {
    TransactionOperation: _describe_transaction,
    GuardedOperation: _describe_guarded,
    SessionOperation: _describe_in_session,
    RegisterSession: _describe_of_session("register_session"),
    KeepSession: _describe_of_session("keep_session"),
    CloseSession: _describe_of_session("close_session"),
    PutUser: _described_by("put_user", "user", "roles"),
    RemoveUser: _described_by("remove_user", "user"),
    PutRole: _described_by("put_role", "role", "grants"),
    RemoveRole: _described_by("remove_role", "role"),
    PutToken: _described_by("put_token", "user", "label", "ttl_ms"),
    RemoveToken: _described_by("remove_token", "user", "label"),
    UserOperation: lambda operation: {**_describe_operation(operation.operation), "by": operation.user},
    WaitingOperation: lambda operation: {**_describe_operation(operation.operation), "waits": True},
    Expire: lambda operation: {"command": "expire_due", "args": []},
}
"""Operations that are no commands, and their names here, which no command has."""
