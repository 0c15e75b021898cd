"""Nodes that answer the client API and have no Raft: what a client sees of a cluster, and nothing else.

A `FakeCluster` shares one state and one log among its nodes; exactly one leads, or none. These nodes have no sockets
either: `fake_node` puts them behind HTTP, `virtual` into a world of its own.
"""

import base64
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import unquote_to_bytes

from tests.client.fake_state import READS, FakeState, Refused

Body = Mapping[str, Any]


@dataclass(frozen=True)
class Canned:
    """What a node answers once, whatever it is asked. `cut`: it takes the request and closes the
    connection. `content` is sent instead of `body`; if it is shorter than `length` says, the connection is closed.
    `lose`: the node does what it is asked, or not, and then closes the connection."""

    status: int = 200
    body: Body = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: bool = False
    wait: threading.Event | None = None
    content: bytes | None = None
    length: int | None = None
    lose: Literal["request", "reply"] | None = None


LOSE_REPLY = Canned(lose="reply")
LOSE_REQUEST = Canned(lose="request")


def error(status: int, code: str, message: str = "no", **more: object) -> Canned:
    return Canned(status, {"error": {"code": code, "message": message, **more}})


class FakeCluster:
    """Its nodes, the leader's number (or None) and the shared state."""

    def __init__(self) -> None:
        self.nodes: Sequence[FakeNode] = []
        self.leader: int | None = 0
        self.state = FakeState()
        self.values = self.state.values
        self.log = self.state.log
        self.lock = threading.Lock()
        self.backup = b""

    @property
    def addresses(self) -> str:
        return ",".join(node.address for node in self.nodes)

    def leader_body(self) -> Body | None:
        if self.leader is None:
            return None
        node = self.nodes[self.leader]
        return {"id": node.id, "http": node.address, "redis": None}


class FakeNode:
    """One node."""

    def __init__(self, cluster: FakeCluster, number: int, address: str) -> None:
        self.cluster = cluster
        self.id = f"n{number + 1}"
        self.address = address
        self._number = number

    def answer(self, method: str, path: str, query: Mapping[str, list[bytes]], body: Any) -> Canned:
        if path == "/v1/status":
            return Canned(body=self._status())
        stale = query.get("consistency") == [b"stale"] or (body or {}).get("consistency") == "stale"
        if self.cluster.leader is None and not stale:
            return error(503, "no_leader", "the cluster has no leader at the moment")
        if self.cluster.leader != self._number and not stale:
            leader = self.cluster.leader_body()
            assert leader is not None
            answer = error(307, "not_leader", f"{leader['id']} is the leader", leader=leader)
            return Canned(307, answer.body, {"Location": f"http://{leader['http']}{path}"})
        if path == "/v1/backup":
            return Canned(content=self.cluster.backup, headers={"Raftdb-Index": str(len(self.cluster.log))})
        try:
            return Canned(body=self._served(method, path, query, body))
        except Refused as refused:
            return Canned(refused.status, {name: to_json(value) for name, value in refused.body.items()})

    def _served(self, method: str, path: str, query: Mapping[str, list[bytes]], body: Any) -> Body:
        """What the leader answers; raises `Refused`."""
        state = self.cluster.state
        match method, path.split("/")[2:]:
            case "POST", ["execute"]:
                return self._execute(body)
            case "POST", ["transaction"]:
                return self._transact(body)
            case "POST", ["sessions"]:
                state.register(body["id"])
                return {"session": {"id": body["id"]}, "index": state.index, "term": 1}
            case "DELETE", ["sessions", name]:
                state.close_session(name)
                return {"index": state.index, "term": 1}
            case "GET", ["keys"]:
                return self._keys(query)
            case "GET", ["members"]:
                return {"members": self._members()}
            case "POST", ["snapshot"]:
                return {"index": state.index}
            case "GET", ["request_log"]:
                return self._log_page(query)
        raise Refused(404, "not_found", f"no {path} here")

    def _execute(self, body: Any) -> Body:
        state, name, arguments = self.cluster.state, body["command"].lower(), from_json(body["args"])

        def run() -> object:
            result, revision = state.execute(name, arguments)
            answer = {"result": to_json(result), "index": state.index, "term": 1}
            return answer if revision is None else {**answer, "revision": revision}

        session = None if name in READS else body.get("session")
        answer: Any = state.in_session(session, (name, arguments), run)
        return dict(answer)

    def _transact(self, body: Any) -> Body:
        state = self.cluster.state
        commands = [(one["command"].lower(), from_json(one["args"])) for one in body["commands"]]
        watch = [(from_json([key])[0], revision) for key, revision in body.get("watch", [])]
        mode = body.get("mode", "redis")

        def run() -> object:
            try:
                results = state.transact(commands, watch, mode)
            except Refused as error:
                raise _named(error, [one["command"] for one in body["commands"]]) from None
            return {"results": to_json(results), "index": state.index, "term": 1}

        answer: Any = state.in_session(body.get("session"), (commands, watch, mode), run)
        return dict(answer)

    def _keys(self, query: Mapping[str, list[bytes]]) -> Body:
        limit = int(query.get("limit", [b"100"])[0])
        if not 1 <= limit <= 1000:
            raise Refused(400, "bad_request", "limit is from 1 to 1000")
        after = query.get("after", [None])[0]
        page, following = self.cluster.state.page(query.get("prefix", [b""])[0], after, limit)
        names = ("key", "value", "revision") if query.get("values") != [b"false"] else ("key", "revision")
        keys = [dict(zip(("key", "value", "revision"), entry, strict=True)) for entry in page]
        listed = [{name: to_json(entry[name]) for name in names} for entry in keys]
        return {"keys": listed} if following is None else {"keys": listed, "next": to_json(following)}

    def _log_page(self, query: Mapping[str, list[bytes]]) -> Body:
        first, limit = int(query.get("from", [b"1"])[0]), int(query.get("limit", [b"100"])[0])
        if limit > 1000:
            raise Refused(400, "bad_request", "limit is at most 1000")
        last = len(self.cluster.log)
        entries = self.cluster.log[first - 1 : first - 1 + limit]
        return {"first_index": 1, "last_index": last, "commit_index": last, "entries": to_json(entries)}

    def _members(self) -> list[Body]:
        return [
            {
                "id": node.id,
                "http": node.address,
                "redis": None,
                "voter": True,
                "match_index": 1,
                "alive": True,
            }
            for node in self.cluster.nodes
        ]

    def _status(self) -> Body:
        last = len(self.cluster.log)
        return {
            "id": self.id,
            "cluster_id": "c-1",
            "version": "0.1.0",
            "role": "leader" if self.cluster.leader == self._number else "follower",
            "term": 1,
            "leader": self.cluster.leader_body(),
            "first_index": 1,
            "last_index": last,
            "commit_index": last,
            "applied_index": last,
            "checkpoint_index": 0,
            "members": self._members(),
            "uptime_seconds": 61.5,
        }


def to_json(value: object) -> object:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, list):
        return [to_json(item) for item in value]
    if isinstance(value, dict):
        return {name: to_json(item) for name, item in value.items()}
    return value


def from_json(arguments: Sequence[Any]) -> list[bytes]:
    return [
        base64.b64decode(text["base64"]) if isinstance(text, dict) else text.encode() for text in arguments
    ]


def parse_query(text: str) -> dict[str, list[bytes]]:
    """Parameters, percent-decoded to bytes: keys need not be UTF-8."""
    found: dict[str, list[bytes]] = {}
    for part in filter(None, text.split("&")):
        name, _, value = part.partition("=")
        found.setdefault(name, []).append(unquote_to_bytes(value))
    return found


def _named(error: Refused, names: Sequence[str]) -> Refused:
    """The error with the word of the caller for the command that failed, if one did."""
    position = error.body.get("failed")
    if position is not None:
        error.body["error"]["message"] = f"command {position + 1} ({names[position]}): {error}"
    return error
