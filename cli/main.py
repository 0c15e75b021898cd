"""Running a command line: the only place where errors become messages and exit codes."""

import os
import sys
from collections.abc import Sequence
from typing import TextIO

from cli.console.failures import (
    EXIT_BROKEN_PIPE,
    EXIT_INTERRUPTED,
    INTERRUPTED_WRITE,
    Interrupted,
    as_ours,
    exit_code_of,
)
from cli.console.output import Output
from cli.program import invoke
from cli.subcommands.options import Options
from raftdb.errors import RaftdbError


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code. Prints errors, and raises none."""
    options = Options()
    try:
        return invoke(arguments, options)
    except RaftdbError as error:
        _tell(error, options)
        return exit_code_of(error)
    except KeyboardInterrupt as interrupt:
        if isinstance(interrupt, Interrupted) and interrupt.may_have_changed:
            Output().notice(f"raftdb: {INTERRUPTED_WRITE}")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        return EXIT_BROKEN_PIPE
    except Exception as error:  # noqa: BLE001 - a person sees a message; --debug shows the traceback
        _tell(error, options)
        return exit_code_of(as_ours(error))
    finally:
        _give_up_output()


def _tell(error: Exception, options: Options) -> None:
    """Print an error, as JSON if results are JSON, and its traceback with `--debug`."""
    if options.debug:
        import traceback

        traceback.print_exception(error)
    Output("json" if options.output == "json" else None).failure(as_ours(error), options.what)


def _give_up_output() -> None:
    """Discard results that cannot be written, because Python would report them again when it closes its streams."""
    stream: TextIO | None = sys.stdout  # None if it was closed at the start
    try:
        if stream is not None:
            stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
