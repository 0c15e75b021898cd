"""Hostile neighbours of good inputs: bytes that are damaged, and values that are not what stands in their place.

A seed is damaged as bytes, or, if it is CBOR or JSON, taken apart, changed in one place and put together again: what
comes out is well formed, so that it gets past the parser to the checks behind it. All comes from one `random.Random`.
"""

import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import cbor2

INPUT_BYTES_MAX = 16 * 1024
"""Longest input that is made, unless a seed is longer."""

_NUMBERS = (
    b"0",
    b"-1",
    b"00",
    b"+1",
    b"1_0",
    b"1e999",
    b"0x10",
    b"18446744073709551616",
    b"9" * 19,
    b"9" * 5000,
)
_TOKENS = (
    *(b"\r\n", b"\n", b"\0", b" ", b"\t", b'"', b"'", b"\\", b"\xff", b"\xc2\xb2", b"\xed\xa0\x80"),
    *(
        b"{}",
        b"[",
        b"]",
        b"null",
        b"NaN",
        b"Infinity",
        b'{"a":',
        b"\\ud800",
        b"%00",
        b"%",
        b"&",
        b"=",
        b":",
        b",",
    ),
    *(b"*1\r\n", b"$-1\r\n", b"\x81", b"\xa1", b"\xd8\x1c", b"\x9f", b"\xf9\x7e\x00", b"\x1b" + b"\xff" * 8),
    *(
        b"Content-Length: 5\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Upgrade: raftdb\r\n",
        b"Expect: 100-continue\r\n",
    ),
)
_DIGITS = re.compile(rb"\d+")
_STRANGE: tuple[object, ...] = (
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        2**31,
        2**53,
        2**63 - 1,
        2**63,
        2**64 - 1,
        -(2**63),
        -(2**63) - 1,
        0.0,
        1.5,
        -0.0,
    ),
    *(
        float("inf"),
        float("nan"),
        "",
        "a",
        "\0",
        "\u00b2",
        "\u0660",
        "x" * 70,
        "x" * 2000,
        [],
        {},
        [[]],
        [None],
        {"a": 1},
    ),
)
_STRANGE_CBOR = (
    *_STRANGE,
    b"",
    b"a",
    b"\xff",
    b"x" * 70,
    b"x" * 2000,
    {b"a": 1},
    {1: 2},
    2**70,
    cbor2.CBORTag(28, []),
)
_STRANGE_JSON = (*_STRANGE, 10**400, "\ud800", {"base64": "!"}, {"base64": "AA=="}, {"base64": 1})
LEVELS = 8
"""So deep a value is changed in its parts."""
NESTED_JSON = 3000
"""So deep are the deepest lists: deeper than the interpreter's own limit."""


class Mutator:
    """Makes inputs of seeds. `form` says what they are: bytes, cbor or json."""

    def __init__(self, seeds: Sequence[bytes], form: str, chance: random.Random) -> None:
        self._seeds = seeds
        self._chance = chance
        self._bytes_max = max(INPUT_BYTES_MAX, *(len(seed) + 1024 for seed in seeds))
        self._structured: Callable[[bytes], bytes] | None = {"cbor": self._cbor, "json": self._json}.get(form)

    def next(self) -> bytes:
        """The next input."""
        chance = self._chance
        data = chance.choice(self._seeds)
        if self._structured is not None and chance.random() < 0.5:
            data = self._structured(data)
            if chance.random() < 0.8:
                return data
        for _ in range(chance.choice((1, 1, 1, 2, 3, 6))):
            data = self._damaged(data)
        return data[: self._bytes_max]

    def _damaged(self, data: bytes) -> bytes:
        chance = self._chance
        at, other = chance.randint(0, len(data)), chance.randint(0, len(data))
        first, last = min(at, other), max(at, other)
        match chance.randrange(9):
            case 0 if data:
                place = chance.randrange(len(data))
                return data[:place] + bytes((data[place] ^ 1 << chance.randrange(8),)) + data[place + 1 :]
            case 1 if data:
                place = chance.randrange(len(data))
                return data[:place] + bytes((chance.choice((0, 1, 0x7F, 0x80, 0xFF)),)) + data[place + 1 :]
            case 2:
                return data[:first]
            case 3:
                return data[:first] + data[last:]
            case 4:
                return data[:first] + data[first:last] * chance.choice((2, 3, 20)) + data[last:]
            case 5:
                return data[:at] + chance.choice(_TOKENS) * chance.choice((1, 1, 1, 2, 40, 2000)) + data[at:]
            case 6:
                return data[:at] + chance.choice(self._seeds)[other:]
            case 7:
                numbers = list(_DIGITS.finditer(data))
                if numbers:
                    found = chance.choice(numbers)
                    return data[: found.start()] + chance.choice(_NUMBERS) + data[found.end() :]
        return data[:at] + chance.randbytes(chance.choice((1, 2, 8))) + data[at:]

    def _cbor(self, data: bytes) -> bytes:
        try:
            value = self._changed(cbor2.loads(data), _STRANGE_CBOR)
            return cbor2.dumps(value)
        except (ValueError, TypeError, OverflowError, cbor2.CBORError):
            return data

    def _json(self, data: bytes) -> bytes:
        if self._chance.random() < 0.02:
            depth = self._chance.choice((20, 200, 900, NESTED_JSON))
            return data.replace(b"null", b"[" * depth + b"]" * depth, 1) if b"null" in data else b"[" * depth
        try:
            value = self._changed(json.loads(data), _STRANGE_JSON)
            text = json.dumps(value, ensure_ascii=self._chance.random() < 0.5)
            return text.encode("utf-8", "surrogatepass")
        except (ValueError, RecursionError):
            return data

    def _changed(self, value: Any, strange: Sequence[object]) -> Any:
        """The value with one part of it replaced, left out, doubled, or moved to another place."""
        chance = self._chance
        places = list(_places(value))
        if not places:
            return chance.choice(strange)
        holder, key = chance.choice(places)
        match chance.randrange(6):
            case 0:
                del holder[key]
            case 1 if isinstance(holder, list):
                holder.insert(chance.randint(0, len(holder)), holder[key])
            case 1:
                holder[chance.choice(("a", "", "type", "base64"))] = holder[key]
            case 2:
                other, place = chance.choice(places)
                holder[key] = None if other is holder[key] else _copy(other[place])
            case 3:
                holder[key] = [holder[key]]
            case _:
                holder[key] = chance.choice(strange)
        return value


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """The holder and the key or index of the parts of a value, those of the first levels."""
    level = [value]
    for _ in range(LEVELS):
        holders, level = [part for part in level if isinstance(part, dict | list)], []
        for holder in holders:
            for key, part in list(holder.items() if isinstance(holder, dict) else enumerate(holder)):
                level.append(part)
                yield holder, key


def _copy(value: Any) -> Any:
    """A value of its own, so that nothing holds itself."""
    if isinstance(value, dict):
        return {key: _copy(part) for key, part in value.items()}
    return [_copy(part) for part in value] if isinstance(value, list) else value
