"""All commands of the shell: those of the database, the words about transactions and the shell, and the dot-commands.
Help, hints, completion and colours use this. Pure."""

from collections.abc import Iterator

from cli.line import help_text
from cli.line.dot_words import CLUSTER_AND_SHELL, DOT_WORDS
from cli.line.words import SHELL, WORDS, ShellCommand
from raftdb.commands.spec import NAME_CHARACTERS_SHOWN_MAX, specs_by_group, suggest_name
from raftdb.errors import RequestRefused

STRINGS = 'strings: "two words", "line\\n", "\\x00", \'as it is\'; several commands: a; b'


def _rows() -> Iterator[ShellCommand]:
    for group, specs in specs_by_group().items():
        for spec in specs:
            yield ShellCommand(spec.syntax, spec.summary, str(group), spec.examples)
    yield from WORDS.values()
    yield from DOT_WORDS.values()


VOCABULARY: dict[str, ShellCommand] = {row.name: row for row in _rows()}
"""All commands by name, in the order of help."""


def find(name: str) -> ShellCommand | None:
    """The command with this name, in any case; None if there is none."""
    return VOCABULARY.get(name.lower())


def offered(*, local: bool) -> list[ShellCommand]:
    """The commands that this shell offers, in alphabetical order, those with a dot last."""
    rows = [row for row in VOCABULARY.values() if local or not row.local]
    return sorted(rows, key=lambda row: (row.name.startswith("."), row.name))


def overview(columns: int, *, local: bool) -> str:
    """The text of `help`: all commands under their headings."""
    headings: dict[str, list[ShellCommand]] = {}
    for row in VOCABULARY.values():
        if local or not row.local:
            # Commands about the shell have one heading, with a dot or without.
            heading = CLUSTER_AND_SHELL if row.heading == SHELL else row.heading
            headings.setdefault(heading, []).append(row)
    return "\n".join([*help_text.listing(headings, columns), STRINGS])


def help_of(name: str, columns: int) -> str:
    """The text of `help NAME`; the dot may be left out. Raises `RequestRefused` `unknown_command`."""
    row = find(name) or find(f".{name}")
    if row is None:
        shown = name[:NAME_CHARACTERS_SHOWN_MAX]
        meant = meant_by(name)
        hint = f"did you mean {meant!r}?" if meant else "help lists all commands"
        raise RequestRefused("unknown_command", f"there is no command {shown!r}", hint=hint)
    return help_text.command(row, columns)


def meant_by(misspelt: str) -> str | None:
    """The name that was most probably meant by `misspelt`, in which a dot may be missing or superfluous; None if there
    is no similar one."""
    # Imported here, because only misspellings need it.
    from difflib import get_close_matches

    word = misspelt[:NAME_CHARACTERS_SHOWN_MAX].lower()
    bare = word.removeprefix(".")
    exact = [name for name in (bare, f".{bare}", {"?": "help"}.get(word, "")) if name in VOCABULARY]
    near = exact or get_close_matches(word, VOCABULARY, n=1)
    if near:
        return near[0]
    by_bare_name = {name.removeprefix("."): name for name in VOCABULARY}
    near = get_close_matches(bare, by_bare_name, n=1)
    return by_bare_name[near[0]] if near else suggest_name(bare)
