"""Log and state belong to one data folder, and a disk that is mounted at the wrong place is found out."""

import shutil
from pathlib import Path

import pytest

from storage import DataFolder, FolderDamaged
from storage.check import examine
from storage.errors import FolderForeign
from storage.folder import LOG_FOLDER, STATE_FOLDER
from storage.identity import OWNER_FILE

PARTS = (LOG_FOLDER, STATE_FOLDER)


def make(path: Path, node_uuid: str, *, node_id: str = "n1") -> None:
    with DataFolder(path, node_id=node_id) as folder:
        folder.create(cluster_id="c1", node_id=node_id, node_uuid=node_uuid)


@pytest.mark.parametrize("part", PARTS)
def test_a_log_or_state_of_another_folder_is_refused(tmp_path: Path, part: str) -> None:
    """Of another cluster its keys were served under this one's name; nothing in the two files contradicts that."""
    make(tmp_path / "n1", "u1")
    make(tmp_path / "n2", "u2", node_id="n2")
    kept = tmp_path / "kept"
    (tmp_path / "n1" / part).rename(kept)
    shutil.copytree(tmp_path / "n2" / part, tmp_path / "n1" / part)
    with pytest.raises(
        FolderForeign, match=f"{part} belongs to another data folder, one of node n2.*bring back"
    ):
        DataFolder(tmp_path / "n1", node_id="n1")
    wrong = [finding for finding in examine(tmp_path / "n1") if not finding.ok]
    assert [finding.name for finding in wrong] == [f"owner of {part}"]
    shutil.rmtree(tmp_path / "n1" / part)
    kept.rename(tmp_path / "n1" / part)
    DataFolder(tmp_path / "n1", node_id="n1").close()
    assert all(finding.ok for finding in examine(tmp_path / "n1"))


@pytest.mark.parametrize("part", PARTS)
def test_a_log_or_state_that_says_of_no_folder_is_refused(tmp_path: Path, part: str) -> None:
    make(tmp_path / "n1", "u1")
    (tmp_path / "n1" / part / OWNER_FILE).unlink()
    with pytest.raises(FolderDamaged, match=OWNER_FILE):
        DataFolder(tmp_path / "n1", node_id="n1")
