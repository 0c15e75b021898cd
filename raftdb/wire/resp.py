"""The Redis protocol, RESP: requests taken apart; `raftdb.wire.resp_replies` puts replies together. No sockets.

A request is an array of bulk strings, or one line of words that a person typed (inline). `RequestReader` takes a stream
apart however it was cut on its way, and refuses what Redis refuses, in Redis' words. Everything that it holds is
bounded by `RequestLimits`.

Most of what clients send are short requests that arrive whole, many in one piece. One `bytes.split` finds all lines of
such a piece, and each request is then checked by comparing its lengths with what the lines say: 0.5 us for a `SET`,
where a parser that goes from line to line takes 1.1. What does not fit (a long argument, one with a line break in it,
the beginning of a request) is left to the latter.

Considered and rejected: parsing with hiredis (a C library for clients). It reads replies and not requests: nested and
typed elements, and arrays of any announced length, for which it takes the memory at once, have to be kept from it or
found in what it returns. With such a guard it takes 0.34 us for the same `SET` where it comes among others, and no less
than the above where it comes alone. A fifth of a microsecond is not worth a second grammar. The tests compare with it.
"""

from dataclasses import dataclass

from raftdb.limits import COMMAND_BYTES_CEILING, KEYS_PER_COMMAND_MAX

LINE_BYTES_MAX = 64 * 1024
"""Longest inline request, and longest line that announces a length, as in Redis."""

EVERYTHING = 1 << 62
"""More requests than ever arrive."""

ARGUMENT_BYTES = 64
"""What each argument counts for beside its own bytes: about what Python's object takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLimits:
    """What one request may hold: arguments, bytes of one of them, and bytes of all with `ARGUMENT_BYTES` for each.

    The defaults are above what the node accepts of a command, so that too large a command gets an answer that says so,
    and only what is far beyond costs the connection.
    """

    arguments_max: int = 1024 * 1024
    argument_bytes_max: int = COMMAND_BYTES_CEILING
    request_bytes_max: int = COMMAND_BYTES_CEILING + 3 * KEYS_PER_COMMAND_MAX * ARGUMENT_BYTES
    line_bytes_max: int = LINE_BYTES_MAX
    refused: str = "invalid"
    """What too great a number is called."""


DEFAULT_LIMITS = RequestLimits()
STRANGERS_LIMITS = RequestLimits(
    arguments_max=10,
    argument_bytes_max=4096,
    request_bytes_max=8192,
    line_bytes_max=4096,
    refused="unauthenticated",
)
"""Those of clients that have not proved to be users, where they have to: what AUTH and HELLO need, for thousands."""

_COUNTS = {b"*%d" % count: count for count in range(1, 64)}
_BULK_HEADS = [b"$%d" % length for length in range(2048)]
"""The lines before requests of few and arguments of few bytes: larger ones are taken apart line by line."""

_ARRAY, _BULK = b"*$"
_INCOMPLETE = -1


class RequestReader:
    """Takes a stream of requests apart. `error` is why nothing more can be read, None so far: Redis' words, without the
    `ERR` in front."""

    __slots__ = (
        "_arguments",
        "_at_once",
        "_bulk_bytes",
        "_missing",
        "_needed_bytes",
        "_pieces",
        "_pieces_bytes",
        "_request_bytes",
        "error",
        "has_more",
        "limits",
    )

    def __init__(self, limits: RequestLimits = DEFAULT_LIMITS, *, at_once: int = EVERYTHING) -> None:
        """`at_once`: so many requests, and empty lines, are taken apart with each call; then `has_more` is true, and
        the rest is there for the next one."""
        self._at_once = at_once
        self.has_more = False
        self.limits = limits
        """What is read from now on may be so large."""
        self._pieces: list[bytes] = []
        self._pieces_bytes = 0
        self._needed_bytes = 0
        """Below so many bytes there is nothing to be read from the pieces."""
        self._arguments: list[bytes] = []
        self._missing = 0
        """Arguments that are to come of the request that was begun."""
        self._bulk_bytes = _INCOMPLETE
        """The announced length of the next argument."""
        self._request_bytes = 0
        self.error: str | None = None

    @property
    def wanted_bytes(self) -> int:
        """So many more are needed at least until anything is whole, as far as that is known."""
        return max(0, self._needed_bytes - self._pieces_bytes)

    def drop(self) -> None:
        """Forget what is not whole; nothing is fed any more."""
        self._pieces.clear()
        self._arguments, self._request_bytes, self._pieces_bytes, self.has_more = [], 0, 0, False

    @property
    def buffered_bytes(self) -> int:
        """About how much memory the request takes that is not all there."""
        return self._pieces_bytes + self._request_bytes

    def feed(self, data: bytes) -> list[list[bytes]]:
        """Take in bytes that have arrived; returns the requests that are whole now, in order, none of them empty."""
        self.has_more = False
        if self.error is not None:
            return []
        if self._pieces:
            self._pieces.append(data)
            self._pieces_bytes += len(data)
            if self._pieces_bytes < self._needed_bytes:
                return []
            data = b"".join(self._pieces)
            self._pieces.clear()
        requests: list[list[bytes]] = []
        # The request that was begun is read to its end, then short ones at once, and from the first on that is none the
        # rest line by line: so every byte is looked at a bounded number of times.
        rest = data
        if self._missing:
            rest = self._read(rest, requests, count_max=1)
        if rest and not self._missing and self.error is None:
            rest = rest[_read_short(rest, requests, self._at_once) :]
            if rest:
                rest = self._read(rest, requests, count_max=len(rest))
        self._pieces_bytes = len(rest)
        if rest:
            self._pieces.append(rest)
        return requests

    def _read(self, data: bytes, requests: list[list[bytes]], *, count_max: int) -> bytes:
        """Take requests apart line by line, until so many of more than one line are whole; returns the rest, which is
        empty after an error."""
        self._needed_bytes = position = 0
        left = self._at_once - len(requests)
        while True:
            if not self._missing:
                if left <= 0 and position < len(data):
                    self.has_more = True
                    return data[position:]
                left -= 1
            if self._missing:
                end = self._read_argument(data, position)
                if end != _INCOMPLETE and not self._missing:
                    requests.append(self._arguments)
                    self._arguments, self._request_bytes = [], 0
                    count_max -= 1
                    if not count_max:
                        return data[end:]
            elif position < len(data) and data[position] == _ARRAY:
                end = self._read_count(data, position)
            else:
                end = self._read_inline(data, position, requests)
            if end == _INCOMPLETE:
                return data[position:] if self.error is None else b""
            position = end

    def _read_count(self, data: bytes, position: int) -> int:
        end = self._find_line(data, position, "too big mbulk count string")
        if end == _INCOMPLETE:
            return _INCOMPLETE
        count = _number(data[position + 1 : end])
        if count is None or count > self.limits.arguments_max:
            return self._refuse(f"{self.limits.refused} multibulk length")
        self._missing = max(0, count)
        return end + 2

    def _read_argument(self, data: bytes, position: int) -> int:
        if self._bulk_bytes == _INCOMPLETE:
            end = self._find_line(data, position, "too big bulk count string")
            if end == _INCOMPLETE:
                return _INCOMPLETE
            if data[position] != _BULK:
                return self._refuse(f"expected '$', got '{chr(data[position])}'")
            length = _number(data[position + 1 : end])
            if length is None or not 0 <= length <= self.limits.argument_bytes_max:
                return self._refuse(f"{self.limits.refused} bulk length")
            if self._request_bytes + length + ARGUMENT_BYTES > self.limits.request_bytes_max:
                return self._refuse("too big request")
            self._bulk_bytes = length
            return end + 2
        end = position + self._bulk_bytes
        if end + 2 > len(data):
            self._needed_bytes = self._bulk_bytes + 2
            return _INCOMPLETE
        self._arguments.append(data[position:end])
        # What is announced takes no memory: whoever announces much and sends nothing holds nothing.
        self._request_bytes += self._bulk_bytes + ARGUMENT_BYTES
        self._bulk_bytes = _INCOMPLETE
        self._missing -= 1
        # As Redis does, the two bytes after an argument are passed over unread.
        return end + 2

    def _find_line(self, data: bytes, position: int, too_long: str) -> int:
        """Where the line ends that begins at `position`, if also the byte after its carriage return is there."""
        end = data.find(b"\r", position)
        if (len(data) if end < 0 else end) - position > self.limits.line_bytes_max:
            return self._refuse(too_long)
        return end if 0 <= end <= len(data) - 2 else _INCOMPLETE

    def _read_inline(self, data: bytes, position: int, requests: list[list[bytes]]) -> int:
        end = data.find(b"\n", position)
        if (len(data) if end < 0 else end) - position > self.limits.line_bytes_max:
            return self._refuse("too big inline request")
        if end < 0:
            return _INCOMPLETE
        words = split_words(data[position:end])
        if words is None:
            return self._refuse("unbalanced quotes in request")
        if words:
            requests.append(words)
        return end + 1

    def _refuse(self, why: str) -> int:
        self.error = f"Protocol error: {why}"
        self._arguments, self._request_bytes = [], 0
        return _INCOMPLETE


def _read_short(data: bytes, requests: list[list[bytes]], at_once: int) -> int:
    """Take the requests from the beginning of `data` that are whole, and short, until there are `at_once`; returns
    where the others begin."""
    if not data or data[0] != _ARRAY:
        return 0
    lines = data.split(b"\r\n")
    last = len(lines) - 1
    first = 0
    longest = len(_BULK_HEADS)
    while first < last and len(requests) < at_once:
        count = _COUNTS.get(lines[first])
        if count is None:
            break
        end = first + 1 + 2 * count
        if end > last:
            break
        arguments = lines[first + 2 : end : 2]
        for argument, head in zip(arguments, lines[first + 1 : end : 2], strict=True):
            if len(argument) >= longest or _BULK_HEADS[len(argument)] != head:
                break
        else:
            requests.append(arguments)
            first = end
            continue
        break
    if first == last and not lines[last]:
        return len(data)
    return sum(map(len, lines[:first])) + 2 * first


def _number(text: bytes) -> int | None:
    """The integer of at most 64 bits that `text` spells in the one way that Redis reads, else None."""
    digits = text[1:] if text[:1] == b"-" else text
    if not digits.isdigit() or len(digits) > 19 or (digits[0] == ord("0") and text != b"0"):
        return None
    return int(text)


_SPACES = b" \n\r\t\v\f"
_ESCAPES = {ord("n"): 10, ord("r"): 13, ord("t"): 9, ord("b"): 8, ord("a"): 7}
_HEX = b"0123456789abcdefABCDEF"


def split_words(line: bytes) -> list[bytes] | None:
    r"""The words of an inline request, None if quotes are not balanced.

    Within double quotes `\n`, `\xhh` and the like stand for bytes, within single ones only `\'` does; after a closing
    quote a word ends.
    """
    if b'"' not in line and b"'" not in line:
        return line.split()
    words: list[bytes] = []
    position = 0
    while True:
        while position < len(line) and line[position] in _SPACES:
            position += 1
        if position == len(line):
            return words
        word = bytearray()
        while position < len(line) and line[position] not in _SPACES:
            if line[position] not in b"\"'":
                word.append(line[position])
                position += 1
                continue
            position = _read_quoted(line, position, word)
            if position == _INCOMPLETE or (position < len(line) and line[position] not in _SPACES):
                return None
        words.append(bytes(word))


def _read_quoted(line: bytes, position: int, word: bytearray) -> int:
    """Append what stands in the quotes that open at `position`; returns where it goes on behind them."""
    quote = line[position]
    position += 1
    while position < len(line):
        byte = line[position]
        if byte == quote:
            return position + 1
        if byte == ord("\\") and position + 1 < len(line):
            following = line[position + 1]
            if quote == ord("'"):
                if following == quote:
                    byte = following
                    position += 1
            elif following == ord("x") and _is_hex(line[position + 2 : position + 4]):
                byte = int(line[position + 2 : position + 4], 16)
                position += 3
            else:
                byte = _ESCAPES.get(following, following)
                position += 1
        word.append(byte)
        position += 1
    return _INCOMPLETE


def _is_hex(digits: bytes) -> bool:
    return len(digits) == 2 and all(digit in _HEX for digit in digits)
