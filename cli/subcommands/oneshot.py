"""One-shot commands of the database: `raftdb get kunci`."""

import os
import sys
from collections.abc import Sequence

import click

from cli.console.failures import EXIT_NO_SUCH_KEY, EXIT_OK, Interrupted
from cli.console.output import Output, terminal_columns
from cli.run.answers import show_answer
from cli.subcommands.options import Options, is_client_option
from raftdb.client.model import Answer
from raftdb.client.protocol import Consistency
from raftdb.client.sync_client import Client
from raftdb.commands.spec import Access, CommandSpec
from raftdb.commands.waiting import parse_waiting
from raftdb.errors import RequestRefused
from raftdb.limits import CEILING


def execute(client: Client, name: str, arguments: Sequence[bytes], *, consistency: Consistency) -> Answer:
    """Run one command on the cluster. A command that no node would accept is refused without sending it.

    The configured limits of nodes are checked by the nodes. Raises `RaftdbError`.
    """
    parse_waiting(name, arguments, limits=CEILING)
    return client.execute(name, arguments, consistency=consistency)


def run(spec: CommandSpec, arguments: Sequence[str], options: Options) -> int:
    """Run a command with the rest of the command line, verbatim, as its arguments; returns the exit code.

    There are two exceptions: `--help` or `-h` alone asks for help, and a first `--` is left out, so that all words
    after it are arguments (`raftdb get -- --help`).

    `get` of a key that does not exist prints the empty string, and has an exit code of its own: its answer has the
    revision 0, which no key has.
    """
    if list(arguments) in (["--help"], ["-h"]):
        from cli.line import help_text

        Output("table").text(help_text.command(spec, terminal_columns()))
        if spec.name == "lock":
            from cli.subcommands.under_lock import HELP

            Output("table").text(HELP)
        return EXIT_OK
    words = list(arguments[1:] if arguments[:1] == ["--"] else arguments)
    given = [os.fsencode(word) for word in words]
    if options.expand:
        from cli.run.expansion import expanded

        given = expanded(given, spec.name, sys.stdin.buffer)
    with options.client() as client:
        try:
            answer = execute(client, spec.name, given, consistency=options.consistency)
        except RequestRefused as error:
            raise _with_place_of_options(error, spec.name, words) from None
        except KeyboardInterrupt:
            raise Interrupted(may_have_changed=spec.access is Access.WRITE) from None
    show_answer(answer, spec.name, Output(options.output))
    missing = spec.name == "get" and answer.revision == 0
    return EXIT_NO_SUCH_KEY if missing else EXIT_OK


class DataCommand(click.Command):
    """A command of the database on the command line. click does not parse the words after its name, which are data."""

    def __init__(self, spec: CommandSpec) -> None:
        super().__init__(spec.name)
        self._spec = spec

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take the arguments verbatim."""
        ctx.args = args
        return args

    def invoke(self, ctx: click.Context) -> int:
        """Run it; returns the exit code."""
        options = ctx.ensure_object(Options)
        if self._spec.name == "lock" and "--" in ctx.args[1:]:
            from cli.subcommands import under_lock

            return under_lock.run(ctx.args, options)
        return run(self._spec, ctx.args, options)


def _with_place_of_options(error: RequestRefused, name: str, words: Sequence[str]) -> RequestRefused:
    """`error`, with a hint where options belong, if an argument looks like one."""
    given = [word for word in words if is_client_option(word)]
    if error.code not in ("wrong_arity", "bad_request") or not given:
        return error
    hint = f"options go before the command: raftdb {given[0]} ... {name} ..."
    return RequestRefused(error.code, error.message, hint=f"{error.hint}; {hint}" if error.hint else hint)
