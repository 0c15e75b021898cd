"""The common options of clients, and click's classes for sub-commands and their help.

The options of a client may come before the sub-command and, if it has them, after it. In both places they are noted in
the one `Options` of the run, which sub-commands get.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import click

from cli.console import login
from cli.console.failures import EXIT_USAGE, CommandError
from cli.console.output import FORMATS, Output, terminal_columns
from cli.line.numbers import parse_count, parse_seconds
from raftdb.client.addresses import DEFAULT_ADDRESSES
from raftdb.client.credentials import Credentials
from raftdb.client.encryption import Tls, TlsOption
from raftdb.client.protocol import CONSISTENCIES, Consistency
from raftdb.client.sync_client import DEFAULT_TIMEOUT_MS, Client

COMPLETION_VARIABLE = "_RAFTDB_COMPLETE"
"""The environment variable by which the scripts for shells ask for completions."""

F = TypeVar("F", bound=Callable[..., Any])

UNREACHABLE_TIMEOUT_MS = 1_000
"""How long a person waits at most to be told that no node answers, unless `--timeout` is given."""
TIMEOUT_S_MAX = 86_400.0
"""The longest `--timeout`: a day."""


TLS_VARIABLES = {"ca": "RAFTDB_CONNECT_CA", "cert": "RAFTDB_CONNECT_CERT", "key": "RAFTDB_CONNECT_KEY"}
"""The environment variables for the files of a client's TLS."""


@dataclass(slots=True, kw_only=True)
class Options:
    """The options of a command line, as far as they were read. `connect` None stands for `RAFTDB_URL` or the default
    addresses, `output` None for table on a terminal and raw in a pipe.
    """

    connect: str | None = None
    output: str | None = None
    timeout_ms: float | None = None
    consistency: Consistency = "linearizable"
    expand: bool = False
    debug: bool = False
    tls_ca: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None
    user: str | None = None
    token_file: str | None = None
    given: set[str] = field(default_factory=set)
    """The names of the options before the sub-command."""
    what: str = ""
    """The sub-command, as it was typed; empty before one was found."""

    def refuse_others(self, what: str, known: Sequence[str] = ()) -> None:
        """Raise `CommandError` if an option was given that `what` does not use, which uses only the `known` ones."""
        others = sorted(self.given.difference(known))
        if others:
            hint = f"of these options it takes {', '.join(known) or 'none'}"
            raise CommandError(what, f"{others[0]} means nothing here", exit_code=EXIT_USAGE, hint=hint)

    def client(
        self,
        *,
        sessions: bool = False,
        addresses: Sequence[str] | None = None,
        on_session_lost: Callable[[], object] | None = None,
        credentials: Credentials | None = None,
    ) -> Client:
        """A client of the cluster that these options name, or of the one at `addresses`. With `sessions` its writes are
        repeated even if they may have been executed; for a single write that is not worth two more round trips.
        `on_session_lost`: see `Client`. Who it is say `credentials`, or else these options, the environment or the
        person. Raises `RequestRefused` for a malformed address, and as `login`."""
        return Client(
            addresses or self.connect or os.environ.get("RAFTDB_URL") or DEFAULT_ADDRESSES,
            timeout_ms=self.timeout_ms,
            unreachable_timeout_ms=UNREACHABLE_TIMEOUT_MS if self.timeout_ms is None else self.timeout_ms,
            sessions=sessions,
            on_session_lost=on_session_lost,
            tls=None if addresses is not None else self.tls(),
            credentials=self.login() if credentials is None else credentials,
        )

    def tls(self) -> TlsOption:
        """The TLS that these options or the environment ask for."""
        given = {
            name: getattr(self, f"tls_{name}") or os.environ.get(variable)
            for name, variable in TLS_VARIABLES.items()
        }
        return Tls(**given) if any(given.values()) else None

    def login(self) -> Credentials:
        """Who asks. Raises as `cli.console.login.credentials`."""
        return login.credentials(self.user, self.token_file)


class Parsed(click.ParamType[Any, Any]):
    """The type of an option that `parse` reads; the message of its `ValueError` is shown to the person."""

    def __init__(self, name: str, parse: Callable[[str], object]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The parsed value of a text; a default that is not a text is returned unchanged."""
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


COUNT = Parsed("count", parse_count)
PATH = click.Path(path_type=Path, readable=False)
"""A path that click does not check, because its users have better error messages."""


def _note(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    """Keep an option of a client in `Options`."""
    if value is None or value is False or parameter.name is None:
        return
    options = context.ensure_object(Options)
    setattr(options, parameter.name, value)
    if context.parent is None and parameter.name != "debug":
        options.given.add(parameter.opts[-1])


_spellings: set[str] = set()
"""The spellings of the options of a client."""


def _noted(*names: str, **settings: Any) -> Callable[[F], F]:
    _spellings.update(name for name in names if name.startswith("-"))
    # Eager options are read first, so that the form of errors is known before there is an error.
    return click.option(*names, expose_value=False, is_eager=True, callback=_note, **settings)


connect_option = _noted(
    "--connect", metavar="HOST:PORT,...", help=f"The nodes (default: RAFTDB_URL, or {DEFAULT_ADDRESSES})."
)
_ca_option = _noted(
    "--tls-ca",
    metavar="FILE",
    help=f"The CA of nodes that are reached by TLS (default: {TLS_VARIABLES['ca']}, or those of the system).",
)
_cert_option = _noted(
    "--tls-cert",
    metavar="FILE",
    help=f"The certificate to show to nodes that ask for one (default: {TLS_VARIABLES['cert']}).",
)
_key_option = _noted(
    "--tls-key", metavar="FILE", help=f"The key of that certificate (default: {TLS_VARIABLES['key']})."
)
_user_option = _noted(
    "--user",
    metavar="NAME",
    help="Be this user of the cluster (default: RAFTDB_USER). The password is asked for, or is RAFTDB_PASSWORD.",
)
_token_file_option = _noted(
    "--token-file",
    metavar="FILE",
    help="Be the user whose token is in FILE (default: RAFTDB_TOKEN); - is stdin.",
)


def tls_options(command: F) -> F:
    """Let a command take the options of TLS."""
    return _ca_option(_cert_option(_key_option(command)))


def login_options(command: F) -> F:
    """Let a command take the options that say who asks."""
    return _user_option(_token_file_option(command))


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
    help="Read arguments from files: @FILE is the content of FILE, @- that of stdin, @@TEXT is @TEXT. Without any "
    "of them stdin is the last argument.",
)
debug_option = _noted("--debug", is_flag=True, help="Show tracebacks.")


def client_options(command: F) -> F:
    """Let a sub-command take the options of a client, without those for reading keys."""
    return connect_option(tls_options(login_options(output_option(timeout_option(debug_option(command))))))


def is_client_option(word: str) -> bool:
    """Whether a word looks like an option of a client: `--output`, `--output=json`, `-ojson`."""
    joined = word.startswith("-o") and word[2:] in FORMATS
    return joined or word.partition("=")[0] in _spellings


class Formatter(click.HelpFormatter):
    """Help as wide as the terminal, with headings in small letters, as in all output of this program."""

    def __init__(
        self, indent_increment: int = 2, width: int | None = None, max_width: int | None = None
    ) -> None:
        super().__init__(indent_increment, width or terminal_columns(), max_width)

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        """Write the usage of a command."""
        super().write_usage(prog, args, prefix or "usage: ")

    def write_heading(self, heading: str) -> None:
        """Write the heading of a list."""
        super().write_heading(heading.lower())


class Context(click.Context):
    """click's state of the command that is being parsed."""

    formatter_class = Formatter


class Command(click.Command):
    """A sub-command. An option before it that it does not use is refused."""

    context_class = Context

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the words after the name."""
        if ctx.parent is not None and ctx.parent.parent is None and not ctx.resilient_parsing:
            noted = [parameter for parameter in self.params if parameter.callback is _note]
            known = [parameter.opts[-1] for parameter in noted if parameter.name != "debug"]
            ctx.ensure_object(Options).refuse_others(str(ctx.info_name), known)
        given = list(args)  # click empties the list
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx  # an option without its value has none
            _note_form(self, ctx, given)
            raise

    def get_help_option_names(self, ctx: click.Context) -> list[str]:
        """The options that ask for help, which are the same for all commands."""
        return ["-h", "--help"]

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """The option for help, which is printed like results."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.callback = _show_help
        return option


class Group(Command, click.Group):
    """A sub-command with commands of its own, which are listed in the order of their definition."""

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
    """The summary of a command: the first paragraph of its help."""
    return " ".join((command.help or "").partition("\n\n")[0].split())


def _show_help(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        Output("table").text(context.get_help())
        context.exit()


def _note_form(command: click.Command, context: click.Context, arguments: list[str]) -> None:
    """Keep the form of output from these options, although one of them is malformed."""
    parser = command.make_parser(context)
    parser.ignore_unknown_options = True
    # The last option may lack its value.
    for words in (arguments, arguments[:-1]):
        try:
            form = parser.parse_args(list(words))[0].get("output")
        except click.UsageError:
            continue
        if form in FORMATS:
            context.ensure_object(Options).output = form
        return
