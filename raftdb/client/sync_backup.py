# Made from async_backup.py by .ci/unasync.py: what is to be changed is changed there.
"""Taking a backup into a file. `raftdb.client.backup` says how the file is written."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from raftdb.client.backup import BackupFile, BackupTaken
from raftdb.client.sync_io import off_loop

if TYPE_CHECKING:
    from raftdb.client.sync_client import Client


def take_backup(
    client: "Client[Any]", path: Path, *, replace: bool = False, timeout_ms: float | None = None
) -> BackupTaken:
    """Stream a backup of the cluster into `path`. The file is complete, verified and durable when this returns.

    With `replace` it replaces a regular file of that name, or the one that a link of that name leads to; without, it
    raises `FileExistsError` if there is one. Memory is bounded. Raises `NotRegular`, `BackupDamaged`, `OSError`, and
    the errors of the client's `backup`. After an error, an interrupt or a cancellation there is no file.
    """
    file = BackupFile(path, replace=replace)
    try:
        off_loop(file.open)
        index = client.backup(file, timeout_ms=timeout_ms)
        digest = file.verify()
        off_loop(file.publish)
    finally:
        off_loop(file.close)
    return BackupTaken(index, file.size_bytes, digest.hex())
