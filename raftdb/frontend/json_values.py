"""JSON in and out: the body of POST /v1/execute, and byte strings as JSON values.

A byte string that is UTF-8 is a JSON string; any other is `{"base64": "..."}`, and both forms may be sent. Decoding is
strict (msgspec): exact types, no unknown fields, no lone surrogates, bounded nesting; every refusal says where.
"""

import base64
import binascii
from typing import Literal, TypeVar

import msgspec

from raftdb.errors import RequestRefused
from raftdb.frontend.node_api import Answer

ARGUMENT_RULE = 'each of "args" is a string, or {"base64": "..."} for bytes that are not UTF-8'


class Base64Bytes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bytes that are not UTF-8, as they travel in JSON: standard alphabet, with padding."""

    base64: str


class ExecuteRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of POST /v1/execute (interface, section 3)."""

    command: str
    args: list[str | Base64Bytes] = []
    consistency: Literal["linearizable", "stale"] = "linearizable"


class ExecuteAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to POST /v1/execute. `revision` is left out where the command has none."""

    result: object
    index: int
    term: int
    revision: int | None = None


_Request = TypeVar("_Request")
_decoder = msgspec.json.Decoder(ExecuteRequest)
_encoder = msgspec.json.Encoder()


def decode_execute(body: bytes) -> tuple[str, list[bytes], Literal["linearizable", "stale"]]:
    """The command's name, its arguments and the consistency asked for. Raises RequestRefused `bad_request`."""
    request = decode_body(_decoder, body, example='{"command": "get", "args": ["kunci"]}')
    arguments = [
        argument.encode() if type(argument) is str else _base64_argument(argument)
        for argument in request.args
    ]
    return request.command, arguments, request.consistency


def decode_body(decoder: "msgspec.json.Decoder[_Request]", body: bytes, *, example: str) -> _Request:
    """The request in `body`, or RequestRefused `bad_request` with the place of what is wrong."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _refused_value(str(error)) from None
    except msgspec.DecodeError as error:
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


def _base64_argument(argument: str | Base64Bytes) -> bytes:
    assert isinstance(argument, Base64Bytes)
    try:
        return base64.b64decode(argument.base64, validate=True)
    except (binascii.Error, ValueError):
        # A ValueError means that the text is not even ASCII.
        raise RequestRefused("bad_request", 'an argument\'s "base64" is not valid base64') from None


def _refused_value(problem: str) -> RequestRefused:
    hint = None
    if "$.args[" in problem:
        hint = ARGUMENT_RULE
    elif "$.consistency" in problem:
        hint = '"consistency" is "linearizable" or "stale"'
    return RequestRefused("bad_request", f"the body is not a request: {problem}", hint=hint)


def encode_answer(answer: Answer) -> bytes:
    """The JSON of one command's outcome."""
    return _encoder.encode(
        ExecuteAnswer(to_json(answer.value), answer.index, answer.term, revision=answer.revision)
    )


def encode_json(value: object) -> bytes:
    """The JSON of `value`, with byte strings anywhere inside as this module's essay says."""
    return _encoder.encode(to_json(value))


def to_json(value: object) -> object:
    """`value` with each byte string in it made a JSON value; lists, tuples and dictionaries are walked."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return {"base64": base64.b64encode(value).decode("ascii")}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if isinstance(value, dict):
        return {key: to_json(item) for key, item in value.items()}
    return value
