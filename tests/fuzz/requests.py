"""What nodes read of clients and of those who run them: HTTP, the Redis protocol, words of settings."""

from functools import partial

from raftdb.errors import RaftdbError, RequestRefused
from raftdb.frontend.http_network import read_change
from raftdb.frontend.json_requests import execute_of, kept_session, session_of, transaction_of
from raftdb.impairment import BadConditions, Conditions, parse_conditions
from raftdb.limits import DEFAULT_LIMITS
from raftdb.server.config import BadSetting, parse_settings
from raftdb.server.secret_file import parse_secrets
from raftdb.wire.resp import RequestLimits, RequestReader, split_words
from tests.frontend.redis_support import request
from tests.frontend.support import get, post
from tests.fuzz.doors import listening, listening_to_peers, redis_listening
from tests.fuzz.harness import Decoder, pieces
from tests.fuzz.peers import NONCE, SECRET, dialled_by

NETWORK = (
    b'{"default": "delay 100ms 50ms distribution normal loss 5%", "links": {"n2": "none"}, "cut": ["n3"], '
    b'"clients": "rate 1mbit limit 10", "cut_clients": false, "seed": 7}'
)
SESSION = b'{"id": "00112233445566778899aabbccddeeff", "seq": 5, "acknowledged": 3}'
EXECUTES = [
    b'{"command": "set", "args": ["kunci", {"base64": "/w=="}, "PX", 1000], "session": ' + SESSION + b"}",
    b'{"command": "get", "args": ["kunci"], "consistency": "stale"}',
    b'{"command": "lock", "args": ["l", "TTL", 5000], "wait_ms": 10, "session": ' + SESSION + b"}",
    b'{"command": "incr", "args": ["a"], "fences": {"l": 7, "m": {"token": 9, "shared": true}}}',
    b'{"command": "mset", "args": ["a", "1", "b", null], "fences": [[{"base64": "/w=="}, 5]]}',
]
TRANSACTIONS = [
    (
        b'{"commands": [{"command": "incr", "args": ["a"]}, {"command": "get", "args": ["b"]}], "watch": {"a": 7}, '
        b'"watched_at": 9, "mode": "atomic"}'
    ),
    (
        b'{"commands": [], "compare": [{"key": "a", "exists": true}, {"key": "b", "value": "x", "relation": "<"}, '
        b'{"key": "c", "revision": 5, "relation": "!="}], "else": [{"command": "ping"}], "watch": [["a", 1]]}'
    ),
]
BODIES: dict[str, bytes] = {
    "/v1/execute": EXECUTES[0],
    "/v1/transaction": TRANSACTIONS[1],
    "/v1/sessions": b'{"id": "00112233445566778899aabbccddeeff", "ttl_ms": 15000}',
    "/v1/members": b'{"id": "n4", "http": "h:1", "redis": "h:2", "learner": true, "force": false}',
    "/v1/members/n2/address": b'{"http": "h:1", "redis_cluster": "h:2"}',
    "/v1/leader/transfer": b'{"to": "n2"}',
    "/v1/queues/q/messages": b'{"value": "v", "priority": 3, "group": "g", "dedup": "d"}',
    "/v1/queues/q/receive": b'{"count": 2, "visibility_ms": 1000, "wait_ms": 5}',
    "/v1/queues/q/ack": b'{"receipts": ["1-0-1"]}',
    "/v1/queues/q/nack": b'{"receipt": "1-0-1", "delay_ms": 10, "error": "no"}',
    "/v1/locks/l": b'{"mode": "shared", "limit": 3, "ttl_ms": 5000, "owner": "me"}',
    "/locks/l": b'{"lock_type": "exclusive", "timeout": 5}',
    "/queue/q/enqueue": b'{"value": "v"}',
}
PATHS = [
    *(
        "/",
        "/livez",
        "/readyz",
        "/v1/status",
        "/v1/members",
        "/v1/locks",
        "/v1/locks/l",
        "/v1/queues/q",
        "/v1/charts",
    ),
    *(
        "/v1/keys?prefix=a&after=%FF&limit=5&values=true",
        "/v1/keys/a%00b?revision=7",
        "/v1/history?revision=3&prefix=a",
    ),
    *(
        "/v1/watch?prefix=a&after=5&prev=true",
        "/v1/request_log?first=1&limit=5",
        "/v1/queues/q/messages?state=ready&limit=3",
    ),
    *("/metrics", "/v1/events", "/v1/network", "/dashboard"),
]
REQUESTS = [
    *(post(body, path) for path, body in BODIES.items()),
    *map(get, PATHS),
    post(NETWORK, "/v1/network").replace(b"POST", b"PUT", 1),
    get("/v1/members/n2?force=true", method="DELETE"),
    get("/v1/peer", headers=("Upgrade: raftdb", "Connection: Upgrade", "Raftdb-Nonce: " + "0f" * 32)),
    get("/v1/status", headers=("Origin: http://evil.example", "Range: bytes=0-5", "Accept-Encoding: gzip")),
    post(b"", "/v1/execute", headers=("Expect: 100-continue",)),
    (
        b"POST /v1/execute HTTP/1.1\r\nHost: node\r\nTransfer-Encoding: chunked\r\n\r\n13\r\n"
        b'{"command": "ping"}\r\n0\r\n\r\n'
    ),
    post(b'{"command": "ping"}') + post(b'{"command": "get", "args": ["a"]}'),
]
COMMANDS = [
    request("SET", "a", "1", "PX", "1000", "NX") + request("GET", "a"),
    request("MULTI") + request("INCR", "a") + request("EXEC"),
    request("WATCH", "a") + request("MGET", "a", "b") + request("UNWATCH"),
    request("HELLO", "3", "SETNAME", "me") + request("CLIENT", "INFO"),
    request("SCAN", "0", "MATCH", "[a-c]*\\?", "COUNT", "10") + request("KEYS", "h[^e]llo"),
    request("LCS", "a", "b", "IDX", "MINMATCHLEN", "2", "WITHMATCHLEN"),
    request("SETRANGE", "a", "5", "x")
    + request("GETRANGE", "a", "0", "-1")
    + request("INCRBYFLOAT", "a", "1.5"),
    request("LOCK", "l", "TTL", "5000", "WAIT", "10") + request("ENQUEUE", "q", "v"),
    request("COMMAND", "INFO", "get") + request("INFO", "server") + request("CLUSTER", "SLOTS"),
    b"set a 'b c' \"\\x41\"\r\nget a\r\nping\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\n\r\n",
]
SETTINGS = [
    b'id = "n1"\nlisten = "127.0.0.1:8001"\nredis = "127.0.0.1:6391"\ndata = "data"\ntick_ms = 10\n',
    b'id = "n1"\npeers = {n1 = "127.0.0.1:1", n2 = "h:2"}\nallowed_hosts = ["a", "b.c"]\nreads = "any"\n',
    b'fault_injection = true\nnetwork = "delay 10ms loss 5%"\nmemory_bytes_max = 1000000000\n',
    b'join = "http://127.0.0.1:1,127.0.0.1:2"\ncluster_secret = "ssssssssssssssssssssssssssssssss"\ninsecure = false\n',
]
SMALL = RequestLimits(arguments_max=70, argument_bytes_max=3000, request_bytes_max=6000)


def read_requests(data: bytes) -> list[list[bytes]]:
    """The requests in a stream of the Redis protocol: the same whole and in pieces."""
    found = []
    for step in (max(1, len(data)), 1 + len(data) % 53):
        reader = RequestReader(SMALL)
        found.append(([each for piece in pieces(data, step) for each in reader.feed(piece)], reader.error))
        if reader.buffered_bytes > len(data) + SMALL.request_bytes_max:
            raise AssertionError("it holds more than a request may have")
    if found[0] != found[1]:
        raise AssertionError("it depends on the pieces")
    requests, error = found[0]
    if error is not None:
        raise RequestRefused("bad_request", error)
    return requests


def read_conditions(data: bytes) -> Conditions:
    """The words of conditions."""
    return parse_conditions(data.decode("utf-8", "surrogateescape"))


REFUSED = (RequestRefused,)
PEER_REQUESTS = [
    dialled_by(),
    dialled_by(nonce=NONCE),
    get("/v1/peer/snapshot", headers=(f"Raftdb-Nonce: {NONCE}",)),
    get(
        "/v1/peer/snapshot",
        headers=(
            f"Raftdb-Seal: {NONCE}",
            "Range: bytes=0-5",
            f'If-Match: "{NONCE}"',
            "Authorization: Raftdb AAAA",
        ),
    ),
    get("/v1/peer", headers=("Upgrade: raftdb", "Connection: keep-alive, Upgrade", "Content-Length: 5"))
    + b"hello",
]
"""What one sends to a node's port who would be a peer."""

DECODERS = (
    Decoder(name="resp", decode=read_requests, seeds=COMMANDS, refusals=REFUSED),
    Decoder(name="words", decode=split_words, seeds=[COMMANDS[9], b"set a ''"], refusals=()),
    *(
        Decoder(name=name, decode=decode, seeds=seeds, refusals=(RaftdbError,), form="json")
        for name, decode, seeds in (
            ("json-execute", lambda data: execute_of(data, limits=DEFAULT_LIMITS), EXECUTES),
            ("json-transact", lambda data: transaction_of(data, limits=DEFAULT_LIMITS), TRANSACTIONS),
            ("json-session", session_of, [BODIES["/v1/sessions"]]),
            ("json-keep", lambda data: kept_session(b"s" * 16, data), [b'{"ttl_ms": 15000}']),
            ("json-network", read_change, [NETWORK]),
        )
    ),
    Decoder(name="http", around=listening, seeds=REQUESTS, refusals=REFUSED, cost=20),
    *(
        Decoder(
            name=f"http-{path.strip('/').replace('/', '-')}",
            around=listening,
            seeds=[body],
            wrap=lambda body, path=path: post(body, path),  # type: ignore[misc]
            refusals=REFUSED,
            form="json",
            cost=50,
        )
        for path, body in list(BODIES.items())[3:]
    ),
    *(
        Decoder(
            name=name,
            around=partial(listening_to_peers, secret),
            seeds=PEER_REQUESTS,
            refusals=REFUSED,
            cost=20,
        )
        for name, secret in (("peer", None), ("peer-unproved", SECRET))
    ),
    Decoder(name="redis", around=redis_listening, seeds=COMMANDS, refusals=(), cost=10),
    Decoder(
        name="conditions",
        decode=read_conditions,
        encode=lambda conditions: str(conditions).encode(),
        seeds=[
            b"delay 100ms 50ms distribution normal loss 5% duplicate 2% corrupt 5% rate 1mbit limit 10",
            b"none",
        ],
        refusals=(BadConditions,),
    ),
    Decoder(
        name="settings",
        decode=lambda data: parse_settings(data, "in the file"),
        seeds=SETTINGS,
        refusals=(BadSetting,),
        cost=4,
        is_local=True,
    ),
    Decoder(
        name="secrets",
        is_local=True,
        decode=lambda data: parse_secrets(data.decode("utf-8", "surrogateescape"), "the file"),
        seeds=[b"# old\n" + b"s" * 32 + b"\nnone\n" + b"t" * 64 + b"\n"],
        refusals=(BadSetting,),
    ),
)
