"""Our HTTP interface as values: requests to send, and typed answers or errors out of what came back. No I/O.

Keys and values are byte strings. In JSON a string stands for its UTF-8, and bytes that are not UTF-8 travel
as `{"base64": "..."}`, in both directions.
"""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import cast
from urllib.parse import urlsplit

from raftdb.client.http1 import Response
from raftdb.client.model import Answer, Json, LogEntry, LogPage, Member, NodeStatus, Value
from raftdb.commands.spec import Access, ReplyKind, lookup
from raftdb.errors import (
    CODES,
    LeaderHint,
    OutcomeUnknown,
    RaftdbError,
    RemoteProtocolError,
    ReplyError,
    RequestRefused,
    Unavailable,
)

CONSISTENCIES = ("linearizable", "stale")
"""How fresh a read must be: as of now, proven by a majority; or as of whatever the asked node has applied."""

_UNAVAILABLE_CODES = frozenset({"not_leader", "no_leader", "no_quorum", "busy", "no_space"})
_REFUSED_STATUSES = frozenset({400, 401, 403, 405, 413})


class Kind(Enum):
    """How a request is routed and whether it may be repeated."""

    WRITE = "write"  # by the leader; sent again only if it surely was not executed
    READ = "read"  # by the leader; may be asked again
    ANY_NODE = "any_node"  # a read that every node answers
    TASK = "task"  # by the leader; takes its time, and may be asked again


@dataclass(frozen=True, slots=True)
class Request:
    """One call as HTTP: `target` is the path with its query; `body` is JSON or None."""

    method: str
    target: str
    body: bytes | None
    kind: Kind


STATUS_REQUEST = Request("GET", "/v1/status", None, Kind.ANY_NODE)
MEMBERS_REQUEST = Request("GET", "/v1/members", None, Kind.READ)
SNAPSHOT_REQUEST = Request("POST", "/v1/snapshot", None, Kind.TASK)
BACKUP_REQUEST = Request("GET", "/v1/backup", None, Kind.TASK)
INDEX_HEADER = "raftdb-index"
"""Says up to which entry a backup goes."""


def execute_request(name: str, arguments: Sequence[bytes | str], *, consistency: str) -> Request:
    """`POST /v1/execute`. A name that is not in our table is sent all the same, as a write: the node may be
    newer.

    Raises `RequestRefused` for a consistency that does not exist.
    """
    if consistency not in CONSISTENCIES:
        raise RequestRefused("bad_request", f"consistency must be one of: {', '.join(CONSISTENCIES)}")
    spec = lookup(name)
    kind = Kind.WRITE
    if spec is not None and spec.access is Access.READ:
        kind = Kind.ANY_NODE if consistency == "stale" else Kind.READ
    content = {"command": name, "args": [_bytes_to_json(argument) for argument in arguments]}
    if consistency != "linearizable":
        content["consistency"] = consistency
    return Request("POST", "/v1/execute", json.dumps(content, ensure_ascii=False).encode(), kind)


def request_log_request(*, first: int | None, limit: int) -> Request:
    """`GET /v1/request_log`: up to `limit` entries from index `first` (None: the node's choice)."""
    start = "" if first is None else f"from={first}&"
    return Request("GET", f"/v1/request_log?{start}limit={limit}", None, Kind.READ)


def _bytes_to_json(argument: bytes | str) -> object:
    if isinstance(argument, str):
        # Text from the command line holds bytes that are not UTF-8 as lone surrogates (PEP 383).
        argument = argument.encode("utf-8", "surrogateescape")
    try:
        return argument.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(argument).decode("ascii")}


def value_of(result: object, reply: ReplyKind | None) -> Value:
    """The typed value of a JSON result; `reply` is the command's kind of reply and tells a status from a
    string."""
    if isinstance(result, str):
        return result if reply is ReplyKind.STATUS else result.encode("utf-8", "surrogatepass")
    if isinstance(result, dict):
        try:
            return base64.b64decode(result["base64"], validate=True)
        except (KeyError, TypeError, ValueError, binascii.Error):
            raise RemoteProtocolError("a result is neither JSON of ours nor base64") from None
    if isinstance(result, list):
        return [value_of(item, ReplyKind.STRING if reply is ReplyKind.ARRAY else reply) for item in result]
    if result is None or type(result) is int:
        return result
    raise RemoteProtocolError(f"a result has a type that raftdb does not know: {type(result).__name__}")


def answer_of(name: str, response: Response) -> Answer:
    """The answer of a successful `execute` of command `name`."""
    body = _object_of(response)
    spec = lookup(name)
    if "result" not in body:
        raise RemoteProtocolError("the answer to a command has no result")
    return Answer(
        value=value_of(body["result"], None if spec is None else spec.reply),
        index=_integer(body, "index"),
        term=_integer(body, "term"),
        revision=_integer(body, "revision") if body.get("revision") is not None else None,
        body=body,
    )


def status_of(response: Response) -> NodeStatus:
    """The answer to `GET /v1/status`."""
    body = _object_of(response)
    uptime = body.get("uptime_seconds")
    return NodeStatus(
        id=_text(body, "id"),
        cluster_id=_text(body, "cluster_id"),
        version=_text(body, "version"),
        role=_text(body, "role"),
        term=_integer(body, "term"),
        leader=_leader(body.get("leader")),
        first_index=_integer(body, "first_index"),
        last_index=_integer(body, "last_index"),
        commit_index=_integer(body, "commit_index"),
        applied_index=_integer(body, "applied_index"),
        checkpoint_index=_integer(body, "checkpoint_index"),
        members=_members(body.get("members")),
        uptime_seconds=float(uptime) if isinstance(uptime, int | float) else 0.0,
        body=body,
    )


def members_of(response: Response) -> tuple[Member, ...]:
    """The answer to `GET /v1/members`: an object with `members`, or the bare list."""
    content = _json_of(response)
    if isinstance(content, dict):
        content = content.get("members")
    if not isinstance(content, list):
        raise RemoteProtocolError("the list of members is not a list")
    return _members(content)


def snapshot_index_of(response: Response) -> int:
    """The answer to `POST /v1/snapshot`: the index that the state is durable up to."""
    return _integer(_object_of(response), "index")


def backup_index_of(response: Response) -> int:
    """The head of the answer to `GET /v1/backup`: the index that the backup goes up to."""
    text = response.headers.get(INDEX_HEADER, "")
    if not (text.isascii() and text.isdigit()):
        raise RemoteProtocolError("the answer is not a backup", hint="is that address a raftdb node?")
    return int(text)


def log_page_of(response: Response) -> LogPage:
    """The answer to `GET /v1/request_log`."""
    body = _object_of(response)
    return LogPage(
        first_index=_integer(body, "first_index"),
        last_index=_integer(body, "last_index"),
        commit_index=_integer(body, "commit_index"),
        entries=tuple(_log_entry(entry) for entry in _objects(body.get("entries"))),
        body=body,
    )


def _log_entry(body: Json) -> LogEntry:
    command, arguments = body.get("command"), body.get("args")
    values = [value_of(argument, None) for argument in arguments] if isinstance(arguments, list) else []
    return LogEntry(
        index=_integer(body, "index"),
        term=_integer(body, "term"),
        kind=_text(body, "kind"),
        command=command if isinstance(command, str) else None,
        arguments=tuple(value if isinstance(value, bytes) else str(value).encode() for value in values),
        body=body,
    )


def error_of(response: Response) -> RaftdbError:
    """The typed error of an answer that is not a success.

    An answer without our JSON, from something between us and the node, is judged by its status alone; of
    those none proves that the request was not executed, so all of 500 and above is `outcome_unknown`.
    """
    error = _error_body(response)
    code, message, hint = error.get("code"), error.get("message"), error.get("hint")
    if not isinstance(code, str):
        code = "outcome_unknown" if response.status >= 500 else _code_of_status(response.status)
        return _typed_error(
            code, f"the answer was HTTP status {response.status} without a reason", None, None
        )
    return _typed_error(
        code,
        message if isinstance(message, str) else code,
        hint if isinstance(hint, str) else None,
        _leader(error.get("leader")),
    )


def _typed_error(code: str, message: str, hint: str | None, leader: LeaderHint | None) -> RaftdbError:
    if code == "command_failed":
        return ReplyError(message, hint=hint)
    if code == "outcome_unknown":
        return OutcomeUnknown(message, hint=hint)
    if code in _UNAVAILABLE_CODES:
        return Unavailable(code, message, hint=hint, leader=leader)
    if code in CODES and CODES[code].status in _REFUSED_STATUSES:
        return RequestRefused(code, message, hint=hint)
    return RaftdbError(code, message, hint=hint)


def _code_of_status(status: int) -> str:
    matching = [name for name, code in CODES.items() if code.status == status]
    return matching[0] if matching else "internal"


def leader_of_error(response: Response) -> str | None:
    """HOST:PORT of the leader that a `not_leader` answer names, in its body or in its `Location`."""
    leader = _leader(_error_body(response).get("leader"))
    if leader is not None:
        return leader.http
    try:
        location = urlsplit(response.headers.get("location", ""))
    except ValueError:
        return None
    return location.netloc if location.scheme == "http" and location.netloc else None


def leader_of_status(response: Response) -> str | None:
    """HOST:PORT of the leader that a status names, or None if it names none or is no status at all."""
    if response.status != 200:
        return None
    try:
        leader = _leader(_object_of(response).get("leader"))
    except RemoteProtocolError:
        return None
    return None if leader is None else leader.http


def _error_body(response: Response) -> Json:
    try:
        error = _object_of(response).get("error")
    except RemoteProtocolError:
        return {}
    return cast(Json, error) if isinstance(error, dict) else {}


def _leader(value: object) -> LeaderHint | None:
    """A leader object of an error or a status; None if it is null or has no HTTP address."""
    if not isinstance(value, dict):
        return None
    http, redis = value.get("http"), value.get("redis")
    if not isinstance(http, str) or not http:
        return None
    # Tolerated in both spellings: some name the address, some the URL.
    address = http.removeprefix("http://").rstrip("/")
    return LeaderHint(str(value.get("id", "")), address, redis if isinstance(redis, str) else None)


def _members(value: object) -> tuple[Member, ...]:
    return tuple(_member(body) for body in _objects(value))


def _member(body: Json) -> Member:
    redis, match_index, alive = body.get("redis"), body.get("match_index"), body.get("alive")
    return Member(
        id=_text(body, "id"),
        http=_text(body, "http").removeprefix("http://").rstrip("/"),
        redis=redis if isinstance(redis, str) else None,
        voter=body.get("voter") is not False,
        match_index=match_index if type(match_index) is int else None,
        alive=alive if isinstance(alive, bool) else None,
        body=body,
    )


def _json_of(response: Response) -> object:
    try:
        return cast(object, json.loads(response.body))
    except (ValueError, RecursionError):
        raise RemoteProtocolError(
            f"the answer (HTTP status {response.status}) is not JSON", hint="is that address a raftdb node?"
        ) from None


def _object_of(response: Response) -> Json:
    content = _json_of(response)
    if not isinstance(content, dict):
        raise RemoteProtocolError("the answer is not a JSON object")
    return cast(Json, content)


def _objects(value: object) -> list[Json]:
    """The objects of a JSON list; an absent list is an empty one."""
    items = [] if value is None else value
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise RemoteProtocolError("the answer has something else where a list of objects belongs")
    return cast(list[Json], items)


def _integer(body: Json, name: str) -> int:
    """An integer field; 0 if it is absent or null (older nodes, and nodes that have nothing yet)."""
    value = body.get(name)
    if value is None:
        return 0
    if type(value) is not int:
        raise RemoteProtocolError(f"{name} in the answer is not an integer")
    return value


def _text(body: Json, name: str) -> str:
    value = body.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise RemoteProtocolError(f"{name} in the answer is not a string")
    return value
