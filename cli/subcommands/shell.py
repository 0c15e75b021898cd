"""`raftdb shell`: the interactive shell on a terminal, or a script."""

import signal
import sys
from collections import deque
from collections.abc import Callable, Sequence

import click

from cli.console.failures import EXIT_FAILED
from cli.console.output import Output, is_terminal
from cli.console.stop_signals import Stopped, StopSignals, end_by
from cli.run.interpreter import Interpreter
from cli.run.script import lines_of_stream, lines_of_text, open_script, run_script
from cli.subcommands.options import Command, Options, client_options, consistency_option


@click.command("shell", cls=Command)
@click.option("-c", "text", metavar="COMMANDS", help="Run these commands, separated by ';'.")
@click.option(
    "-f",
    "file",
    metavar="FILE",
    type=click.Path(allow_dash=True, readable=False),
    help="Run the commands of a file, one or more per line; - is stdin.",
)
@click.option("--keep-going", is_flag=True, help="Do not stop a script at its first error.")
@client_options
@consistency_option
@click.pass_obj
def shell(options: Options, text: str | None, file: str | None, keep_going: bool) -> int:
    """Open the shell, or run a script: -c, -f, or commands on stdin."""
    if text is not None and file is not None:
        raise click.UsageError("-c and -f are two scripts: name one of them")
    signals = StopSignals()
    if text is None and file is None and is_terminal(sys.stdin):
        signals.install(signal.SIGTERM, signal.SIGHUP)
    try:
        exit_code = _run(options, text, file, keep_going, signals)
    except Stopped:
        exit_code = EXIT_FAILED
    # By now the terminal is restored and the session closed.
    return exit_code if signals.first is None else end_by(signals.first)


def _run(options: Options, text: str | None, file: str | None, keep_going: bool, signals: StopSignals) -> int:
    losses = Losses()
    with options.client(sessions=True, on_session_lost=losses.note) as client:
        output = Output(options.output)
        interpreter = Interpreter(client, output, consistency=options.consistency, debug=options.debug)
        if text is not None:
            return run_script(interpreter, lines_of_text(text), keep_going=keep_going)
        if file is not None:
            return _run_file(interpreter, file, keep_going=keep_going)
        return run_on_terminal_or_stdin(
            interpreter, keep_going=keep_going, take_news=losses.take, announce=signals.announce
        )


class Losses:
    """What a person is told when keys that were bound to the shell's session are gone. A script is told by its next
    command that binds one."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque()

    def note(self) -> None:
        """The session was lost."""
        self._lines.append("the session was lost, and with it the keys that were set with SESSION")

    def take(self) -> list[str]:
        """What was not told yet."""
        lines = []
        while self._lines:
            lines.append(self._lines.popleft())
        return lines


def run_on_terminal_or_stdin(
    interpreter: Interpreter,
    *,
    keep_going: bool = False,
    take_news: Callable[[], Sequence[str]] = tuple,
    announce: Callable[[Callable[[], bool]], None] | None = None,
) -> int:
    """Run the shell if stdin is a terminal, else stdin as a script; returns the exit code.

    `take_news` is called now and then for lines to show to a person. `announce` gets the function that ends the shell
    from a signal handler, before the shell begins.
    """
    if not is_terminal(sys.stdin):
        return run_script(interpreter, lines_of_stream(sys.stdin.buffer, "stdin"), keep_going=keep_going)
    # Importing prompt_toolkit takes longer than a whole script.
    from cli.prompt.shell import Shell

    shell = Shell(interpreter, take_news=take_news)
    if announce is not None:
        announce(shell.leave)
    return shell.run()


def _run_file(interpreter: Interpreter, name: str, *, keep_going: bool) -> int:
    if name == "-":
        return run_script(interpreter, lines_of_stream(sys.stdin.buffer, "stdin"), keep_going=keep_going)
    with open_script(name, "shell") as stream:
        return run_script(interpreter, lines_of_stream(stream, name), keep_going=keep_going)
