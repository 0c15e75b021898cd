# Made from async_backup.py by .ci/unasync.py: what is to be changed is changed there.
"""Taking a backup into a file, which is written as `raftdb.client.backup` says."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from raftdb.client.backup import BackupFile, BackupTaken
from raftdb.client.sync_io import off_loop

if TYPE_CHECKING:
    from raftdb.client.sync_client import Client


def take_backup(
    client: "Client[Any]", path: Path, *, replace: bool = False, timeout_ms: float | None = None
) -> BackupTaken:
    """Stream a backup of the cluster into `path`; durable, whole and verified when it returns, or not there.

    With `replace` it takes the place of a regular file of that name, or of the one that a link of that name leads to;
    else raises `FileExistsError`. Memory is bounded. Raises `NotRegular`, `BackupDamaged`, `OSError`, and what
    `backup` of the client raises. Interrupted or cancelled, it leaves no file.
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
