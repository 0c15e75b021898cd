"""Completions, and the grey hint after the cursor. Pure, without prompt_toolkit.

Names and options are known here. Keys, queues, locks, nodes and paths are not: `wanted` says which of them fit at the
cursor, and the caller of `suggest` passes those that it could find in time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from cli.console import render
from cli.console.render import encoded
from cli.line import syntax
from cli.line.lexer import BLANKS, Word, scan
from cli.line.vocabulary import find, offered
from cli.line.words import ShellCommand


class Kind(Enum):
    """The kinds of words, beside names and options, that may be completed at the cursor."""

    KEY = "key"
    QUEUE = "queue"
    LOCK = "lock"
    NODE = "node"
    PATH = "path"


KINDS = {
    "KEY": Kind.KEY,
    "PREFIX": Kind.KEY,
    "AFTER": Kind.KEY,
    "QUEUE": Kind.QUEUE,
    "NAME": Kind.LOCK,
    "NODE": Kind.NODE,
    "FILE": Kind.PATH,
}
"""The names of arguments in a syntax for which there are completions."""
LISTING = {"queues": Kind.QUEUE, "locks": Kind.LOCK}
"""Commands that list names of another kind than keys, so that a key in their syntax is one of those."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A completion: `text` replaces the text from offset `start` to the cursor. `description` is one line for people.
    `goes_on`: arguments follow, so that a space belongs after it."""

    text: str
    start: int
    description: str
    goes_on: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """The word at the cursor could be completed by words of this kind that begin with `prefix`."""

    kind: Kind
    prefix: bytes


@dataclass(frozen=True, slots=True)
class _Place:
    """The place of the cursor: after `command` (None: at a name) and some arguments, with `left` of its syntax still to
    come. `typed` is the word at the cursor, which begins at offset `start`."""

    command: ShellCommand | None
    left: tuple[syntax.Item, ...]
    typed: Word | None
    start: int

    @property
    def text(self) -> str:
        """The word at the cursor as far as it is typed."""
        return "" if self.typed is None else self.typed.text


def wanted(text: str, cursor: int) -> Wanted | None:
    """The kind of words that could complete `text` at offset `cursor`, beside names and options; None if there is
    none."""
    place = _place(text, cursor)
    if place is None or place.command is None:
        return None
    kind = _kind(place.command, syntax.expected(place.left))
    return None if kind is None else Wanted(kind, b"" if place.typed is None else place.typed.value)


def suggest(
    text: str,
    cursor: int,
    keys: Sequence[bytes] = (),
    *,
    names: Sequence[bytes] = (),
    nodes: Sequence[str] = (),
    paths: Sequence[bytes] = (),
    local: bool = False,
) -> list[Suggestion]:
    """The completions of `text` at offset `cursor`: options first, then the given words, in their order.

    `keys`, `names` of queues or locks, `nodes` and `paths` are offered where one of those fits, if they begin with the
    word at the cursor. With `local` the shell runs its own cluster, and its commands are offered.
    """
    place = _place(text, cursor)
    if place is None:
        return []
    if place.command is None:
        return _names(place, local=local)
    expected = syntax.expected(place.left)
    suggestions = _options(place, expected)
    if expected.argument == "COMMAND":
        suggestions += _names(place, local=local, go_on=False)
    brought: dict[Kind, Sequence[bytes]] = {
        Kind.KEY: keys,
        Kind.QUEUE: names,
        Kind.LOCK: names,
        Kind.NODE: [encoded(node) for node in nodes],
        Kind.PATH: paths,
    }
    kind = _kind(place.command, expected)
    if kind is None:
        return suggestions
    goes_on = bool(syntax.remaining(place.left, [expected.argument or ""]))
    begun = b"" if place.typed is None else place.typed.value
    spell = render.quote if place.typed is not None and place.typed.quoted else render.word
    for candidate in brought[kind]:
        if candidate.startswith(begun):
            # The path of a folder goes on with a name in it.
            more = goes_on and not (kind is Kind.PATH and candidate.endswith(b"/"))
            suggestions.append(Suggestion(spell(candidate), place.start, kind.value, more))
    return suggestions


def _kind(command: ShellCommand, expected: syntax.Expected) -> Kind | None:
    """The kind of words that may come next as an argument, None if they cannot be completed."""
    kind = KINDS.get(expected.argument or "")
    return LISTING.get(command.name, kind) if kind is Kind.KEY else kind


def _names(place: _Place, *, local: bool, go_on: bool = True) -> list[Suggestion]:
    """The names of commands that begin with the word at the cursor."""
    begun = place.text.lower()
    return [
        Suggestion(command.name, place.start, command.summary, go_on and bool(command.items))
        for command in offered(local=local)
        if command.name.startswith(begun)
    ]


def _options(place: _Place, expected: syntax.Expected) -> list[Suggestion]:
    """The keywords that fit at the cursor, in the case in which the word was begun."""
    begun = place.text
    suggestions: list[Suggestion] = []
    if place.typed is not None and place.typed.quoted:
        return suggestions
    for keyword in expected.keywords:
        if keyword.lower().startswith(begun.lower()):
            spelt = keyword.lower() if begun.islower() else keyword.upper() if begun.isupper() else keyword
            goes_on = bool(syntax.remaining(place.left, [keyword]))
            suggestions.append(Suggestion(spelt, place.start, "option", goes_on))
    return suggestions


def argument_hint(text: str, cursor: int) -> str:
    """The rest of the syntax of the command before the cursor: `set k` gives ` VALUE` and what may follow it.

    Empty if nothing is missing, if the cursor is not at the end, or if the command is unknown.
    """
    if cursor != len(text):
        return ""
    words, typed, _ = _words_before(text, cursor)
    command, arguments = _command([*words, *([] if typed is None else [typed])])
    if command is None:
        return ""
    left = syntax.remaining(command.items, [word.text for word in arguments])
    space = "" if typed is None and text.endswith(tuple(BLANKS)) else " "
    return space + " ".join(map(str, left)) if left else ""


def _place(text: str, cursor: int) -> _Place | None:
    """The place of the cursor; None if nothing can be completed there."""
    words, typed, is_open = _words_before(text, cursor)
    start = cursor if typed is None else typed.start
    if typed is not None and typed.quoted and not is_open:
        return None  # the string is complete
    command, arguments = _command(words)
    if command is None:
        # The arguments of an unknown command cannot be completed.
        return None if arguments or (typed is not None and typed.quoted) else _Place(None, (), typed, start)
    left = syntax.remaining(command.items, [word.text for word in arguments])
    return None if left is None else _Place(command, left, typed, start)


def _command(words: Sequence[Word]) -> tuple[ShellCommand | None, Sequence[Word]]:
    """The command in `words` and its arguments so far; if an argument is a command itself, that one.

    If there is no such command, None and the words.
    """
    while words:
        command = find(words[0].text)
        if command is None:
            return None, words
        arguments = words[1:]
        inner = command.command_line_at
        if inner is None or len(arguments) < inner:
            return command, arguments
        words = arguments[inner:]
    return None, ()


def _words_before(text: str, cursor: int) -> tuple[list[Word], Word | None, bool]:
    """The complete words of the command at the cursor, the word that the cursor touches or None, and whether that is a
    string that is not closed yet."""
    before = text[:cursor]
    scanned = scan(before)
    words = list(scanned.commands[-1])
    if words and words[-1].end == len(before):
        return words[:-1], words[-1], scanned.problem is not None
    return words, None, False
