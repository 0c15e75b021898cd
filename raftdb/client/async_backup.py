"""Taking a backup into a file, which is written as `raftdb.client.backup` says."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from raftdb.client.async_io import off_loop
from raftdb.client.backup import BackupFile, BackupTaken

if TYPE_CHECKING:
    from raftdb.client.async_client import AsyncClient


async def take_backup(
    client: "AsyncClient[Any]", path: Path, *, replace: bool = False, timeout_ms: float | None = None
) -> BackupTaken:
    """Stream a backup of the cluster into `path`; durable, whole and verified when it returns, or not there.

    With `replace` it takes the place of a regular file of that name, or of the one that a link of that name leads to;
    else raises `FileExistsError`. Memory is bounded. Raises `NotRegular`, `BackupDamaged`, `OSError`, and what
    `backup` of the client raises. Interrupted or cancelled, it leaves no file.
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
