"""What a client may get wrong, and what it is told: tried on a server in this process, and some of it on real nodes."""

import json

from tests.e2e.raw_http import command_body

MIB = 1024 * 1024
LONG_KEY = "k" * 481
LONG_KEY_OF_FEW_CHARACTERS = "é" * 241
DEEP = 100_000


def body(value: object) -> bytes:
    return json.dumps(value).encode()


EXECUTE: dict[str, tuple[bytes, int, str]] = {
    "empty key": (command_body("set", ["", "v"]), 400, "bad_key"),
    "empty key of a read": (command_body("get", [""]), 400, "bad_key"),
    "empty key among others": (command_body("mset", ["a", "1", "", "2"]), 400, "bad_key"),
    "empty key in base64": (body({"command": "set", "args": [{"base64": ""}, "v"]}), 400, "bad_key"),
    "key over 480 bytes": (command_body("set", [LONG_KEY, "v"]), 400, "bad_key"),
    "key over 480 bytes in 241 characters": (
        command_body("set", [LONG_KEY_OF_FEW_CHARACTERS, "v"]),
        400,
        "bad_key",
    ),
    "key over 480 bytes in mget": (command_body("mget", ["a", LONG_KEY]), 400, "bad_key"),
    "value over the limit": (command_body("set", ["k", "v" * (MIB + 1)]), 413, "too_large"),
    "value over the limit in mset": (
        command_body("mset", ["a", "1", "k", "v" * (MIB + 1)]),
        413,
        "too_large",
    ),
    "value over the limit in append": (command_body("append", ["k", "v" * (MIB + 1)]), 413, "too_large"),
    "command over 4 MiB": (
        command_body("mset", [text for n in range(5) for text in (f"k{n}", "v" * MIB)]),
        413,
        "too_large",
    ),
    "too many keys": (command_body("exists", ["k"] * 20_000), 413, "too_large"),
    "no argument": (command_body("set", []), 400, "wrong_arity"),
    "one argument too few": (command_body("set", ["k"]), 400, "wrong_arity"),
    "one argument too many": (command_body("get", ["k", "x"]), 400, "wrong_arity"),
    "an argument for none": (command_body("ping", ["x"]), 400, "wrong_arity"),
    "an odd number in mset": (command_body("mset", ["a", "1", "b"]), 400, "wrong_arity"),
    "unknown command": (command_body("sett", ["k", "v"]), 400, "unknown_command"),
    "no command": (command_body("", ["k", "v"]), 400, "unknown_command"),
    "unknown long command": (command_body("x" * 10_000, []), 400, "unknown_command"),
    "not a number": (command_body("incrby", ["k", "ten"]), 400, "bad_request"),
    "number of 65 bits": (command_body("incrby", ["k", str(2**63)]), 400, "bad_request"),
    "no body": (b"", 400, "bad_request"),
    "half of a JSON": (b'{"command": "set", "args": ["k"', 400, "bad_request"),
    "no JSON at all": (b"set k v", 400, "bad_request"),
    "JSON and more": (command_body("set", ["k", "v"]) + b"{}", 400, "bad_request"),
    "not UTF-8": (b'{"command": "set", "args": ["k", "\xff"]}', 400, "bad_request"),
    "lone surrogate": (b'{"command": "set", "args": ["k", "\\ud800"]}', 400, "bad_request"),
    "NaN": (b'{"command": "set", "args": ["k", NaN]}', 400, "bad_request"),
    "a list": (body(["set", "k", "v"]), 400, "bad_request"),
    "null": (b"null", 400, "bad_request"),
    "an empty object": (b"{}", 400, "bad_request"),
    "command a number": (body({"command": 7, "args": ["k", "v"]}), 400, "bad_request"),
    "args a string": (body({"command": "set", "args": "kv"}), 400, "bad_request"),
    "args an object": (body({"command": "set", "args": {"k": "v"}}), 400, "bad_request"),
    "an argument no whole number": (body({"command": "set", "args": ["k", 7.5]}), 400, "bad_request"),
    "an argument null": (body({"command": "set", "args": ["k", None]}), 400, "bad_request"),
    "an argument a list": (body({"command": "set", "args": ["k", ["v"]]}), 400, "bad_request"),
    "an argument true": (body({"command": "set", "args": ["k", True]}), 400, "bad_request"),
    "broken base64": (body({"command": "set", "args": ["k", {"base64": "!"}]}), 400, "bad_request"),
    "base64 a number": (body({"command": "set", "args": ["k", {"base64": 7}]}), 400, "bad_request"),
    "base64 with more": (body({"command": "set", "args": ["k", {"base64": "", "x": 1}]}), 400, "bad_request"),
    "unknown field": (body({"command": "set", "args": ["k", "v"], "ttl": 5}), 400, "bad_request"),
    "unknown consistency": (command_body("get", ["k"], consistency="eventual"), 400, "bad_request"),
    "a stale write": (command_body("set", ["k", "v"], consistency="stale"), 400, "bad_request"),
    "deep lists": (b"[" * DEEP + b"]" * DEEP, 400, "bad_request"),
    "deep lists never closed": (b"[" * DEEP, 400, "bad_request"),
    "deep objects": (b'{"command":' * DEEP + b"1" + b"}" * DEEP, 400, "bad_request"),
    "deep argument": (
        b'{"command": "set", "args": ["k", ' + b"[" * DEEP + b"]" * DEEP + b"]}",
        400,
        "bad_request",
    ),
    "oversized body": (command_body("set", ["k", "v" * (9 * MIB)]), 413, "too_large"),
}

REQUESTS: dict[str, tuple[str, str, int, str]] = {
    "unknown path": ("GET", "/v1/nothing", 404, "not_found"),
    "wrong method": ("GET", "/v1/execute", 405, "method_not_allowed"),
    "log from 0": ("GET", "/v1/request_log?from=0", 400, "bad_request"),
    "log from before": ("GET", "/v1/request_log?from=-5", 400, "bad_request"),
    "log from a word": ("GET", "/v1/request_log?from=one", 400, "bad_request"),
    "log from far away": ("GET", f"/v1/request_log?from={2**64}", 400, "bad_request"),
    "log without limit": ("GET", "/v1/request_log?limit=1000000", 400, "bad_request"),
    "log with more": ("GET", "/v1/request_log?form=1", 400, "bad_request"),
    "peers without an upgrade": ("GET", "/v1/peer", 400, "bad_request"),
}

TWO_LENGTHS = b"POST /v1/execute HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"
LENGTH_AND_CHUNKS = (
    b"POST /v1/execute HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
)
A_NEGATIVE_LENGTH = b"POST /v1/execute HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n"
A_LONG_HEADER = b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 100_000 + b"\r\n\r\n"
A_BODY_THAT_PROMISES_TOO_MUCH = (
    b"POST /v1/execute HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n{"
)

RAW: dict[str, tuple[bytes, int, str]] = {
    "no HTTP at all": (b"\x00\x01\x02\x03\r\n\r\n", 400, "bad_request"),
    "two lengths": (TWO_LENGTHS, 400, "bad_request"),
    "length and chunks": (LENGTH_AND_CHUNKS, 400, "bad_request"),
    "a negative length": (A_NEGATIVE_LENGTH, 400, "bad_request"),
    "a header of 100 kB": (A_LONG_HEADER, 431, "head_too_large"),
    "a body that promises too much": (A_BODY_THAT_PROMISES_TOO_MUCH, 413, "too_large"),
}
"""Bytes as they are sent: status and code."""

ONE_SHOT: dict[str, tuple[list[str], int]] = {
    "empty key": (["set", "", "v"], 1),
    "key over 480 bytes": (["set", LONG_KEY, "v"], 1),
    "too few arguments": (["set", "k"], 2),
    "too many arguments": (["get", "k", "x"], 2),
    "unknown command": (["sett", "k", "v"], 2),
    "not a number": (["incrby", "k", "ten"], 2),
}

SCRIPTS: dict[str, tuple[str, int]] = {
    "empty key": ('set "" v', 1),
    "key over 480 bytes": (f"set {LONG_KEY} v", 1),
    "value over the limit": ("set k " + "v" * (MIB + 1), 1),
    "too few arguments": ("set k", 2),
    "unknown command": ("sett k v", 2),
    "unknown dot-command": (".nothing", 2),
    "a quote never closed": ('set k "v', 2),
    "not a number": ("incrby k ten", 2),
}


def assert_error(body: bytes) -> None:
    """The body of a refusal: what and why, in one short line that does not repeat what was sent."""
    error = json.loads(body)["error"]
    assert set(error) <= {"code", "message", "hint", "leader"}
    assert error["message"]
    assert "\n" not in error["message"]
    assert b"Traceback" not in body
    assert len(body) < 2000, "an error repeats what it was sent"


def assert_one_line(stderr: str) -> None:
    """One line that says what and why, and at most one that says what to do."""
    lines = stderr.splitlines()
    assert lines, "nothing is said"
    assert lines[0].startswith("raftdb: error: "), lines
    assert all(line.startswith("hint: ") for line in lines[1:]), lines
    assert len(lines) <= 2, lines
    assert max(map(len, lines)) < 500, "an error repeats what it was given"
