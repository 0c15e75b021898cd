"""A node's data folder: opening or making it, checking its identity, and the errors of storage as this layer knows
them.

The first members of a cluster agree on its id without talking to each other: it is a function of values that they all
know. For a cluster that begins empty that is the list of first members; for one that begins with a backup, the list and
the backup's digest, its *origin*. The folder's identity keeps the origin, so that `--peers` can be checked at every
start against what the folder began with, restored or not.
"""

import hashlib
import logging
import stat
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from raftdb.core.membership import Configuration
from raftdb.core.model import Member
from raftdb.endpoint import Endpoint
from raftdb.errors import Fatal
from raftdb.node.stored import begin_empty, bootstrap
from raftdb.server.config import Settings, check_advertised
from storage import (
    DataFolder,
    Identity,
    OutOfSpace,
    Reason,
    StorageError,
    SystemFailure,
    WriteFailed,
    read_identity,
)
from storage.system_failures import mapped

logger = logging.getLogger("raftdb.server")

EXIT_FAILED = 1
EXIT_FOLDER = 4
EXIT_OF_REASON = {
    Reason.PERMISSION: 5,
    Reason.ADDRESS_SPACE: 6,
    Reason.OPEN_FILES: 7,
    Reason.INPUT_OUTPUT: 8,
    Reason.OTHER: EXIT_FAILED,
}
"""Each reason of a system failure has a code of its own: a program that starts a node again may act on it."""


def cluster_id_of(first_members: Mapping[str, Endpoint], origin: str | None = None) -> str:
    """The name of the cluster that begins with these members and, if there is an `origin`, with that backup."""
    text = ",".join(f"{name}={address.authority}" for name, address in sorted(first_members.items()))
    if origin is not None:
        # A list of members ends with a port number, so none reads like one with an origin.
        text += f"|{origin}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@contextmanager
def storage_errors() -> Iterator[None]:
    """Errors of storage become Fatal here, once."""
    try:
        yield
    except StorageError as error:
        raise fatal(error) from error


def fatal(error: StorageError) -> Fatal:
    """The `Fatal` that a node ends with because of `error`."""
    if isinstance(error, SystemFailure):
        code = EXIT_OF_REASON[error.reason]
    else:
        code = EXIT_FAILED if isinstance(error, WriteFailed | OutOfSpace) else EXIT_FOLDER
    return Fatal(error.message, exit_code=code, hint=error.hint)


def kind_of(path: Path) -> str | None:
    """What is at `path`: a "folder", a "file", or "no file" (a device, a pipe). None if nothing is there.

    Raises `Fatal` if that may not be looked at.
    """
    with storage_errors(), mapped(path, "look at"):
        try:
            mode = path.stat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            return None
        if stat.S_ISDIR(mode):
            return "folder"
        return "file" if stat.S_ISREG(mode) else "no file"


def open_folder(settings: Settings) -> DataFolder:
    """Lock the folder and check its identity. The peers in the settings, if any, must be those that it began with."""
    folder = _open_folder(settings)
    if folder.openness.group:
        # Orchestrators give volumes to a group, and their users could not change that: so this is no error.
        details = {"data": settings.data, "hint": f"chmod g-w {settings.data}, if that is not meant"}
        logger.warning("the group of the data folder can write in it", extra={"fields": details})
    return folder


def _open_folder(settings: Settings) -> DataFolder:
    # Read before the lock is taken: an identity is written once and for all.
    identity = read_identity(settings.data)
    if settings.peers is None:
        if identity is None or not identity.bootstrapped:
            # The addresses in the first entry of the log stay there, so other nodes must be able to use them.
            check_advertised(settings)
        return DataFolder(settings.data, node_id=settings.id)
    origin = None if identity is None else identity.origin
    cluster_id = cluster_id_of(settings.peers, origin)
    if identity is not None and identity.node_id == settings.id and identity.cluster_id != cluster_id:
        raise Fatal(
            f"{settings.data} belongs to cluster {identity.cluster_id}, not to {cluster_id}, which has these peers",
            exit_code=EXIT_FOLDER,
            hint="peers are those that the cluster began with; without any, the folder says who the members are now,"
            " and --members where they are, if they have moved",
        )
    return DataFolder(settings.data, node_id=settings.id, cluster_id=cluster_id)


def first_configuration(settings: Settings) -> Configuration:
    """The members that a new cluster starts with."""
    members = sorted(settings.first_members.items())
    return Configuration(tuple(Member(name, address) for name, address in members))


def create_joining_folder(folder: DataFolder, settings: Settings, cluster_id: str) -> Identity:
    """Make a new folder of a running cluster: its log is empty, and knows no members until the leader says who is."""
    return folder.create(
        cluster_id=cluster_id, node_id=settings.id, node_uuid=uuid.uuid4().hex, fill_log=begin_empty
    )


def create_folder(folder: DataFolder, settings: Settings) -> Identity:
    """Make a new folder: identity, and the first entry of the log."""
    return folder.create(
        cluster_id=cluster_id_of(settings.first_members),
        node_id=settings.id,
        node_uuid=uuid.uuid4().hex,
        fill_log=lambda log: bootstrap(log, first_configuration(settings)),
    )
