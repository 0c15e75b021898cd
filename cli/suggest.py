"""What could be typed next: completions, and the grey hint behind the cursor. Pure, and free of
prompt_toolkit."""

from collections.abc import Sequence
from dataclasses import dataclass

from cli.dot_commands import DOT_COMMANDS
from cli.lexer import Word, scan
from raftdb.commands.spec import CommandSpec, lookup, specs_by_name


@dataclass(frozen=True, slots=True)
class Suggestion:
    """`text` may replace what stands from offset `start` to the cursor; `description` is one line for
    people. `goes_on`: arguments follow, so that a space belongs behind it."""

    text: str
    start: int
    description: str
    goes_on: bool = False


def suggest(text: str, cursor: int, *, nodes: Sequence[str] = (), local: bool = False) -> list[Suggestion]:
    """The completions of `text` at offset `cursor`, sorted.

    `nodes`: ids to offer where a node belongs. `local`: the shell runs its own cluster, whose commands are
    offered.
    """
    words, current = _before_cursor(text, cursor)
    if current is not None and current.quoted:
        return []
    typed = "" if current is None else current.text
    start = cursor if current is None else current.start
    if not words:
        candidates = _names(local=local)
    elif len(words) > 1:
        candidates = []
    elif words[0].text.lower() == ".help":
        candidates = [(name, description, False) for name, description, _ in _names(local=local)]
    else:
        dot = DOT_COMMANDS.get(words[0].text.lower())
        takes_node = dot is not None and dot.takes_node
        candidates = [(node, "node", False) for node in sorted(nodes)] if takes_node else []
    return [
        Suggestion(name, start, description, goes_on)
        for name, description, goes_on in candidates
        if name.startswith(typed.lower())
    ]


def _names(*, local: bool) -> list[tuple[str, str, bool]]:
    """(name, description, whether it takes arguments) of all commands, those of the database first."""
    names = [(spec.name, spec.summary, spec.arity.maximum != 0) for spec in specs_by_name()]
    names += [
        (name, dot.summary, dot.arity[1] > 0)
        for name, dot in sorted(DOT_COMMANDS.items())
        if local or not dot.local
    ]
    return names


def argument_hint(text: str, cursor: int) -> str:
    """What is still missing of the command before the cursor, from its syntax: `set k` gives ` VALUE`.

    Empty if nothing is missing, if the cursor is not at the end, or if the command is unknown.
    """
    if cursor != len(text):
        return ""
    words, current = _before_cursor(text, cursor)
    typed = [*words, *([] if current is None else [current])]
    if not typed or (len(typed) == 1 and text.endswith(";")):
        return ""
    name = typed[0].text.lower()
    spec = lookup(name)
    if spec is not None:
        missing = missing_arguments(spec, len(typed) - 1)
    elif name in DOT_COMMANDS:
        missing = DOT_COMMANDS[name].syntax.split()[len(typed) :]
    else:
        return ""
    space = "" if current is None and text[-1:].isspace() else " "
    return space + " ".join(missing) if missing else ""


def missing_arguments(spec: CommandSpec, given: int) -> list[str]:
    """The words of `spec.syntax` that come after `given` arguments. What stands in brackets may repeat for ever, or
    are options, which are shown until the first of them is typed."""
    before, bracket, repeated = spec.syntax.partition(" [")
    fixed = before.split()[1:]
    more = (bracket + repeated).split()
    if given <= len(fixed):
        return fixed[given:] + more
    if not more or spec.arity.maximum is not None:
        return []
    begun = (given - len(fixed)) % spec.arity.step
    names = repeated.rstrip("]").removesuffix("...").split()
    return (names[begun:] if begun else []) + more


def _before_cursor(text: str, cursor: int) -> tuple[list[Word], Word | None]:
    """(whole words of the command at the cursor, the word that the cursor touches or None)."""
    before = text[:cursor]
    words = list(scan(before).commands[-1])
    if words and words[-1].end == len(before):
        return words[:-1], words[-1]
    return words, None
