"""Decoding and encoding JSON: requests, byte strings, answers and errors.

`raftdb.wire.json_bytes` says how JSON represents byte strings; a client may send either form. Decoding is strict
(msgspec): types are exact, unknown fields and lone surrogates are refused, nesting is bounded, and a refusal names the
place.
"""

import re
from typing import NamedTuple, TypeVar

import msgspec

from raftdb.errors import Compacted, Conflict, Deadlock, RaftdbError, ReplyError, RequestRefused, Unavailable
from raftdb.machine.reply import KeyRecord
from raftdb.wire import json_bytes

ARGUMENT_RULE = (
    'each of "args" is a string, a whole number of 64 bits, or {"base64": "..."} for any bytes; '
    "other numbers are sent as strings"
)


class Base64Bytes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Any bytes in JSON, in the standard alphabet of base64, with padding."""

    base64: str


class Shown(NamedTuple):
    """The outcome of an operation as HTTP shows it: see `raftdb.commands.answers`."""

    value: object
    index: int  # type: ignore[assignment]  # hides tuple.index
    term: int
    revision: int | None


class ExecuteAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to POST /v1/execute. `revision` is left out if the command has none."""

    result: object
    index: int
    term: int
    revision: int | None = None


class ErrorLeader(msgspec.Struct, frozen=True):
    """The leader's addresses in the body of an error."""

    id: str
    http: str
    redis: str | None
    redis_cluster: str | None


class ErrorBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """The content of `{"error": ...}` (docs/interface.md, section 3)."""

    code: str
    message: str
    hint: str | None = None
    leader: ErrorLeader | None = None


_Request = TypeVar("_Request")
_encoder = msgspec.json.Encoder()
_LONE_SURROGATE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F]"
)
"""An escaped half of a surrogate pair without the other; only a refused body is searched for it."""
PROBLEM_CHARACTERS_MAX = 300
"""Longest part of a refusal that comes from the body, such as the name of a field that nobody knows."""
EXPLAINED_BYTES_MAX = 64 * 1024
"""Longest body that is searched for a lone surrogate, so that a long one costs no more than its parsing."""


def decode_body(decoder: "msgspec.json.Decoder[_Request]", body: bytes, *, example: str) -> _Request:
    """The request in `body`. Raises RequestRefused (`bad_request`), which names the place of the fault."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _refused_value(str(error)) from None
    except msgspec.DecodeError as error:
        if len(body) <= EXPLAINED_BYTES_MAX and _LONE_SURROGATE.search(body):
            raise RequestRefused(
                "bad_request",
                "the body has half of a surrogate pair, which is no character",
                hint='send bytes that are not UTF-8 as {"base64": "..."}',
            ) from None
        raise RequestRefused(
            "bad_request",
            f"the body is not valid JSON: {error}",
            hint=None if body else f"the body is empty: send {example}",
        ) from None
    except UnicodeDecodeError:
        raise RequestRefused(
            "bad_request", "the body is not UTF-8", hint='send bytes that are not UTF-8 as {"base64": "..."}'
        ) from None
    except RecursionError:
        raise RequestRefused("bad_request", "the body's JSON is nested too deeply") from None


def bytes_of(argument: str | int | Base64Bytes) -> bytes:
    """The byte string of a JSON value; a number is its decimal digits. Raises RequestRefused (`bad_request`)."""
    if isinstance(argument, str):
        return argument.encode()
    if isinstance(argument, int):
        return b"%d" % argument
    try:
        return json_bytes.from_base64(argument.base64)
    except ValueError:
        raise RequestRefused("bad_request", 'an argument\'s "base64" is not valid base64') from None


def _refused_value(problem: str) -> RequestRefused:
    hint = None
    if ".args[" in problem:
        hint = ARGUMENT_RULE
    elif "$.consistency" in problem:
        hint = '"consistency" is "linearizable" or "stale"'
    if len(problem) > PROBLEM_CHARACTERS_MAX:
        # The place comes last.
        half = PROBLEM_CHARACTERS_MAX // 2
        problem = f"{problem[:half]}...{problem[-half:]}"
    return RequestRefused("bad_request", f"the body is not a request: {problem}", hint=hint)


def encode_answer(answer: Shown) -> bytes:
    """The JSON of one command's outcome (docs/interface.md, section 3)."""
    return _encoder.encode(
        ExecuteAnswer(to_json(answer.value), answer.index, answer.term, revision=answer.revision)
    )


def encode_json(value: object) -> bytes:
    """The JSON of `value`, which may contain byte strings."""
    return _encoder.encode(to_json(value))


def to_json(value: object) -> object:
    """`value` with each byte string in it, in lists, tuples and dictionaries as well, as a JSON value.

    An error in it, which is the result of a command in a transaction, becomes its body.
    """
    if isinstance(value, bytes):
        return json_bytes.to_json(value)
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if isinstance(value, dict):
        return {key: to_json(item) for key, item in value.items()}
    if isinstance(value, RaftdbError):
        return error_object(value)
    return value


def error_object(error: RaftdbError, *, code: str | None = None) -> dict[str, object]:
    """The JSON of an error (docs/interface.md, section 3). `code` replaces the error's own if it is given."""
    leader = None
    if isinstance(error, Unavailable) and error.leader is not None:
        leader = msgspec.convert(error.leader.named(), ErrorLeader)
    fields: dict[str, object] = {"error": ErrorBody(code or error.code, error.message, error.hint, leader)}
    if isinstance(error, Conflict):
        fields["conflict"] = to_json(error.keys)
    if isinstance(error, Compacted):
        fields["begin"] = error.begin
    if isinstance(error, Deadlock):
        fields["cycle"] = to_json(error.cycle)
    if isinstance(error, ReplyError) and error.failed_command is not None:
        fields["failed"] = error.failed_command
    return fields


def record_fields(record: KeyRecord) -> dict[str, object]:
    """The JSON fields of a key, in which byte strings are bytes; those that it does not have are left out."""
    fields: dict[str, object] = {"key": record.key}
    if record.value is not None:
        fields["value"] = record.value
    fields["revision"] = record.revision
    if record.expires_ms is not None:
        fields |= {"expires_at": record.expires_ms, "ttl_ms": record.ttl_ms}
    return fields
