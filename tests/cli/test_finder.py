"""What completion looks up: soon, or not at all."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.line.suggest import Kind, Wanted
from cli.prompt import finder as finder_module
from cli.prompt.finder import FIND_MS_MAX, FOUND_MAX, Finder
from raftdb.client.dialing import now_ms
from tests.client.fake_node import Canned, FakeCluster


@pytest.fixture
def finder(cluster: FakeCluster) -> Iterator[Finder]:
    finder = Finder(lambda: [node.address for node in cluster.nodes])
    yield finder
    finder.stop()


def keys(prefix: bytes) -> Wanted:
    return Wanted(Kind.KEY, prefix)


def paths(prefix: bytes) -> Wanted:
    return Wanted(Kind.PATH, prefix)


async def test_keys_are_those_that_any_node_has(finder: Finder, cluster: FakeCluster) -> None:
    cluster.values.update({b"a": b"", b"ab": b"", b"b": b"", b"\xff": b""})
    cluster.leader = None
    assert await finder.find(keys(b"a")) == (b"a", b"ab")
    assert await finder.find(keys(b"\xff")) == (b"\xff",)
    (method, path), *_ = cluster.nodes[0].requests
    assert (method, path) == ("GET", f"/v1/keys?prefix=a&limit={FOUND_MAX}&values=false&consistency=stale")


async def test_names_of_queues_and_locks_are_those_that_any_node_has(
    finder: Finder, cluster: FakeCluster
) -> None:
    node = cluster.nodes[0]
    for kind, command, result in (
        (Kind.QUEUE, "queues", ["mail", "mill"]),
        (Kind.LOCK, "locks", [["mail", "exclusive", 1, 0], ["mill", "shared", 2, 0]]),
    ):
        node.script = [Canned(body={"result": result, "index": 1, "term": 1})]
        assert await finder.find(Wanted(kind, b"m")) == (b"mail", b"mill")
        assert node.bodies[-1]["command"] == command
        assert node.bodies[-1]["args"] == ["m", "", str(FOUND_MAX)]
        assert node.bodies[-1]["consistency"] == "stale"


async def test_what_was_found_is_narrowed_down_without_asking_again(
    finder: Finder, cluster: FakeCluster
) -> None:
    cluster.values.update({b"a": b"", b"ab": b"", b"b": b""})
    await finder.find(keys(b""))
    asked = len(cluster.nodes[0].requests)
    assert await finder.find(keys(b"a")) == (b"a", b"ab")
    assert finder.remembered(keys(b"b")) == (b"b",)
    assert len(cluster.nodes[0].requests) == asked


async def test_but_not_if_there_was_more_than_could_be_shown(
    finder: Finder, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finder_module, "FOUND_MAX", 2)
    cluster.values.update({b"a": b"", b"aa": b"", b"ab": b""})
    assert await finder.find(keys(b"a")) == (b"a", b"aa")
    assert finder.remembered(keys(b"ab")) is None
    assert await finder.find(keys(b"ab")) == (b"ab",)


async def test_and_only_for_a_moment(
    finder: Finder, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    await finder.find(keys(b"a"))
    assert finder.remembered(keys(b"a")) == ()
    monkeypatch.setattr(finder_module, "FRESH_MS_MAX", 0)
    assert finder.remembered(keys(b"a")) is None


async def test_nobody_waits_for_a_node_that_is_frozen(finder: Finder, cluster: FakeCluster) -> None:
    frozen = threading.Event()
    for node in cluster.nodes:
        node.script = [Canned(wait=frozen)]
    began_ms = now_ms()
    # The detector of blocking calls would see it, too, if the loop itself waited.
    assert await asyncio.wait_for(finder.find(keys(b"a")), 20) == ()
    assert now_ms() - began_ms >= FIND_MS_MAX * 0.5
    frozen.set()


async def test_another_is_asked_if_the_first_has_frozen(finder: Finder, cluster: FakeCluster) -> None:
    cluster.values[b"a"] = b""
    frozen = threading.Event()
    cluster.nodes[0].script = [Canned(wait=frozen)]
    found = await finder.find(keys(b"a"))
    # On a slow machine the second node may be too late, and is then remembered.
    async with asyncio.timeout(20):
        while not found:
            await asyncio.sleep(0.01)
            found = finder.remembered(keys(b"a")) or ()
    assert found == (b"a",)
    frozen.set()


async def test_of_several_questions_the_latest_is_answered(finder: Finder, cluster: FakeCluster) -> None:
    cluster.values.update({b"a": b"", b"ab": b""})
    found = await asyncio.gather(*(finder.find(keys(prefix)) for prefix in (b"x", b"y", b"ab")))
    assert found[-1] == (b"ab",)


async def test_without_a_cluster_there_are_none(cluster: FakeCluster, finder: Finder) -> None:
    for node in cluster.nodes:
        node.stop()
    assert await finder.find(keys(b"a")) == ()


async def test_paths_are_sorted_and_folders_have_a_slash(
    finder: Finder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "b.txt").touch()
    (tmp_path / "backups" / "old").mkdir(parents=True)
    (tmp_path / ".hidden").touch()
    monkeypatch.chdir(tmp_path)
    assert await finder.find(paths(b"")) == (b"b.txt", b"backups/")
    assert await finder.find(paths(b".")) == (b".hidden",)
    assert await finder.find(paths(b"backups/")) == (b"backups/old/",)
    inside = str(tmp_path / "ba").encode()
    assert await finder.find(paths(inside)) == (inside + b"ckups/",)
    assert await finder.find(paths(b"nowhere/")) == ()
    monkeypatch.setenv("HOME", str(tmp_path))
    assert await finder.find(paths(b"~/b.")) == (b"~/b.txt",)
