"""One number for all that a stopped node has at some index."""

from pathlib import Path

import pytest

from raftdb.core.block import Block
from raftdb.core.model import EntryKind, HardState
from raftdb.errors import Fatal
from raftdb.machine import entries
from raftdb.machine.strings import Set
from raftdb.node.stored import encode_hard_state
from raftdb.server.config import Settings
from raftdb.server.folder import create_folder, open_folder
from raftdb.server.state_digest import state_digest
from storage import LogBatch
from tests.addresses import at

PEERS = {f"n{number}": at(f"127.0.0.1:800{number}") for number in (1, 2)}


def make(path: Path, node: str, values: list[bytes]) -> Path:
    """The folder of a node whose log has a write of one key for each value, from index 2 on."""
    settings = Settings(id=node, data=path / node, peers=PEERS)
    with open_folder(settings) as folder:
        create_folder(folder, settings)
        log = folder.open_log()
        data = [entries.stamp(entries.encode(Set(b"key", value)), 1_000) for value in values]
        block = Block.of(2, 4, EntryKind.COMMAND, data)
        log.write([LogBatch(encode_hard_state(HardState(4, None)), None, [block.encoded])])
        log.close()
    return settings.data


def test_nodes_with_the_same_log_have_the_same_state_at_each_index(tmp_path: Path) -> None:
    one, other = make(tmp_path, "n1", [b"a", b"b"]), make(tmp_path, "n2", [b"a", b"c", b"d"])
    assert state_digest(one, 2) == state_digest(other, 2)
    assert state_digest(one, 3) != state_digest(other, 3)
    assert state_digest(one, 2) != state_digest(one, 3)


def test_of_an_index_that_the_log_does_not_reach_there_is_no_state(tmp_path: Path) -> None:
    with pytest.raises(Fatal, match="states from index 0 to 3, and none of 4"):
        state_digest(make(tmp_path, "n1", [b"a", b"b"]), 4)
    with pytest.raises(Fatal, match="not the data folder"):
        state_digest(tmp_path / "nothing", 1)
