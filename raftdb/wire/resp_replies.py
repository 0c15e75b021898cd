"""Replies of the Redis protocol, from Python values to bytes, in version 2 or 3 of the protocol."""

from collections.abc import Callable
from typing import Any


class Error(str):
    """A reply that is an error: its code in capitals, and a text."""

    __slots__ = ()


class Verbatim(str):
    """A text for people, which clients are to show as it is."""

    __slots__ = ()


class Unordered(tuple[Any, ...]):
    """A set: an array where the protocol has none."""

    __slots__ = ()


class NullArray:
    """What stands for an array that is not there: in version 2 it differs from the missing string."""

    __slots__ = ()


NULL_ARRAY = NullArray()

OK = b"+OK\r\n"
"""The encoded reply `OK`."""
_NULLS = {2: b"$-1\r\n", 3: b"_\r\n"}
_LINE_BREAKS = str.maketrans("\r\n", "  ")


def encode(value: Any, version: int = 2) -> bytes:
    """The bytes of a reply: `str` status, `bytes` string, `int`, `float`, `bool`, None, `list`, `dict`, or one of the
    classes here."""
    kind = type(value)
    if kind is bytes:
        return b"$%d\r\n%b\r\n" % (len(value), value)
    if kind is int:
        return b":%d\r\n" % value
    if kind is str and value == "OK":
        return OK
    if value is None:
        return _NULLS[version]
    pieces: list[bytes] = []
    _ENCODERS[kind](value, version, pieces)
    return b"".join(pieces)


def _put(value: object, version: int, pieces: list[bytes]) -> None:
    encoder = _ENCODERS.get(type(value))
    if encoder is None:
        pieces.append(encode(value, version))
    else:
        encoder(value, version, pieces)


def _put_all(head: bytes, values: Any, version: int, pieces: list[bytes]) -> None:
    pieces.append(head)
    for value in values:
        _put(value, version, pieces)


def _put_status(value: str, version: int, pieces: list[bytes]) -> None:
    pieces.append(b"+%b\r\n" % value.translate(_LINE_BREAKS).encode())


def _put_error(value: Error, version: int, pieces: list[bytes]) -> None:
    # Names that a client made up are repeated in errors: bytes that are no text came in as surrogates.
    pieces.append(b"-%b\r\n" % value.translate(_LINE_BREAKS).encode(errors="surrogateescape"))


def _put_verbatim(value: Verbatim, version: int, pieces: list[bytes]) -> None:
    text = value.encode()
    pieces.append(
        encode(text, version) if version == 2 else b"=%d\r\ntxt:%b\r\n" % (len(text) + len(b"txt:"), text)
    )


def _put_float(value: float, version: int, pieces: list[bytes]) -> None:
    text = b"%.17g" % value
    pieces.append(encode(text) if version == 2 else b",%b\r\n" % text)


def _put_bool(value: bool, version: int, pieces: list[bytes]) -> None:
    pieces.append(b":%d\r\n" % value if version == 2 else (b"#t\r\n" if value else b"#f\r\n"))


def _put_list(value: list[object], version: int, pieces: list[bytes]) -> None:
    _put_all(b"*%d\r\n" % len(value), value, version, pieces)


def _put_unordered(value: Unordered, version: int, pieces: list[bytes]) -> None:
    _put_all(b"%b%d\r\n" % (b"*" if version == 2 else b"~", len(value)), value, version, pieces)


def _put_map(value: dict[object, object], version: int, pieces: list[bytes]) -> None:
    head = b"*%d\r\n" % (2 * len(value)) if version == 2 else b"%%%d\r\n" % len(value)
    _put_all(head, (part for pair in value.items() for part in pair), version, pieces)


def _put_null_array(value: NullArray, version: int, pieces: list[bytes]) -> None:
    pieces.append(b"*-1\r\n" if version == 2 else _NULLS[version])


_ENCODERS: dict[type[object], Callable[[Any, int, list[bytes]], None]] = {
    str: _put_status,
    Error: _put_error,
    Verbatim: _put_verbatim,
    float: _put_float,
    bool: _put_bool,
    list: _put_list,
    Unordered: _put_unordered,
    dict: _put_map,
    NullArray: _put_null_array,
}
"""The forms that are more than one head and one body, by type."""
