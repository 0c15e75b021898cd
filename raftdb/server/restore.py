"""`raftdb restore`: the data folder of a first member of a new cluster, with the state of a backup.

Every first member restores the same file with the same members, each on its own, and all get the same beginning:

    cluster id     of the members and the backup's digest (`raftdb.server.folder`); nodes of the old cluster, and of
                   one restored from another backup, are refused by it
    state          the backup's, moved on by `INDEX_STEP` indexes, with the new members as its configuration
    log            begins after the state, with the new members in a term above the backup's

The step is there for revisions, which are indexes. The old cluster went on after the backup, and a client may hold a
revision from then; the new cluster must never give the same number to something else (hazard B106).
"""

import uuid
from pathlib import Path
from typing import NamedTuple

from raftdb.endpoint import Endpoint
from raftdb.machine.keyspace import CONFIGURATION_KEY, pack_configuration
from raftdb.node.stored import bootstrap_restored
from raftdb.server.config import Settings, check_advertised
from raftdb.server.folder import cluster_id_of, first_configuration, storage_errors
from raftdb.wire.configuration import encode_configuration
from storage import LogStore, Manifest, SnapshotReader, StateStore, restore_folder

INDEX_STEP = 1_000_000_000
"""More entries than the old cluster writes between a backup and the day it is restored; 300 years of steps fit."""


class Restored(NamedTuple):
    """The result: the folder's cluster, the backup's index and the index after which the new cluster's log begins."""

    cluster_id: str
    backup_index: int
    base_index: int
    members: dict[str, Endpoint]


def restore(backup: Path, settings: Settings) -> Restored:
    """Make `settings.data`, empty or missing, the folder of node `settings.id`, with the state of the file `backup`.

    Raises `Fatal`: exit code 2 for an address that is of no use to others; 4 for a damaged or foreign backup, and a
    folder that is not empty or in use; 1 if it cannot be written.
    """
    if settings.peers is None:
        check_advertised(settings)
    configuration = first_configuration(settings)
    members = encode_configuration(configuration)

    def fill_state(state: StateStore, manifest: Manifest) -> None:
        index = manifest.index + INDEX_STEP
        state.write({CONFIGURATION_KEY: pack_configuration(index, members)}, index=index, term=manifest.term)

    def fill_log(log: LogStore, _manifest: Manifest) -> None:
        bootstrap_restored(log, configuration)

    with storage_errors():
        cluster_id = cluster_id_of(settings.first_members, _digest(backup))
        manifest = restore_folder(
            backup,
            settings.data,
            cluster_id=cluster_id,
            node_id=settings.id,
            node_uuid=uuid.uuid4().hex,
            fill_state=fill_state,
            fill_log=fill_log,
        )
    return Restored(cluster_id, manifest.index, manifest.index + INDEX_STEP, settings.first_members)


def _digest(backup: Path) -> str:
    """The digest that the backup says it has; restoring it verifies that."""
    reader = SnapshotReader(backup)
    try:
        return reader.digest.hex()
    finally:
        reader.close()
