"""Giving a folder to another cluster: it keeps its node, log and state, and gets a new identity.

While the file `recovering` stands in the folder no node starts on it. A recovery that a crash cut short is done again
from the beginning, on whatever log and identity the first one left; so its entries may be in the log twice.
"""

import os
from collections.abc import Callable
from dataclasses import replace

from storage.errors import Misused
from storage.files import open_new, remove_file, sync_folder
from storage.folder import RECOVERING_FILE, DataFolder
from storage.identity import Identity, write_identity
from storage.system_failures import write_failure


def recover_folder(
    folder: DataFolder, *, cluster_id: str, origin: str, change_log: Callable[[], None]
) -> Identity:
    """Make `folder`, opened with `recovering`, one of `cluster_id`; durable when it returns. Returns its new identity.

    `change_log` writes the entries that the recovery adds to the log. `origin` is kept in the identity. Raises
    `Misused` for a folder that is no node's yet, `WriteFailed`.
    """
    if folder.identity is None or not folder.identity.bootstrapped:
        raise Misused(f"{folder.path} is no node's folder yet")
    mark = folder.path / RECOVERING_FILE
    try:
        os.close(open_new(mark))
        sync_folder(folder.path)
        change_log()
        folder.identity = replace(folder.identity, cluster_id=cluster_id, origin=origin)
        write_identity(folder.path, folder.identity)
        remove_file(mark)
        sync_folder(folder.path)
    except OSError as error:
        raise write_failure(mark, error) from error
    return folder.identity
