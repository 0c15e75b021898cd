"""Whose folder is it: a second process, a wiped folder, another node's or another cluster's are refused with code 4.

And address and configuration: a port in use is code 3, a wrong setting code 2. Who was there first is untouched.
"""

import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from raftdb.__main__ import main
from tests.e2e.cluster import Cluster, Node, run_cli
from tests.e2e.conftest import NewCluster
from tests.e2e.waiting import wait_for

pytestmark = pytest.mark.as_programs

EXIT_CONFIGURATION = 2
EXIT_ADDRESS_IN_USE = 3
EXIT_FOLDER = 4
KEYS = 20
CUT_BYTES = 3 * 4096
"""The two meta pages of LMDB and one more."""


def assert_says_why(said: str, *words: str) -> None:
    """One error line, and no traceback; `words` are in it or in its hint."""
    errors = [line for line in said.splitlines() if line.startswith("raftdb: error: ")]
    assert len(errors) == 1, said
    assert "Traceback" not in said
    told = said[said.index(errors[0]) :]
    for word in words:
        assert word in told, said


def write_keys(cluster: Cluster) -> None:
    client = cluster.client()
    for number in range(KEYS):
        assert client.result("set", f"key-{number}", f"value-{number}") == "OK"


def assert_keys(cluster: Cluster) -> None:
    values = cluster.client(*cluster.running).result("mget", *(f"key-{number}" for number in range(KEYS)))
    assert values == [f"value-{number}" for number in range(KEYS)]


def assert_still_serves(cluster: Cluster, node: Node, pid: int) -> None:
    """The node is the process it was, follows or leads, and takes writes."""
    assert node.is_running
    assert node.pid == pid
    assert node.status()["id"] == node.name
    assert cluster.client(node).result("set", "still", "here") == "OK"
    assert_keys(cluster)


def test_a_second_process_on_the_same_folder_is_refused(new_cluster: NewCluster) -> None:
    """Hazard B88: with the same command line, and with another address."""
    cluster = new_cluster(1).start()
    (first,) = cluster
    write_keys(cluster)
    pid = first.pid
    other = new_cluster(1, "second")["n1"]
    for arguments in (
        first.arguments(),
        ["--id", "n1", "--listen", other.address, "--data", str(first.data)],
    ):
        code, said = other.run_to_exit(arguments=arguments)
        assert code == EXIT_FOLDER, said
        assert_says_why(said, str(first.data), str(pid))
        assert_still_serves(cluster, first, pid)
    assert first.stop() == 0
    cluster.start()
    assert_keys(cluster)


def test_a_port_in_use_is_code_3_and_the_folder_is_good_afterwards(new_cluster: NewCluster) -> None:
    cluster = new_cluster(1)
    (node,) = cluster
    host, _, port = node.address.rpartition(":")
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind((host, int(port)))
        taken.listen()
        code, said = node.run_to_exit()
    assert code == EXIT_ADDRESS_IN_USE, said
    assert_says_why(said, node.address)
    cluster.start()
    write_keys(cluster)
    assert_keys(cluster)


def remove_log(data: Path) -> None:
    shutil.rmtree(data / "log")


def remove_log_file(data: Path) -> None:
    (data / "log" / "data.mdb").unlink()


def remove_identity(data: Path) -> None:
    (data / "identity.cbor").unlink()


def remove_state(data: Path) -> None:
    shutil.rmtree(data / "state")


def damage_identity(data: Path) -> None:
    content = bytearray((data / "identity.cbor").read_bytes())
    content[len(content) // 2] ^= 1
    (data / "identity.cbor").write_bytes(content)


def cut_log(data: Path) -> None:
    """In the middle of what is in use, and not of the room that is kept for growing."""
    with (data / "log" / "data.mdb").open("r+b") as file:
        file.truncate(CUT_BYTES)


def zero_log(data: Path) -> None:
    path = data / "log" / "data.mdb"
    path.write_bytes(bytes(path.stat().st_size))


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node that was killed after some writes: tests take copies of its folder."""
    cluster = Cluster(tmp_path_factory.mktemp("killed"), ["n1"])
    try:
        write_keys(cluster.start())
        cluster["n1"].kill9()
        yield cluster["n1"]
    finally:
        cluster.close()


HARM: list[Callable[[Path], None]] = [
    remove_log,
    remove_log_file,
    remove_identity,
    remove_state,
    damage_identity,
    cut_log,
    zero_log,
]


@pytest.mark.parametrize("harm", HARM, ids=lambda harm: str(harm.__name__))
def test_a_wiped_or_damaged_folder_is_refused(
    killed: Node, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    """Hazards B82, B89: a voter that lost its memory must not come back as if nothing had happened."""
    data = tmp_path / "n1"
    shutil.copytree(killed.data, data)
    harm(data)
    code, said = killed.run_to_exit("--data", str(data))
    assert code == EXIT_FOLDER, said
    assert_says_why(said, str(data))


def test_a_copy_of_the_folder_without_harm_is_taken(killed: Node, tmp_path: Path) -> None:
    """So that what is refused above is the harm, and not the copy."""
    data = tmp_path / "n1"
    shutil.copytree(killed.data, data)
    killed.start("--data", str(data))
    try:
        assert killed.status()["id"] == "n1"
    finally:
        killed.kill9()


@pytest.mark.parametrize("emptied", [False, True], ids=["folder removed", "folder emptied"])
def test_a_node_that_lost_everything_is_refused_by_the_others(new_cluster: NewCluster, emptied: bool) -> None:
    """Hazard B36: an empty folder under a known id is a new node under an old name. The others go on."""
    cluster = new_cluster(3).start()
    write_keys(cluster)
    victim = cluster.others(cluster.leader())[0]
    pids = {node.name: node.pid for node in cluster.others(victim)}
    victim.kill9()
    shutil.rmtree(victim.data)
    if emptied:
        victim.data.mkdir(mode=0o700)
    code, said = victim.run_to_exit()
    assert code == EXIT_FOLDER, said
    assert_says_why(said)
    for node in cluster.others(victim):
        assert_still_serves(cluster, node, pids[node.name])


def test_two_nodes_that_lost_everything_do_not_outvote_the_third(new_cluster: NewCluster) -> None:
    """A majority without memory must not elect itself a leader and forget what was acknowledged."""
    cluster = new_cluster(3).start()
    write_keys(cluster)
    cluster.wait_agreed()
    keeper, *wiped = list(cluster)
    term = keeper.status()["term"]
    for node in wiped:
        node.kill9()
        shutil.rmtree(node.data)
    for node in wiped:
        node.start()
    for node in wiped:
        assert node.wait_exit(60.0) == EXIT_FOLDER, node.log_tail()
    assert keeper.is_running
    status = keeper.status()
    assert status["term"] >= term
    assert status["commit_index"] >= KEYS


def test_the_folder_of_another_node_is_refused(new_cluster: NewCluster) -> None:
    """Hazard B90: two folders of one cluster swapped; put back, all goes on."""
    cluster = new_cluster(3).start()
    write_keys(cluster)
    leader = cluster.leader()
    one, two = cluster.others(leader)
    for node in (one, two):
        node.kill9()
    swap(one.data, two.data)
    for node, owner in ((one, two), (two, one)):
        code, said = node.run_to_exit()
        assert code == EXIT_FOLDER, said
        assert_says_why(said, owner.name)
    swap(one.data, two.data)
    cluster.start()
    assert_keys(cluster)


def swap(one: Path, two: Path) -> None:
    aside = one.with_name("aside")
    one.rename(aside)
    two.rename(one)
    aside.rename(two)


def test_a_wrong_id_is_refused(new_cluster: NewCluster) -> None:
    cluster = new_cluster(1).start()
    (node,) = cluster
    write_keys(cluster)
    node.kill9()
    wrong = ["--id", "n2", "--listen", node.address, "--data", str(node.data)]
    code, said = node.run_to_exit(arguments=wrong)
    assert code == EXIT_FOLDER, said
    assert_says_why(said, "n1", "n2")
    cluster.start()
    assert_keys(cluster)


def test_the_folder_of_another_cluster_is_refused(new_cluster: NewCluster) -> None:
    """Hazard B90: the same node id, but the folder grew up elsewhere. Neither cluster takes harm."""
    mine = new_cluster(3, "mine").start()
    theirs = new_cluster(3, "theirs").start()
    write_keys(mine)
    assert theirs.client().result("set", "key-0", "theirs") == "OK"
    victim = mine.others(mine.leader())[0]
    pids = {node.name: node.pid for node in mine.others(victim)}
    foreign = theirs[victim.name]
    victim.kill9()
    foreign.kill9()
    swap(victim.data, foreign.data)
    code, said = victim.run_to_exit()
    assert code == EXIT_FOLDER, said
    assert_says_why(said)
    for node in mine.others(victim):
        assert_still_serves(mine, node, pids[node.name])
    swap(victim.data, foreign.data)
    mine.start()
    theirs.start()
    assert_keys(mine)
    assert theirs.client().result("get", "key-0") == "theirs"


def test_a_node_of_another_cluster_on_a_members_address_does_no_harm(new_cluster: NewCluster) -> None:
    """Hazard B90: a foreign process answers where a member was. The members refuse it, and it refuses them."""
    mine = new_cluster(3, "mine").start()
    write_keys(mine)
    victim = mine.others(mine.leader())[0]
    victim.kill9()
    guest = new_cluster(1, "guest")["n1"]
    arguments = ["--id", "n1", "--listen", victim.address, "--data", str(guest.data)]
    guest.start(arguments=arguments)
    wait_for(lambda: guest.is_running and ready_at(victim), "the guest to serve")
    leader = mine.leader(mine.others(victim))
    for node in mine.others(victim):
        assert_still_serves(mine, node, node.pid)
    members = leader.ask("GET", "/v1/members").json["members"]
    assert {member["id"]: member["alive"] for member in members}[victim.name] is False
    guest.kill9()
    mine.start()
    assert_keys(mine)


def ready_at(node: Node) -> bool:
    status = node.try_status()
    return status is not None and status["role"] == "leader"


SETTINGS: dict[str, tuple[list[str], str]] = {
    "unknown flag": (["--nonsense", "1"], "--nonsense"),
    "address without port": (["--listen", "localhost"], "listen"),
    "port out of range": (["--listen", "127.0.0.1:70000"], "listen"),
    "bad id": (["--id", "a/b"], "id"),
    "id not among the peers": (["--id", "n9", "--peers", "n1=127.0.0.1:1,n2=127.0.0.1:2"], "n9"),
    "a peer twice": (["--peers", "n1=127.0.0.1:1,n1=127.0.0.1:2"], "n1"),
    "an address twice": (["--peers", "n1=127.0.0.1:1,n2=127.0.0.1:1"], "address"),
    "bad level": (["--log-level", "loud"], "level"),
    "a cluster to begin and one to join": (
        ["--peers", "n1=127.0.0.1:1", "--join", "http://127.0.0.1:2"],
        "join",
    ),
    "a cluster to join that is no address": (["--join", "http://somewhere"], "join"),
    "no address for others": (["--join", "127.0.0.1:2", "--listen", "0.0.0.0:8001"], "--advertise"),
    "no such file": (["--config", "missing.toml"], "missing.toml"),
}


IN_A_PROCESS = {"unknown flag", "id not among the peers", "no TOML"}
"""Cases that are tried as a user would, in a process of their own; the others call in this one what that runs."""


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """What `raftdb serve` with these arguments says as it ends, with the code of a wrong configuration."""

    def serve(case: str, *arguments: str) -> str:
        if case in IN_A_PROCESS:
            done = run_cli("serve", *arguments)
            code, said = done.returncode, done.stderr
        else:
            for name in [name for name in os.environ if name.startswith("RAFTDB_")]:
                monkeypatch.delenv(name)
            code, said = main(["serve", *arguments]), capsys.readouterr().err
        assert code == EXIT_CONFIGURATION, said
        return said

    return serve


@pytest.mark.parametrize("case", SETTINGS)
def test_a_wrong_flag_is_code_2(refused: Callable[..., str], tmp_path: Path, case: str) -> None:
    flags, word = SETTINGS[case]
    data = tmp_path / "data"
    assert_says_why(refused(case, "--id", "n1", "--data", str(data), *flags), word)
    assert not data.exists(), "a folder was made for a node that cannot be"


FILES = {
    "unknown setting": ('listn = "127.0.0.1:8001"\n', "listn"),
    "wrong type": ("listen = 8001\n", "listen"),
    "wrong number": ("tick_ms = -1\n", "tick_ms"),
    "times out of order": ("heartbeat_ms = 900\nelection_timeout_ms = 300\n", "heartbeat_ms"),
    "no TOML": ("listen: 127.0.0.1\n", "settings.toml"),
}


@pytest.mark.parametrize("case", FILES)
def test_a_wrong_configuration_file_is_code_2(refused: Callable[..., str], tmp_path: Path, case: str) -> None:
    text, word = FILES[case]
    path = tmp_path / "settings.toml"
    path.write_text(text)
    assert_says_why(refused(case, "--data", str(tmp_path / "data"), "--config", str(path)), word)


def test_a_wrong_environment_is_code_2(tmp_path: Path) -> None:
    done = run_cli("serve", "--data", str(tmp_path / "data"), extra={"RAFTDB_LISTN": "127.0.0.1:1"})
    assert done.returncode == EXIT_CONFIGURATION, done
    assert_says_why(done.stderr, "listn")
