"""A backup of a running cluster, into a file or to standard output."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cli.console.failures import EXIT_FAILED, EXIT_USAGE, WHAT_CHARACTERS_MAX, CommandError
from cli.console.output import Output, is_terminal
from cli.console.render import shorten
from raftdb.client.sync_client import Client
from raftdb.streams import closed_at_start

if TYPE_CHECKING:
    from raftdb.client.backup import BackupTaken


def stream(client: Client, output: Output) -> None:
    """Write a backup to standard output, and its index, length and digest to `output`. Raises `RaftdbError`,
    `BrokenPipeError`."""
    from raftdb.client.backup import stream_backup

    if is_terminal(sys.stdout) or 1 in closed_at_start():
        place = "closed" if 1 in closed_at_start() else "a terminal"
        raise CommandError(
            "backup",
            f"standard output is {place}",
            exit_code=EXIT_USAGE,
            hint="name a file, or pipe it: 'raftdb backup - | ...'",
        )
    try:
        taken = stream_backup(client, sys.stdout.fileno())
    except BrokenPipeError:
        raise
    except OSError as error:
        why = error.strerror or str(error)
        message = f"cannot write to standard output: {why}"
        raise CommandError("backup", message, exit_code=EXIT_FAILED) from error
    _describe(taken, "-", output)


def back_up(
    client: Client,
    path: Path,
    output: Output,
    *,
    replace: bool = False,
    hint: str = "name a file that is not there",
) -> None:
    """Write a backup to a file, and print its index, length and digest. `hint` is the advice if the file exists. Raises
    `RaftdbError`."""
    # Imported here, because it loads hashing, which other commands do not need.
    from raftdb.client.backup import NotRegular
    from raftdb.client.sync_backup import take_backup

    try:
        if path.is_dir():
            raise CommandError(
                "backup", f"{path} is a folder", exit_code=EXIT_FAILED, hint="name a file in it"
            )
        taken = take_backup(client, path, replace=replace)
    except NotRegular:
        message = f"{path} is not a regular file, and nothing else is written to or replaced"
        hint = "'raftdb backup - > FILE' writes to standard output"
        raise CommandError("backup", message, exit_code=EXIT_FAILED, hint=hint) from None
    except FileExistsError:
        raise CommandError("backup", f"{path} exists already", exit_code=EXIT_FAILED, hint=hint) from None
    except OSError as error:
        why = error.strerror or str(error)
        shown = shorten(str(path), WHAT_CHARACTERS_MAX)
        raise CommandError("backup", f"cannot write {shown}: {why}", exit_code=EXIT_FAILED) from error
    _describe(taken, str(path), output)


def _describe(taken: "BackupTaken", name: str, output: Output) -> None:
    fields = {"index": str(taken.index), "bytes": str(taken.bytes), "digest": taken.digest}
    body = {"file": name, "index": taken.index, "bytes": taken.bytes, "digest": taken.digest}
    output.fields(fields, body)
