"""Turning values and tables into text. Pure: without streams or colours.

Values may come from others, so typed output never passes a control character to the terminal.
"""

import unicodedata
from collections.abc import Sequence
from typing import TypeAlias

from raftdb.client.model import Value
from raftdb.endpoint import BadAddress, parse_endpoint
from raftdb.errors import CommandFailed

_NAMED_ESCAPES = {"\n": "\\n", "\t": "\\t", "\r": "\\r", '"': '\\"', "\\": "\\\\"}


def encoded(text: str) -> bytes:
    """The bytes of a typed text. Never raises."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        # A pasted text may have half of a surrogate pair, which becomes three bytes; other characters are encoded as
        # usual.
        halves = "surrogatepass"
        return b"".join(
            character.encode("utf-8", "surrogateescape" if "\udc80" <= character <= "\udcff" else halves)
            for character in text
        )


def quote(value: bytes) -> str:
    """`value` in double quotes as the shell reads it: printable UTF-8 unchanged, everything else escaped."""
    pieces = []
    for character in value.decode("utf-8", "surrogateescape"):
        escaped = _NAMED_ESCAPES.get(character)
        if escaped is not None:
            pieces.append(escaped)
        elif character.isprintable():
            pieces.append(character)
        else:
            pieces += [f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogateescape")]
    return '"' + "".join(pieces) + '"'


def word(value: bytes) -> str:
    """`value` as one word of a line: without quotes if that is unambiguous, else quoted."""
    text = value.decode("utf-8", "surrogateescape")
    plain = text and text.isprintable() and text[0] not in "\"'#" and not any(c in ' ;"\\' for c in text)
    return text if plain else quote(value)


def line(name: str, arguments: Sequence[bytes]) -> str:
    """A command as it would be typed."""
    return " ".join([name, *map(word, arguments)])


Result: TypeAlias = "Value | CommandFailed | list[Result]"
"""A result, or several of a transaction, where an error may be one of them."""


def typed(value: Result) -> str:
    """A result as the shell prints it: `OK`, `"text"`, `42`, `(nil)`, and lists numbered, one item per
    line."""
    if value is None:
        return "(nil)"
    if isinstance(value, bytes):
        return quote(value)
    if isinstance(value, CommandFailed):
        return f"(error) {printable(value.message)}"
    if isinstance(value, list):
        if not value:
            return "(empty list)"
        width = len(str(len(value)))
        lines = []
        for number, item in enumerate(value, start=1):
            first, *rest = typed(item).split("\n")
            lines.append(f"{number:>{width}}) {first}")
            lines += [" " * (width + 2) + line for line in rest]
        return "\n".join(lines)
    return str(value)


def printable(text: str) -> str:
    """A text with its control characters escaped, also C1 and bidirectional ones, which a terminal would obey."""
    if text.isprintable():
        return text
    pieces = (
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )
    return "".join(pieces)


def raw(value: Result) -> bytes:
    """A result for a pipe: the bytes themselves, nil as nothing, and each item of a list on a line of its own."""
    if value is None:
        return b""
    if isinstance(value, CommandFailed):
        return f"(error) {value.message}".encode("utf-8", "backslashreplace")
    if isinstance(value, bytes):
        return value
    if isinstance(value, list):
        return b"\n".join(raw(item) for item in value)
    return str(value).encode()


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns under headers, aligned left, or right if all cells are whole numbers. No line ends in spaces."""
    rows = [tuple(map(printable, row)) for row in rows]
    columns = list(zip(*rows, strict=True)) if rows else [() for _ in headers]
    numeric = [all(cell.lstrip("-").isdigit() or cell in ("", "-") for cell in column) for column in columns]
    widths = [
        max(width(text) for text in (header, *column))
        for header, column in zip(headers, columns, strict=True)
    ]
    lines = []
    for cells in (headers, *rows):
        parts = []
        for cell, right, size in zip(cells, numeric, widths, strict=True):
            padding = " " * (size - width(cell))
            parts.append(padding + cell if right else cell + padding)
        lines.append("  ".join(parts).rstrip())
    return "\n".join(lines)


def nodes(addresses: Sequence[tuple[str, str]], leader: str | None) -> str:
    """One line for each node, given as (id, HOST:PORT), in order: its id, its URL, and whether it leads."""
    shown = [
        (printable(node_id), printable(url_of(address)), node_id == leader) for node_id, address in addresses
    ]
    size = max((width(url) for _, url, _ in shown), default=0)
    ids = max((width(node_id) for node_id, _, _ in shown), default=0)
    return "\n".join(
        f"  {node_id:<{ids}}  {url:<{size}}{'  leader' if is_leader else ''}".rstrip()
        for node_id, url, is_leader in shown
    )


def url_of(address: str) -> str:
    """The URL of the node at `address`; a text that is not an address is returned unchanged."""
    try:
        return parse_endpoint(address).url()
    except BadAddress:
        return address


def width(text: str) -> int:
    """The columns of a terminal that `text` takes: wide characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


def shorten(text: str, columns_max: int) -> str:
    """`text`, cut with an ellipsis if it has more characters than `columns_max`."""
    return text if len(text) <= columns_max else text[: columns_max - 1] + "…"


def fit(text: str, columns_max: int) -> str:
    """`text`, cut so that it takes no more than `columns_max` columns of a terminal."""
    if width(text) <= columns_max:
        return text
    if columns_max < 1:
        return ""
    columns = 1  # for the ellipsis
    for position, character in enumerate(text):
        columns += width(character)
        if columns > columns_max:
            return text[:position] + "…"
    return text


def duration(seconds: float) -> str:
    """A length of time in its two largest units: `3 h 12 min`."""
    whole = int(seconds)
    units = [("d", whole // 86400), ("h", whole // 3600 % 24), ("min", whole // 60 % 60), ("s", whole % 60)]
    while len(units) > 1 and units[0][1] == 0:
        units.pop(0)
    return " ".join(f"{amount} {unit}" for unit, amount in units[:2])
