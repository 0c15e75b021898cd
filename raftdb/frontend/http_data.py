"""The handlers about data (docs/interface.md, section 3): commands, transactions, sessions, and reads of keys.

Each handler makes an operation of a request, has the node execute it, and encodes the answer.
"""

import logging
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import unquote_to_bytes

from aiohttp import web

from raftdb.budgets import BODY_BYTES_ON_LOOP_MAX, REPLY_BYTES_ON_LOOP_MAX
from raftdb.commands.answers import shown
from raftdb.commands.transactions import branches, called_by_name, is_read
from raftdb.errors import (
    CODES,
    Conflict,
    LocalProtocolError,
    RaftdbError,
    ReplyError,
    RequestRefused,
    Unavailable,
)
from raftdb.frontend.http_body import read_body
from raftdb.frontend.http_login import USER
from raftdb.frontend.http_memory import COUNTED_BYTES_MIN, held_for, take_for_answer
from raftdb.frontend.http_query import flag_of, integer_of, key_of_query, parameters
from raftdb.frontend.http_reply import Reply
from raftdb.frontend.http_server import OPERATION, SEGMENTS
from raftdb.frontend.http_waiting import wait_for
from raftdb.frontend.json_requests import execute_of, kept_session, session_name, session_of, transaction_of
from raftdb.frontend.json_values import Shown, encode_answer, encode_json, error_object, record_fields
from raftdb.frontend.leading import log_redirect
from raftdb.frontend.node_api import Consistency, Node
from raftdb.limits import KEY_BYTES_MAX, SCAN_LIMIT_DEFAULT, SCAN_LIMIT_MAX, Limits
from raftdb.machine.operations import ClientOperation, SessionOperation
from raftdb.machine.reply import KeyRecord, Page, shown_key, value_bytes
from raftdb.machine.scanning import ReadPage, ReadRecord
from raftdb.machine.service import Command, Query
from raftdb.machine.sessions import CloseSession
from raftdb.memory import Hold
from raftdb.node.aside import Aside
from raftdb.node.turn import Answer
from raftdb.route import Permission, Route
from raftdb.wire.json_bytes import request_bytes_max

logger = logging.getLogger("raftdb.http")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiLimits:
    """The limits of the client API.

    `request_bytes_max` bounds a body; None is the length of the longest legal command or transaction. A body must
    arrive within `body_timeout_s` seconds. The number of requests at a time is bounded by the listener's connections,
    each of which counts until its request has ended, even if its client has gone.
    """

    request_bytes_max: int | None = None
    body_timeout_s: float = 10.0


Kind = TypeVar("Kind")


def _of_kind(kind: type[Kind], value: object) -> Kind:
    """`value`, which must be of this kind. Raises `LocalProtocolError` if it is not."""
    if not isinstance(value, kind):
        raise LocalProtocolError(f"an answer is {type(value).__name__}, not {kind.__name__}")
    return value


class DataApi:
    """The handlers about data. `limits` bounds requests, and `command_limits` commands; long bodies and answers are
    decoded and encoded on the thread of `aside`."""

    def __init__(self, node: Node, *, limits: ApiLimits, command_limits: Limits, aside: Aside) -> None:
        self._node = node
        self._limits = limits
        self._command_limits = command_limits
        self.body_bytes_max = limits.request_bytes_max or request_bytes_max(command_limits.command_bytes)
        self._aside = aside

    def routes(self) -> dict[str, dict[str, Route]]:
        """A new path table with these routes."""
        return {
            "/v1/execute": {"POST": Route(self.execute, Permission.READ)},
            "/v1/transaction": {"POST": Route(self.transaction, Permission.READ)},
            "/v1/sessions": {"POST": Route(self.register_session, Permission.WRITE)},
            "/v1/sessions/{id}": {
                "PUT": Route(self.keep_session, Permission.WRITE),
                "DELETE": Route(self.close_session, Permission.WRITE),
            },
            "/v1/keys": {"GET": Route(self.keys, Permission.READ)},
            "/v1/keys/{key}": {"GET": Route(self.key, Permission.READ)},
        }

    async def execute(self, request: web.BaseRequest) -> Reply:
        """POST /v1/execute: execute one command, in a session or without."""
        body = await self.body(request)
        if len(body) <= BODY_BYTES_ON_LOOP_MAX:
            asked = execute_of(body, limits=self._command_limits)
        else:
            asked = await self._aside.run(execute_of, body, limits=self._command_limits)
        answer = await self.ask(
            request, asked.name, asked.operation, asked.consistency, wait_ms=asked.wait_ms
        )
        if value_bytes(answer.value) <= REPLY_BYTES_ON_LOOP_MAX:
            return Reply(encode_answer(answer))
        return Reply(await self._aside.run(encode_answer, answer))

    async def transaction(self, request: web.BaseRequest) -> Reply:
        """POST /v1/transaction: execute several commands as one entry, if no watched key has changed."""
        body = await self.body(request)
        if len(body) <= BODY_BYTES_ON_LOOP_MAX:
            names, operation = transaction_of(body, limits=self._command_limits)
        else:
            names, operation = await self._aside.run(transaction_of, body, limits=self._command_limits)
        try:
            answer = await self.ask(request, "transaction", operation)
        except Conflict as error:
            conflict = {"results": None, **error_object(error)}
            return Reply(encode_json(conflict), status=CODES[error.code].status)
        except ReplyError as error:
            raise (called_by_name(error, names) if names else error) from None
        fields = {"results": answer.value, "index": answer.index, "term": answer.term}
        if branches(operation):
            which, *results = _of_kind(list, answer.value)
            fields |= {"succeeded": which, "results": results}
        return Reply(await self.encoded(fields, answer.value))

    async def register_session(self, request: web.BaseRequest) -> Reply:
        """POST /v1/sessions: begin a session, or go on with the one of this name."""
        operation = session_of(await self.body(request))
        answer = await self.ask(request, "register_session", operation)
        return _session_reply(operation.session, answer)

    async def keep_session(self, request: web.BaseRequest) -> Reply:
        """PUT /v1/sessions/{id}: keep a session for its time to live, or another, from now on."""
        operation = kept_session(session_name(request[SEGMENTS]["id"]), await self.body(request))
        answer = await self.ask(request, "keep_session", operation)
        return _session_reply(operation.session, answer)

    async def close_session(self, request: web.BaseRequest) -> Reply:
        """DELETE /v1/sessions/{id}: end a session, if it exists."""
        name = session_name(request[SEGMENTS]["id"])
        answer = await self.ask(request, "close_session", CloseSession(name))
        return Reply(encode_json({"index": answer.index, "term": answer.term}))

    async def key(self, request: web.BaseRequest) -> Reply:
        """GET /v1/keys/{key}[?consistency=]: the value, the revision and the time to live of one key."""
        given = parameters(request, ("consistency",))
        key = unquote_to_bytes(request[SEGMENTS]["key"])
        if len(key) > KEY_BYTES_MAX:
            raise RequestRefused("bad_key", f"a key has {len(key)} bytes: the limit is {KEY_BYTES_MAX}")
        answer = await self.ask(request, "key", ReadRecord(key), _consistency(given))
        if answer.value is None:
            raise RequestRefused("not_found", f"there is no key {shown_key(key)}")
        record = _of_kind(KeyRecord, answer.value)
        fields = {**record_fields(record), "index": answer.index, "term": answer.term}
        return Reply(await self.encoded(fields, record))

    async def keys(self, request: web.BaseRequest) -> Reply:
        """GET /v1/keys[?prefix=&after=&limit=&values=&consistency=]: a page of keys in order."""
        given = parameters(request, ("prefix", "after", "limit", "values", "consistency"))
        prefix, after = key_of_query(given, "prefix"), key_of_query(given, "after")
        limit = SCAN_LIMIT_DEFAULT
        if "limit" in given:
            limit = integer_of("limit", given["limit"], maximum=SCAN_LIMIT_MAX)
        with_values = flag_of("values", given.get("values", b"true"))
        answer = await self.ask(
            request, "keys", ReadPage(prefix, after, limit, with_values), _consistency(given)
        )
        page = _of_kind(Page, answer.value)
        fields: dict[str, object] = {"keys": [record_fields(record) for record in page.records]}
        if page.next_after is not None:
            fields["next"] = page.next_after
        fields |= {"index": answer.index, "term": answer.term}
        return Reply(await self.encoded(fields, page))

    async def encoded(self, fields: dict[str, object], value: object) -> bytes:
        """The JSON of `fields`, of which `value` is the part that may be long."""
        if value_bytes(value) <= REPLY_BYTES_ON_LOOP_MAX:
            return encode_json(fields)
        return await self._aside.run(encode_json, fields)

    async def body(self, request: web.BaseRequest) -> bytes:
        """The body of a request. Raises as `read_body`."""
        return await read_body(request, bytes_max=self.body_bytes_max, timeout_s=self._limits.body_timeout_s)

    async def ask(
        self,
        request: web.BaseRequest,
        name: str,
        operation: ClientOperation | Query,
        consistency: Consistency = "linearizable",
        *,
        wait_ms: int = 0,
        is_shown: bool = True,
    ) -> Shown:
        """Have the node execute `operation`, and take memory for its answer. `name` stands for it in the log.
        `wait_ms`: for how long it may be held. The result is as people are shown it, or with `is_shown` False as the
        machine has it. Raises as `Node.execute`, `Node.wait` and `hold_answer`."""
        request[OPERATION] = name.lower()
        try:
            if wait_ms and isinstance(operation, Command | SessionOperation):
                answer = await wait_for(request, self._node, operation, wait_ms)
            else:
                answer = await self._node.execute(operation, consistency=consistency, user=request.get(USER))
        except RaftdbError as error:
            note_redirect(name, error)
            raise
        told = shown_answer(name, operation, answer, held_for(request))
        return told if is_shown else told._replace(value=answer.value)


def note_redirect(name: str, error: RaftdbError) -> None:
    """Log a redirect of the request that `name` stands for, if `error` makes one of it."""
    if isinstance(error, Unavailable) and error.code == "not_leader" and error.leader is not None:
        log_redirect(name, error.leader.id)


def shown_answer(name: str, operation: ClientOperation | Query, answer: Answer, held: Hold) -> Shown:
    """The outcome of `operation` as HTTP shows it, after memory was taken for its encoding. Raises as
    `take_for_answer`."""
    value = shown(operation, answer)
    long_bytes = value_bytes(value)
    if long_bytes > COUNTED_BYTES_MIN:
        was_written = not (isinstance(operation, Query) or is_read(operation))
        take_for_answer(held, long_bytes, was_written=was_written)
    if logger.isEnabledFor(logging.DEBUG):
        fields = {"command": name[:32], "index": answer.index, "term": answer.term}
        logger.debug("executed", extra={"fields": fields})
    return Shown(value, answer.index, answer.term, answer.revision)


def _consistency(given: dict[str, bytes]) -> Consistency:
    text = given.get("consistency", b"linearizable")
    if text == b"linearizable":
        return "linearizable"
    if text == b"stale":
        return "stale"
    raise RequestRefused("bad_request", "consistency is linearizable or stale")


def _session_reply(name: bytes, answer: Shown) -> Reply:
    return Reply(encode_json({"session": {"id": name.hex()}, "index": answer.index, "term": answer.term}))
