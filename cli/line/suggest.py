"""What could be typed next: completions, and the grey hint after the cursor. Pure, and free of
prompt_toolkit.

Names and options are known here. Keys, nodes and paths are not: `wanted` says which of them belong at the cursor,
and whoever asks `suggest` brings what it could find of them, in time or not at all.
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
    """What may stand at the cursor, beside names and options, which are always known."""

    KEY = "key"
    NODE = "node"
    PATH = "path"


KINDS = {
    "KEY": Kind.KEY,
    "PREFIX": Kind.KEY,
    "AFTER": Kind.KEY,
    "NODE": Kind.NODE,
    "ID": Kind.NODE,
    "FILE": Kind.PATH,
}
"""The names of arguments, in a syntax, of which there is something to offer."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """`text` may replace what stands from offset `start` to the cursor; `description` is one line for
    people. `goes_on`: arguments follow, so that a space belongs after it."""

    text: str
    start: int
    description: str
    goes_on: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """Things of one kind that begin with `prefix` would help to complete the word at the cursor."""

    kind: Kind
    prefix: bytes


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the cursor is: after `command` (None: where a name belongs) and some arguments, with `left` of
    its syntax to come; the word begun there has `typed` so far, from offset `start`."""

    command: ShellCommand | None
    left: tuple[syntax.Item, ...]
    typed: Word | None
    start: int

    @property
    def text(self) -> str:
        """The word at the cursor, as far as it is there."""
        return "" if self.typed is None else self.typed.text


def wanted(text: str, cursor: int) -> Wanted | None:
    """What, beside names and options, could complete `text` at offset `cursor`."""
    place = _place(text, cursor)
    if place is None or place.command is None:
        return None
    kind = KINDS.get(syntax.expected(place.left).argument or "")
    return None if kind is None else Wanted(kind, b"" if place.typed is None else place.typed.value)


def suggest(
    text: str,
    cursor: int,
    keys: Sequence[bytes] = (),
    *,
    nodes: Sequence[str] = (),
    paths: Sequence[bytes] = (),
    local: bool = False,
) -> list[Suggestion]:
    """The completions of `text` at offset `cursor`: options first, then what was brought, in the order given.

    `keys`, `nodes`, `paths`: what to offer where one of those belongs; what does not begin as the word at the
    cursor does is left out. `local`: the shell runs its own cluster, whose commands are offered.
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
        Kind.NODE: [encoded(node) for node in nodes],
        Kind.PATH: paths,
    }
    kind = KINDS.get(expected.argument or "")
    if kind is None:
        return suggestions
    goes_on = bool(syntax.remaining(place.left, [expected.argument or ""]))
    begun = b"" if place.typed is None else place.typed.value
    spell = render.quote if place.typed is not None and place.typed.quoted else render.word
    for candidate in brought[kind]:
        if candidate.startswith(begun):
            # A folder goes on with what is in it.
            more = goes_on and not (kind is Kind.PATH and candidate.endswith(b"/"))
            suggestions.append(Suggestion(spell(candidate), place.start, kind.value, more))
    return suggestions


def _names(place: _Place, *, local: bool, go_on: bool = True) -> list[Suggestion]:
    """The names of commands that begin as the word at the cursor does; those with a dot only if it has one, too, or
    nothing is there yet."""
    begun = place.text.lower()
    return [
        Suggestion(command.name, place.start, command.summary, go_on and bool(command.items))
        for command in offered(local=local)
        if command.name.startswith(begun)
    ]


def _options(place: _Place, expected: syntax.Expected) -> list[Suggestion]:
    """The keywords that may stand at the cursor, in the case in which the word was begun."""
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
    """What is still missing of the command before the cursor, from its syntax: `set k` gives ` VALUE` and what may
    follow it.

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
    """Where the cursor is; None where nothing can be completed."""
    words, typed, is_open = _words_before(text, cursor)
    start = cursor if typed is None else typed.start
    if typed is not None and typed.quoted and not is_open:
        return None  # the string is complete
    command, arguments = _command(words)
    if command is None:
        # An unknown command has unknown arguments.
        return None if arguments or (typed is not None and typed.quoted) else _Place(None, (), typed, start)
    left = syntax.remaining(command.items, [word.text for word in arguments])
    return None if left is None else _Place(command, left, typed, start)


def _command(words: Sequence[Word]) -> tuple[ShellCommand | None, Sequence[Word]]:
    """(the command that `words` spell, its arguments so far): the innermost one, if an argument is a command itself.

    Without a command: None, and the words that are none.
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
    """(whole words of the command at the cursor, the word that the cursor touches or None, whether that is a string
    that is not closed yet)."""
    before = text[:cursor]
    scanned = scan(before)
    words = list(scanned.commands[-1])
    if words and words[-1].end == len(before):
        return words[:-1], words[-1], scanned.problem is not None
    return words, None, False
