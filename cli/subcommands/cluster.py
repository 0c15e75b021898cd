"""`raftdb cluster`: who is in it, who leads, and the changes of both."""

from argparse import Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable
from dataclasses import dataclass

from cli.admin import members, nodes
from cli.console.failures import EXIT_OK, EXIT_UNAVAILABLE
from cli.console.output import Output
from cli.subcommands.options import Options, Parser, add_client_options, merged, split_at_command
from raftdb.client.sync_client import Client

ADDRESS_HELP = "HOST:PORT at which the others reach it, also as http://HOST:PORT"


@dataclass(frozen=True, slots=True)
class Action:
    """A word behind `raftdb cluster`. `words` are its positional arguments, name and help; `?` ends an optional one."""

    summary: str
    run: Callable[[Client, Namespace, Output], int]
    words: tuple[tuple[str, str], ...] = ()
    flags: tuple[tuple[str, str], ...] = ()


def _status(client: Client, parsed: Namespace, output: Output) -> int:
    reports = nodes.survey(client)
    nodes.show_nodes(reports, output)
    return EXIT_OK if any(report.status is not None for report in reports) else EXIT_UNAVAILABLE


def _members(client: Client, parsed: Namespace, output: Output) -> int:
    members.show_members(client.membership(), output)
    return EXIT_OK


def _add(client: Client, parsed: Namespace, output: Output) -> int:
    answer = members.add(client, output, parsed.id, parsed.url, learner=parsed.learner, force=parsed.force)
    members.show_change(answer, output)
    return EXIT_OK


def _remove(client: Client, parsed: Namespace, output: Output) -> int:
    members.show_change(client.remove_member(parsed.id, force=parsed.force), output)
    return EXIT_OK


def _promote(client: Client, parsed: Namespace, output: Output) -> int:
    members.show_change(client.promote_member(parsed.id, force=parsed.force), output)
    return EXIT_OK


def _address(client: Client, parsed: Namespace, output: Output) -> int:
    members.show_change(client.move_member(parsed.id, parsed.url), output)
    return EXIT_OK


def _replace(client: Client, parsed: Namespace, output: Output) -> int:
    members.show_change(members.replace(client, output, parsed.old, parsed.new, parsed.url), output)
    return EXIT_OK


def _transfer(client: Client, parsed: Namespace, output: Output) -> int:
    members.show_leader(client.transfer_leadership(parsed.id), output)
    return EXIT_OK


_FORCE = ("--force", "even if fewer voters than a majority would be alive")

ACTIONS: dict[str, Action] = {
    "status": Action("every node's role, term and position; exit code 3 if not one answers", _status),
    "members": Action("the members as the leader knows them", _members),
    "add": Action(
        "take a node in: a learner first, a voter once it has caught up",
        _add,
        (("id", "its id, never used before in this cluster"), ("url", ADDRESS_HELP)),
        (("--learner", "it stays a learner"), _FORCE),
    ),
    "remove": Action("take a member out for good", _remove, (("id", "its id"),), (_FORCE,)),
    "promote": Action("make a learner a voter", _promote, (("id", "its id"),), (_FORCE,)),
    "address": Action("say where a member is reached", _address, (("id", "its id"), ("url", ADDRESS_HELP))),
    "replace": Action(
        "take a new node in, then the old one out",
        _replace,
        (("old", "the id that goes"), ("new", "the id that comes"), ("url", ADDRESS_HELP)),
    ),
    "transfer": Action("let another node lead", _transfer, (("id?", "its id; else whoever is furthest"),)),
}
"""The table, in the order of help."""


def run(arguments: list[str], options: Options) -> int:
    """`raftdb cluster ACTION ...`."""
    before, rest = split_at_command(arguments)
    options = merged(options, _overview().parse_args([*before, *rest[:1]]))
    name = rest[0]
    action = ACTIONS[name]
    parser = Parser(f"raftdb cluster {name}", f"{action.summary[0].upper()}{action.summary[1:]}.")
    for word, text in action.words:
        plain = word.rstrip("?")
        parser.add_argument(plain, nargs="?" if plain != word else None, metavar=plain.upper(), help=text)
    for flag, text in action.flags:
        parser.add_argument(flag, action="store_true", help=text)
    add_client_options(parser)
    parsed = parser.parse_args(rest[1:])
    options = merged(options, parsed)
    with options.client() as client:
        return action.run(client, parsed, Output(options.output))


def _overview() -> Parser:
    """The parser of what stands before the action, and of the action itself."""
    lines = "\n".join(f"  {word:<9} {action.summary}" for word, action in ACTIONS.items())
    parser = Parser(
        "raftdb cluster",
        f"Look at the cluster, or change it:\n\n{lines}",
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("action", choices=tuple(ACTIONS), help="one of these; each has a --help")
    add_client_options(parser)
    return parser
