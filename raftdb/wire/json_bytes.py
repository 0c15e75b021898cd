"""Byte strings in the JSON of our HTTP interface, both ways, and the greatest length of legal requests and answers.

A byte string is a JSON string if it is UTF-8 and that is not longer than base64, and `{"base64": "..."}` otherwise. It
is longer if JSON must escape many bytes: a zero byte takes six characters in a string, and one and a third in base64.
With that rule no byte string grows by more than a third and a constant, so the limits in bytes of content
(`raftdb.limits`) say how many bytes of JSON a node must accept, and a client must be ready to read. Both are derived
here, so that they always agree.
"""

import base64
import binascii

from raftdb.limits import (
    COMMAND_BYTES_CEILING,
    KEY_BYTES_MAX,
    KEYS_PER_COMMAND_MAX,
    PAGE_BYTES_MAX,
    REPLY_BYTES_MAX,
    SCAN_LIMIT_MAX,
    TRANSACTION_KEYS_MAX,
    VALUE_BYTES_CEILING,
)

_ESCAPED = bytes(range(0x20)) + b'"\\'
"""The characters that a JSON string escapes."""
_ESCAPED_SHORT = b'\b\t\n\f\r"\\'
"""The characters that it escapes with one more character; the others take five more."""
_QUOTES_BYTES = len('""')
_BASE64_BYTES = len('{"base64":""}')

STRING_OVERHEAD_BYTES = 17
"""The most bytes that a byte string takes beside four thirds of its length: the braces and name around base64, its
padding, a comma."""

COMMAND_OVERHEAD_BYTES = 64
"""The bytes that a command of a transaction takes beside its arguments, and a watched key beside itself: names and a
number."""

ARGUMENTS_PER_KEY_MAX = 5
"""Arguments of a command for each key that it counts for: `set KEY VALUE PX 1000 NX` has the most."""

RECORD_OVERHEAD_BYTES = 128
"""The bytes that a key on a page takes beside itself and its value: names, its revision, and when it ends."""

ENVELOPE_BYTES = 1024
"""The bytes around a request, an answer or an entry of the log: its session, its index, its time."""

_NUMBER_BYTES = 21
"""The longest number of 64 bits, or word of JSON, and a comma."""


def to_json(content: bytes) -> str | dict[str, str]:
    """The JSON of a byte string: a string if that is possible and not longer, else `{"base64": ...}`."""
    escapes = len(content) - len(content.translate(None, _ESCAPED))
    if _QUOTES_BYTES + len(content) + 5 * escapes > base64_bytes(len(content)):
        short = len(content) - len(content.translate(None, _ESCAPED_SHORT))
        if _QUOTES_BYTES + len(content) + 5 * escapes - 4 * short > base64_bytes(len(content)):
            return _base64_of(content)
    try:
        return content.decode()
    except UnicodeDecodeError:
        return _base64_of(content)


def from_base64(text: str) -> bytes:
    """The bytes that base64 spells: standard alphabet, with padding. Raises ValueError."""
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None


def base64_bytes(content_bytes: int) -> int:
    """How long `{"base64": ...}` of so many bytes is."""
    return _BASE64_BYTES + 4 * ((content_bytes + 2) // 3)


def request_bytes_max(command_bytes: int) -> int:
    """The longest body that asks for a legal command or transaction, if all its arguments have at most `command_bytes`
    together, and its byte strings are written as here."""
    per_key = ARGUMENTS_PER_KEY_MAX * STRING_OVERHEAD_BYTES + COMMAND_OVERHEAD_BYTES
    return _bytes_max(command_bytes, 0) + TRANSACTION_KEYS_MAX * per_key + ENVELOPE_BYTES


def json_bytes_max(value: object) -> int:
    """The greatest length of the JSON of `value`, which consists of byte strings, ASCII strings, numbers, and lists and
    dictionaries of these."""
    if isinstance(value, bytes):
        return _bytes_max(len(value), 1)
    if isinstance(value, str):
        return 2 * len(value) + len('"",')
    if isinstance(value, list | tuple):
        return len("[],") + sum(map(json_bytes_max, value))
    if isinstance(value, dict):
        return len("{},") + sum(json_bytes_max(name) + json_bytes_max(item) for name, item in value.items())
    return _NUMBER_BYTES


def _bytes_max(content_bytes: int, strings: int) -> int:
    return content_bytes * 4 // 3 + strings * STRING_OVERHEAD_BYTES


RESPONSE_BYTES_MAX = ENVELOPE_BYTES + max(
    # Elements of a result are counted with a little more than what they take in JSON beside their own bytes, but for
    # those of `mget`, and of an error that stands among them each character may be escaped.
    2 * REPLY_BYTES_MAX + KEYS_PER_COMMAND_MAX * STRING_OVERHEAD_BYTES,
    _bytes_max(PAGE_BYTES_MAX + VALUE_BYTES_CEILING + SCAN_LIMIT_MAX * KEY_BYTES_MAX, 2 * SCAN_LIMIT_MAX)
    + SCAN_LIMIT_MAX * RECORD_OVERHEAD_BYTES,
    PAGE_BYTES_MAX + request_bytes_max(COMMAND_BYTES_CEILING),
)
"""The longest answer that a node gives: a result, a page of keys, or a page of the log. Backups are streamed."""


def _base64_of(content: bytes) -> dict[str, str]:
    return {"base64": base64.b64encode(content).decode("ascii")}
