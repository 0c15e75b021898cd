"""The colours of a line, as offsets and styles, which `cli.prompt.completer` shows. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from cli.line import syntax
from cli.line.lexer import Word, scan
from cli.line.vocabulary import find, offered
from cli.line.words import ShellCommand

_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Span:
    """`text[start:end]` is shown as `style`: command, unknown, option, string, number, comment or error."""

    start: int
    end: int
    style: str


def spans(text: str) -> list[Span]:
    """The parts of `text` with a style of their own, in order. They do not overlap, and none contains a line end."""
    scanned = scan(text)
    found = [Span(start, end, "comment") for start, end in scanned.comments]
    for words in scanned.commands:
        found += _of_command(words, len(text))
    problem = scanned.problem
    if problem is not None:
        # Nothing after the problem was parsed, so the rest of the line is shown as an error. At the very end that is
        # empty.
        line_end = text.find("\n", problem.position)
        end = len(text) if line_end < 0 else line_end
        found = [_cut(span, problem.position) for span in found if span.start < problem.position]
        found.append(Span(problem.position, end, "error"))
    return sorted((span for span in found if span.start < span.end), key=lambda span: span.start)


def _cut(span: Span, end: int) -> Span:
    return Span(span.start, min(span.end, end), span.style)


def _of_command(words: Sequence[Word], end: int) -> list[Span]:
    """The spans of one command, and of a command that is its argument."""
    found: list[Span] = []
    while words:
        name, arguments = words[0], words[1:]
        command = find(name.text)
        found.append(Span(name.start, name.end, _style_of_name(name, command, end)))
        inner = None if command is None else command.command_line_at
        left = () if command is None else command.items
        for word in arguments[:inner]:
            found += _of_argument(word, left)
            left = syntax.remaining(left, [word.text]) or ()
        words = () if inner is None else arguments[inner:]
    return found


def _style_of_name(name: Word, command: ShellCommand | None, end: int) -> str:
    """The style of a name. One that is still being typed is not unknown while a command begins with it."""
    if command is not None:
        return "command"
    begun = name.end == end and any(other.name.startswith(name.text.lower()) for other in offered(local=True))
    return "command" if begun else "unknown"


def _of_argument(word: Word, left: Sequence[syntax.Item]) -> list[Span]:
    if word.quoted:
        return [Span(word.start, word.end, "string")]
    if word.text.upper() in map(str.upper, syntax.expected(left).keywords):
        return [Span(word.start, word.end, "option")]
    return [Span(word.start, word.end, "number")] if _NUMBER.fullmatch(word.text) else []
