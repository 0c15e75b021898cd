"""Our HTTP interface as values: the requests that a client sends. No I/O. What comes back is read by `answers` and
`refusals`."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Literal, TypeAlias, get_args
from urllib.parse import quote

from raftdb.client.given import Command, Text, to_bytes
from raftdb.client.json_body import bytes_to_json
from raftdb.client.model import Json
from raftdb.commands.spec import Access, lookup
from raftdb.errors import LocalProtocolError, RequestRefused

Consistency: TypeAlias = Literal["linearizable", "stale"]
"""How fresh a read must be: as of now, proven by a majority; or as of whatever the asked node has applied."""
Mode: TypeAlias = Literal["atomic", "redis"]
"""What a failing command does to its transaction: undoes all of it, or is an error among the results."""

CONSISTENCIES: tuple[Consistency, ...] = get_args(Consistency)
MODES: tuple[Mode, ...] = get_args(Mode)


class Kind(Enum):
    """How a request is routed and whether it may be repeated."""

    WRITE = "write"  # by the leader; sent again only if it surely was not executed
    ONCE = "once"  # a write within a session, by the leader: however often it is sent, it is executed once
    CHANGE = "change"  # by the leader, of the cluster itself: sent again only if it surely was not executed
    READ = "read"  # by the leader; may be asked again, for once or twice is the same
    ANY_NODE = "any_node"  # a read that every node answers
    TASK = "task"  # by the leader; takes its time, and may be asked again


@dataclass(frozen=True, slots=True)
class Stamp:
    """What makes a write happen once: session `id` (32 hexadecimal digits), the call's `sequence` in it, and the
    lowest sequence that the client still waits for, `acknowledged`."""

    id: str
    sequence: int
    acknowledged: int


@dataclass(frozen=True, slots=True)
class Request:
    """One call as HTTP: `target` is the path with its query, percent-encoded; `content` the body, if any, as JSON."""

    method: str
    target: str
    content: Json | None
    kind: Kind

    @property
    def body(self) -> bytes | None:
        """`content` as bytes."""
        if self.content is None:
            return None
        return json.dumps(self.content, ensure_ascii=False, separators=(",", ":")).encode()

    def stamped(self, stamp: Stamp) -> "Request":
        """This write as one of a session: it may be sent again and again."""
        if self.kind is not Kind.WRITE:
            raise LocalProtocolError("only writes are numbered")
        session = {"id": stamp.id, "seq": stamp.sequence, "acknowledged": stamp.acknowledged}
        return replace(self, kind=Kind.ONCE, content={**(self.content or {}), "session": session})


STATUS_REQUEST = Request("GET", "/v1/status", None, Kind.ANY_NODE)
MEMBERS_REQUEST = Request("GET", "/v1/members", None, Kind.READ)
SNAPSHOT_REQUEST = Request("POST", "/v1/snapshot", None, Kind.TASK)
BACKUP_REQUEST = Request("GET", "/v1/backup", None, Kind.TASK)


def execute_request(name: str, arguments: Iterable[Text], *, consistency: str) -> Request:
    """`POST /v1/execute`. A name that is not in our table is sent all the same, as a write: the node may be
    newer.

    Raises `RequestRefused` for a consistency that does not exist.
    """
    _check_one_of("consistency", consistency, CONSISTENCIES)
    spec = lookup(name)
    kind = Kind.WRITE
    if spec is not None and spec.access is Access.READ:
        kind = Kind.ANY_NODE if consistency == "stale" else Kind.READ
    content = _command(name, arguments)
    if consistency != "linearizable":
        content["consistency"] = consistency
    return Request("POST", "/v1/execute", content, kind)


def transaction_request(commands: Iterable[Command], watch: Mapping[bytes, int], mode: str) -> Request:
    """`POST /v1/transaction`: `commands` (name, arguments) as one, if all keys of `watch` still have their revisions.

    Without commands it only asks about the revisions, and is a read. Raises `RequestRefused` for an unknown mode.
    """
    _check_one_of("mode", mode, MODES)
    listed = [_command(name, arguments) for name, arguments in commands]
    content: dict[str, object] = {"commands": listed, "mode": mode}
    if watch:
        content["watch"] = [[bytes_to_json(key), revision] for key, revision in watch.items()]
    return Request("POST", "/v1/transaction", content, Kind.WRITE if listed else Kind.READ)


def register_request(session_id: str) -> Request:
    """`POST /v1/sessions`: begin a session of this name. Twice is as good as once, so it is routed like a read."""
    return Request("POST", "/v1/sessions", {"id": session_id}, Kind.READ)


def close_request(session_id: str) -> Request:
    """`DELETE /v1/sessions/{id}`: what the cluster keeps for the session may go."""
    return Request("DELETE", f"/v1/sessions/{session_id}", None, Kind.READ)


def keys_request(*, prefix: Text, after: Text | None, limit: int, values: bool, consistency: str) -> Request:
    """`GET /v1/keys`: a page of up to `limit` keys that begin with `prefix` and come after `after`."""
    _check_one_of("consistency", consistency, CONSISTENCIES)
    query = {"prefix": quote(to_bytes(prefix), safe=""), "limit": str(limit)}
    if after is not None:
        query["after"] = quote(to_bytes(after), safe="")
    if not values:
        query["values"] = "false"
    if consistency != "linearizable":
        query["consistency"] = consistency
    target = "/v1/keys?" + "&".join(f"{name}={text}" for name, text in query.items())
    return Request("GET", target, None, Kind.ANY_NODE if consistency == "stale" else Kind.READ)


def request_log_request(*, first: int | None, limit: int) -> Request:
    """`GET /v1/request_log`: up to `limit` entries from index `first` (None: the node's choice)."""
    start = "" if first is None else f"from={first}&"
    return Request("GET", f"/v1/request_log?{start}limit={limit}", None, Kind.READ)


def _command(name: str, arguments: Iterable[Text]) -> dict[str, object]:
    return {"command": name, "args": [bytes_to_json(argument) for argument in arguments]}


def _check_one_of(what: str, given: str, known: Sequence[str]) -> None:
    if given not in known:
        raise RequestRefused("bad_request", f"{what} must be one of: {', '.join(known)}")
