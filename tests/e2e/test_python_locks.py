"""Locks and elections of the Python clients on real nodes."""

import asyncio
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from raftdb import AsyncClient, Client, Deadlock, Fenced, Held, LockLost, LockTimeout
from tests.e2e.cluster import ROOT, Cluster, clean_environment
from tests.e2e.conftest import NewCluster
from tests.e2e.waiting import wait_for

LONG_S = 60.0
"""A wait that ends early, unless the test fails."""


@pytest.fixture
def client(shared_cluster: Cluster) -> Iterator[Client]:
    with Client(shared_cluster.addresses, timeout_ms=30_000) as client:
        yield client


def told(client: Client, name: str) -> dict[bytes, Any]:
    """What `lockinfo` tells of a lock, by name."""
    flat: Any = client.execute("lockinfo", [name]).value or []
    return dict(zip(flat[::2], flat[1::2], strict=True))


def wait_for_line(client: Client, name: str, length: int) -> None:
    wait_for(lambda: told(client, name).get(b"waiting") == length, f"{length} wait for {name}")


def is_held(held: Held) -> bool:
    """Asked anew: to a type checker an attribute is what it was a moment ago."""
    return held.is_held


def in_thread(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_a_lock_is_held_by_one_at_a_time_and_handed_on_in_order(client: Client) -> None:
    order: list[int] = []
    tokens: list[int] = []

    def work(number: int) -> None:
        with client.lock("line", wait=LONG_S, ttl=60) as held:
            ((*_, left_ms),) = told(client, "line")[b"holders"]
            assert left_ms > 10_000, "it was renewed: a grant that has waited lives for 10 s"
            order.append(number)
            tokens.append(held.token)

    threads = []
    with client.lock("line") as held:
        for number in range(3):
            threads.append(in_thread(partial(work, number)))
            wait_for_line(client, "line", number + 1)
        tokens.append(held.token)
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2]
    assert tokens == sorted(set(tokens))


def test_a_lock_that_is_not_free_in_time_is_a_timeout(client: Client) -> None:
    with client.lock("taken"), Client(client.addresses) as other:
        with pytest.raises(LockTimeout):
            other.lock("taken", wait=0).acquire()
        with pytest.raises(LockTimeout, match=r"0\.2 s"):
            other.lock("taken", wait=0.2).acquire()
    with client.lock("taken", wait=0) as held:
        assert held.is_held


def test_to_take_it_twice_is_a_deadlock_unless_that_is_said(client: Client) -> None:
    with client.lock("twice") as outer:
        with pytest.raises(Deadlock, match="wait for itself"):
            client.lock("twice").acquire()
        with client.lock("twice", reentrant=True) as inner:
            assert inner is outer
        assert is_held(outer)
    assert not is_held(outer)
    with client.lock("twice", wait=0):
        pass


def test_two_that_would_wait_for_each_other_are_told(client: Client) -> None:
    met = threading.Barrier(2)
    errors: list[Deadlock] = []

    def work(first: str, second: str) -> None:
        with client.lock(first):
            met.wait(LONG_S)
            try:
                with client.lock(second, wait=LONG_S):
                    pass
            except Deadlock as error:
                errors.append(error)

    threads = [in_thread(lambda: work("left", "right")), in_thread(lambda: work("right", "left"))]
    for thread in threads:
        thread.join()
    assert len(errors) == 1
    assert {name for _, name in errors[0].cycle} == {b"left", b"right"}


def test_readers_share_and_a_writer_is_alone(client: Client) -> None:
    table = client.rwlock("table")
    with Client(client.addresses) as other, Client(client.addresses) as third:
        with table.shared() as mine, other.rwlock("table").shared(wait=0) as theirs:
            assert mine.token < theirs.token
            mine.db.set("read-by", "both")
            with pytest.raises(LockTimeout):
                third.rwlock("table").exclusive(wait=0).acquire()
        with table.exclusive(), pytest.raises(LockTimeout):
            other.rwlock("table").shared(wait=0).acquire()


def test_a_semaphore_has_so_many_places(client: Client) -> None:
    with Client(client.addresses) as second, Client(client.addresses) as third:
        with client.semaphore("gpu", 2) as held, second.semaphore("gpu", 2, wait=0):
            with pytest.raises(LockTimeout):
                third.semaphore("gpu", 2, wait=0).acquire()
            held.db.set("gpu", "busy")
        with third.semaphore("gpu", 2, wait=0):
            pass


def test_what_is_written_after_the_lock_is_over_is_refused(client: Client) -> None:
    held = client.lock("fence").acquire()
    held.db.set("fenced", "1")
    assert held.db.incr("fenced") == 2
    assert held.db.pop("fenced-none") is None
    assert client.execute("unlock", ["fence", held.token]).value == 1
    with pytest.raises(Fenced):
        held.db.set("fenced", "late")
    with pytest.raises(Fenced), held.db.transaction() as transaction:
        transaction.set("fenced", "late")
    with pytest.raises(Fenced):
        held.db.transact([("set", ["fenced", "late"])], mode="redis")
    assert client.get("fenced") == b"2"
    with pytest.raises(LockLost):
        held.release()


def test_leaving_a_lock_that_was_lost_raises(client: Client) -> None:
    with pytest.raises(LockLost), client.lock("lost", ttl=2) as held:  # noqa: PT012
        client.execute("unlock", ["lost", held.token])
        assert held.lost.wait(LONG_S)
        assert not held.is_held
    with client.lock("lost", wait=0):
        pass


def test_one_of_several_is_elected_and_says_who_it_is(client: Client) -> None:
    election = client.election("scheduler")

    def leader() -> bytes | None:
        return election.leader

    assert leader() is None
    seen = client.election("scheduler").observe()
    assert next(seen) is None
    with Client(client.addresses) as other:
        theirs = other.election("scheduler")
        with election.campaign("http://me") as held:
            assert is_held(held)
            assert theirs.leader == b"http://me"
            assert next(seen) == b"http://me"
            with pytest.raises(LockTimeout):
                theirs.campaign("http://other", wait=0)
        assert not is_held(held)
        assert not election.is_leader
        theirs.campaign("http://other")
        assert leader() == b"http://other"
        theirs.resign()
        theirs.resign()
    assert leader() is None


def test_what_only_the_leader_may_do_runs_once_at_a_time_and_again_after_a_loss(client: Client) -> None:
    runs: list[int] = []

    @client.leader_only("alone", value="me", ttl=4)
    def work(held: Held, amount: int) -> int:
        runs.append(held.token)
        if len(runs) == 1:
            client.execute("unlock", ["alone", held.token])
            assert held.lost.wait(LONG_S)
        return amount

    assert work(5) == 5
    assert runs == sorted(set(runs))
    assert len(runs) == 2


SLEEPER = """
import sys
from raftdb import Client, Fenced, LockLost

with Client(sys.argv[1]) as client:
    held = client.lock("sleeper", ttl=2).acquire()
    print(held.token, flush=True)
    sys.stdin.readline()
    print(held.lost.is_set(), held.is_held, flush=True)
    for write in (lambda: held.db.set("slept", "late"), lambda: held.db.queue("slept").put("late")):
        try:
            write()
        except LockLost as error:
            print(error.code)
"""


def test_a_process_that_was_paused_beyond_its_lease_knows_it_and_writes_nothing(client: Client) -> None:
    sleeper = subprocess.Popen(
        [sys.executable, "-c", SLEEPER, ",".join(client.addresses)],
        cwd=ROOT,
        env=clean_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert sleeper.stdout is not None
        token = int(sleeper.stdout.readline())
        sleeper.send_signal(signal.SIGSTOP)
        with client.lock("sleeper", wait=LONG_S) as held:
            assert held.token > token
            held.db.set("slept", "mine")
            sleeper.send_signal(signal.SIGCONT)
            said, _ = sleeper.communicate("\n", timeout=LONG_S)
        assert said.split() == ["True", "False", "lock_lost", "lock_lost"]
        assert client.get("slept") == b"mine"
    finally:
        sleeper.kill()
        sleeper.communicate()


CHILD = """
import os, sys
from raftdb import Client

with Client(sys.argv[1]) as client, client.lock("forked") as held:
    queue = client.queue("forked")
    queue.put("job")
    (job,) = queue.receive()
    child = os.fork()
    if not child:
        with job:
            pass
        assert not held.is_held
        held.release()
        with held:
            pass
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    held.db.set("forked", "parent")
    assert held.is_held
    assert job.ack()
print("in order")
"""


def test_a_child_process_gives_nothing_back_that_its_parent_holds(client: Client) -> None:
    # Threads and a fork are what is tested; Python may warn of them.
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", CHILD, ",".join(client.addresses)]
    ended = subprocess.run(
        command,
        cwd=ROOT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=LONG_S,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (0, "in order\n"), ended.stderr


async def test_a_task_that_loses_its_lock_is_cancelled(shared_cluster: Cluster) -> None:
    async with AsyncClient(shared_cluster.addresses, timeout_ms=30_000) as client:
        was_cancelled = False
        with pytest.raises(LockLost):  # noqa: PT012
            async with client.lock("async", ttl=3) as held:
                await client.execute("unlock", ["async", held.token])
                try:
                    await asyncio.sleep(LONG_S)
                except asyncio.CancelledError:
                    was_cancelled = True
                    raise
        assert was_cancelled
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0


async def test_a_blocked_event_loop_loses_no_lock(shared_cluster: Cluster) -> None:
    """The lock outlives its time to live, because it is renewed by a thread."""
    async with (
        AsyncClient(shared_cluster.addresses, timeout_ms=30_000) as client,
        client.lock("blocked", ttl=4) as held,
    ):
        end = time.monotonic() + 4.5
        while time.monotonic() < end:
            sum(range(10_000))
        assert held.is_held
        await held.db.set("blocked", "no")


async def test_tasks_are_owners_and_wait_side_by_side_with_other_calls(shared_cluster: Cluster) -> None:
    async with AsyncClient(shared_cluster.addresses, timeout_ms=30_000) as client:
        order: list[int] = []

        async def work(number: int) -> None:
            async with client.lock("tasks", wait=LONG_S):
                order.append(number)

        async with client.lock("tasks"):
            tasks = [asyncio.create_task(work(number)) for number in range(3)]
            for _ in range(600):
                await client.incr("beside")
            assert order == []
        await asyncio.gather(*tasks)
        assert sorted(order) == [0, 1, 2]


def test_a_lock_survives_its_leader(new_cluster: NewCluster) -> None:
    cluster = new_cluster(3).start()
    with Client(cluster.addresses, timeout_ms=30_000) as client, Client(cluster.addresses) as other:
        with client.lock("kept") as held:
            waiting = in_thread(lambda: other.lock("kept", wait=LONG_S).acquire())
            wait_for_line(client, "kept", 1)
            cluster.leader().kill9()
            held.db.set("kept", "yes")
            assert held.is_held
        waiting.join()
        assert client.get("kept") == b"yes"
        assert told(client, "kept")[b"held"] == 1
