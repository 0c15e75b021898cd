"""Taking a backup into a file. `raftdb.client.backup` says how the file is written."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from raftdb.client.async_io import off_loop
from raftdb.client.backup import BackupFile, BackupTaken

if TYPE_CHECKING:
    from raftdb.client.async_client import AsyncClient


async def take_backup(
    client: "AsyncClient[Any]", path: Path, *, replace: bool = False, timeout_ms: float | None = None
) -> BackupTaken:
    """Stream a backup of the cluster into `path`. The file is complete, verified and durable when this returns.

    With `replace` it replaces a regular file of that name, or the one that a link of that name leads to; without, it
    raises `FileExistsError` if there is one. Memory is bounded. Raises `NotRegular`, `BackupDamaged`, `OSError`, and
    the errors of the client's `backup`. After an error, an interrupt or a cancellation there is no file.
    """
    file = BackupFile(path, replace=replace)
    try:
        await off_loop(file.open)
        index = await client.backup(file, timeout_ms=timeout_ms)
        digest = file.verify()
        await off_loop(file.publish)
    finally:
        await off_loop(file.close)
    return BackupTaken(index, file.size_bytes, digest.hex())
