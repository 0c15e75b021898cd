"""The cluster, watched from the background. The cluster is a fake one."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from cli.prompt import monitor as monitor_module
from cli.prompt.monitor import Monitor
from tests.client.fake_node import Canned, FakeCluster

WAIT_S = 20.0


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor_module, "INTERVAL_S", 0.01)


@pytest.fixture
def news() -> list[str]:
    return []


@pytest.fixture
def changes() -> list[None]:
    return []


@pytest.fixture
def monitor(cluster: FakeCluster, news: list[str], changes: list[None]) -> Iterator[Monitor]:
    # One address is enough: the members that it names take its place.
    monitor = Monitor([cluster.nodes[0].address], changed=lambda: changes.append(None), news=news.append)
    monitor.start()
    yield monitor
    monitor.stop()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def sees(monitor: Monitor, leader: str | None, up: int) -> Callable[[], bool]:
    def condition() -> bool:
        view = monitor.view
        return view is not None and (view.leader, view.nodes_up) == (leader, up)

    return condition


def test_it_finds_all_members_and_the_leader(
    monitor: Monitor, cluster: FakeCluster, changes: list[None]
) -> None:
    wait_until(sees(monitor, "n2", 3))
    assert monitor.view is not None
    assert (monitor.view.nodes, monitor.view.term, monitor.view.commit_index) == (3, 1, 1)
    assert monitor.view.latency_ms is not None
    assert monitor.node_ids == ("n1", "n2", "n3")
    assert changes


def test_the_leader_comes_first_of_the_nodes_that_answer(
    monitor: Monitor, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_until(sees(monitor, "n2", 3))
    first, second, third = (node.address for node in cluster.nodes)
    assert monitor.addresses == (second, *sorted([first, third]))
    monkeypatch.setattr(cluster.nodes[1], "answer", lambda *asked: Canned(cut=True))
    cluster.leader = 2
    wait_until(sees(monitor, "n3", 2))
    assert monitor.addresses == (third, first)


def test_a_change_of_leaders_is_news_once(monitor: Monitor, cluster: FakeCluster, news: list[str]) -> None:
    wait_until(sees(monitor, "n2", 3))
    cluster.leader = 0
    wait_until(lambda: bool(news))
    cluster.leader = 2
    wait_until(lambda: len(news) > 1)
    assert news == ["n1 leads now, in place of n2 (term 1)", "n3 leads now, in place of n1 (term 1)"]


def test_a_node_that_does_not_answer_holds_up_no_news_of_the_others(
    monitor: Monitor, cluster: FakeCluster
) -> None:
    wait_until(sees(monitor, "n2", 3))
    frozen = threading.Event()
    cluster.nodes[2].script = [Canned(wait=frozen)]
    wait_until(lambda: not cluster.nodes[2].script)
    cluster.leader = 0
    wait_until(lambda: monitor.view is not None and monitor.view.leader == "n1")
    frozen.set()


def test_when_all_are_gone_it_says_so_and_finds_them_again(
    monitor: Monitor, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_until(sees(monitor, "n2", 3))
    answers = {node.id: node.answer for node in cluster.nodes}
    for node in cluster.nodes:
        monkeypatch.setattr(node, "answer", lambda *asked: Canned(cut=True))
    wait_until(sees(monitor, None, 0))
    assert monitor.addresses == (cluster.nodes[0].address,)
    for node in cluster.nodes:
        monkeypatch.setattr(node, "answer", answers[node.id])
    wait_until(sees(monitor, "n2", 3))


def test_a_member_that_was_removed_is_forgotten(
    monitor: Monitor, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_until(sees(monitor, "n2", 3))
    gone = cluster.nodes.pop()
    wait_until(lambda: monitor.view is not None and monitor.view.nodes == 2)
    gone.stop()
    cluster.nodes.append(gone)  # to be stopped with the others
