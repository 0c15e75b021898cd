"""Every legal command can be sent and every legal result read: our client's bytes against the node's limits, and back.

In process: what the client would put on the wire is decoded as the frontend does, applied by the machine, encoded as
the frontend does, and read by the client, with every limit where it is in production.
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raftdb import AsyncClient
from raftdb.client import answers, methods, protocol
from raftdb.client.http1 import Response, ResponseParser
from raftdb.commands.spec import parse
from raftdb.commands.transactions import build_transaction, is_read
from raftdb.core.model import Entry, EntryKind
from raftdb.errors import ReplyError, RequestRefused
from raftdb.frontend.json_requests import execute_of, transaction_of
from raftdb.frontend.json_values import Shown, encode_answer, encode_json
from raftdb.limits import (
    COMMAND_BYTES_CEILING,
    KEY_BYTES_MAX,
    MIB,
    PAGE_BYTES_MAX,
    REPLY_BYTES_MAX,
    TRANSACTION_KEYS_MAX,
    VALUE_BYTES_CEILING,
    Limits,
)
from raftdb.machine.connection import Ping
from raftdb.machine.editing import Append
from raftdb.machine.entries import encode, stamp
from raftdb.machine.integers import INTEGER_MAX
from raftdb.machine.operations import Mode, TransactionOperation
from raftdb.machine.reply import Page, Result
from raftdb.machine.scanning import ReadPage
from raftdb.machine.services import keys_named
from raftdb.machine.strings import Set
from raftdb.node.describe import describe_entries
from raftdb.server.config import BadSetting, load
from raftdb.wire.json_bytes import base64_bytes, from_base64, json_bytes_max, request_bytes_max, to_json
from tests.frontend.support import running
from tests.frontend.test_http_data import DatabaseNode
from tests.machine.database import MACHINE, Database

ALL_LIMITS = [
    Limits(),
    Limits(value_bytes=1, command_bytes=1),
    Limits(value_bytes=1000, command_bytes=3000),
    Limits(value_bytes=VALUE_BYTES_CEILING, command_bytes=COMMAND_BYTES_CEILING),
]
PIECES = [
    b"\0",
    b"\x1f",
    b'"',
    b"\\",
    b"\n",
    b"a",
    "é".encode(),
    "☕".encode(),
    b"\xff",
    b"\xed\xa0\x80",
    b"\0a",
]
"""What values are made of: everything that JSON escapes, text of each width, and no text."""
SIZES = st.integers(0, 40) | st.sampled_from([999, 1000, 2999, 3000, 3001, 70_000])


@st.composite
def values(draw: st.DrawFn) -> bytes:
    """One pattern over and over, or two of them."""
    count = draw(SIZES)
    piece = draw(st.sampled_from(PIECES) | st.binary(min_size=1, max_size=6))
    other = draw(st.sampled_from([b"", *PIECES]))
    return (piece * count)[:count] + other * draw(st.integers(0, 3))


KEYS = st.binary(min_size=1, max_size=4) | values().map(lambda text: text[:KEY_BYTES_MAX] or b"k")
COMMANDS = st.one_of(
    st.tuples(st.sampled_from(["set", "append", "getset"]), st.tuples(KEYS, values())),
    st.tuples(st.just("set"), st.tuples(KEYS, values(), st.just(b"PX"), st.just(b"1"), st.just(b"XX"))),
    st.tuples(st.just("cas"), st.tuples(KEYS, st.just(b"0"), values())),
    st.tuples(st.sampled_from(["get", "del", "incr", "strlen"]), st.tuples(KEYS)),
    st.tuples(st.sampled_from(["mget", "exists"]), st.lists(KEYS, min_size=1, max_size=4).map(tuple)),
    st.tuples(st.just("mset"), st.lists(st.tuples(KEYS, values()), min_size=1, max_size=4).map(partial(sum, start=()))),
    st.tuples(st.sampled_from(["ping", "dbsize"]), st.just(())),
)  # fmt: skip


def received(body: bytes) -> Response:
    """What the client makes of an answer 200 of a node, with the limit that it has."""
    response = ResponseParser().feed(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    assert response is not None
    return response


def sent(request: protocol.Request | None) -> bytes:
    assert request is not None
    assert request.body is not None
    stamped = request.stamped(protocol.Stamp("f" * 32, INTEGER_MAX, INTEGER_MAX))
    assert stamped.body is not None
    return stamped.body


def answer_to(database: Database, operation: Any) -> Shown:
    reply = MACHINE.read(operation, database.layer) if is_read(operation) else database.run(operation)
    if isinstance(reply, ReplyError):
        raise reply
    assert isinstance(reply, Result)
    return Shown(reply.value, database.index, database.term, reply.revision)


def executed(database: Database, name: str, arguments: Sequence[bytes]) -> object:
    """What the client's `execute` answers."""
    answer = answer_to(database, parse(name, arguments, limits=ALL_LIMITS[-1]))
    return answers.answer_of(name, received(encode_answer(answer)), bytes).value


@given(values())
def test_a_byte_string_travels_in_the_shortest_form_and_comes_back(content: bytes) -> None:
    shown = to_json(content)
    ours = json.dumps(shown, ensure_ascii=False, separators=(",", ":")).encode()
    assert msgspec.json.encode(shown) == ours
    form = json.loads(ours)
    assert (form.encode() if isinstance(form, str) else from_base64(form["base64"])) == content
    possible = [base64_bytes(len(content))]
    with suppress(UnicodeDecodeError):
        possible.append(len(msgspec.json.encode(content.decode())))
    assert len(ours) == min(possible)
    assert len(ours) + len(",") <= json_bytes_max(content)


@settings(max_examples=200)
@given(st.sampled_from(ALL_LIMITS), COMMANDS)
def test_every_legal_command_is_accepted_and_its_result_is_read(
    limits: Limits, command: tuple[str, tuple[bytes, ...]]
) -> None:
    name, arguments = command
    try:
        legal = parse(name, arguments, limits=limits)
    except RequestRefused:
        return
    plain = methods.execute(bytes, name, arguments, "stale").request
    assert plain is not None
    body = plain.body if is_read(legal) else sent(plain)
    assert body is not None
    assert len(body) <= request_bytes_max(limits.command_bytes)
    operation = execute_of(body, limits=limits).operation
    assert getattr(operation, "operation", operation) == legal
    database = Database()
    for key in arguments[:1] if name not in ("ping", "dbsize") else ():
        database.run(Set(key, b"\0" * 1000))
    try:
        answer = answer_to(database, legal)
    except ReplyError:
        return
    assert answers.answer_of(name, received(encode_answer(answer)), bytes).value == answer.value


@settings(max_examples=200)
@given(
    st.sampled_from(ALL_LIMITS),
    st.lists(COMMANDS, max_size=6),
    st.dictionaries(KEYS, st.just(INTEGER_MAX) | st.just(0), max_size=4),
)
def test_every_legal_transaction_is_accepted_and_its_results_are_read(
    limits: Limits, commands: list[tuple[str, tuple[bytes, ...]]], watch: dict[bytes, int]
) -> None:
    try:
        legal = build_transaction(commands, watched=[*watch.items()], mode=Mode.REDIS, limits=limits)
    except RequestRefused:
        return
    request = methods.transact(bytes, commands, watch, "redis").request
    assert request is not None
    body = sent(request) if commands else request.body
    assert body is not None
    assert len(body) <= request_bytes_max(limits.command_bytes)
    _, operation = transaction_of(body, limits=limits)
    assert getattr(operation, "operation", operation) == legal
    database = Database()
    reply = database.run(TransactionOperation(legal.commands))
    assert isinstance(reply, Result)
    response = received(encode_json({"results": reply.value, "index": 1, "term": 1}))
    read = answers.transaction_answer_of([name for name, _ in commands], response, bytes).results
    assert isinstance(reply.value, list)
    assert [_plain(one) for one in read] == [_plain(one) for one in reply.value]


def _plain(result: object) -> object:
    return (result.code, result.message) if isinstance(result, ReplyError) else result


@pytest.mark.parametrize("limits", ALL_LIMITS, ids=lambda limits: f"{limits.command_bytes} bytes")
@pytest.mark.parametrize("pattern", [b"\0", b"\x1f\xff", b'"', b"a"], ids=repr)
def test_the_largest_values_fit_into_a_body(limits: Limits, pattern: bytes) -> None:
    """Hazard B23: `mset` of four values of 1 MiB of control bytes was over the limit of a body."""
    size = min(limits.value_bytes, limits.command_bytes - 1)
    if size <= 0:
        return
    count = max(1, limits.command_bytes // (size + 1))
    pairs = {b"%c" % (65 + n): (pattern * size)[:size] for n in range(count)}
    arguments = [text for pair in pairs.items() for text in pair]
    body = sent(methods.execute(bytes, "mset", arguments, "linearizable").request)
    assert len(body) <= request_bytes_max(limits.command_bytes)
    parse("mset", arguments, limits=limits)


@pytest.mark.parametrize(
    ("name", "arguments", "keys"),
    [
        ("set", [b"k", b"", b"PX", b"1", b"NX"], 1),
        ("mset", [b"\0", b"\x01\0\0\0"] * 100, 100),
        ("ping", [], 1),
        ("cas", [b"\0\0\0\0", b"0", b"\0"], 1),
    ],
)
def test_the_most_commands_that_are_legal_fit_into_a_body(
    name: str, arguments: list[bytes], keys: int
) -> None:
    count = TRANSACTION_KEYS_MAX // keys
    commands = [(name, arguments)] * count
    limits = Limits()
    transaction = build_transaction(commands, limits=limits)
    assert keys_named(transaction) > TRANSACTION_KEYS_MAX - keys
    assert len(sent(methods.transact(bytes, commands, {}, "atomic").request)) <= request_bytes_max(
        limits.command_bytes
    )


def test_the_most_watched_keys_that_are_legal_fit_into_a_body() -> None:
    watch = {b"\xff%d" % number: INTEGER_MAX for number in range(TRANSACTION_KEYS_MAX)}
    limits = Limits()
    build_transaction([], watched=[*watch.items()], limits=limits)
    request = methods.transact(bytes, [], watch, "atomic").request
    assert request is not None
    body = request.body
    assert body is not None
    assert len(body) <= request_bytes_max(limits.command_bytes)


@pytest.mark.parametrize("pattern", [b"\0", b"\xff", b'"', b"a"], ids=repr)
def test_the_largest_results_are_read(pattern: bytes) -> None:
    """Hazard B23: of twelve `append` of 1 MiB of zeros our own client could not read the value."""
    database = Database()
    content = pattern * VALUE_BYTES_CEILING
    for _ in range(2):
        database.run(Append(b"k", content[: len(content) // 2]))
    assert executed(database, "get", [b"k"]) == content
    page = MACHINE.read(ReadPage(b"", b"", 1000, True), database.layer)
    assert isinstance(page, Result)
    assert isinstance(page.value, Page)
    (record,) = page.value.records
    shown = {"key": record.key, "value": record.value, "revision": record.revision}
    (read,) = answers.key_page_of(received(encode_json({"keys": [shown]})), bytes).keys
    assert read.value == content
    assert executed(database, "del", [b"k"]) == content
    database.run(Set(b"k", content[:MIB]))
    assert executed(database, "mget", [b"k"] * (REPLY_BYTES_MAX // MIB)) == [content[:MIB]] * (
        REPLY_BYTES_MAX // MIB
    )


def test_a_page_of_large_values_is_read() -> None:
    value = bytes(VALUE_BYTES_CEILING)
    small = [
        {"key": b"\xff" * KEY_BYTES_MAX, "value": bytes(PAGE_BYTES_MAX // 1000), "revision": INTEGER_MAX}
    ]
    body = encode_json({"keys": [*small * 999, {"key": b"k", "value": value, "revision": 1}]})
    assert answers.key_page_of(received(body), bytes).keys[-1].value == value


@pytest.mark.parametrize(
    "operation",
    [
        TransactionOperation((Ping(),) * (TRANSACTION_KEYS_MAX - 1)),
        TransactionOperation((Set(b"\0", b"\0\0\0"),) * (TRANSACTION_KEYS_MAX - 1), ((b"\xff", 2**60),)),
        Set(b"k", bytes(MIB)),
    ],
    ids=["pings", "sets", "zeros"],
)
def test_a_page_of_the_log_ends_before_it_is_too_long_to_be_read(operation: Any) -> None:
    data = stamp(encode(operation), 500)
    count = 1 + 2 * PAGE_BYTES_MAX // len(data)
    entries = (Entry(number, 3, EntryKind.COMMAND, data) for number in range(1, count + 1))
    shown = describe_entries(entries)
    assert 0 < len(shown) < count
    assert next(entries).index == len(shown) + 2
    page = {"first_index": 1, "last_index": count, "commit_index": count, "entries": shown}
    assert len(answers.log_page_of(received(encode_json(page))).entries) == len(shown)


@pytest.mark.parametrize("pattern", [b"\0", b"\xff"], ids=repr)
async def test_the_largest_setting_holds_from_the_client_to_the_node_and_back(pattern: bytes) -> None:
    """What is accepted as a setting is accepted as a request, whatever the bytes."""
    content = pattern * VALUE_BYTES_CEILING
    async with (
        running(node=DatabaseNode(), command_limits=ALL_LIMITS[-1]) as http,
        AsyncClient(f"127.0.0.1:{http.port}", timeout_ms=60_000) as client,
    ):
        await client.set("k", content)
        await client.mset({"a": content[: 2 * MIB], "b": content[: 2 * MIB]})
        assert await client.get("k") == content
        assert await client.mget(["a", "b"]) == [content[: 2 * MIB]] * 2
        assert (await client.execute("del", ["k"])).value == content


def test_settings_under_which_a_legal_value_fits_into_no_command_are_refused() -> None:
    largest = {"value_bytes_max": VALUE_BYTES_CEILING, "transaction_bytes_max": COMMAND_BYTES_CEILING}
    assert load(largest).value_bytes_max == VALUE_BYTES_CEILING
    with pytest.raises(BadSetting, match="transaction_bytes_max, 4194304, does not hold") as caught:
        load({"value_bytes_max": "4194304"})
    assert "4195328" in str(caught.value.hint)
