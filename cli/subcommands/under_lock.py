"""`raftdb lock NAME [--ttl S] [--wait S] -- COMMAND ARGUMENTS`: runs a program under a lock.

The lock is renewed while the program runs, through changes of the leader, and given back when it has ended. If it is
lost all the same, because no node could be reached, the program gets SIGTERM before somebody else can have the lock. It
is started without a shell, and its exit code is that of this program, 128 + N if signal N ended it.
"""

import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NamedTuple

from cli.console.failures import EXIT_CONFLICT, EXIT_USAGE, CommandError
from cli.console.output import Output
from cli.subcommands.options import Options
from raftdb.client.leases import LOCK_TTL_S, LockLost, LockTimeout
from raftdb.client.sync_locks import Held

TOKEN_VARIABLE = "RAFTDB_LOCK_TOKEN"
"""The variable in which the program finds the fencing token."""
HELP = f"""
raftdb lock NAME [--ttl S] [--wait S] -- COMMAND [ARGUMENT ...]
    Run a program while the lock is held. --wait: how long it is waited for, in seconds (0 tries once; by default
    without end); --ttl: how long it outlives this process. {TOKEN_VARIABLE} has the token.
"""
EXIT_NOT_EXECUTABLE = 126
EXIT_NOT_FOUND = 127
"""As shells have them."""
FORWARDED = (signal.SIGTERM, signal.SIGHUP)
"""Signals that are for the program; Ctrl-C reaches it by itself, from the terminal."""


class Wanted(NamedTuple):
    """What is asked for: the lock, its times in seconds, and the program with its arguments."""

    name: str
    ttl_s: float
    wait_s: float | None
    command: Sequence[str]


def wanted(words: Sequence[str]) -> Wanted:
    """What the words of a command line ask for; two dashes come before the program. Raises `CommandError`."""
    before, command = list(words[: words.index("--", 1)]), list(words[words.index("--", 1) + 1 :])
    times: dict[str, float] = {}
    rest = iter(before[1:])
    for word in rest:
        option, equals, text = word.partition("=")
        if option not in ("--ttl", "--wait") or option in times:
            raise _usage(f"what is {word!r}?")
        try:
            times[option] = float(text if equals else next(rest, ""))
        except ValueError:
            raise _usage(f"{option} takes seconds") from None
    if not command:
        raise _usage("which program is to be run?")
    return Wanted(before[0], times.get("--ttl", LOCK_TTL_S), times.get("--wait"), command)


def run(words: Sequence[str], options: Options) -> int:
    """Run the program under the lock; returns its exit code. Raises `RaftdbError`."""
    asked = wanted(words)
    with options.client(sessions=True) as client:
        try:
            held = client.lock(asked.name, ttl=asked.ttl_s, wait=asked.wait_s).acquire()
        except LockTimeout as error:
            raise CommandError("lock", error.message, exit_code=EXIT_CONFLICT, hint=error.hint) from None
        try:
            return _run_held(held, asked.command)
        finally:
            with suppress(LockLost):  # it was said when it happened
                held.release()


def _run_held(held: Held, command: Sequence[str]) -> int:
    environment = {**os.environ, TOKEN_VARIABLE: str(held.token)}
    try:
        process = subprocess.Popen(command, env=environment)
    except OSError as error:
        exit_code = EXIT_NOT_FOUND if isinstance(error, FileNotFoundError) else EXIT_NOT_EXECUTABLE
        raise CommandError(
            "lock", f"{command[0]}: {os.strerror(error.errno or 0).lower()}", exit_code=exit_code
        ) from None
    threading.Thread(target=_end_when_lost, args=(held, process), daemon=True).start()
    with _forwarding(process):
        code = process.wait()
    return code if code >= 0 else 128 - code


def _end_when_lost(held: Held, process: "subprocess.Popen[bytes]") -> None:
    held.lost.wait()
    if process.poll() is None:
        Output().notice(f"raftdb: the lock {held.name!r} was lost: {process.args[0]!r} is told to end")  # type: ignore[index]
        process.terminate()


@contextmanager
def _forwarding(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """Pass signals on to the program, and outlive it."""

    def forward(number: int, frame: FrameType | None) -> None:
        if number != signal.SIGINT:
            process.send_signal(number)

    before = {number: signal.signal(number, forward) for number in (*FORWARDED, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _usage(what: str) -> CommandError:
    return CommandError("lock", what, exit_code=EXIT_USAGE, hint="see 'raftdb lock --help'")
