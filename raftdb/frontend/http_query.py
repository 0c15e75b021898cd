"""Parsing the query of a request strictly: only known parameters may be in it, each at most once."""

from collections.abc import Mapping, Sequence
from urllib.parse import unquote_to_bytes

from aiohttp import web

from raftdb.errors import RequestRefused
from raftdb.limits import KEY_BYTES_MAX

QUERY_INTEGER_MAX = 2**63 - 1
"""Largest number that a query may have: indexes are below it."""

FLAGS = {b"true": True, b"1": True, b"": True, b"false": False, b"0": False}
"""The values of a flag; a flag without a value is true."""


def parameters(request: web.BaseRequest, known: Sequence[str]) -> dict[str, bytes]:
    """The values of the parameters, as bytes, by name; both are percent-decoded. Raises RequestRefused for one that is
    not `known` or is there twice."""
    found: dict[str, bytes] = {}
    for part in filter(None, request.rel_url.raw_query_string.split("&")):
        encoded_name, _, text = part.partition("=")
        name = _decoded(encoded_name).decode("ascii", "backslashreplace")
        if name not in known:
            raise RequestRefused(
                "bad_request", f"unknown parameter {name[:32]!r}", hint=f"known: {', '.join(known)}"
            )
        if name in found:
            raise RequestRefused("bad_request", f"{name} is given twice")
        found[name] = _decoded(text)
    return found


def _decoded(text: str) -> bytes:
    """A decoded part of a query: percent-encoded bytes, and `+` for a space."""
    return unquote_to_bytes(text.replace("+", " "))


def integer_of(name: str, text: bytes, *, maximum: int = QUERY_INTEGER_MAX) -> int:
    """The number in `text`, from 1 to `maximum`. Raises RequestRefused."""
    value = int(text) if text.isdigit() and len(text) <= 19 else 0
    if not 1 <= value <= QUERY_INTEGER_MAX:
        raise RequestRefused("bad_request", f"{name} must be a positive integer, not {_shown(text)}")
    if value > maximum:
        raise RequestRefused("bad_request", f"{name} is at most {maximum}", hint="read in pages")
    return value


def revision_of(name: str, text: bytes) -> int:
    """The index of an entry of the log in `text`, or 0. Raises RequestRefused."""
    if not text.isdigit() or len(text) > 19 or int(text) > QUERY_INTEGER_MAX:
        raise RequestRefused("bad_request", f"{name} is no revision", hint="it is an index of the log, or 0")
    return int(text)


def key_of_query(given: Mapping[str, bytes], name: str) -> bytes:
    """The key, or beginning of one, that a parameter has; empty without it. Raises RequestRefused."""
    text = given.get(name, b"")
    if len(text) > KEY_BYTES_MAX:
        raise RequestRefused("bad_key", f"{name} has {len(text)} bytes: the limit is {KEY_BYTES_MAX}")
    return text


def flag_of(name: str, text: bytes) -> bool:
    """The value of a flag. Raises RequestRefused."""
    if text not in FLAGS:
        raise RequestRefused("bad_request", f"{name} must be true or false, not {_shown(text)}")
    return FLAGS[text]


def _shown(text: bytes) -> str:
    return repr(text[:32])[1:]
