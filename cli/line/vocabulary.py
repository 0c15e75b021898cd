"""Everything that can be typed into the shell, from its three tables: commands of the database, words of the shell,
commands with a dot. Help, hints, completion and colours read this. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from cli.line import help_text
from cli.line.syntax import COMMAND_LINE, Item, parse
from cli.line.words import SHELL, WORDS
from cli.run.dot_commands import DOT_COMMANDS
from raftdb.commands.row import Example
from raftdb.commands.spec import NAME_CHARACTERS_SHOWN_MAX, suggest_name
from raftdb.commands.spec import specs_by_group as database
from raftdb.errors import RequestRefused

DOT_HEADING = "cluster and shell"
STRINGS = 'strings: "two words", "line\\n", "\\x00", \'as it is\'; several commands: a; b'


@dataclass(frozen=True, slots=True)
class Entry:
    """One command, wherever it comes from. `local`: only in the shell of a cluster that `up` started."""

    name: str
    syntax: str
    summary: str
    heading: str
    examples: tuple[Example, ...] = ()
    local: bool = False

    @property
    def items(self) -> tuple[Item, ...]:
        """What comes behind the name."""
        return parse(self.syntax)

    @property
    def command_line_at(self) -> int | None:
        """How many arguments stand in front of a command with arguments of its own; None if there is none."""
        names = list(map(str, self.items))
        return names.index(COMMAND_LINE) if COMMAND_LINE in names else None


def _entries() -> Iterator[Entry]:
    for group, specs in database().items():
        for spec in specs:
            yield Entry(spec.name, spec.syntax, spec.summary, str(group), spec.examples)
    for word in WORDS.values():
        yield Entry(word.name, word.syntax, word.summary, word.heading, word.examples)
    for name, dot in DOT_COMMANDS.items():
        yield Entry(name, dot.syntax, dot.summary, DOT_HEADING, (), dot.local)


ENTRIES: dict[str, Entry] = {entry.name: entry for entry in _entries()}
"""All of them by name, in the order of help."""


def find(name: str) -> Entry | None:
    """The entry of `name`, in any case."""
    return ENTRIES.get(name.lower())


def names(*, local: bool) -> list[Entry]:
    """What this shell offers: names that are words in alphabetical order, then those with a dot."""
    offered = [entry for entry in ENTRIES.values() if local or not entry.local]
    return sorted(offered, key=lambda entry: (entry.name.startswith("."), entry.name))


def overview(columns: int, *, local: bool) -> str:
    """The text of `help`: all commands under their headings."""
    headings: dict[str, list[Entry]] = {}
    for entry in ENTRIES.values():
        if local or not entry.local:
            # What is about the shell is one matter, with a dot or without.
            headings.setdefault(DOT_HEADING if entry.heading == SHELL else entry.heading, []).append(entry)
    return "\n".join([*help_text.listing(headings, columns), STRINGS])


def help_of(name: str, columns: int) -> str:
    """The text of `help NAME`; the dot may be left out. Raises `RequestRefused` `unknown_command`."""
    entry = find(name) or find(f".{name}")
    if entry is None:
        shown = name[:NAME_CHARACTERS_SHOWN_MAX]
        meant = meant_by(name)
        hint = f"did you mean {meant!r}?" if meant else "help lists all commands"
        raise RequestRefused("unknown_command", f"there is no command {shown!r}", hint=hint)
    return help_text.command(entry, columns)


def meant_by(misspelt: str) -> str | None:
    """The name that `misspelt` most likely means: with a dot that was forgotten, or one too many; None if nothing is
    near."""
    # Only misspellings pay for this import.
    from difflib import get_close_matches

    word = misspelt[:NAME_CHARACTERS_SHOWN_MAX].lower()
    bare = word.removeprefix(".")
    exact = [name for name in (bare, f".{bare}", {"?": "help"}.get(word, "")) if name in ENTRIES]
    near = exact or get_close_matches(word, ENTRIES, n=1)
    if near:
        return near[0]
    by_bare_name = {name.removeprefix("."): name for name in ENTRIES}
    near = get_close_matches(bare, by_bare_name, n=1)
    return by_bare_name[near[0]] if near else suggest_name(bare)
