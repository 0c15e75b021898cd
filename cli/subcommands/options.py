"""What stands before the sub-command on the command line, and the argument parser that all sub-commands
use."""

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NoReturn

from cli.console.failures import EXIT_USAGE, CommandError
from cli.console.output import FORMATS
from cli.line.numbers import parse_count, parse_seconds
from raftdb.client.protocol import CONSISTENCIES, Consistency
from raftdb.client.routing import DEFAULT_ADDRESSES
from raftdb.client.sync_client import DEFAULT_TIMEOUT_MS, Client

UNREACHABLE_TIMEOUT_MS = 1_000
"""A person waits no longer than this to hear that not one node is there, unless `--timeout` asks for it."""
TIMEOUT_S_MAX = 86_400.0
"""The longest deadline that may be asked for: a day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The global options. `connect` None: `RAFTDB_URL` or the default addresses; `output` None: by the
    terminal."""

    connect: str | None = None
    output: str | None = None
    timeout_ms: float | None = None
    consistency: Consistency = "linearizable"
    debug: bool = False
    expand: bool = False
    given: frozenset[str] = frozenset()
    """The names of the options that were given, as they are typed."""

    def refuse_others(self, what: str, *known: str) -> None:
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


class Parser(argparse.ArgumentParser):
    """argparse with our form of errors and without its abbreviations, which would make every new flag a
    risk."""

    def __init__(self, prog: str, description: str, **settings: object) -> None:
        # argparse declares each setting with a type of its own; they are passed through untouched.
        super().__init__(prog=prog, description=description, allow_abbrev=False, **settings)  # type: ignore[arg-type]

    def error(self, message: str) -> NoReturn:
        """Refuse the command line: exit code 2."""
        # Of the options before a sub-command the program's own name says enough.
        command = self.prog.removeprefix("raftdb").lstrip()
        raise CommandError(command, message, exit_code=EXIT_USAGE, hint=f"see '{self.prog} --help'")


def add_client_options(parser: Parser, *, reads: bool = False) -> None:
    """Let `parser` take the options of a client; `merged` joins them with those before the sub-command. `reads`: it
    reads keys, which may be stale."""
    parser.add_argument(
        "--connect", metavar="HOST:PORT,...", help=f"the nodes (default: RAFTDB_URL or {DEFAULT_ADDRESSES})"
    )
    parser.add_argument("-o", "--output", choices=FORMATS, help="default: table on a terminal, raw in a pipe")
    parser.add_argument(
        "--timeout",
        type=_seconds,
        metavar="SECONDS",
        help=f"deadline of a command (default: {DEFAULT_TIMEOUT_MS / 1000:g}, and more on a slow network)",
    )
    if reads:
        parser.add_argument(
            "--consistency", choices=CONSISTENCIES, help="how fresh reads must be (default: linearizable)"
        )
    parser.add_argument("--debug", action="store_true", help="show tracebacks")


def merged(options: Options, parsed: argparse.Namespace) -> Options:
    """`options` with what `parsed` (of a parser with `add_client_options`) says instead."""
    spoken = {f"--{name}" for name in _CLIENT_OPTIONS if getattr(parsed, name, None)}
    return Options(
        given=options.given | spoken,
        expand=options.expand or getattr(parsed, "expand", False),
        connect=parsed.connect or options.connect,
        output=parsed.output or options.output,
        timeout_ms=options.timeout_ms if parsed.timeout is None else parsed.timeout * 1000.0,
        consistency=getattr(parsed, "consistency", None) or options.consistency,
        debug=parsed.debug or options.debug,
    )


def count_argument(text: str) -> int:
    """`parse_count` for argparse, which tells no other error in our words."""
    try:
        return parse_count(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _seconds(text: str) -> float:
    try:
        return parse_seconds(text, 0.0, TIMEOUT_S_MAX)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


_CLIENT_OPTIONS = ("connect", "output", "timeout", "consistency", "expand")
_TAKES_A_VALUE = ("--connect", "-o", "--output", "--timeout", "--consistency")


def is_client_option(word: str) -> bool:
    """Whether `word` looks like an option of `add_client_options`: `--output`, `--output=json`, `-ojson`."""
    joined = word.startswith("-o") and word[2:] in FORMATS
    return joined or word in ("--debug", "-x", "--expand") or word.partition("=")[0] in _TAKES_A_VALUE


def asks_for_json(arguments: Sequence[str]) -> bool:
    """Whether these options, which nobody has parsed yet, ask for JSON."""
    joined = ("-ojson", "--output=json")
    return any(
        word in joined or (word in ("-o", "--output") and value == "json")
        for word, value in pairwise([*arguments, ""])
    )


def split_at_command(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """(global options, the sub-command and all that follows it). What follows is not looked at: data commands
    take it verbatim, `raftdb append k -o` included."""
    position = 0
    while position < len(arguments) and arguments[position].startswith("-") and arguments[position] != "-":
        if arguments[position] == "--":
            return list(arguments[:position]), list(arguments[position + 1 :])
        position += 2 if arguments[position] in _TAKES_A_VALUE else 1
    return list(arguments[:position]), list(arguments[position:])
