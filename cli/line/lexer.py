r"""Splitting a line into words. Pure; `render.quote` is its inverse for any byte string.

* The blanks of ASCII separate words: space, tab, carriage return, vertical tab, form feed. Any other space, such as
  U+00A0 or U+3000, is a character of a word.
* `;` and line ends separate commands. `#` at the start of a command begins a comment.
* In `"..."` there are the escapes `\n \t \r \0 \" \\` and `\xNN` (one byte); `'...'` is literal, except for `\'` and
  `\\`.
* A quote counts only at the start of a word, so that `it's` is a word; outside quotes a backslash is an ordinary
  character.
* A quoted string must end on its line.

Words are bytes: text is encoded as UTF-8, and bytes of the command line that are not UTF-8 (lone surrogates, PEP 383)
stay unchanged.
"""

import re
from dataclasses import dataclass

from cli.console.render import encoded
from raftdb.errors import required

BLANKS = " \t\r\v\f"
"""The characters that separate words."""
_ESCAPES = {"n": b"\n", "t": b"\t", "r": b"\r", "0": b"\0", '"': b'"', "\\": b"\\"}
_SEPARATORS = ";\n"
_BARE_WORD = re.compile(f"[^{BLANKS}{_SEPARATORS}]+")
_PLAIN_IN_QUOTES = re.compile(r"""[^"'\\\n]+""")


@dataclass(frozen=True, slots=True)
class Word:
    """One word: its bytes, the offsets in the text where its source begins and ends, and whether it was quoted."""

    value: bytes
    start: int
    end: int
    quoted: bool

    @property
    def text(self) -> str:
        """The word as text, for names of commands and nodes."""
        return self.value.decode("utf-8", "surrogateescape")


@dataclass(frozen=True, slots=True)
class Problem:
    """The problem of a text, and its offset in characters."""

    message: str
    position: int


@dataclass(frozen=True, slots=True)
class Scan:
    """All commands of a text, with empty ones between separators, the (start, end) of its comments, and the first
    problem, if there is one.

    Scanning stops at a problem. The word with the problem is kept as far as it was parsed, because the text may be a
    line that is still being typed.
    """

    commands: tuple[tuple[Word, ...], ...]
    problem: Problem | None
    comments: tuple[tuple[int, int], ...] = ()


class LexError(ValueError):
    """The text cannot be split, because of `problem`."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def split(text: str) -> list[tuple[Word, ...]]:
    """The commands of `text`, without empty ones. Raises `LexError`."""
    scanned = scan(text)
    if scanned.problem is not None:
        raise LexError(scanned.problem)
    return [command for command in scanned.commands if command]


def scan(text: str) -> Scan:
    """The commands of `text` as far as they can be parsed. Never raises."""
    commands: list[tuple[Word, ...]] = []
    words: list[Word] = []
    comments: list[tuple[int, int]] = []
    position = 0
    problem: Problem | None = None
    while position < len(text) and problem is None:
        character = text[position]
        if character in _SEPARATORS:
            commands.append(tuple(words))
            words = []
            position += 1
        elif character in BLANKS:
            position += 1
        elif character == "#" and not words:
            end = text.find("\n", position)
            end = len(text) if end < 0 else end
            comments.append((position, end))
            position = end
        else:
            word, problem = _read_word(text, position)
            words.append(word)
            position = word.end
    return Scan((*commands, tuple(words)), problem, tuple(comments))


def _read_word(text: str, start: int) -> tuple[Word, Problem | None]:
    if text[start] not in "\"'":
        found = required(_BARE_WORD.match(text, start), "word where neither a blank nor a separator is")
        return Word(encoded(found[0]), start, found.end(), quoted=False), None
    value, end, problem = _read_quoted(text, start)
    if problem is None and _BARE_WORD.match(text, end):
        problem = Problem(f"a space is missing after the closing {text[start]}", end)
    return Word(value, start, end, quoted=True), problem


def _read_quoted(text: str, start: int) -> tuple[bytes, int, Problem | None]:
    """The bytes, the offset after the closing quote, and the problem of the quoted string that begins at `start`."""
    quote = text[start]
    pieces: list[bytes] = []
    position = start + 1
    while position < len(text) and text[position] != "\n":
        character = text[position]
        if character == quote:
            return b"".join(pieces), position + 1, None
        if character != "\\":
            plain = _PLAIN_IN_QUOTES.match(text, position)
            source = character if plain is None else plain[0]  # the other kind of quote
            pieces.append(encoded(source))
            position += len(source)
            continue
        piece, length = _read_escape(text, position, quote)
        if length == 0:
            problem = Problem(f"unknown escape {text[position : position + 2]} in double quotes", position)
            return b"".join(pieces), len(text), problem
        pieces.append(piece)
        position += length
    kind = "double" if quote == '"' else "single"
    return b"".join(pieces), position, Problem(f"unbalanced {kind} quote: {quote} is never closed", start)


def _read_escape(text: str, position: int, quote: str) -> tuple[bytes, int]:
    """The bytes and the length of the source of the escape at `position`; length 0 if it is unknown."""
    following = text[position + 1 : position + 2]
    if quote == "'":
        return (encoded(following), 2) if following in ("'", "\\") else (b"\\", 1)
    if following == "x":
        digits = text[position + 2 : position + 4]
        if len(digits) == 2 and all(digit in "0123456789abcdefABCDEF" for digit in digits):
            return bytes.fromhex(digits), 4
        return b"", 0
    if not following:
        return b"\\", 1  # at the end of the line the problem is the missing quote
    escaped = _ESCAPES.get(following)
    return (b"", 0) if escaped is None else (escaped, 2)
