"""Successful responses as the typed answers of `model`. All raise `RemoteProtocolError` for other content. No I/O."""

from collections.abc import Sequence
from typing import cast

from raftdb.client.addresses import learnt_endpoint
from raftdb.client.given import Form, V
from raftdb.client.http1 import LENGTH, Response
from raftdb.client.json_body import (
    bytes_of,
    integer,
    json_of,
    object_of,
    objects,
    optional_integer,
    optional_number,
    text,
    value_of,
)
from raftdb.client.model import (
    Answer,
    AuditEvent,
    Json,
    KeyPage,
    KeyValue,
    LogEntry,
    LogPage,
    Member,
    Membership,
    NodeStatus,
    TransactionAnswer,
    Value,
)
from raftdb.client.refusals import error_of_body, leader_in
from raftdb.commands.spec import lookup
from raftdb.endpoint import text_of
from raftdb.errors import CommandFailed, LeaderHint, RemoteProtocolError

INDEX_HEADER = "raftdb-index"
"""The header with the index of the last entry in a backup."""


def answer_of(name: str, response: Response, form: Form[bytes | str]) -> Answer:
    """The answer to an `execute` of the command `name`."""
    body = object_of(response)
    if "result" not in body:
        raise RemoteProtocolError("the answer to a command has no result")
    return Answer(
        value=_result_of(name, body["result"], form),
        index=integer(body, "index"),
        term=integer(body, "term"),
        revision=optional_integer(body, "revision"),
        body=body,
    )


def _result_of(name: str, result: object, form: Form[bytes | str]) -> Value:
    spec = lookup(name)
    return in_form(value_of(result, None if spec is None else spec.reply), form)


def in_form(value: Value, form: Form[bytes | str]) -> Value:
    """The result with its byte strings in `form`."""
    if isinstance(value, bytes):
        return form(value)
    return [in_form(item, form) for item in value] if isinstance(value, list) else value


def transaction_answer_of(
    names: Sequence[str],
    response: Response,
    form: Form[bytes | str],
    names_otherwise: Sequence[str] | None = None,
) -> TransactionAnswer:
    """The answer to a transaction whose commands are `names`; if it branches, or `names_otherwise`."""
    body = object_of(response)
    succeeded = None
    if names_otherwise is not None:
        succeeded = _boolean(body, "succeeded")
        names = names if succeeded else names_otherwise
    results = body.get("results")
    if not isinstance(results, list) or len(results) != len(names):
        raise RemoteProtocolError("the answer to a transaction has not one result for each command")
    return TransactionAnswer(
        results=tuple(_element_of(name, result, form) for name, result in zip(names, results, strict=True)),
        index=integer(body, "index"),
        term=integer(body, "term"),
        succeeded=succeeded,
        body=body,
    )


def _boolean(body: Json, name: str) -> bool:
    value = body.get(name)
    if not isinstance(value, bool):
        raise RemoteProtocolError(f"{name} in the answer is not true or false")
    return value


def _element_of(name: str, result: object, form: Form[bytes | str]) -> "Value | CommandFailed":
    """One result of a transaction, or the error in its place."""
    error = result.get("error") if isinstance(result, dict) else None
    if not isinstance(error, dict):
        return _result_of(name, result, form)
    code = error.get("code")
    typed = error_of_body(code if isinstance(code, str) else "command_failed", cast(Json, result))
    if isinstance(typed, CommandFailed):
        return typed
    return CommandFailed(typed.message, hint=typed.hint, code=typed.code)


def key_page_of(response: Response, form: Form[V]) -> KeyPage[V]:
    """The answer to `GET /v1/keys`."""
    body = object_of(response)
    following = body.get("next")
    return KeyPage(
        keys=tuple(_key_value(entry, form) for entry in objects(body.get("keys"))),
        next_after=None if following is None else form(bytes_of(following)),
        body=body,
    )


def _key_value(body: Json, form: Form[V]) -> KeyValue[V]:
    key, value = form(bytes_of(body.get("key"))), form(bytes_of(body.get("value", "")))
    return KeyValue(key, value, integer(body, "revision"))


def status_of(response: Response) -> NodeStatus:
    """The answer to `GET /v1/status`."""
    body = object_of(response)
    birth = body.get("birth")
    return NodeStatus(
        id=text(body, "id"),
        cluster_id=text(body, "cluster_id"),
        version=text(body, "version"),
        role=text(body, "role"),
        term=integer(body, "term"),
        leader=leader_in(body.get("leader")),
        first_index=integer(body, "first_index"),
        last_index=integer(body, "last_index"),
        commit_index=integer(body, "commit_index"),
        applied_index=integer(body, "applied_index"),
        checkpoint_index=integer(body, "checkpoint_index"),
        members=_members(body.get("members")),
        uptime_seconds=optional_number(body, "uptime_seconds") or 0.0,
        put_back=body.get("put_back") is True,
        birth=birth if isinstance(birth, str) else None,
        fault_injection=body.get("fault_injection") is True,
        body=body,
    )


def audit_of(response: Response) -> tuple[AuditEvent, ...]:
    """The answer to `GET /v1/audit`."""
    return tuple(
        AuditEvent(
            time_ms=integer(row, "time_ms"),
            what=text(row, "what"),
            details=next(iter(objects([row.get("details")]))),
            body=row,
        )
        for row in objects(object_of(response).get("events"))
    )


def members_of(response: Response) -> tuple[Member, ...]:
    """The answer to `GET /v1/members`: an object with `members`, or the bare list."""
    content = json_of(response)
    if isinstance(content, dict):
        content = content.get("members")
    if not isinstance(content, list):
        raise RemoteProtocolError("the list of members is not a list")
    return _members(content)


def membership_of(response: Response) -> Membership:
    """The answer to `GET /v1/members`, or to a change of the members."""
    body = object_of(response)
    removed = body.get("removed")
    return Membership(
        members=_members(body.get("members")),
        removed=tuple(map(str, removed)) if isinstance(removed, list) else (),
        last_index=integer(body, "last_index"),
        index=optional_integer(body, "index"),
        pending=body.get("pending") is True,
        body=body,
    )


def new_leader_of(response: Response) -> LeaderHint:
    """The answer to `POST /v1/leader/transfer`."""
    leader = leader_in(object_of(response).get("leader"))
    if leader is None:
        raise RemoteProtocolError("the answer to a transfer names no leader")
    return leader


def snapshot_index_of(response: Response) -> int:
    """The answer to `POST /v1/snapshot`: the index up to which the state is durable."""
    return integer(object_of(response), "index")


def backup_index_of(response: Response) -> int:
    """The head of the answer to `GET /v1/backup`: the index of the last entry in the backup."""
    text = response.headers.get(INDEX_HEADER, "")
    if LENGTH.fullmatch(text) is None:
        raise RemoteProtocolError("the answer is not a backup", hint="is that address a raftdb node?")
    return int(text)


def log_page_of(response: Response) -> LogPage:
    """The answer to `GET /v1/request_log`."""
    body = object_of(response)
    return LogPage(
        first_index=integer(body, "first_index"),
        last_index=integer(body, "last_index"),
        commit_index=integer(body, "commit_index"),
        entries=tuple(_log_entry(entry) for entry in objects(body.get("entries"))),
        body=body,
    )


def _log_entry(body: Json) -> LogEntry:
    command, arguments = body.get("command"), body.get("args")
    values = [value_of(argument, None) for argument in arguments] if isinstance(arguments, list) else []
    return LogEntry(
        index=integer(body, "index"),
        term=integer(body, "term"),
        kind=text(body, "kind"),
        command=command if isinstance(command, str) else None,
        arguments=tuple(value if isinstance(value, bytes) else str(value).encode() for value in values),
        body=body,
    )


def _members(value: object) -> tuple[Member, ...]:
    return tuple(_member(body) for body in objects(value))


def _member(body: Json) -> Member:
    http = text(body, "http")
    alive = body.get("alive")
    return Member(
        id=text(body, "id"),
        http=text_of(learnt_endpoint(http)) or http,
        redis=_optional_text(body, "redis"),
        redis_cluster=_optional_text(body, "redis_cluster"),
        voter=body.get("voter") is not False,
        joining=body.get("joining") is True,
        match_index=optional_integer(body, "match_index"),
        alive=alive if isinstance(alive, bool) else None,
        problem=_optional_text(body, "problem"),
        last_contact_seconds=optional_number(body, "last_contact_seconds"),
        suspicion=optional_number(body, "suspicion"),
        put_back=body.get("put_back") is True,
        body=body,
    )


def _optional_text(body: Json, name: str) -> str | None:
    value = body.get(name)
    return value if isinstance(value, str) else None
