"""The table of the sub-commands of `raftdb`, and the parsing of a command line."""

import importlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from cli import RAFTDB_VERSION
from cli.console.failures import EXIT_OK, EXIT_USAGE, CommandError
from cli.console.output import Output, terminal_columns
from cli.subcommands.options import (
    COMPLETION_VARIABLE,
    Command,
    Group,
    Options,
    client_options,
    connect_option,
    consistency_option,
    debug_option,
    expand_option,
    login_options,
    output_option,
    timeout_option,
    tls_options,
)
from raftdb.commands.spec import COMMANDS, lookup, suggest_name
from raftdb.packages import HINT, foreign_package


@dataclass(frozen=True, slots=True)
class SubCommand:
    """A sub-command that is not a command of the database.

    `target` is `module:name` of a `click.Command`, which is imported when it is called. `starts_nodes`: it starts nodes
    or opens their folders, so the package `storage` must be raftdb's.
    """

    summary: str
    target: str
    starts_nodes: bool = False

    def load(self) -> click.Command:
        """Import the command."""
        module, _, name = self.target.partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command


SUB_COMMANDS: dict[str, SubCommand] = {
    "up": SubCommand(
        "Start a cluster on this machine, one process per node, and open the shell.",
        "cli.subcommands.up:up",
        starts_nodes=True,
    ),
    "serve": SubCommand("Run one node of a cluster.", "cli.subcommands.serve:serve", starts_nodes=True),
    "simulate": SubCommand(
        "Run production nodes in a hostile, simulated world, and check every promise.",
        "cli.subcommands.simulate:run",
        starts_nodes=True,
    ),
    "torture": SubCommand(
        "Torture nodes on this machine under load, and check every promise.",
        "cli.subcommands.torture:run",
        starts_nodes=True,
    ),
    "demo": SubCommand(
        "Play a classic demonstration on a real cluster, step by step, or list them.",
        "cli.subcommands.demo:run",
        starts_nodes=True,
    ),
    "learn": SubCommand(
        "Serve the page that teaches Raft, without a cluster, until Ctrl-C.",
        "cli.subcommands.learn:run",
        starts_nodes=True,
    ),
    "shell": SubCommand(
        "Open the shell, or run a script: -c, -f, or commands on stdin.", "cli.subcommands.shell:shell"
    ),
    "cluster": SubCommand("Show or change the cluster.", "cli.subcommands.cluster:cluster"),
    "user": SubCommand("Show or change the users of the cluster.", "cli.subcommands.users:user"),
    "role": SubCommand("Show or change the roles, each a list of grants.", "cli.subcommands.users:role"),
    "token": SubCommand(
        "Show, make and take back tokens, by which programs are users.", "cli.subcommands.users:token"
    ),
    "whoami": SubCommand(
        "Show which user the cluster takes this command line for.", "cli.subcommands.users:whoami"
    ),
    "audit": SubCommand(
        "Show who logged in, was refused, and changed what, at all nodes.", "cli.subcommands.audit:audit"
    ),
    "follow": SubCommand(
        "Show each change of the keys that begin with PREFIX, until Ctrl-C.", "cli.subcommands.follow:follow"
    ),
    "log": SubCommand(
        "Show the leader's log: the newest entries, or those from an index.", "cli.subcommands.log:log"
    ),
    "snapshot": SubCommand(
        "Make the leader's state durable, and compact its log, now. Prints the index.",
        "cli.subcommands.backup:snapshot",
    ),
    "backup": SubCommand(
        "Copy the state of a running cluster, as of one moment, into a file: verified, or not there at all.",
        "cli.subcommands.backup:backup",
    ),
    "restore": SubCommand(
        "Make a new cluster's first data folder from a backup.",
        "cli.subcommands.folders:restore",
        starts_nodes=True,
    ),
    "recover": SubCommand(
        "Make a new cluster of what one stopped node has, when a majority is lost for good.",
        "cli.subcommands.folders:recover",
        starts_nodes=True,
    ),
    "doctor": SubCommand(
        "Examine the data folder of a stopped node, or a backup: what it holds, and every checksum.",
        "cli.subcommands.folders:doctor",
        starts_nodes=True,
    ),
    "cert": SubCommand("Make certificates for TLS: a CA, and what it signs.", "cli.subcommands.cert:cert"),
    "completion": SubCommand(
        "Print the script that lets a shell complete raftdb's command line.",
        "cli.subcommands.completion:completion",
    ),
    "help": SubCommand("Show this text, or what one command does.", "cli.program:show_help"),
}
"""The table, in the order of help. A summary is the first sentence of the help of its command."""


class Program(Group):
    """`raftdb`, whose commands are those of the table above and those of the database."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of help."""
        return [*SUB_COMMANDS, *COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command with this name; None if there is none. Raises `CommandError` if it needs the package `storage`,
        and that is not raftdb's."""
        sub_command = SUB_COMMANDS.get(cmd_name)
        if sub_command is not None:
            # Importing `storage` loads LMDB, so it is checked only for commands that start nodes.
            checked = sub_command.starts_nodes and not ctx.resilient_parsing
            reason = foreign_package("storage") if checked else None
            if reason is not None:
                raise CommandError("start", reason, exit_code=EXIT_USAGE, hint=HINT)
            return sub_command.load()
        spec = lookup(cmd_name)
        if spec is None:
            return None
        from cli.subcommands.oneshot import DataCommand

        return DataCommand(spec)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command of a line, whose name is noted as it was typed. Raises `CommandError` if there is none."""
        name = args[0]
        ctx.ensure_object(Options).what = name
        command = self.get_command(ctx, name)
        if command is None and not ctx.resilient_parsing:
            raise _unknown(name)
        return name, command, args[1:]

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        """The completions of a name, without importing any command."""
        from click.shell_completion import CompletionItem

        summaries = {name: row.summary for name, row in SUB_COMMANDS.items()}
        summaries |= {name: spec.summary for name, spec in COMMANDS.items()}
        names = [name for name in summaries if name.startswith(incomplete)]
        options = click.Command.shell_complete(self, ctx, incomplete)
        return [*(CompletionItem(name, help=summaries[name]) for name in names), *options]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write all commands, from the tables."""
        from cli.line import help_text
        from cli.line.words import TRANSACTIONS, WORDS

        with formatter.section("cluster"):
            formatter.write_dl([(name, row.summary) for name, row in SUB_COMMANDS.items()])
        formatter.write_paragraph()
        formatter.write("\n".join(help_text.commands(formatter.width)))
        with formatter.section("in the shell also"):
            words = [word.name for word in WORDS.values() if word.heading == TRANSACTIONS]
            formatter.write_text(", ".join(words))
            formatter.write_text("commands with a dot, about the cluster and the shell")


def _show_version(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        Output("table").text(f"raftdb {RAFTDB_VERSION}")
        context.exit()


@click.group(
    "raftdb",
    cls=Program,
    epilog="Options stand before the command. 'raftdb COMMAND --help' shows examples. Two dashes come before a key "
    "that looks like an option: 'raftdb get -- --help'.",
)
@connect_option
@tls_options
@login_options
@output_option
@timeout_option
@consistency_option
@expand_option
@debug_option
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_show_version,
    help="Show the version.",
)
def program() -> None:
    """A replicated, durable key-value database."""


def invoke(arguments: Sequence[str], options: Options) -> int:
    """Carry out one command line and return its exit code. `options` gets its options, as far as they were read when an
    error is raised. Raises `RaftdbError`, and unforeseen errors."""
    if COMPLETION_VARIABLE in os.environ:
        from click.shell_completion import shell_complete

        return shell_complete(
            program, {"obj": options}, "raftdb", COMPLETION_VARIABLE, os.environ[COMPLETION_VARIABLE]
        )
    try:
        with program.make_context("raftdb", list(arguments), obj=options) as context:
            return int(program.invoke(context))
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        Output().notice(error.format_message())
        return EXIT_USAGE
    except click.UsageError as error:
        raise _in_our_words(error) from None


def _in_our_words(error: click.UsageError) -> CommandError:
    """An error of click as one of this program."""
    context = error.ctx or click.Context(program, info_name="raftdb")
    message = error.format_message().removesuffix(".")
    if type(error) is click.BadParameter and error.param is not None:
        name = (
            error.param.opts[-1]
            if isinstance(error.param, click.Option)
            else error.param.make_metavar(context)
        )
        message = f"argument {name}: {error.message.removesuffix('.')}"
    # An error of the options before a sub-command has no name but the program's.
    return CommandError(
        context.command_path.removeprefix("raftdb").lstrip(),
        message[:1].lower() + message[1:],
        exit_code=EXIT_USAGE,
        hint=f"see '{context.command_path} --help'",
    )


def _unknown(name: str) -> CommandError:
    """The error for an unknown sub-command, with the word that was probably meant."""
    from difflib import get_close_matches

    from cli.line import help_text, vocabulary

    near = get_close_matches(name.lower(), SUB_COMMANDS, n=1)
    meant = near[0] if near else suggest_name(name)
    if vocabulary.find(name) is not None:
        hint = f"it is a command of the shell: 'raftdb shell'; 'raftdb help {name}' tells more"
    elif meant is not None:
        hint = f"did you mean 'raftdb {meant}'?"
    else:
        hint = help_text.missing_space(name) or "'raftdb --help' lists the commands"
    return CommandError(name, "unknown command", exit_code=EXIT_USAGE, hint=hint)


@click.command("help", cls=Command)
@click.argument("names", nargs=-1, metavar="[COMMAND]")
@client_options
@click.pass_obj
def show_help(options: Options, names: tuple[str, ...]) -> int:
    """Show this text, or what one command does."""
    if not names or names[0] in SUB_COMMANDS:
        return invoke([*names, "--help"], options)
    # Commands that only the shell has are explained here, too.
    from cli.line import help_text, vocabulary

    row = lookup(names[0]) or vocabulary.find(names[0])
    if row is None:
        raise _unknown(names[0])
    Output("table").text(help_text.command(row, terminal_columns()))
    return EXIT_OK
