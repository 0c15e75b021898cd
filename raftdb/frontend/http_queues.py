"""Queues over HTTP (docs/interface.md, section 3): /v1/queues, and the short forms under /queue/{q}."""

from typing import Annotated, Any

import msgspec
from aiohttp import web

from raftdb.errors import RequestRefused
from raftdb.frontend.http_commands import Commands, mapped, options, seconds, segment
from raftdb.frontend.http_query import integer_of, parameters
from raftdb.frontend.http_reply import Reply
from raftdb.frontend.json_requests import Milliseconds, Number, SessionPart
from raftdb.frontend.json_values import Base64Bytes, Shown, bytes_of, decode_body
from raftdb.frontend.node_api import Node
from raftdb.limits import SCAN_LIMIT_MAX
from raftdb.machine.reply import shown_key
from raftdb.route import Permission, Route

Text = str | Base64Bytes
Count = Annotated[int, msgspec.Meta(ge=1)]
Time = Annotated[int, msgspec.Meta(ge=0)]


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One message to put."""

    value: Text
    delay_ms: Time | None = None
    group: Text | None = None
    priority: int | None = None
    dedup: Text | None = None
    unique: Text | None = None
    ttl_ms: Time | None = None


class PutBody(Message, frozen=True, forbid_unknown_fields=True):
    """The body of POST /v1/queues/{q}/messages for one message."""

    session: SessionPart | None = None


class PutManyBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The same for several, which are put in one entry of the log."""

    messages: list[Message]
    session: SessionPart | None = None


class ReceiveBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of POST /v1/queues/{q}/receive."""

    count: Count = 1
    visibility_ms: Time | None = None
    wait_ms: Milliseconds = 0
    worker: Text | None = None
    session: SessionPart | None = None


class DequeueBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of POST /v1/queues/{q}/dequeue."""

    wait_ms: Milliseconds = 0
    session: SessionPart | None = None


class AckBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of POST /v1/queues/{q}/ack."""

    receipts: list[Text]
    session: SessionPart | None = None


class NackBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of POST /v1/queues/{q}/nack."""

    receipt: Text
    delay_ms: Time | None = None
    error: Text | None = None
    free: bool = False
    dead: bool = False
    session: SessionPart | None = None


class ExtendBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of POST /v1/queues/{q}/extend."""

    receipts: list[Text]
    visibility_ms: Time


class RedriveBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of POST /v1/queues/{q}/redrive."""

    to: Text | None = None
    ids: list[str] | None = None
    count: Count | None = None
    session: SessionPart | None = None


class ShortPutBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of POST /queue/{q}/enqueue."""

    value: Text


class ShortAckBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of POST /queue/{q}/ack."""

    receipt: Text


_DECODERS = {
    body: msgspec.json.Decoder(body)
    for body in (
        *(PutBody, PutManyBody, ReceiveBody, DequeueBody, AckBody, NackBody, ExtendBody, RedriveBody),
        *(ShortPutBody, ShortAckBody),
    )
}
_fields_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_settings_decoder = msgspec.json.Decoder(dict[str, str | Number | bool])


class QueuesApi:
    """The handlers about queues."""

    def __init__(self, commands: Commands, node: Node) -> None:
        self._commands, self._node = commands, node

    def routes(self) -> dict[str, dict[str, Route]]:
        """A new path table with these routes."""
        write, read = Permission.WRITE, Permission.READ
        return {
            "/v1/queues": {"GET": Route(self.queues, read)},
            "/v1/queues/{q}": {
                "GET": Route(self.info, read),
                "PATCH": Route(self.change, write),
                "DELETE": Route(self.delete, write),
            },
            "/v1/queues/{q}/messages": {"GET": Route(self.peek, read), "POST": Route(self.put, write)},
            "/v1/queues/{q}/messages/{id}": {"GET": Route(self.message, read)},
            "/v1/queues/{q}/receive": {"POST": Route(self.receive, write)},
            "/v1/queues/{q}/dequeue": {"POST": Route(self.dequeue, write)},
            "/v1/queues/{q}/ack": {"POST": Route(self.ack, write)},
            "/v1/queues/{q}/nack": {"POST": Route(self.nack, write)},
            "/v1/queues/{q}/extend": {"POST": Route(self.extend, write)},
            "/v1/queues/{q}/redrive": {"POST": Route(self.redrive, write)},
            "/queue/{q}/enqueue": {"POST": Route(self.enqueue_shortly, write)},
            "/queue/{q}/dequeue": {"POST": Route(self.dequeue_shortly, write)},
            "/queue/{q}/ack": {"POST": Route(self.ack_shortly, write)},
        }

    async def put(self, request: web.BaseRequest) -> Reply:
        """POST /v1/queues/{q}/messages: put one message, or several in one entry of the log."""
        data, queue = await self._commands.read(request), segment(request, "q")
        if b'"messages"' in data and _has_several(data):
            several: PutManyBody = _decoded(PutManyBody, data, '{"messages": [{"value": "hello"}]}')
            all_words = [_put_words(queue, message) for message in several.messages]
            answer = await self._commands.run_all(request, "enqueue", all_words, session=several.session)
            rows: Any = answer.value
            return await self._reply({"messages": [_put(row) for row in rows]}, answer)
        body: PutBody = _decoded(PutBody, data, '{"value": "hello"}')
        answer = await self._commands.run(request, "enqueue", _put_words(queue, body), session=body.session)
        return await self._reply(_put(answer.value), answer)

    async def enqueue_shortly(self, request: web.BaseRequest) -> Reply:
        """POST /queue/{q}/enqueue: put one message."""
        body: ShortPutBody = _decoded(ShortPutBody, await self._commands.read(request), '{"value": "hello"}')
        words = [segment(request, "q"), bytes_of(body.value)]
        answer = await self._commands.run(request, "enqueue", words)
        return await self._reply(_put(answer.value), answer)

    async def receive(self, request: web.BaseRequest) -> Reply:
        """POST /v1/queues/{q}/receive: have messages handed out, and hidden for a while."""
        body: ReceiveBody = _decoded(ReceiveBody, await self._commands.read(request) or b"{}", "{}")
        given = {
            b"COUNT": b"%d" % body.count,
            b"VISIBILITY": None if body.visibility_ms is None else seconds(body.visibility_ms),
            b"WORKER": None if body.worker is None else bytes_of(body.worker),
        }
        words = [segment(request, "q"), *options(given)]
        answer = await self._commands.run(
            request, "receive", words, session=body.session, wait_ms=body.wait_ms
        )
        return await self._reply({"messages": _deliveries(answer.value)}, answer)

    async def dequeue(self, request: web.BaseRequest) -> Reply:
        """POST /v1/queues/{q}/dequeue: take the first message for good."""
        body: DequeueBody = _decoded(DequeueBody, await self._commands.read(request) or b"{}", "{}")
        answer = await self._commands.run(
            request, "dequeue", [segment(request, "q")], session=body.session, wait_ms=body.wait_ms
        )
        return await self._reply({"value": answer.value}, answer)

    async def dequeue_shortly(self, request: web.BaseRequest) -> Reply:
        """POST /queue/{q}/dequeue: take a message for good, or with ?ack=manual have it handed out with its receipt;
        ?wait_ms= waits for it."""
        given = parameters(request, ("ack", "wait_ms"))
        wait = given.get("wait_ms", b"0")
        wait_ms = 0 if wait == b"0" else integer_of("wait_ms", wait)
        await self._commands.read(request)
        words = [segment(request, "q")]
        if given.get("ack", b"auto") == b"auto":
            answer = await self._commands.run(request, "dequeue", words, wait_ms=wait_ms)
            return await self._reply({"value": answer.value}, answer)
        if given["ack"] != b"manual":
            raise RequestRefused("bad_request", "ack is manual or auto")
        answer = await self._commands.run(request, "receive", words, wait_ms=wait_ms)
        found = _deliveries(answer.value)
        return await self._reply(found[0] if found else {"value": None}, answer)

    async def ack(self, request: web.BaseRequest) -> Reply:
        """POST /v1/queues/{q}/ack: these deliveries are done; those that were over are named."""
        body: AckBody = _decoded(AckBody, await self._commands.read(request), '{"receipts": ["..."]}')
        words = [segment(request, "q"), *map(bytes_of, body.receipts)]
        answer = await self._commands.run(request, "ack", words, session=body.session, is_shown=False)
        return await self._acked(answer)

    async def ack_shortly(self, request: web.BaseRequest) -> Reply:
        """POST /queue/{q}/ack: this delivery is done."""
        body: ShortAckBody = _decoded(ShortAckBody, await self._commands.read(request), '{"receipt": "..."}')
        words = [segment(request, "q"), bytes_of(body.receipt)]
        return await self._acked(await self._commands.run(request, "ack", words, is_shown=False))

    async def _acked(self, answer: Shown) -> Reply:
        value: Any = answer.value
        count, over = value if isinstance(value, list) else (value, [])
        return await self._reply({"acked": count, "over": over}, answer)

    async def nack(self, request: web.BaseRequest) -> Reply:
        """POST /v1/queues/{q}/nack: give a message back."""
        body: NackBody = _decoded(NackBody, await self._commands.read(request), '{"receipt": "..."}')
        given = {
            b"DELAY": None if body.delay_ms is None else seconds(body.delay_ms),
            b"ERROR": None if body.error is None else bytes_of(body.error),
        }
        flags = [word for word, is_given in ((b"FREE", body.free), (b"DEAD", body.dead)) if is_given]
        words = [segment(request, "q"), bytes_of(body.receipt), *options(given), *flags]
        answer = await self._commands.run(request, "nack", words, session=body.session)
        return await self._reply({"nacked": answer.value}, answer)

    async def extend(self, request: web.BaseRequest) -> Reply:
        """POST /v1/queues/{q}/extend: let deliveries last so long from now."""
        example = '{"receipts": ["..."], "visibility_ms": 30000}'
        body: ExtendBody = _decoded(ExtendBody, await self._commands.read(request), example)
        words = [segment(request, "q"), seconds(body.visibility_ms), *map(bytes_of, body.receipts)]
        answer = await self._commands.run(request, "extend", words)
        return await self._reply({"extended": answer.value}, answer)

    async def redrive(self, request: web.BaseRequest) -> Reply:
        """POST /v1/queues/{q}/redrive: let dead messages be visible again."""
        body: RedriveBody = _decoded(RedriveBody, await self._commands.read(request) or b"{}", "{}")
        if body.ids is not None and body.count is not None:
            raise RequestRefused("bad_request", "say one of ids and count")
        if body.ids == []:
            raise RequestRefused("bad_request", "ids is empty", hint="leave it out for all dead messages")
        given = {
            b"TO": None if body.to is None else bytes_of(body.to),
            b"COUNT": None if body.count is None else b"%d" % body.count,
        }
        words = [segment(request, "q"), *options(given), *(name.encode() for name in body.ids or ())]
        answer = await self._commands.run(request, "redrive", words, session=body.session)
        return await self._reply({"redriven": answer.value}, answer)

    async def queues(self, request: web.BaseRequest) -> Reply:
        """GET /v1/queues[?prefix=&after=&limit=]: a page of the names of queues."""
        given = parameters(request, ("prefix", "after", "limit"))
        words = [given.get("prefix", b""), given.get("after", b"")]
        if "limit" in given:
            words.append(b"%d" % integer_of("limit", given["limit"], maximum=SCAN_LIMIT_MAX))
        answer = await self._commands.run(request, "queues", words)
        return await self._reply({"queues": answer.value}, answer)

    async def info(self, request: web.BaseRequest) -> Reply:
        """GET /v1/queues/{q}: all that is known of a queue."""
        answer = await self._commands.run(request, "qinfo", [segment(request, "q")])
        return await self._reply(mapped(answer.value), answer)

    async def change(self, request: web.BaseRequest) -> Reply:
        """PATCH /v1/queues/{q}: change settings, by their names; times in milliseconds end in _ms."""
        example = '{"visibility_ms": 30000, "max_failures": 5}'
        given = decode_body(_settings_decoder, await self._commands.read(request), example=example)
        words = [segment(request, "q")]
        for name, value in given.items():
            if name.endswith("_ms"):
                if not isinstance(value, int) or isinstance(value, bool):
                    raise RequestRefused("bad_request", f"{name} is a whole number of milliseconds")
                words += [name[:-3].encode(), seconds(value)]
            else:
                text = str(int(value)) if isinstance(value, bool) else str(value)
                words += [name.encode(), text.encode()]
        answer = await self._commands.run(request, "qset", words)
        return await self._reply({"result": answer.value}, answer)

    async def delete(self, request: web.BaseRequest) -> Reply:
        """DELETE /v1/queues/{q}: remove a queue with all its messages."""
        answer = await self._commands.run(request, "qdel", [segment(request, "q")])
        return await self._reply({"removed": answer.value}, answer)

    async def peek(self, request: web.BaseRequest) -> Reply:
        """GET /v1/queues/{q}/messages[?state=&after=&count=]: look at messages."""
        given = parameters(request, ("state", "after", "count"))
        words = [
            segment(request, "q"),
            *options({name.upper().encode(): text for name, text in given.items()}),
        ]
        answer = await self._commands.run(request, "peek", words)
        rows: Any = answer.value
        return await self._reply({"messages": [mapped(row) for row in rows]}, answer)

    async def message(self, request: web.BaseRequest) -> Reply:
        """GET /v1/queues/{q}/messages/{id}: look at one message."""
        name = segment(request, "id")
        answer = await self._commands.run(request, "qget", [segment(request, "q"), name])
        if answer.value is None:
            raise RequestRefused("not_found", f"there is no message {shown_key(name)}")
        return await self._reply(mapped(answer.value), answer)

    async def _reply(self, fields: dict[str, object], answer: Shown) -> Reply:
        told = {**fields, "index": answer.index, "term": answer.term}
        return Reply(await self._commands.encode(told, answer.value))


def _decoded(body: type[Any], data: bytes, example: str) -> Any:
    return decode_body(_DECODERS[body], data, example=example)


def _has_several(data: bytes) -> bool:
    """Whether the body has a list of messages, and not the word somewhere in a single one."""
    try:
        return "messages" in _fields_decoder.decode(data)
    except msgspec.MsgspecError:
        return False


def _put_words(queue: bytes, message: Message) -> list[bytes]:
    """The arguments of `enqueue`."""
    given = {
        b"DELAY": None if message.delay_ms is None else seconds(message.delay_ms),
        b"GROUP": None if message.group is None else bytes_of(message.group),
        b"PRIORITY": None if message.priority is None else b"%d" % message.priority,
        b"DEDUP": None if message.dedup is None else bytes_of(message.dedup),
        b"UNIQUE": None if message.unique is None else bytes_of(message.unique),
        b"TTL": None if message.ttl_ms is None else seconds(message.ttl_ms),
    }
    return [queue, bytes_of(message.value), *options(given)]


def _put(row: Any) -> dict[str, object]:
    """The fields of a message that was put."""
    name, is_new = row
    return {"id": name, "new": bool(is_new)}


def _deliveries(rows: Any) -> list[dict[str, object]]:
    return [dict(zip(("id", "receipt", "deliveries", "value"), row, strict=True)) for row in rows]
