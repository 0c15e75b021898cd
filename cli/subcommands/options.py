"""What the sub-commands have in common: the options of a client, and how click reads and explains them all.

The options of a client may stand before the sub-command and, where it has them, after it. Wherever they stood, they
end in the one `Options` of the run, which is what a sub-command is given.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import click

from cli.console.failures import EXIT_USAGE, CommandError
from cli.console.output import FORMATS, Output, terminal_columns
from cli.line.numbers import parse_count, parse_seconds
from raftdb.client.protocol import CONSISTENCIES, Consistency
from raftdb.client.routing import DEFAULT_ADDRESSES
from raftdb.client.sync_client import DEFAULT_TIMEOUT_MS, Client

COMPLETION_VARIABLE = "_RAFTDB_COMPLETE"
"""The variable in which a shell says that it asks for completions; the scripts for shells set it."""

F = TypeVar("F", bound=Callable[..., Any])

UNREACHABLE_TIMEOUT_MS = 1_000
"""A person waits no longer than this to hear that not one node is there, unless `--timeout` asks for it."""
TIMEOUT_S_MAX = 86_400.0
"""The longest deadline that may be asked for: a day."""


@dataclass(slots=True, kw_only=True)
class Options:
    """What was asked for, as far as it has been read. `connect` None: `RAFTDB_URL` or the default addresses; `output`
    None: by the terminal.
    """

    connect: str | None = None
    output: str | None = None
    timeout_ms: float | None = None
    consistency: Consistency = "linearizable"
    expand: bool = False
    debug: bool = False
    given: set[str] = field(default_factory=set)
    """The names of the options that stood before the sub-command, as they are typed."""
    what: str = ""
    """The sub-command, as it was typed; empty before one was found."""

    def refuse_others(self, what: str, known: Sequence[str] = ()) -> None:
        """Raise `CommandError` if an option was given that means nothing to `what`, which knows only these."""
        others = sorted(self.given.difference(known))
        if others:
            hint = f"of these options it takes {', '.join(known) or 'none'}"
            raise CommandError(what, f"{others[0]} means nothing here", exit_code=EXIT_USAGE, hint=hint)

    def client(self, *, sessions: bool = False, addresses: Sequence[str] | None = None) -> Client:
        """A client of the cluster that these options name, or of the one at `addresses`. Raises `RequestRefused`
        for a malformed address. `sessions`: its writes are sent again whatever became of them; for a single one that
        is not worth the two round trips."""
        return Client(
            addresses or self.connect or os.environ.get("RAFTDB_URL") or DEFAULT_ADDRESSES,
            timeout_ms=self.timeout_ms,
            unreachable_timeout_ms=UNREACHABLE_TIMEOUT_MS if self.timeout_ms is None else self.timeout_ms,
            sessions=sessions,
        )


class Parsed(click.ParamType[Any, Any]):
    """What `parse` makes of a text; the message of its `ValueError` is what the person is told."""

    def __init__(self, name: str, parse: Callable[[str], object]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The value of a text; a default, which is none, is taken as it is."""
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


COUNT = Parsed("count", parse_count)
PATH = click.Path(path_type=Path, readable=False)
"""A path that nobody has looked at: whoever uses it says better what is wrong with it."""


def _note(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    """Keep an option of a client where the sub-command finds it."""
    if value is None or value is False or parameter.name is None:
        return
    options = context.ensure_object(Options)
    setattr(options, parameter.name, value)
    if context.parent is None and parameter.name != "debug":
        options.given.add(parameter.opts[-1])


_spellings: set[str] = set()
"""How the options of a client are typed."""


def _noted(*names: str, **settings: Any) -> Callable[[F], F]:
    _spellings.update(name for name in names if name.startswith("-"))
    # Eager: the form of errors is known before anything else can be wrong.
    return click.option(*names, expose_value=False, is_eager=True, callback=_note, **settings)


connect_option = _noted(
    "--connect", metavar="HOST:PORT,...", help=f"The nodes (default: RAFTDB_URL, or {DEFAULT_ADDRESSES})."
)
output_option = _noted(
    "-o",
    "--output",
    type=click.Choice(FORMATS),
    help="The form of results (default: table on a terminal, raw in a pipe).",
)
timeout_option = _noted(
    "--timeout",
    "timeout_ms",
    type=Parsed("seconds", lambda text: 1000.0 * parse_seconds(text, 0.0, TIMEOUT_S_MAX)),
    metavar="SECONDS",
    help=f"The deadline of a command (default: {DEFAULT_TIMEOUT_MS / 1000:g}, and more on a slow network).",
)
consistency_option = _noted(
    "--consistency",
    type=click.Choice(CONSISTENCIES),
    help="How fresh reads must be (default: linearizable). With stale, any node answers from what it has.",
)
expand_option = _noted(
    "-x",
    "--expand",
    is_flag=True,
    help="Read arguments from files: @FILE is what FILE holds, @- what comes on stdin, @@TEXT is @TEXT. Without any "
    "of them stdin is the last argument.",
)
debug_option = _noted("--debug", is_flag=True, help="Show tracebacks.")


def client_options(command: F) -> F:
    """Let a sub-command take the options of a client, but for those about the reading of keys."""
    return connect_option(output_option(timeout_option(debug_option(command))))


def is_client_option(word: str) -> bool:
    """Whether a word looks like an option of a client: `--output`, `--output=json`, `-ojson`."""
    joined = word.startswith("-o") and word[2:] in FORMATS
    return joined or word.partition("=")[0] in _spellings


class Formatter(click.HelpFormatter):
    """Help as wide as the terminal, with headings in small letters, as everywhere in this program."""

    def __init__(
        self, indent_increment: int = 2, width: int | None = None, max_width: int | None = None
    ) -> None:
        super().__init__(indent_increment, width or terminal_columns(), max_width)

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        """Write the line that shows how a command is typed."""
        super().write_usage(prog, args, prefix or "usage: ")

    def write_heading(self, heading: str) -> None:
        """Write the line above a list."""
        super().write_heading(heading.lower())


class Context(click.Context):
    """What click knows of the command that is being read."""

    formatter_class = Formatter


class Command(click.Command):
    """A sub-command. An option that stood before it and means nothing to it is refused."""

    context_class = Context

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read what follows the name."""
        if ctx.parent is not None and ctx.parent.parent is None and not ctx.resilient_parsing:
            noted = [parameter for parameter in self.params if parameter.callback is _note]
            known = [parameter.opts[-1] for parameter in noted if parameter.name != "debug"]
            ctx.ensure_object(Options).refuse_others(str(ctx.info_name), known)
        given = list(args)  # click takes them out of the list one by one
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx  # an option without its value has none
            _note_form(self, ctx, given)
            raise

    def get_help_option_names(self, ctx: click.Context) -> list[str]:
        """How help is asked for, of whichever command and by whomever."""
        return ["-h", "--help"]

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """What asks for help, which is written as results are."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.callback = _show_help
        return option


class Group(Command, click.Group):
    """A sub-command with commands of its own, listed in the order in which they were defined."""

    command_class = Command

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of help."""
        return list(self.commands)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands first, and then the options."""
        self.format_commands(ctx, formatter)
        click.Command.format_options(self, ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each command with the first paragraph of its help."""
        with formatter.section("commands"):
            formatter.write_dl([(name, summary_of(command)) for name, command in self.commands.items()])


def summary_of(command: click.Command) -> str:
    """What a command does, for a list: the first paragraph of its help."""
    return " ".join((command.help or "").partition("\n\n")[0].split())


def _show_help(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        Output("table").text(context.get_help())
        context.exit()


def _note_form(command: click.Command, context: click.Context, arguments: list[str]) -> None:
    """Keep the form of output that these options ask for, although one of them makes no sense."""
    parser = command.make_parser(context)
    parser.ignore_unknown_options = True
    # The last one may be without its value.
    for words in (arguments, arguments[:-1]):
        try:
            form = parser.parse_args(list(words))[0].get("output")
        except click.UsageError:
            continue
        if form in FORMATS:
            context.ensure_object(Options).output = form
        return
