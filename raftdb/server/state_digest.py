"""A digest of the state that a stopped node has at some index: two nodes with all the same data have the same.

The folder has the state as of a checkpoint, and the log after it. So the entries up to the index are applied in memory,
as the node itself would do at its next start. Nothing of that is written, but the log's journal is taken into the log,
as each start does.
"""

from hashlib import sha256
from pathlib import Path

from raftdb.core.block import Block
from raftdb.errors import Fatal
from raftdb.machine.machine import Machine
from raftdb.node.execution import apply_slice
from raftdb.server.folder import EXIT_FOLDER, storage_errors
from storage import DataFolder, LogStore, StateStore, read_identity

APPLY_ENTRIES = 4096
APPLY_BYTES = 16 << 20
SCAN_KEYS = 1000


def state_digest(data: Path, index: int) -> str:
    """The hexadecimal SHA-256 of all keys and values that the node of the folder `data` has at `index`.

    The folder is locked meanwhile. Raises `Fatal`: exit code 4 for a folder that is in use, damaged or no node's, whose
    checkpoint is after the index, or whose log ends before it.
    """
    with storage_errors():
        identity = read_identity(data)
        if identity is None or not identity.bootstrapped:
            raise Fatal(f"{data} is not the data folder of a node that has run", exit_code=EXIT_FOLDER)
        with DataFolder(data, node_id=identity.node_id) as folder:
            log, state = folder.open_log(), folder.open_state()
            try:
                _apply_up_to(index, log, state, data)
                return _digest(state)
            finally:
                state.close()
                log.close()


def _apply_up_to(index: int, log: LogStore, state: StateStore, data: Path) -> None:
    last = log.load().last_index
    if not state.checkpoint[0] <= index <= last:
        raise Fatal(
            f"{data} has states from index {state.checkpoint[0]} to {last}, and none of {index}",
            exit_code=EXIT_FOLDER,
        )
    machine = Machine()
    while state.applied[0] < index:
        first = state.applied[0] + 1
        until = min(first + APPLY_ENTRIES - 1, index)
        blocks = map(Block.read, log.read(first, until, bytes_max=APPLY_BYTES))
        apply_slice(blocks, first, until, state, machine, bytes_max=APPLY_BYTES)


def _digest(state: StateStore) -> str:
    hashed = sha256()
    first = b"\0"
    while found := state.scan(first, None, limit=SCAN_KEYS):
        for key, value in found:
            hashed.update(b"%d %d " % (len(key), len(value)) + key + value)
        first = found[-1][0] + b"\0"
    return hashed.hexdigest()
