"""Requests of the HTTP interface as values, and those about sessions and status. No I/O.

The requests of the methods are made in `methods` and `cluster_methods`; `answers` and `refusals` read the answers.
"""

import json
from dataclasses import dataclass, replace
from enum import Enum
from typing import Literal, TypeAlias, get_args

from raftdb.client.model import Json
from raftdb.errors import LocalProtocolError

Consistency: TypeAlias = Literal["linearizable", "stale"]
"""How fresh a read must be: it sees all earlier writes, which a majority proves, or what the asked node has applied."""
Mode: TypeAlias = Literal["atomic", "redis"]
"""What a failing command does to its transaction: it undoes all of it, or becomes an error among the results."""

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
    """The fields by which a write is executed once: the session's `id` (32 hexadecimal digits), the call's `sequence`
    in it, and `acknowledged`, the lowest sequence whose answer the client still waits for."""

    id: str
    sequence: int
    acknowledged: int


@dataclass(frozen=True, slots=True)
class Request:
    """A request: `target` is the path with its query, percent-encoded, and `content` the JSON of the body, or None."""

    method: str
    target: str
    content: Json | None
    kind: Kind
    wait_ms: float | None = None
    """How long the leader may hold the command until it can be served; None if it does not wait. It is no part of the
    command: asked again, it waits for what is left."""
    takes_turns: bool = False
    """Whether it waits in a line that is no part of the state, so that a session of its own may be used for it."""
    binds: bool = False
    """Whether it binds a key to its session, so that one with a time to live is to be used for it."""

    @property
    def body(self) -> bytes | None:
        """`content` as bytes, or None."""
        if self.content is None:
            return None
        return json.dumps(self.content, ensure_ascii=False, separators=(",", ":")).encode()

    def stamped(self, stamp: Stamp) -> "Request":
        """This write within a session, so that it may be sent repeatedly."""
        if self.kind is not Kind.WRITE:
            raise LocalProtocolError("only writes are numbered")
        session = {"id": stamp.id, "seq": stamp.sequence, "acknowledged": stamp.acknowledged}
        return replace(self, kind=Kind.ONCE, content={**(self.content or {}), "session": session})

    def held(self, held_ms: float) -> "Request":
        """This request as it is sent while the leader may still hold it for `held_ms`; itself if it does not wait.
        The least wait is one that is over at once: the leader takes back the place that it has given."""
        if self.wait_ms is None:
            return self
        return replace(self, content={**(self.content or {}), "wait_ms": max(1, int(held_ms))})


STATUS_REQUEST = Request("GET", "/v1/status", None, Kind.ANY_NODE)


def register_request(session_id: str, ttl_ms: int = 0) -> Request:
    """`POST /v1/sessions`: begin a session with this name, with a time to live unless that is 0. Repeating it does no
    harm, so it is routed like a read."""
    ttl = {"ttl_ms": ttl_ms} if ttl_ms else {}
    return Request("POST", "/v1/sessions", {"id": session_id, **ttl}, Kind.READ)


def keep_request(session_id: str) -> Request:
    """`PUT /v1/sessions/{id}`: keep the session for its time to live from now on."""
    return Request("PUT", f"/v1/sessions/{session_id}", None, Kind.READ)


def close_request(session_id: str) -> Request:
    """`DELETE /v1/sessions/{id}`: end the session. Repeating it does no harm, either."""
    return Request("DELETE", f"/v1/sessions/{session_id}", None, Kind.READ)
