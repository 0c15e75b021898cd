"""The JSON of the HTTP interface: keys and values, and typed fields. Unexpected content raises `RemoteProtocolError`.

Keys and values are byte strings; `raftdb.wire.json_bytes` says how JSON represents them.
"""

import json
from typing import cast

from raftdb.client.given import Text, to_bytes
from raftdb.client.http1 import Response
from raftdb.client.model import Json, Value
from raftdb.commands.spec import ReplyKind
from raftdb.errors import RemoteProtocolError
from raftdb.wire import json_bytes


def bytes_to_json(text: Text) -> object:
    """The JSON of a key, a value or an argument. Raises as `to_bytes`."""
    return json_bytes.to_json(to_bytes(text))


DEPTH_MAX = 32
"""Deepest nesting of lists in a result."""


def value_of(result: object, reply: ReplyKind | None, *, depth_max: int = DEPTH_MAX) -> Value:
    """The typed value of a JSON result. `reply`, the command's kind of reply, tells a status from a string."""
    if isinstance(result, str):
        return result if reply is ReplyKind.STATUS else result.encode("utf-8")
    if isinstance(result, dict):
        try:
            return json_bytes.from_base64(result["base64"])
        except (KeyError, TypeError, ValueError):
            raise RemoteProtocolError("a result is an object without base64") from None
    if isinstance(result, list):
        if not depth_max:
            raise RemoteProtocolError("a result is nested too deeply")
        element = ReplyKind.STRING if reply is ReplyKind.ARRAY else reply
        return [value_of(item, element, depth_max=depth_max - 1) for item in result]
    if result is None or type(result) is int:
        return result
    raise RemoteProtocolError(f"a result has a type that raftdb does not know: {type(result).__name__}")


def bytes_of(content: object) -> bytes:
    """The bytes of a JSON string or `{"base64"}`."""
    value = value_of(content, ReplyKind.STRING)
    if not isinstance(value, bytes):
        raise RemoteProtocolError("the answer has something else where a string belongs")
    return value


def json_of(response: Response) -> object:
    """The JSON of a response."""
    try:
        return parse_json(response.body.decode("utf-8"))
    except ValueError:
        raise RemoteProtocolError(
            f"the answer (HTTP status {response.status}) is not JSON", hint="is that address a raftdb node?"
        ) from None


def parse_json(text: str) -> object:
    """The JSON in `text`, which has no lone surrogates in its escapes. Raises ValueError."""
    try:
        content: object = json.loads(text)
        if "\\ud" in text or "\\uD" in text:
            json.dumps(content, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return content


def object_of(response: Response) -> Json:
    """The JSON object of a response."""
    content = json_of(response)
    if not isinstance(content, dict):
        raise RemoteProtocolError("the answer is not a JSON object")
    return cast(Json, content)


def objects(value: object) -> list[Json]:
    """The objects of a JSON list; an absent list is an empty one."""
    items = [] if value is None else value
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise RemoteProtocolError("the answer has something else where a list of objects belongs")
    return cast(list[Json], items)


def integer(body: Json, name: str) -> int:
    """An integer field; 0 if it is absent or null, as in a node without a log yet."""
    value = body.get(name)
    if value is None:
        return 0
    if type(value) is not int:
        raise RemoteProtocolError(f"{name} in the answer is not an integer")
    return value


def optional_integer(body: Json, name: str) -> int | None:
    """An integer field; None if it is absent or null."""
    return None if body.get(name) is None else integer(body, name)


def optional_number(body: Json, name: str) -> float | None:
    """A number; None if there is something else, or one that no float can be."""
    value = body.get(name)
    try:
        return float(value) if isinstance(value, int | float) else None
    except OverflowError:
        return None


def text(body: Json, name: str) -> str:
    """A string field; empty if it is absent or null."""
    value = body.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise RemoteProtocolError(f"{name} in the answer is not a string")
    return value
