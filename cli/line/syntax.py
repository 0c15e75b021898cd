"""Reading the syntax of a command, and finding what may come next. Pure.

A syntax is a name and its arguments: `set KEY VALUE [EX SECONDS | PX MILLISECONDS | KEEPTTL] [NX | XX]`.

* A word in capitals is an argument, one in small letters is a *keyword*, and `a|b`, without spaces, is one of several
  keywords.
* A part in brackets may be left out; `[A | B]` is one of several parts, each of which begins with a keyword, in
  capitals or not. So does `[COUNT NUMBER]`, where an argument follows. `...` at the end of a part means that it may be
  repeated, and that its words are arguments: `[KEY VALUE ...]`.
* Parts in brackets that begin with keywords may come in any order, and keywords may have any case, as in Redis.
* `COMMAND...` is a whole command with arguments of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

COMMAND_LINE = "COMMAND..."
"""The name of an argument that is a command with arguments of its own."""


@dataclass(frozen=True, slots=True)
class Argument:
    """Any word; `name` describes it."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Keyword:
    """One of these words, in any case."""

    words: tuple[str, ...]

    def __str__(self) -> str:
        return "|".join(self.words)


@dataclass(frozen=True, slots=True)
class Optional:
    """One of these parts, or none; with `repeats`, any number of times."""

    parts: tuple[tuple["Item", ...], ...]
    repeats: bool = False

    def __str__(self) -> str:
        parts = " | ".join(" ".join(map(str, part)) for part in self.parts)
        return f"[{parts}{' ...' if self.repeats else ''}]"


Item: TypeAlias = Argument | Keyword | Optional


@dataclass(frozen=True, slots=True)
class Expected:
    """The words that may come next: any of `keywords`, or an argument with this name (None: no argument)."""

    keywords: tuple[str, ...] = ()
    argument: str | None = None


@cache
def parse(syntax: str) -> tuple[Item, ...]:
    """The items after the name in a syntax. Raises `ValueError` for brackets that do not match."""
    tokens = syntax.replace("[", " [ ").replace("]", " ] ").split()[1:]
    items, position = _part(tokens, 0, is_choice=False)
    if position != len(tokens):
        raise ValueError(f"brackets do not match in the syntax {syntax!r}")
    return items


def _part(tokens: Sequence[str], position: int, *, is_choice: bool) -> tuple[tuple[Item, ...], int]:
    """The items of this part, and the position of the token that ends it."""
    items: list[Item] = []
    while position < len(tokens) and tokens[position] not in ("]", "|", "..."):
        token = tokens[position]
        if token == "[":
            item, position = _optional(tokens, position + 1)
            items.append(item)
        elif token != token.upper() or "|" in token or (is_choice and not items):
            items.append(Keyword(tuple(token.split("|"))))
        else:
            items.append(Argument(token))
        position += 1
    return tuple(items), position


def _optional(tokens: Sequence[str], position: int) -> tuple[Optional, int]:
    """The item in the brackets that were just opened, and the position of the closing one."""
    depth, end, is_choice = 0, position, False
    while end < len(tokens) and (depth or tokens[end] != "]"):
        depth += (tokens[end] == "[") - (tokens[end] == "]")
        is_choice = is_choice or (tokens[end] == "|" and depth == 0)
        end += 1
    inside = tokens[position:end]
    is_choice = is_choice or (len(inside) > 1 and not {"[", "..."} & set(inside))
    parts: list[tuple[Item, ...]] = []
    while True:
        part, position = _part(tokens, position, is_choice=is_choice)
        parts.append(part)
        if tokens[position : position + 1] != ["|"]:
            break
        position += 1
    repeats = tokens[position : position + 1] == ["..."]
    position += repeats
    if tokens[position : position + 1] != ["]"]:
        raise ValueError("a bracket is not closed")
    return Optional(tuple(parts), repeats), position


def remaining(items: Sequence[Item], words: Sequence[str]) -> tuple[Item, ...] | None:
    """The part of `items` that may still come after `words`; None if there are too many words, or unknown ones."""
    left: tuple[Item, ...] | None = tuple(items)
    for word in words:
        if left is None:
            return None
        left = _after(left, word)
    return left


def _after(items: tuple[Item, ...], word: str) -> tuple[Item, ...] | None:
    """The part of `items` that is left after one more word; None if the word does not fit."""
    options: list[Optional] = []
    for item in items:
        if not isinstance(item, Optional):
            break
        options.append(item)
    required = items[len(options) :]
    for position, option in enumerate(options):
        for part in option.parts:
            if isinstance(part[0], Keyword) and word.lower() in map(str.lower, part[0].words):
                return (*part[1:], *_others(options, position), *required)
    for position, option in enumerate(options):
        (part, *_) = option.parts
        if not isinstance(part[0], Keyword):
            return (*part[1:], *_others(options, position), *required)
    return required[1:] if required else None


def _others(options: Sequence[Optional], chosen: int) -> list[Optional]:
    """The options that are left after one was chosen, which stays if it repeats."""
    return [option for position, option in enumerate(options) if position != chosen or option.repeats]


def expected(items: Sequence[Item]) -> Expected:
    """The words that may come first of `items`."""
    keywords: list[str] = []
    arguments: list[str] = []
    for item in items:
        firsts = [part[0] for part in item.parts] if isinstance(item, Optional) else [item]
        for first in firsts:
            if isinstance(first, Keyword):
                keywords += first.words
            else:
                arguments.append(str(first))
        if not isinstance(item, Optional):
            break
    return Expected(tuple(keywords), arguments[0] if arguments else None)


def arity(items: Sequence[Item]) -> tuple[int, int | None]:
    """The fewest and the most words that `items` take; None is no limit."""
    fewest, most = 0, 0
    endless = False
    for item in items:
        if not isinstance(item, Optional):
            fewest, most = fewest + 1, most + 1
            endless = endless or str(item) == COMMAND_LINE
            continue
        longest = [arity(part)[1] for part in item.parts]
        endless = endless or item.repeats or None in longest
        most += max(length or 0 for length in longest)
    return fewest, None if endless else most
