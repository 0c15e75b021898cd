"""Help made from the table of commands. Pure."""

from raftdb.commands.spec import COMMANDS, CommandSpec, specs_by_group

_SYNTAX_COLUMNS = 31


def row(syntax: str, summary: str) -> str:
    """One command in a list of commands."""
    return f"  {syntax:<{_SYNTAX_COLUMNS}} {summary}"


def commands() -> list[str]:
    """The lines that list all commands of the database under their headings, with an empty line after each
    group."""
    lines: list[str] = []
    for group, specs in specs_by_group().items():
        if specs:
            lines += [f"{group}:", *(row(spec.syntax, spec.summary) for spec in specs), ""]
    return lines


def command(spec: CommandSpec) -> str:
    """Syntax, summary and examples of one command."""
    lines = [spec.syntax, f"  {spec.summary}"]
    for example in spec.examples:
        lines += [f"  > {example.line}", *(f"  {line}" for line in example.reply.split("\n"))]
    return "\n".join(lines)


def missing_space(word: str) -> str | None:
    """A hint for an unknown word that begins with the name of a command: `setkunci` was meant as
    `set kunci`. None for other words."""
    begun = [spec for name, spec in COMMANDS.items() if word.lower().startswith(name)]
    takes_arguments = [spec for spec in begun if spec.arity.maximum != 0]
    if not takes_arguments:
        return None
    spec = max(takes_arguments, key=lambda spec: len(spec.name))
    return f"a space is missing? the syntax is: {spec.syntax}"
