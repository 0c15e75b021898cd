"""`raftdb learn`: the page that teaches Raft, without a cluster: chapters, a lesson of one's own, or a recorded run."""

import asyncio
from pathlib import Path

import click

from cli.console.failures import EXIT_FAILED, CommandError
from cli.subcommands.options import COUNT, Command

FILE_BYTES_MAX = 64 << 20
"""Of a recording: several times what the longest has."""
OWN = "own"
"""The name of the lesson of the FILE, in the page's address."""


@click.command("learn", cls=Command)
@click.argument("file", required=False, type=click.Path())
@click.option(
    "--port", type=COUNT, default=0, metavar="N", help="The port of the page (default: any free one)."
)
def run(file: str | None, port: int) -> int:
    """Serve the page that teaches Raft, without a cluster, until Ctrl-C.

    FILE is a lesson of one's own (text), or a run that `raftdb simulate --explain FILE.json` has recorded.
    """
    content = None if file is None else _read(file)
    # Importing the listener takes a while, so a wrong argument is reported before.
    from raftdb.frontend import serve_lessons

    async def serve() -> None:
        is_recording = file is not None and file.endswith(".json")
        async with serve_lessons(port, own=content, is_recording=is_recording) as address:
            path = "/learn" if content is None else f"/learn/{OWN}"
            click.echo(f"{address.url()}{path}   (Ctrl-C ends it)")
            await asyncio.Event().wait()

    try:
        asyncio.run(serve())
    except KeyboardInterrupt:
        return 0
    except OSError as error:
        raise CommandError("learn", f"cannot listen: {error.strerror}", exit_code=EXIT_FAILED) from error
    return 0


def _read(file: str) -> bytes:
    path = Path(file)
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise CommandError(
                "learn", f"{file} is longer than {FILE_BYTES_MAX} bytes", exit_code=EXIT_FAILED
            )
        return path.read_bytes()
    except OSError as error:
        raise CommandError("learn", f"cannot read {file}: {error.strerror}", exit_code=EXIT_FAILED) from error
