"""Help made from the table of commands. Pure."""

from raftdb.commands.spec import CommandSpec, specs_by_group

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
