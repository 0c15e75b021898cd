"""Replies as they are kept for a session: a head of fixed length, and the reply in CBOR.

    digest of what was asked (8 bytes) | index (8) | term (8) | length of the whole (4) | reply

The head alone tells whether a repetition asks for the same, and how many bytes go when the reply does. A reply is
`[0, value, revision]`, or `[1, code, message, hint, failed command, names]` for an error. If the value is the list of
the answers of a transaction's commands, each is a map with one of these arrays, since no other value is a map.

Who only wants to know what services there are loads neither CBOR nor hashes: they are imported where they are used.
"""

from collections.abc import Sequence
from functools import cache
from struct import Struct
from types import ModuleType
from typing import Any, NamedTuple

from raftdb.errors import Fatal, RemoteProtocolError, ReplyError, failure_of, names_of
from raftdb.limits import REPLY_BYTES_MAX, TRANSACTION_KEYS_MAX
from raftdb.machine.reply import Result

_HEAD = Struct(">8sQQI")

HEAD_BYTES = _HEAD.size
"""Bytes before the reply."""

RECORD_BYTES_MAX = 2 * REPLY_BYTES_MAX
"""Longest record: the most bytes of values in one reply, with the heads of as many as a transaction has."""

RECORD_ITEMS_MAX = 128 * TRANSACTION_KEYS_MAX
"""Most CBOR items of a record. An error within a list has nine, and the keys that the transaction watched. The limit is
higher so that the items of shorter records need not be counted."""

_DIGEST_BYTES = 8
_REPLY = ""
"""The one name in a map around a reply within a reply."""


class ReplyHead(NamedTuple):
    """The part of a kept reply that is known without reading all of it."""

    digest: bytes
    index: int  # type: ignore[assignment]  # hides tuple.index
    term: int
    record_bytes: int


def digest_of(payload: bytes) -> bytes:
    """Return a digest that tells whether two operations under one number are the same. It finds a client's mistake, not
    an attacker's forgery."""
    digest: bytes = _blake2b()(payload, digest_size=_DIGEST_BYTES).digest()
    return digest


@cache
def _blake2b() -> Any:
    from hashlib import blake2b

    return blake2b


@cache
def _cbor() -> ModuleType:
    from raftdb.wire import cbor

    return cbor


def encode_reply(reply: Result | ReplyError, *, digest: bytes, index: int, term: int) -> bytes:
    """Return the record of a reply to the operation that was applied at `index` in `term`."""
    body: bytes = _cbor().encode(_parts(reply))
    return _HEAD.pack(digest, index, term, HEAD_BYTES + len(body)) + body


def decode_head(record: bytes) -> ReplyHead:
    """Return the head of a record, which may be all that was read of it."""
    return ReplyHead(*_HEAD.unpack_from(record))


def decode_reply(record: bytes) -> Result | ReplyError:
    """Return the reply in a record, or raise `Fatal` if no version known to this node has written it."""
    try:
        parts: Any = _cbor().decode(
            record[HEAD_BYTES:], bytes_max=RECORD_BYTES_MAX, items_max=RECORD_ITEMS_MAX
        )
        match parts:
            case [0 | 1, *_]:
                return _reply_of(parts)
    except RemoteProtocolError:
        pass
    raise Fatal(
        "a kept reply has a form that this node does not know",
        hint="if a newer raftdb wrote this data folder, start that one; otherwise run: raftdb doctor DIR",
    )


def _parts(reply: Result | ReplyError) -> list[object]:
    if isinstance(reply, ReplyError):
        return _error(reply)
    value: object = reply.value
    if isinstance(value, list):
        value = [
            {_REPLY: _parts(element)} if isinstance(element, Result | ReplyError) else element
            for element in value
        ]
    return [0, value, reply.revision]


def _reply_of(parts: Sequence[Any]) -> Result | ReplyError:
    if parts[0] == 1:
        return _error_of(parts)
    _, value, revision = parts
    if isinstance(value, list):
        value = [_reply_of(element[_REPLY]) if isinstance(element, dict) else element for element in value]
    return Result(value, revision)


def _error(error: ReplyError) -> list[object]:
    return [1, error.code, error.message, error.hint, error.failed_command, names_of(error)]


def _error_of(parts: Sequence[Any]) -> ReplyError:
    return failure_of(*parts[1:])
