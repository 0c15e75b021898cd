"""The sub-commands of `raftdb`, and the one place where errors become messages and exit codes."""

import importlib
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TextIO, cast

from cli import RAFTDB_VERSION
from cli.console.failures import (
    EXIT_BROKEN_PIPE,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_USAGE,
    INTERRUPTED_WRITE,
    CommandError,
    Interrupted,
    as_ours,
    exit_code_of,
)
from cli.console.output import Output, terminal_columns
from cli.line import help_text
from cli.line.words import TRANSACTIONS, WORDS
from cli.subcommands.options import (
    Options,
    Parser,
    add_client_options,
    asks_for_json,
    merged,
    split_at_command,
)
from raftdb.commands.spec import lookup, suggest_name
from raftdb.errors import RaftdbError


@dataclass(frozen=True, slots=True)
class SubCommand:
    """A sub-command that is not a command of the database.

    `target` is `module:function`, imported when it is called: `function(arguments, options) -> exit code`.
    `starts_nodes`: it starts nodes or opens their folders, so it has to make sure that `storage` is ours.
    `client_options`: those of the options before it that mean something to it; others are refused.
    """

    summary: str
    target: str
    starts_nodes: bool = False
    client_options: tuple[str, ...] = ("--connect", "--output", "--timeout")


SUB_COMMANDS: dict[str, SubCommand] = {
    "up": SubCommand(
        "start a cluster on this machine and open the shell",
        "cli.subcommands.up:run",
        starts_nodes=True,
        client_options=("--output", "--timeout", "--consistency"),
    ),
    "serve": SubCommand("run one node", "cli.subcommands.serve:run", starts_nodes=True, client_options=()),
    "simulate": SubCommand(
        "watch simulated nodes keep their promises under faults",
        "cli.subcommands.simulate:run",
        starts_nodes=True,
        client_options=(),
    ),
    "shell": SubCommand(
        "open the shell, or run a script (-c, -f, or on stdin)",
        "cli.subcommands.shell:run",
        client_options=("--connect", "--output", "--timeout", "--consistency"),
    ),
    "cluster": SubCommand(
        "status, members and leadership: 'raftdb cluster --help'", "cli.subcommands.cluster:run"
    ),
    "log": SubCommand("show the leader's log", "cli.subcommands.log:run"),
    "snapshot": SubCommand(
        "make the leader's state durable and compact its log now", "cli.subcommands.backup:run_snapshot"
    ),
    "backup": SubCommand(
        "a consistent backup of a running cluster, into a file", "cli.subcommands.backup:run_backup"
    ),
    "restore": SubCommand(
        "a new cluster's first data folder, from a backup",
        "cli.subcommands.folders:run_restore",
        starts_nodes=True,
        client_options=("--output",),
    ),
    "recover": SubCommand(
        "a new cluster of what one node has, when the majority is lost",
        "cli.subcommands.folders:run_recover",
        starts_nodes=True,
        client_options=("--output",),
    ),
    "doctor": SubCommand(
        "examine the data folder of a stopped node, or a backup",
        "cli.subcommands.folders:run_doctor",
        starts_nodes=True,
        client_options=("--output",),
    ),
    "help": SubCommand("this text, or 'raftdb help COMMAND'", "cli.main:run_help"),
}


def starts_nodes(arguments: Sequence[str]) -> bool:
    """Whether this command line starts nodes or opens their folders, and so needs the package `storage`."""
    _, rest = split_at_command(arguments)
    return bool(rest) and rest[0] in SUB_COMMANDS and SUB_COMMANDS[rest[0]].starts_nodes


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code. Prints errors; lets no exception out but
    `SystemExit`."""
    before, rest = split_at_command(arguments)
    what = rest[0] if rest else "usage"
    # A data command takes what follows it verbatim: there, --debug may be a value.
    ours = [*before, *(rest[1:] if what in SUB_COMMANDS else ())]
    debug = "--debug" in ours
    # As far as it can be known before the options are understood, which may fail.
    output = Output("json" if asks_for_json(ours) else None)
    try:
        options = _global_options(before)
        if not rest:
            Output().notice(_overview())
            return EXIT_USAGE
        return _dispatch(rest[0], rest[1:], options)
    except RaftdbError as error:
        if debug:
            traceback.print_exc()
        output.failure(error, what)
        return exit_code_of(error)
    except KeyboardInterrupt as interrupt:
        if isinstance(interrupt, Interrupted) and interrupt.may_have_changed:
            output.notice(f"raftdb: {INTERRUPTED_WRITE}")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        return EXIT_BROKEN_PIPE
    except Exception as error:  # noqa: BLE001 - a person sees a message; --debug shows the traceback
        if debug:
            traceback.print_exc()
        output.failure(as_ours(error), what)
        return exit_code_of(as_ours(error))
    finally:
        _give_up_output()


def _give_up_output() -> None:
    """Discard results that cannot be written: Python would complain of them again when it closes its
    streams."""
    stream: TextIO | None = sys.stdout  # None if it was closed before we began
    try:
        if stream is not None:
            stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _global_options(arguments: Sequence[str]) -> Options:
    parser = Parser("raftdb", "A replicated, durable key-value database.", usage=_USAGE, add_help=False)
    add_client_options(parser, reads=True)
    parser.add_argument("-x", "--expand", action="store_true")
    parser.add_argument("--version", action="store_true")
    parser.add_argument("-h", "--help", action="store_true")
    parsed = parser.parse_args(arguments)
    if parsed.help or parsed.version:
        Output("table").text(f"raftdb {RAFTDB_VERSION}" if parsed.version else _overview())
        raise SystemExit(EXIT_OK)
    return merged(Options(), parsed)


def _dispatch(name: str, arguments: list[str], options: Options) -> int:
    sub_command = SUB_COMMANDS.get(name)
    if sub_command is not None:
        options.refuse_others(name, *sub_command.client_options)
        module, _, function = sub_command.target.partition(":")
        target = cast(Callable[[list[str], Options], int], getattr(importlib.import_module(module), function))
        return target(arguments, options)
    spec = lookup(name)
    if spec is not None:
        from cli.subcommands.oneshot import run as run_oneshot

        return run_oneshot(spec, arguments, options)
    raise _unknown(name)


def _unknown(name: str) -> CommandError:
    """The error for a word that is no sub-command, with the word that was probably meant."""
    from difflib import get_close_matches

    from cli.line import vocabulary

    near = get_close_matches(name.lower(), SUB_COMMANDS, n=1)
    meant = near[0] if near else suggest_name(name)
    if vocabulary.find(name) is not None:
        hint = f"it is a command of the shell: 'raftdb shell'; 'raftdb help {name}' tells more"
    elif meant is not None:
        hint = f"did you mean 'raftdb {meant}'?"
    else:
        hint = help_text.missing_space(name) or "'raftdb --help' lists the commands"
    return CommandError(name, "unknown command", exit_code=EXIT_USAGE, hint=hint)


_USAGE = "raftdb [OPTIONS] COMMAND ..."
_OPTIONS_HELP = """\
options (before the command):
  --connect HOST:PORT,...   the nodes (default: RAFTDB_URL, or the ports of 'raftdb up')
  -o table|json|raw         form of output (default: table on a terminal, raw in a pipe)
  --timeout SECONDS         deadline of a command
  --consistency stale       let any node answer a read, from what it has
  -x                        read arguments from files: @FILE, @- is stdin, @@TEXT is @TEXT;
                            without any of them stdin is the last argument
  --debug, --version
'raftdb COMMAND --help' shows examples; a key that looks like an option: 'raftdb get -- --help'"""


def _overview() -> str:
    """The text of `raftdb --help`, from the two tables."""
    lines = [f"usage: {_USAGE}", "", "cluster:"]
    lines += [f"  {name:<10} {sub_command.summary}" for name, sub_command in SUB_COMMANDS.items()]
    lines += ["", *help_text.commands(terminal_columns())]
    words = ", ".join(word.name for word in WORDS.values() if word.heading == TRANSACTIONS)
    lines += ["in the shell also:", f"  {words}", "  commands with a dot, about cluster and shell", ""]
    lines.append(_OPTIONS_HELP)
    return "\n".join(lines)


def run_help(arguments: list[str], options: Options) -> int:
    """`raftdb help [COMMAND]`: the overview, or what one command does, with examples."""
    if not arguments:
        Output("table").text(_overview())
        return EXIT_OK
    name = arguments[0]
    if name in SUB_COMMANDS:
        return _dispatch(name, [] if name == "help" else ["--help"], options)
    # What only the shell knows is explained here, too.
    from cli.line import vocabulary

    row = lookup(name) or vocabulary.find(name)
    if row is None:
        raise _unknown(name)
    Output("table").text(help_text.command(row, terminal_columns()))
    return EXIT_OK
