"""The folder of `raftdb up`: addresses that stay, one `up` at a time, and nothing deleted that is not a
cluster's."""

import errno
import json
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.console.failures import CommandError
from cli.local import cluster as cluster_module
from cli.local.cluster import LocalCluster
from cli.local.folder import NODES_MAX, PORTS_FIRST, LocalFolder, NodePlace
from cli.local.process import NodeState, last_lines
from cli.main import run
from raftdb.client.credentials import Credentials
from raftdb.errors import RequestRefused, Unauthenticated
from tests.client.fake_node import fake_cluster


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[LocalFolder]:
    folder = LocalFolder(tmp_path / "local")
    folder.lock()
    yield folder
    folder.unlock()


def listen(port: int = 0) -> socket.socket:
    server = socket.socket()
    server.bind(("127.0.0.1", port))
    server.listen()
    return server


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


def test_addresses_are_chosen_once_and_remembered(folder: LocalFolder) -> None:
    nodes = folder.create(3)
    assert [node.id for node in nodes] == ["n1", "n2", "n3"]
    assert len({address for node in nodes for address in node.addresses}) == 9
    assert LocalFolder(folder.path).load() == nodes


def test_taken_ports_are_passed_over(folder: LocalFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    with listen() as taken:
        port = taken.getsockname()[1]
        monkeypatch.setitem(PORTS_FIRST, "http", port)
        (node,) = folder.create(1)
    assert port_of(node.http) > port


def test_no_two_listeners_of_the_largest_cluster_get_one_port(folder: LocalFolder) -> None:
    nodes = folder.create(NODES_MAX)
    assert len({address for node in nodes for address in node.addresses}) == len(PORTS_FIRST) * NODES_MAX


def test_a_node_that_is_added_is_remembered_and_one_that_is_forgotten_is_gone(folder: LocalFolder) -> None:
    nodes = folder.create(2)
    assert {node.peers for node in nodes} == {f"n1={nodes[0].http},n2={nodes[1].http}"}
    fourth = folder.add(nodes, "n4")
    assert fourth.peers is None, "it joins"
    assert not set(fourth.addresses) & {address for node in nodes for address in node.addresses}
    assert folder.load() == (*nodes, fourth)
    for node in (nodes[0], fourth):
        folder.data_path(node.id).mkdir()
        folder.log_path(node.id).write_text("it was")
        folder.write_pid(node.id, 1)
    folder.forget(folder.load(), "n1")
    assert folder.load() == (nodes[1], fourth)
    assert not folder.data_path("n1").exists()
    assert folder.log_path("n1").read_text() == "it was"
    folder.wipe(folder.load())
    assert [entry.name for entry in folder.path.iterdir()] == ["up.lock"]


@pytest.mark.parametrize("node_id", ["n2", "n1", "../n3", "n03", "third"])
def test_an_id_that_a_new_node_cannot_have_is_refused(folder: LocalFolder, node_id: str) -> None:
    nodes = folder.create(2)
    with pytest.raises(RequestRefused, match="cannot be called") as caught:
        folder.add(nodes, node_id)
    assert caught.value.hint == "the next one is n3"
    assert folder.load() == nodes


def test_an_address_that_is_taken_later_stops_the_start(folder: LocalFolder) -> None:
    with listen() as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(CommandError, match=f"{address} of node n1 is already in use") as caught:
            folder.check_addresses((NodePlace("n1", address, address, address),))
        assert caught.value.exit_code == 3


def test_a_second_up_on_the_same_folder_is_refused(
    folder: LocalFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["up", "--data", str(folder.path)]) == 4
    assert f"another 'raftdb up' (pid {os.getpid()}) runs the cluster in" in capsys.readouterr().err
    folder.unlock()
    again = LocalFolder(folder.path)
    again.lock()
    again.unlock()


def test_a_folder_of_something_else_is_left_alone(folder: LocalFolder) -> None:
    (folder.path / "thesis.tex").write_text("years of work")
    with pytest.raises(CommandError, match=r"holds no cluster: thesis\.tex") as caught:
        folder.create(3)
    assert caught.value.exit_code == 4
    assert not (folder.path / "cluster.json").exists()


@pytest.mark.parametrize("flags", [[], ["--fresh", "--yes"]])
def test_not_even_a_lock_is_left_in_a_folder_of_something_else(
    tmp_path: Path, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    assert run(["up", "--data", str(tmp_path), *flags]) == 4
    assert "holds no cluster: thesis.tex" in capsys.readouterr().err
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]


def test_wiping_takes_a_cluster_and_leaves_an_empty_folder(folder: LocalFolder) -> None:
    nodes = folder.create(2)
    for node in nodes:
        folder.data_path(node.id).mkdir()
        (folder.data_path(node.id) / "LOCK").write_text("")
        folder.log_path(node.id).write_text("")
        folder.write_pid(node.id, 1)
    (folder.path / ".gitkeep").write_text("")
    folder.wipe(nodes)
    assert sorted(entry.name for entry in folder.path.iterdir()) == [".gitkeep", "up.lock"]
    assert folder.load() == ()
    assert len(folder.create(1)) == 1


@pytest.mark.parametrize("kind", ["file", "link to a folder", "folder of no node"])
def test_wiping_deletes_nothing_where_there_is_more_than_a_cluster(
    folder: LocalFolder, tmp_path: Path, kind: str
) -> None:
    nodes = folder.create(1)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("")
    if kind == "file":
        (folder.path / "notes").write_text("")
    elif kind == "folder of no node":
        (folder.path / "n9").mkdir()
    else:
        folder.data_path("n1").symlink_to(elsewhere)
    with pytest.raises(CommandError, match="nothing was deleted"):
        folder.wipe(nodes)
    assert folder.load() == nodes
    assert (elsewhere / "precious").exists()


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"format": 2, "nodes": []}', '{"format": 1, "nodes": [{}]}']
)
def test_a_damaged_list_of_nodes_is_an_error_and_not_an_empty_cluster(
    folder: LocalFolder, content: str
) -> None:
    (folder.path / "cluster.json").write_text(content)
    with pytest.raises(CommandError) as caught:
        folder.load()
    assert caught.value.exit_code == 4


def test_who_lost_the_list_of_nodes_is_told_what_to_do(folder: LocalFolder) -> None:
    (folder.path / "cluster.json").write_text("{")
    with pytest.raises(CommandError) as caught:
        folder.load()
    assert "bring it back from a copy, or name another folder with --data" in (caught.value.hint or "")


@pytest.mark.parametrize("ids", [[], ["n1", "n1"], ["../n1"], ["n01"], ["n2", "n1"]])
def test_a_list_of_nodes_that_up_did_not_write_is_not_taken(folder: LocalFolder, ids: list[str]) -> None:
    """An empty one was taken for no cluster, and a new one begun on the folders of the old."""
    folder.create(1)
    content = json.loads((folder.path / "cluster.json").read_text())
    content["nodes"] = [{**content["nodes"][0], "id": node_id} for node_id in ids]
    (folder.path / "cluster.json").write_text(json.dumps(content))
    with pytest.raises(CommandError, match=f"its nodes are {', '.join(ids) or 'none'}") as caught:
        folder.load()
    assert caught.value.exit_code == 4


def test_another_number_of_nodes_is_refused(folder: LocalFolder, capsys: pytest.CaptureFixture[str]) -> None:
    folder.create(3)
    folder.unlock()
    assert run(["up", "--data", str(folder.path), "--nodes", "5"]) == 2
    assert "has 3 nodes, not 5" in capsys.readouterr().err
    LocalFolder(folder.path.parent / "one").path.mkdir()
    LocalFolder(folder.path.parent / "one").create(1)
    assert run(["up", "--data", str(folder.path.parent / "one"), "--nodes", "2"]) == 2
    assert "has 1 node, not 2" in capsys.readouterr().err
    assert run(["up", "--data", str(folder.path), "--nodes", "99"]) == 2


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert run(["up", "--data", str(tmp_path / "file" / "x")]) == 4
    assert capsys.readouterr().err.startswith("raftdb: error: up: cannot use the folder")


@pytest.mark.parametrize(
    ("number", "exit_code", "next_step"),
    [
        (errno.ENOSPC, 1, "free some space"),
        (errno.EACCES, 5, "the folder's owner"),
        (errno.EROFS, 5, "mount it for writing"),
        (errno.EIO, 8, "dmesg"),
    ],
)
@pytest.mark.parametrize("call", ["pwrite", "fsync", "open"])
def test_what_the_system_refuses_has_the_exit_code_of_the_reason(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    call: str,
    number: int,
    exit_code: int,
    next_step: str,
) -> None:
    """A full disk was told without saying which, and a missing permission as a folder of somebody else."""
    tmp_path.chmod(0o700)

    def refuse(*_arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as broken:
        broken.setattr(f"cli.local.folder.os.{call}", refuse)
        code = run(["up", "--data", str(tmp_path / "local")])
    said = capsys.readouterr().err
    assert code == exit_code
    assert f"cannot use the folder {tmp_path / 'local'}: {os.strerror(number)}" in said
    assert next_step in said


def test_a_node_that_ends_at_its_start_is_shown_with_its_last_words(
    folder: LocalFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A stand-in for the interpreter, which takes the same arguments and ends at once.
    node = folder.path.parent / "node"
    node.write_text("#!/bin/sh\necho starting\necho the disk is on fire >&2\nexit 4\n")
    node.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(node))
    cluster = LocalCluster(
        folder, (NodePlace("n1", "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"),), logs_to_files=True
    )
    try:
        with pytest.raises(CommandError) as caught:
            cluster.start()
    finally:
        cluster.stop()
    assert caught.value.exit_code == 4
    assert caught.value.message.startswith("node n1 ended with exit code 4; the end of ")
    assert caught.value.message.endswith("\n  starting\n  the disk is on fire")
    assert cluster.state("n1") is NodeState.STOPPED
    assert cluster.take_exits() == []


@pytest.mark.parametrize("known", [True, False])
def test_nodes_with_users_are_asked_by_one_and_a_stranger_is_told(
    folder: LocalFolder, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    node = folder.path.parent / "node"
    node.write_text("#!/bin/sh\nexec sleep 600\n")
    node.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(node))
    monkeypatch.setattr(cluster_module, "FIRST_USER_S", 0.1)
    with fake_cluster(1) as nodes:
        nodes.users = {"Bearer secret": "ana"}
        place = NodePlace("n1", nodes.addresses, "127.0.0.1:2", "127.0.0.1:3")
        credentials = Credentials(token="secret") if known else None
        cluster = LocalCluster(folder, (place,), logs_to_files=True, credentials=credentials)
        try:
            if known:
                assert cluster.start().role == "leader"
            else:
                with pytest.raises(Unauthenticated):
                    cluster.start()
        finally:
            cluster.stop()


def test_what_cannot_be_done_to_a_node_is_refused(folder: LocalFolder) -> None:
    cluster = LocalCluster(folder, folder.create(2), logs_to_files=True)
    with pytest.raises(RequestRefused) as caught:
        cluster.kill("n7")
    assert (caught.value.message, caught.value.hint) == ("there is no node 'n7'", "the nodes are: n1, n2")
    for action in (cluster.kill, cluster.pause, cluster.resume):
        with pytest.raises(RequestRefused, match="n1 does not run"):
            action("n1")


def test_the_end_of_a_log_is_its_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert last_lines(log) == []
    log.write_text("\n".join(json.dumps(number) for number in range(100_000)))
    assert last_lines(log) == [str(number) for number in range(99_985, 100_000)]
