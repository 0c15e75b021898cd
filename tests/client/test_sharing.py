"""One blocking client in several threads, and under Ctrl-C at any moment."""

import gc
import json
import linecache
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType
from typing import Any

import pytest

from raftdb import Client
from raftdb.client.flow import Exchange
from raftdb.client.http1 import Response
from raftdb.errors import LocalProtocolError
from tests.addresses import at
from tests.client import fake_api
from tests.client.fake_node import Canned, FakeCluster

WAIT_S = 20.0


@pytest.fixture
def client(cluster: FakeCluster) -> Iterator[Client]:
    with Client(cluster.addresses, timeout_ms=20_000) as client:
        yield client


def in_threads(count: int, work: Callable[[], object]) -> list[object]:
    """What `work` returned, or raised, in each of so many threads at a time."""
    results: list[object] = []
    begin = threading.Barrier(count)

    def run() -> None:
        begin.wait(WAIT_S)
        try:
            results.append(work())
        except Exception as error:  # noqa: BLE001 - it is what is to be compared
            results.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.001)


def test_threads_share_a_session_and_keep_their_connections(cluster: FakeCluster, client: Client) -> None:
    in_threads(8, lambda: [client.incr("n") for _ in range(20)])
    assert cluster.values == {b"n": b"160"}
    assert len(cluster.state.sessions) == 1
    assert sum(node.connections for node in cluster.nodes) <= 8


def test_no_thread_waits_for_the_answer_of_another(cluster: FakeCluster, client: Client) -> None:
    client.incr("n")
    released = threading.Event()
    cluster.nodes[0].script.append(Canned(body={"index": 1}, wait=released))
    held = threading.Thread(target=client.snapshot)
    held.start()
    wait_until(lambda: cluster.nodes[0].requests[-1] == ("POST", "/v1/snapshot"))
    assert in_threads(4, lambda: client.get("n")) == [b"1"] * 4
    assert held.is_alive()
    released.set()
    held.join()


def test_closing_waits_for_no_other_thread(cluster: FakeCluster, client: Client) -> None:
    client.incr("n")
    released = threading.Event()
    cluster.nodes[0].script.append(
        Canned(body={"result": 2, "index": 9, "term": 1, "revision": 9}, wait=released)
    )
    results: list[int] = []
    held = threading.Thread(target=lambda: results.append(client.incr("n")))
    held.start()
    wait_until(lambda: len(cluster.nodes[0].requests) == 3)
    connections = client._calls.connections
    client.close()
    assert len(cluster.state.sessions) == 1, "a write is under way in it"
    released.set()
    held.join()
    assert results == [2]
    assert not any(connections._idle.values()), "a connection of before was kept"
    assert client.incr("m") == 1


def test_a_sink_may_make_calls(cluster: FakeCluster, client: Client) -> None:
    class Sink:
        def begin(self, head: object) -> None:
            assert client.incr("n") == 1

        def write(self, piece: bytes) -> None: ...

    cluster.backup = b"x"
    client.backup(Sink())
    assert client.get("n") == b"1"


def test_a_call_in_the_middle_of_the_bookkeeping_of_another_is_refused(client: Client) -> None:
    """A signal handler runs between any two lines of the main thread: it must neither wait for it nor interfere."""
    calls = client._calls

    def flow() -> Any:
        client.get("n")
        yield

    with pytest.raises(LocalProtocolError, match="signal handler"):
        calls.carry_out(flow())
    assert client.get("n") is None


class InMemory:
    """Exchanges with fake nodes without a network."""

    def __init__(self) -> None:
        self.cluster = fake_api.FakeCluster()
        self.cluster.nodes = [fake_api.FakeNode(self.cluster, 0, "127.0.0.1:8001")]

    def client(self) -> Client:
        client = Client("127.0.0.1:8001", timeout_ms=2_000)
        client._calls.connections.exchange = self._exchange  # type: ignore[method-assign]
        return client

    def _exchange(self, step: Exchange) -> Response:
        request = step.request
        content = None if request.body is None else json.loads(request.body)
        answer = self.cluster.nodes[0].answer(request.method, request.target, {}, content)
        return Response(answer.status, {}, json.dumps(answer.body).encode())


def interrupted_at(number: int, call: Callable[[], object]) -> bool:
    """Make a call, and raise KeyboardInterrupt before the line of the client of that number; False if it has fewer."""
    left = number

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal left
        if "raftdb/client/" not in frame.f_code.co_filename:
            return None
        # Python delivers signals at calls and jumps, so never between the end of a block and the release of its lock,
        # which is what a line event at its `with` is.
        line = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
        if event in ("line", "return") and not line.strip().startswith("with self._lock"):
            left -= 1
            if left < 0:
                raise KeyboardInterrupt
        return trace

    sys.settrace(trace)
    try:
        call()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(None)
    return False


def test_an_interrupt_at_any_line_takes_nothing_away_from_later_calls() -> None:
    """Lock, session, numbers and registration are given back, whichever line Ctrl-C comes at."""
    number = 0
    while True:
        client = InMemory().client()
        increment = partial(client.incr, "n")
        if not interrupted_at(number, increment):
            break
        before = int(client.get("n") or 0)
        (after,) = in_threads(1, increment)
        assert after == before + 1, f"interrupted at line {number}"
        session = client._calls.caller._sessions.current()  # type: ignore[union-attr]
        assert not session.is_waited_for, f"interrupted at line {number}"
        number += 1
    assert number > 100


def test_a_client_that_is_dropped_closes_its_connections_without_a_warning(cluster: FakeCluster) -> None:
    client = Client(cluster.addresses)
    client.get("n")
    (connection,) = client._calls.connections._idle[at(cluster.nodes[0].address)]
    socket = connection.stream.socket
    socket_gone = weakref.ref(socket)
    cycle: list[object] = [client, connection, socket]
    cycle.append(cycle)
    del client, connection, socket, cycle
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        gc.collect()
    assert socket_gone() is None
    assert [warning.message for warning in caught if warning.category is ResourceWarning] == []
