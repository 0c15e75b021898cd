"""The way back from a lost majority: what of a folder stays, what is new, and when nothing is touched."""

import io
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from cli.main import run
from raftdb.core.block import Block
from raftdb.core.membership import Configuration
from raftdb.core.model import EntryKind, HardState, Member
from raftdb.core.raft import Raft
from raftdb.core.state import RaftSettings
from raftdb.endpoint import Endpoint
from raftdb.errors import Fatal
from raftdb.node.stored import encode_hard_state, load_raft
from raftdb.server.config import Settings
from raftdb.server.folder import create_folder, open_folder, storage_errors
from raftdb.server.recover import recovery
from raftdb.server.restore import INDEX_STEP
from raftdb.wire.configuration import encode_configuration
from storage import DataFolder, LogBatch
from storage.folder import RECOVERING_FILE
from storage.identity import read_identity
from tests.addresses import at

PEERS = {f"n{number}": at(f"127.0.0.1:800{number}") for number in (1, 2, 3)}
ALONE = {"n1": at("127.0.0.1:9001")}


def make(path: Path, *, node: str = "n1", entries: int = 5, term: int = 4, voted_in: int = 6) -> None:
    """The folder of a first member that has seen some writes of one leader, and voted since."""
    settings = Settings(id=node, data=path, peers=PEERS)
    with open_folder(settings) as folder:
        create_folder(folder, settings)
        log = folder.open_log()
        blocks = [Block.of(2, term, EntryKind.NOOP, [b""] * entries).encoded] if entries else []
        log.write([LogBatch(encode_hard_state(HardState(voted_in, "n2")), None, blocks)])
        log.close()


def write_recovered(path: Path, members: Mapping[str, Endpoint] = ALONE) -> str:
    """Recover the folder; returns the new cluster's id."""
    with recovery(path, members) as found:
        found.carry_out()
        return found.plan.cluster_id


def start(path: Path, settings: Settings) -> Raft:
    """The node as a start finds it."""
    with storage_errors(), open_folder(settings) as folder:
        log, state = folder.open_log(), folder.open_state()
        try:
            return load_raft(
                settings.id, log, state, settings=RaftSettings(), randrange=lambda low, high: low
            )
        finally:
            state.close()
            log.close()


def contents(path: Path) -> dict[str, bytes]:
    """Every file but LOCK and LMDB's own lock, whose content is of no lasting meaning."""
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file() and file.name not in ("LOCK", "lock.mdb")
    }


def test_a_node_goes_on_alone_with_all_that_it_had(tmp_path: Path) -> None:
    path = tmp_path / "n1"
    make(path)
    before = read_identity(path)
    cluster_id = write_recovered(path)
    after = read_identity(path)
    assert before is not None
    assert after is not None
    assert (after.node_id, after.node_uuid) == (before.node_id, before.node_uuid)
    assert after.cluster_id == cluster_id != before.cluster_id
    core = start(path, Settings(id="n1", data=path)).state
    assert core.log.last_index == 7 + INDEX_STEP, "no index that the lost nodes may have used is used again"
    assert core.log.last_term == core.term == 7, "a term that nobody can have voted in"
    assert core.voted_for is None
    assert core.configurations.latest == Configuration(
        (Member("n1", at("127.0.0.1:9001"), uuid=after.node_uuid),), ("n2", "n3")
    )


def test_the_peers_of_the_new_cluster_may_be_named_and_those_of_the_old_may_not(tmp_path: Path) -> None:
    path = tmp_path / "n1"
    make(path)
    write_recovered(path)
    start(path, Settings(id="n1", data=path, peers=ALONE))
    with pytest.raises(Fatal, match="belongs to cluster"):
        start(path, Settings(id="n1", data=path, peers=PEERS))


@pytest.mark.parametrize(
    ("change", "same"),
    [({}, True), ({"entries": 6}, False), ({"term": 5}, False), ({"voted_in": 9}, False)],
)
def test_nodes_come_to_one_cluster_only_if_their_logs_end_alike(
    tmp_path: Path, change: dict[str, int], same: bool
) -> None:
    """Two logs that share their last entry share all of them; any other two must never meet in one cluster."""
    make(tmp_path / "n1")
    make(tmp_path / "n2", node="n2", **change)
    members = {"n1": at("127.0.0.1:9001"), "n2": at("127.0.0.1:9002")}
    ids = {write_recovered(tmp_path / name, members) for name in members}
    assert (len(ids) == 1) is same


def test_ids_that_were_given_up_stay_given_up(tmp_path: Path) -> None:
    """Those of the last configuration, and those removed before; learners and voters come back as voters."""
    path = tmp_path / "n1"
    make(path)
    configuration = Configuration(
        (
            Member("n1", at("127.0.0.1:8001"), voter=False, joining=True),
            Member("n3", at("127.0.0.1:8003"), uuid="u3"),
        ),
        ("n2",),
    )
    with DataFolder(path, node_id="n1") as folder:
        log = folder.open_log()
        block = Block.of(7, 6, EntryKind.CONFIGURATION, [encode_configuration(configuration)])
        log.write([LogBatch(None, None, [block.encoded])])
        log.close()
    write_recovered(path)
    latest = start(path, Settings(id="n1", data=path)).state.configurations.latest
    assert latest.removed == ("n2", "n3")
    assert latest.voters == ("n1",)
    assert not latest.members[0].joining


def test_a_recovery_cut_short_keeps_the_node_from_starting_and_is_done_again(tmp_path: Path) -> None:
    path = tmp_path / "n1"
    make(path)
    first = write_recovered(path)
    (path / RECOVERING_FILE).touch()
    settings = Settings(id="n1", data=path)
    with pytest.raises(Fatal, match="cut short"):
        start(path, settings)
    assert write_recovered(path) != first
    core = start(path, settings).state
    assert (core.log.last_index, core.term) == (8 + 2 * INDEX_STEP, 8)
    assert core.configurations.latest.removed == ("n2", "n3")


REFUSED: dict[str, tuple[dict[str, Endpoint], str]] = {
    "this node is not named": ({"n2": at("127.0.0.1:8002")}, "do not name the node of this folder, n1"),
    "a node that was no member": ({**ALONE, "n4": at("127.0.0.1:8004")}, "n4 was not a member"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_members_that_cannot_be_are_refused_and_nothing_changes(tmp_path: Path, case: str) -> None:
    members, words = REFUSED[case]
    make(tmp_path / "n1")
    before = contents(tmp_path / "n1")
    with pytest.raises(Fatal, match=words) as refused, recovery(tmp_path / "n1", members):
        pass
    assert refused.value.exit_code == 2
    assert contents(tmp_path / "n1") == before


def test_a_folder_that_is_nobodys_or_in_use_is_refused(tmp_path: Path) -> None:
    make(tmp_path / "n1")
    (tmp_path / "empty").mkdir()
    with pytest.raises(Fatal, match="is not the data folder") as refused, recovery(tmp_path / "empty", ALONE):
        pass
    assert refused.value.exit_code == 4
    with (
        DataFolder(tmp_path / "n1", node_id="n1"),
        pytest.raises(Fatal, match="in use") as refused,
        recovery(tmp_path / "n1", ALONE),
    ):
        pass
    assert refused.value.exit_code == 4


def test_the_command_says_what_is_lost_before_it_does_anything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "n1"
    make(path)
    before = contents(path)
    command = ["recover", "--data", str(path), "--members", "n1=127.0.0.1:9001"]
    assert run(command) == 2, "nobody is at this terminal"
    errors = capsys.readouterr().err
    assert "log ends at entry 6" in errors
    assert "LOST" in errors
    assert "Never again a member: n2, n3" in errors
    assert "hint: --yes" in errors
    assert contents(path) == before

    monkeypatch.setattr("cli.subcommands.folders.is_terminal", lambda stream: True)
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    assert run(command) == 1
    assert "nothing was changed" in capsys.readouterr().err
    assert contents(path) == before

    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    assert run([*command, "-o", "json"]) == 0
    assert '"removed": ["n2", "n3"]' in capsys.readouterr().out
    assert run([*command, "--yes"]) == 0
    assert f"raftdb serve --id n1 --listen 127.0.0.1:9001 --data {path}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--data", "missing", "--members", "n1=127.0.0.1:1"], "there is no folder missing"),
        (["--data", "/dev/null", "--members", "n1=127.0.0.1:1"], "/dev/null is not a folder"),
        (["--data", ".", "--members", "n1"], "HOST:PORT"),
        (["--data", "."], "--members"),
    ],
)
def test_a_command_that_makes_no_sense_is_code_2(
    arguments: list[str], word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["recover", *arguments]) == 2
    assert word in capsys.readouterr().err


def test_a_folder_is_no_backup(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["restore", str(tmp_path), "--data", str(tmp_path / "new")]) == 2
    assert f"{tmp_path} is a folder, not a backup" in capsys.readouterr().err
