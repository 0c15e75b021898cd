"""`raftdb snapshot` and `raftdb backup`, and `.backup` in the shell: what a running cluster is asked for."""

from pathlib import Path

from cli.failures import EXIT_FAILED, EXIT_OK, WHAT_CHARACTERS_MAX, CommandError
from cli.options import Options, Parser, add_client_options, merged
from cli.output import Output
from cli.render import shorten
from raftdb.client.sync_client import Client


def run_snapshot(arguments: list[str], options: Options) -> int:
    """`raftdb snapshot`: prints the index that the leader's state is durable up to."""
    parser = Parser(
        "raftdb snapshot", "Make the leader's state durable, and compact its log, now. Prints the index."
    )
    add_client_options(parser)
    options = merged(options, parser.parse_args(arguments))
    with options.client() as client:
        index = client.snapshot()
    output = Output(options.output)
    if output.format == "json":
        output.json({"index": index})
    else:
        output.text(str(index))
    return EXIT_OK


def run_backup(arguments: list[str], options: Options) -> int:
    """`raftdb backup FILE [--force]`: prints the backup's index, length and digest."""
    parser = Parser(
        "raftdb backup",
        "Copy the state of a running cluster, as of one moment, into a file: verified, or not there at all.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="where to put it; 'raftdb restore' reads it")
    parser.add_argument("--force", action="store_true", help="replace a file of that name")
    add_client_options(parser)
    parsed = parser.parse_args(arguments)
    options = merged(options, parsed)
    with options.client() as client:
        back_up(client, parsed.file, Output(options.output), replace=parsed.force, hint="--force replaces it")
    return EXIT_OK


def back_up(
    client: Client,
    path: Path,
    output: Output,
    *,
    replace: bool = False,
    hint: str = "name a file that is not there",
) -> None:
    """Put a backup into a file and print its index, length and digest. Raises `RaftdbError`; `hint` is what to do
    about a file that exists."""
    # Loaded when it is needed: hashing is nothing that other commands should pay for.
    from raftdb.client.backup import take_backup

    try:
        if path.is_dir():
            raise CommandError(
                "backup", f"{path} is a folder", exit_code=EXIT_FAILED, hint="name a file in it"
            )
        taken = take_backup(client, path, replace=replace)
    except FileExistsError:
        raise CommandError("backup", f"{path} exists already", exit_code=EXIT_FAILED, hint=hint) from None
    except OSError as error:
        why = error.strerror or str(error)
        shown = shorten(str(path), WHAT_CHARACTERS_MAX)
        raise CommandError("backup", f"cannot write {shown}: {why}", exit_code=EXIT_FAILED) from error
    fields = {"index": str(taken.index), "bytes": str(taken.bytes), "digest": taken.digest}
    body = {"file": str(path), "index": taken.index, "bytes": taken.bytes, "digest": taken.digest}
    output.fields(fields, body)
