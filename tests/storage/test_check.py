"""The doctor: a healthy folder has nothing wrong, and each damage is named with what to do. Nothing is written."""

import os
import shutil
from pathlib import Path

import pytest

from storage import DataFolder, Finding, LogBatch, examine, examine_snapshot, restore_folder
from storage.env import DATA_FILE
from storage.folder import LOG_FOLDER, RECOVERING_FILE, RESTORING_FILE, STATE_FOLDER
from storage.manifest import PAGE_BYTES
from tests.storage.media import blocks
from tests.storage.snapshots import CLUSTER, contents, feed, fill, fill_log, make_snapshot


def make(path: Path) -> None:
    with DataFolder(path, node_id="n1") as folder:
        folder.create(cluster_id=CLUSTER, node_id="n1", node_uuid="u1")
        log = folder.open_log()
        log.write([LogBatch(b"term and vote", None, blocks(1, 30, term=2))])
        log.trim(5, 2)
        log.close()
    fill(path / STATE_FOLDER, 1)


def snapshot_of_files(path: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(found.relative_to(path)): (found.read_bytes(), found.stat().st_mtime_ns)
        for found in path.rglob("*")
        if found.is_file()
    }


def findings(path: Path) -> dict[str, Finding]:
    """What is found, after making sure that nothing was written for it."""
    before = snapshot_of_files(path)
    found = {finding.name: finding for finding in examine(path)}
    assert snapshot_of_files(path) == before
    return found


def wrong(path: Path) -> list[Finding]:
    bad = [finding for finding in findings(path).values() if not finding.ok]
    assert all(finding.advice for finding in bad)
    return bad


def test_a_healthy_folder_is_described(tmp_path: Path) -> None:
    make(tmp_path / "n1")
    (tmp_path / "n1" / STATE_FOLDER / "lock.mdb").unlink()
    found = findings(tmp_path / "n1")
    assert all(finding.ok for finding in found.values())
    values = {name: finding.value for name, finding in found.items()}
    assert (
        values
        | {
            "lock": "free",
            "cluster": CLUSTER,
            "node": "n1",
            "folder": "u1",
            "hard state": b"term and vote",
            "log first": 6,
            "log last": 30,
            "log last term": 2,
            "checkpoint": 10,
            "checkpoint term": 2,
            "log checksums": "25 entries verified",
            "state checksums": f"{len(contents(1))} keys verified",
        }
        == values
    )


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    make(tmp_path / "n1")
    with DataFolder(tmp_path / "n1", node_id="n1"):
        (finding,) = examine(tmp_path / "n1")
        assert finding.name == "lock"
        assert not finding.ok
        assert str(os.getpid()) in str(finding.value)


def test_no_folder_and_an_empty_one(tmp_path: Path) -> None:
    assert [finding.ok for finding in examine(tmp_path / "absent")] == [False]
    (tmp_path / "n1").mkdir()
    assert wrong(tmp_path / "n1") == []
    assert findings(tmp_path / "n1")["identity"].value == "none"


@pytest.mark.parametrize(
    ("folder", "text", "name"),
    [(LOG_FOLDER, b"data of 17", "log"), (STATE_FOLDER, b"value of 1", "state")],
)
def test_a_flipped_bit_is_named(tmp_path: Path, folder: str, text: bytes, name: str) -> None:
    make(tmp_path / "n1")
    data = tmp_path / "n1" / folder / DATA_FILE
    data.write_bytes(data.read_bytes().replace(text, b"Z" + text[1:]))
    assert [finding.name for finding in wrong(tmp_path / "n1")] == [name]


@pytest.mark.parametrize("folder", [LOG_FOLDER, STATE_FOLDER])
def test_a_file_cut_short_or_gone_is_named(tmp_path: Path, folder: str) -> None:
    make(tmp_path / "n1")
    data = tmp_path / "n1" / folder / DATA_FILE
    # LMDB makes its files longer than it uses; this is short of what it does use.
    os.truncate(data, 3 * PAGE_BYTES)
    assert [finding.name for finding in wrong(tmp_path / "n1")] == [folder]
    data.unlink()
    assert [finding.name for finding in wrong(tmp_path / "n1")] == [folder]


def test_swapped_folders_are_named(tmp_path: Path) -> None:
    make(tmp_path / "n1")
    path = tmp_path / "n1"
    (path / LOG_FOLDER).rename(path / "other")
    (path / STATE_FOLDER).rename(path / LOG_FOLDER)
    (path / "other").rename(path / STATE_FOLDER)
    assert [finding.name for finding in wrong(path)] == ["log", "state"]


def test_a_state_older_than_the_log_begins_is_named(tmp_path: Path) -> None:
    """A state put back from an old copy: what is between is nowhere (hazard B31)."""
    make(tmp_path / "n1")
    shutil.rmtree(tmp_path / "n1" / STATE_FOLDER)
    with DataFolder(tmp_path / "n2", node_id="n1") as folder:
        folder.create(cluster_id=CLUSTER, node_id="n1", node_uuid="u1")
    shutil.copytree(tmp_path / "n2" / STATE_FOLDER, tmp_path / "n1" / STATE_FOLDER)
    assert [finding.name for finding in wrong(tmp_path / "n1")] == ["log and state"]


def test_a_state_ahead_of_its_log_is_no_damage(tmp_path: Path) -> None:
    """What a crash between installing a snapshot and resetting the log leaves (hazard B34)."""
    make(tmp_path / "n1")
    with DataFolder(tmp_path / "n1", node_id="n1") as folder:
        feed(folder.receiver, make_snapshot(tmp_path, 9))
        assert "complete" in str(next(f for f in examine_free(folder) if f.name == "incoming").value)
        folder.swap_in_snapshot()
    found = findings(tmp_path / "n1")
    assert found["log and state"].ok
    assert "next start" in str(found["log and state"].advice)


def examine_free(folder: DataFolder) -> list[Finding]:
    """The findings about a copy of a folder that is in use."""
    copy = folder.path.with_name("copy")
    shutil.copytree(folder.path, copy)
    return list(examine(copy))


@pytest.mark.parametrize("damage", ["flipped", "missing"])
def test_a_damaged_or_missing_identity_is_named_and_the_rest_examined(tmp_path: Path, damage: str) -> None:
    make(tmp_path / "n1")
    identity = tmp_path / "n1" / "identity.cbor"
    if damage == "missing":
        identity.unlink()
    else:
        identity.write_bytes(identity.read_bytes().replace(b"n1", b"n2"))
    assert [finding.name for finding in wrong(tmp_path / "n1")] == ["identity"]
    assert findings(tmp_path / "n1")["log last"].value == 30


def test_a_restore_cut_short_is_named(tmp_path: Path) -> None:
    (tmp_path / "n1").mkdir()
    (tmp_path / "n1" / RESTORING_FILE).touch()
    assert [finding.name for finding in wrong(tmp_path / "n1")] == ["restore"]


def test_a_recovery_cut_short_is_named_and_the_rest_examined(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / RECOVERING_FILE).touch()
    assert [finding.name for finding in wrong(tmp_path)] == ["recovery"]
    assert findings(tmp_path)["log and state"].ok


def test_a_restored_folder_is_healthy(tmp_path: Path) -> None:
    restore_folder(
        make_snapshot(tmp_path, 1),
        tmp_path / "n1",
        cluster_id="new",
        node_id="n1",
        node_uuid="u1",
        fill_log=fill_log,
    )
    assert wrong(tmp_path / "n1") == []


def test_a_backup_file_is_examined(tmp_path: Path) -> None:
    path = make_snapshot(tmp_path, 1)
    found = {finding.name: finding for finding in examine_snapshot(path)}
    assert all(finding.ok for finding in found.values())
    assert (found["index"].value, found["configuration"].value) == (10, b"members of 1")
    content = path.read_bytes()
    path.write_bytes(content[:-40] + b"X" + content[-39:])
    assert [finding.name for finding in examine_snapshot(path) if not finding.ok] == ["digest"]
    path.write_bytes(content[:-40])
    assert [finding.name for finding in examine_snapshot(path) if not finding.ok] == ["snapshot"]
