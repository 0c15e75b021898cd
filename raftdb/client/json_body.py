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


def value_of(result: object, reply: ReplyKind | None) -> Value:
    """The typed value of a JSON result. `reply`, the command's kind of reply, tells a status from a string."""
    if isinstance(result, str):
        return result if reply is ReplyKind.STATUS else result.encode("utf-8")
    if isinstance(result, dict):
        try:
            return json_bytes.from_base64(result["base64"])
        except (KeyError, TypeError, ValueError):
            raise RemoteProtocolError("a result is an object without base64") from None
    if isinstance(result, list):
        return [value_of(item, ReplyKind.STRING if reply is ReplyKind.ARRAY else reply) for item in result]
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
    """The JSON of a response. It must be UTF-8, without lone surrogates in its text or its escapes."""
    try:
        content = json.loads(response.body.decode("utf-8"))
        if b"\\ud" in response.body or b"\\uD" in response.body:
            json.dumps(content, ensure_ascii=False).encode("utf-8")
        return cast(object, content)
    except (ValueError, RecursionError):
        raise RemoteProtocolError(
            f"the answer (HTTP status {response.status}) is not JSON", hint="is that address a raftdb node?"
        ) from None


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


def text(body: Json, name: str) -> str:
    """A string field; empty if it is absent or null."""
    value = body.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise RemoteProtocolError(f"{name} in the answer is not a string")
    return value
