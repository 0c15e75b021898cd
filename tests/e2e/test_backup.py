"""Backup, restore and doctor on real nodes: one moment of the old cluster becomes a new cluster (hazard B106)."""

import json
from pathlib import Path
from typing import Any

import pytest

from raftdb.server.restore import INDEX_STEP
from tests.e2e.cluster import Cluster, run_cli
from tests.e2e.conftest import NewCluster
from tests.e2e.load import load_on
from tests.e2e.raw_http import command_body
from tests.e2e.waiting import wait_for

EXIT_FOLDER = 4
KEYS_PER_READ = 500


def cli_json(*arguments: str, code: int = 0) -> Any:
    """One run of the command line that prints JSON."""
    done = run_cli(*arguments, "-o", "json")
    assert done.returncode == code, (arguments, done)
    return json.loads(done.stdout)


def take_backup(cluster: Cluster, path: Path) -> dict[str, Any]:
    described: dict[str, Any] = cli_json("backup", str(path), "--connect", ",".join(cluster.addresses))
    return described


def restore_all(backup: Path, cluster: Cluster) -> list[dict[str, Any]]:
    """Restore the backup for each node of a cluster that was never started."""
    return [
        cli_json(
            "restore", str(backup), "--data", str(node.data), "--id", node.name, "--peers", node.peers or ""
        )
        for node in cluster
    ]


@pytest.fixture
def backup(new_cluster: NewCluster, tmp_path: Path) -> Path:
    """A backup of a single node with one key."""
    cluster = new_cluster(1, "one").start()
    cluster.client().result("set", "a", "1")
    take_backup(cluster, tmp_path / "backup")
    assert cluster["n1"].stop() == 0
    return tmp_path / "backup"


def test_a_backup_under_load_becomes_a_new_cluster_with_the_data_of_one_moment(
    new_cluster: NewCluster, tmp_path: Path
) -> None:
    old = new_cluster(3, "old").start("--log-level", "warning")
    path = tmp_path / "backup"
    with load_on(old, "b") as load:
        load.wait_for_acks(100)
        acked_before = dict(load.acked)
        described = take_backup(old, path)
        load.wait_for_acks(50)
    assert set(acked_before.values()) <= set(range(1, described["index"] + 1))

    new = new_cluster(3, "new")
    restored = restore_all(path, new)
    assert len({made["cluster_id"] for made in restored}) == 1
    new.start()
    status = new["n1"].status()
    assert status["cluster_id"] == restored[0]["cluster_id"] != old["n1"].status()["cluster_id"]
    assert {member["id"]: member["http"] for member in status["members"]} == {
        node.name: node.address for node in new
    }
    client = new.client()
    # Exactly the writes up to the backup's index, each of them once.
    for key, index in load.acked.items():
        expected = key if index <= described["index"] else ""
        assert client.result("get", key) == expected, (key, index, described)
    words = client.result("get", "b-words").split(";")[:-1]
    assert len(words) == len(set(words))
    # A revision given out by the old cluster after the backup never comes again.
    outcome = client.execute("set", "b-after", "x")
    assert outcome.index > described["index"] + INDEX_STEP  # type: ignore[union-attr]  # it was acknowledged
    new.wait_agreed()
    page = command_body("mget", sorted(load.acked)[:KEYS_PER_READ], consistency="stale")
    answers = [node.ask("POST", "/v1/execute", page).json["result"] for node in new]
    assert answers[0] == answers[1] == answers[2]


def test_restored_nodes_go_on_after_kills_restarts_and_compaction(
    new_cluster: NewCluster, backup: Path
) -> None:
    new = new_cluster(3, "new")
    restore_all(backup, new)
    new.start()
    client = new.client()
    with load_on(new, "r", threads=2) as load:
        load.wait_for_acks(20)
        leader = new.leader()
        leader.kill9()
        load.wait_for_acks(20)
        leader.start()
        assert run_cli("snapshot", "--connect", ",".join(new.addresses)).returncode == 0
        load.wait_for_acks(20)
    new.wait_agreed()
    load.check(client)
    assert client.result("get", "a") == "1"
    # A second generation: a backup of what was restored (hazard B32).
    again = backup.with_name("again")
    take_backup(new, again)
    members = {finding["name"]: finding["value"] for finding in cli_json("doctor", str(again))["findings"]}
    assert members["members"] == ",".join(f"{node.name}={node.address}" for node in new)


def test_a_node_of_the_old_cluster_is_refused_by_the_new_one(new_cluster: NewCluster, tmp_path: Path) -> None:
    """The new cluster has the old one's names and addresses, and one old node was forgotten."""
    cluster = new_cluster(3).start()
    cluster.client().result("set", "a", "1")
    take_backup(cluster, tmp_path / "backup")
    cluster.client().result("set", "a", "2")
    for node in cluster:
        assert node.stop() == 0
    for name in ("n1", "n2"):
        cluster[name].data.rename(cluster[name].data.with_name(f"{name}-old"))
        arguments = ("--data", str(cluster[name].data), "--id", name, "--peers", cluster[name].peers or "")
        assert run_cli("restore", str(tmp_path / "backup"), *arguments).returncode == 0
        cluster[name].start()
    wait_for(lambda: cluster.leader([cluster["n1"], cluster["n2"]]), "a leader of the two restored nodes")
    cluster["n3"].start()
    wait_for(lambda: "cluster" in cluster["n3"].log_text().rpartition("ready")[2], "a refusal at n3")
    client = cluster.client(cluster["n1"])
    assert client.result("get", "a") == "1"
    client.result("set", "a", "3")
    old, new = cluster["n3"].status(), cluster["n1"].status()
    assert old["cluster_id"] != new["cluster_id"]
    assert old["leader"] is None
    assert old["last_index"] < INDEX_STEP


def test_restored_folders_are_checked_against_peers_like_others(
    new_cluster: NewCluster, backup: Path
) -> None:
    new = new_cluster(2, "new")
    restore_all(backup, new)
    other = ["--id", "n1", "--listen", new["n1"].address, "--data", str(new["n1"].data)]
    code, said = new["n1"].run_to_exit(arguments=[*other, "--peers", f"n1={new['n1'].address}"])
    assert code == EXIT_FOLDER
    assert "belongs to cluster" in said
    new.start()
    assert new.client().result("get", "a") == "1"


def test_a_damaged_backup_is_refused_and_the_folder_stays_empty(
    new_cluster: NewCluster, backup: Path, tmp_path: Path
) -> None:
    content = backup.read_bytes()
    place = len(content) - 100
    backup.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    done = run_cli("restore", str(backup), "--data", str(tmp_path / "r"), "--id", "n1")
    assert done.returncode == EXIT_FOLDER
    assert "damaged" in done.stderr
    assert {path.name for path in (tmp_path / "r").iterdir()} <= {"LOCK"}
    assert run_cli("doctor", str(backup)).returncode == EXIT_FOLDER
    backup.write_bytes(content)
    assert run_cli("doctor", str(backup)).returncode == 0
    assert run_cli("restore", str(backup), "--data", str(tmp_path / "r"), "--id", "n1").returncode == 0


def test_a_folder_that_is_not_empty_is_refused_and_left_alone(backup: Path, tmp_path: Path) -> None:
    folder = tmp_path / "r"
    folder.mkdir(mode=0o700)
    (folder / "mine").write_text("data")
    done = run_cli("restore", str(backup), "--data", str(folder))
    assert done.returncode == EXIT_FOLDER
    assert "is not empty: mine" in done.stderr
    assert "hint: " in done.stderr
    assert (folder / "mine").read_text() == "data"
    assert [path.name for path in folder.iterdir()] == ["mine"]
    assert run_cli("restore", str(tmp_path / "absent"), "--data", str(tmp_path / "s")).returncode == 2
    assert run_cli("restore", str(backup), "--data", str(tmp_path / "s"), "--peers", "n2=h:1").returncode == 2


def findings(path: Path, code: int) -> dict[str, dict[str, Any]]:
    """What doctor says, by name."""
    told = cli_json("doctor", str(path), code=code)
    assert told["sound"] is (code == 0)
    return {finding["name"]: finding for finding in told["findings"]}


def test_doctor_tells_a_sound_folder_from_one_in_use_and_from_damaged_ones(new_cluster: NewCluster) -> None:
    cluster = new_cluster(1).start()
    client, node = cluster.client(), cluster["n1"]
    for number in range(50):
        client.result("set", f"key{number}", "v" * 1000)
    assert "in use" in findings(node.data, EXIT_FOLDER)["lock"]["value"]
    assert run_cli("snapshot", "--connect", node.address).returncode == 0
    client.result("set", "last", "1")
    status = node.status()
    assert node.stop() == 0

    found = findings(node.data, 0)
    assert found["node"]["value"] == "n1"
    assert found["cluster"]["value"] == status["cluster_id"]
    assert found["term"]["value"] == status["term"]
    assert found["voted for"]["value"] == "n1"
    assert found["log last"]["value"] == status["last_index"]
    assert found["checkpoint"]["value"] == status["checkpoint_index"]
    table = run_cli("doctor", str(node.data), "-o", "table")
    assert "entries verified" in table.stdout
    around = findings(node.data.parent, EXIT_FOLDER)["folder"]
    assert around["advice"] == f"examine one: raftdb doctor {node.data}"

    sound = (node.data / "state" / "data.mdb").read_bytes()
    place = sound.index(b"v" * 1000)
    damaged = bytearray(sound)
    while place >= 0:
        damaged[place + 10] ^= 1
        place = sound.find(b"v" * 1000, place + 1000)
    (node.data / "state" / "data.mdb").write_bytes(damaged)
    found = findings(node.data, EXIT_FOLDER)
    assert not found["state"]["ok"]
    assert "new id" in found["state"]["advice"]
    done = run_cli("doctor", str(node.data))
    assert done.stderr.startswith("raftdb: error: doctor: ")


def test_doctor_survives_damage_that_ends_the_reader(new_cluster: NewCluster) -> None:
    """Nonsense in all pages of LMDB's tree but the first two: whatever that does to the process is a finding."""
    cluster = new_cluster(1).start()
    for number in range(50):
        cluster.client().result("set", f"key{number}", "v" * 1000)
    cluster["n1"].stop()
    path = cluster["n1"].data / "log" / "data.mdb"
    content = path.read_bytes()
    path.write_bytes(content[:8192] + b"\xff" * (len(content) - 8192))
    found = findings(cluster["n1"].data, EXIT_FOLDER)
    assert found["cluster"]["ok"]
    assert not all(finding["ok"] for finding in found.values())
