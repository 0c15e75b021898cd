"""What clients read of nodes, and of whatever answers at the address of one."""

import random
from collections.abc import Callable
from typing import Any

from raftdb.client import answers, refusals
from raftdb.client.http1 import Response, ResponseParser
from raftdb.client.watching import Following
from raftdb.endpoint import BadAddress, Endpoint, parse_endpoint, parse_reachable_endpoint
from raftdb.errors import RaftdbError, RemoteProtocolError
from tests.fuzz.harness import Decoder, pieces

REMOTE = (RemoteProtocolError,)
HTTP = [
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n3;x=1\r\nhel\r\n2\r\nlo\r\n0\r\nT: 1\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 307 Elsewhere\r\nLocation: http://h:1/x\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nto the end",
]
MEMBER = (
    b'{"id": "n1", "http": "127.0.0.1:8001", "redis": "127.0.0.1:6391", "redis_cluster": null, "voter": true, '
    b'"match_index": 7, "alive": true, "problem": null, "last_contact_seconds": 0.5, "suspicion": 1}'
)
LEADER = b'{"id": "n1", "http": "127.0.0.1:8001", "redis": "127.0.0.1:6391"}'
STATUS = (
    b'{"id": "n1", "cluster_id": "c1", "version": "0.1.0", "role": "leader", "term": 3, "leader": '
    + LEADER
    + b", "
    b'"first_index": 1, "last_index": 12, "commit_index": 12, "applied_index": 12, "checkpoint_index": 0, "members": ['
    + MEMBER
    + b'], "uptime_seconds": 12.5, "put_back": false, "birth": null, "fault_injection": true}'
)
ERRORS = [
    b'{"error": {"code": "not_leader", "message": "n2 leads", "hint": "ask it", "leader": ' + LEADER + b"}}",
    b'{"error": {"code": "conflict", "message": "changed"}, "conflict": ["a", {"base64": "/w=="}], "failed": 2}',
    b'{"error": {"code": "deadlock", "message": "for ever"}, "cycle": [["a", "l"], ["b", "m"]]}',
    b'{"error": {"code": "compacted", "message": "gone"}, "begin": 7}',
    b'{"error": {"code": "too_large", "message": "long", "hint": null}}',
]
EVENTS = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
    b": hello\n\n",
    b'event: snapshot\ndata: {"key": "a", "value": "1", "revision": 4, "place": 0}\n\n',
    b'event: snapshot_end\ndata: {"revision": 9}\nid: c1-9\n\n',
    (
        b'event: change\ndata: {"kind": "set", "key": "a", "value": {"base64": "/w=="}, "revision": 10, "place": 1, '
        b'"prev": {"value": "1"}, "expires_at": 1700000000000, "session": null}\nid: c1-10\n\n'
    ),
    b'event: compacted\ndata: {"begin": 7}\n\n',
    b"event: stalled\ndata: {}\n\n",
)


def read_response(data: bytes) -> object:
    """The response in a stream that may be cut anywhere: the same whole and in pieces."""

    def read(step: int) -> object:
        parser = ResponseParser(body_bytes_max=4096)
        for piece in pieces(data, step):
            response = parser.feed(piece)
            if response is not None:
                return response.status, response.headers, response.body
        response = parser.end()
        return None if response is None else (response.status, response.headers, response.body)

    whole, cut = (_outcome(read, step) for step in (max(1, len(data)), 1 + len(data) % 31))
    if whole != cut:
        raise AssertionError(f"it depends on the pieces: {whole} and {cut}")
    if whole is RemoteProtocolError:
        raise RemoteProtocolError("no response")
    return whole


def _outcome(read: Callable[[int], object], step: int) -> object:
    try:
        return read(step)
    except RemoteProtocolError:
        return RemoteProtocolError


def chunks(stream: bytes) -> bytes:
    """The answer to a watch with these events."""
    return EVENTS[0] + b"".join(
        b"%x\r\n%b\r\n" % (len(part) + 2, part + b"\n\n") for part in stream.split(b"\n\n") if part
    )


def follow(data: bytes) -> object:
    """What a watch gets of an answer."""
    following: Following[bytes] = Following(
        b"",
        after=None,
        previous=True,
        snapshot=len(data) % 2 == 0,
        form=bytes,
        addresses=[Endpoint("h", 1)],
        random=random.Random(1),
    )
    parser, step, told = following.connected(), 1 + len(data) % 211, []
    for piece in pieces(data, step):
        response = parser.feed(piece)
        if response is not None:
            following.refused(response)
            break
        while (change := following.take()) is not None:
            told.append(change)
    following.request()
    return told


def answered(parse: Callable[[Response], Any], *, status: int = 200) -> Callable[[bytes], Any]:
    """Reading a body with this status."""
    return lambda body: parse(Response(status, {"location": "http://127.0.0.1:8002/v1"}, body))


def headed(data: bytes) -> object:
    """What is read of the headers of an answer."""
    text = data.decode("latin-1")
    refusals.leader_of_error(Response(307, {"location": text}))
    return answers.backup_index_of(Response(200, {answers.INDEX_HEADER: text}))


def address(data: bytes) -> Endpoint:
    """An address that a node or a person has named."""
    text = data.decode("utf-8", "surrogateescape")
    endpoint = parse_endpoint(text)
    endpoint.host.encode("idna")
    if not endpoint.is_unspecified:
        parse_reachable_endpoint(text)
    return endpoint


def error_of(data: bytes) -> object:
    """The error in an answer, however bad: it is always one."""
    for status in (307, 400, 409, 503):
        found = refusals.error_of(Response(status, {"location": "http://127.0.0.1:8002/v1"}, data))
        refusals.leader_of_error(Response(status, {}, data))
        if not isinstance(found, RaftdbError):
            raise AssertionError(found)
    return None


JSON: tuple[tuple[str, Callable[[bytes], Any], list[bytes]], ...] = (
    (
        "json-answer",
        answered(lambda response: answers.answer_of("mget", response, bytes)),
        [
            b'{"result": ["a", null, {"base64": "/w=="}, 5, [null]], "index": 12, "term": 3, "revision": 12}',
            b'{"result": "OK", "index": 12, "term": 3}',
        ],
    ),
    (
        "json-transaction",
        answered(
            lambda response: answers.transaction_answer_of(["get", "incr"], response, bytes, ["get", "get"])
        ),
        [b'{"results": ["a", {"error": {"code": "wrong_type", "message": "no"}}], "succeeded": true}'],
    ),
    (
        "json-keys",
        answered(lambda response: answers.key_page_of(response, bytes)),
        [b'{"keys": [{"key": "a", "value": "b", "revision": 4}], "next": {"base64": "/w=="}}'],
    ),
    ("json-status", answered(answers.status_of), [STATUS]),
    ("json-members", answered(answers.members_of), [b'{"members": [' + MEMBER + b"]}", b"[" + MEMBER + b"]"]),
    (
        "json-membership",
        answered(answers.membership_of),
        [b'{"members": [' + MEMBER + b'], "removed": ["n0"], "last_index": 7, "index": 7, "pending": false}'],
    ),
    ("json-leader", answered(answers.new_leader_of), [b'{"leader": ' + LEADER + b"}"]),
    (
        "json-log",
        answered(answers.log_page_of),
        [
            (
                b'{"first_index": 1, "last_index": 1, "commit_index": 1, "entries": [{"index": 1, "term": 1, '
                b'"kind": "command", "command": "set", "args": ["a", {"base64": "/w=="}, null]}]}'
            )
        ],
    ),
    ("json-error", error_of, ERRORS),
)

DECODERS = (
    Decoder(name="response", decode=read_response, seeds=HTTP, refusals=REMOTE),
    *(
        Decoder(name=name, decode=decode, seeds=seeds, refusals=REMOTE, form="json")
        for name, decode, seeds in JSON
    ),
    Decoder(
        name="headers",
        decode=headed,
        seeds=[b"12", b"http://127.0.0.1:8002/v1", b"http://[::1]:1"],
        refusals=REMOTE,
    ),
    Decoder(
        name="events",
        decode=follow,
        seeds=[
            EVENTS[0],
            b"".join(EVENTS[1:4]),
            b"".join(EVENTS[2:5]),
            b"".join(EVENTS[4:6]),
            EVENTS[4] + EVENTS[6],
            b"id: c1-5\n\n",
        ],
        wrap=chunks,
        refusals=(RaftdbError,),
        cost=2,
    ),
    Decoder(
        name="watch-refused",
        decode=lambda data: follow(b"HTTP/1.1 410 Gone\r\nContent-Length: %d\r\n\r\n%b" % (len(data), data)),
        seeds=ERRORS,
        refusals=(RaftdbError,),
        form="json",
    ),
    Decoder(
        name="address",
        decode=address,
        encode=lambda endpoint: str(endpoint).encode(),
        seeds=[
            b"127.0.0.1:8001",
            b"http://[::1]:8001",
            b"b\xc3\xbccher.example:1",
            b"[fe80::1%eth0]:5",
            b"localhost:65535",
        ],
        refusals=(BadAddress,),
    ),
)
