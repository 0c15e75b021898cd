"""Help texts from the tables of commands. Pure: `columns` is the width of the terminal."""

from collections.abc import Iterable, Mapping, Sequence
from textwrap import wrap
from typing import Protocol

from raftdb.commands.spec import COMMANDS, Example, specs_by_group

_SYNTAX_COLUMNS = 31
_SUMMARY_COLUMNS_MIN = 24
"""On a narrower terminal the lines are not broken here, but by the terminal."""


class Described(Protocol):
    """A row of any table of commands."""

    @property
    def syntax(self) -> str:
        """The name and its arguments."""
        ...

    @property
    def summary(self) -> str:
        """What it does, in one line."""
        ...

    @property
    def examples(self) -> Sequence[Example]:
        """Example lines with their replies."""
        ...


def listing(headings: Mapping[str, Iterable[Described]], columns: int) -> list[str]:
    """The lines that list commands under their headings, with an empty line after each group."""
    lines: list[str] = []
    for heading, rows in headings.items():
        lines += [f"{heading}:", *(line for row in rows for line in _row(row, columns)), ""]
    return lines


def _row(row: Described, columns: int) -> list[str]:
    """The lines of one command in a list; a long syntax has a line of its own."""
    is_short = len(row.syntax) <= _SYNTAX_COLUMNS
    lefts = [row.syntax] if is_short else [row.syntax, ""]
    margin = 2 + _SYNTAX_COLUMNS + 1
    summary = _wrapped(row.summary, columns - margin)
    lefts += [""] * (len(summary) - 1)
    rights = summary if is_short else ["", *summary]
    return [
        f"  {left:<{_SYNTAX_COLUMNS}} {right}".rstrip() for left, right in zip(lefts, rights, strict=True)
    ]


def _wrapped(text: str, columns: int) -> list[str]:
    """The text broken into lines; at least one."""
    width = max(columns, _SUMMARY_COLUMNS_MIN)
    return wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]


def commands(columns: int) -> list[str]:
    """The lines that list all commands of the database."""
    return listing({str(group): specs for group, specs in specs_by_group().items() if specs}, columns)


def command(row: Described, columns: int) -> str:
    """Syntax, summary and examples of one command."""
    lines = [row.syntax, *(f"  {line}" for line in _wrapped(row.summary, columns - 2))]
    for example in row.examples:
        lines += [f"  > {example.line}", *(f"  {line}" for line in example.reply.split("\n"))]
    return "\n".join(lines)


def unseen_space(words: Sequence[bytes]) -> str | None:
    """A hint for a line with a space that does not separate words, although it looks like one that does. None if there
    is no such space."""
    for word in words:
        for character in word.decode("utf-8", "replace"):
            if character.isspace() and not character.isascii():
                return (
                    f"the space U+{ord(character):04X} is part of a word: only ordinary spaces separate words"
                )
    return None


def missing_space(word: str) -> str | None:
    """A hint for an unknown word that begins with the name of a command: `setkunci` was meant as
    `set kunci`. None for other words."""
    begun = [spec for name, spec in COMMANDS.items() if word.lower().startswith(name)]
    takes_arguments = [spec for spec in begun if spec.arity.maximum != 0]
    if not takes_arguments:
        return None
    spec = max(takes_arguments, key=lambda spec: len(spec.name))
    return f"a space is missing? the syntax is: {spec.syntax}"
