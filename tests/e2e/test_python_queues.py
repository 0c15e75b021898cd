"""Queues and schedules of the Python clients on real nodes."""

import asyncio
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from raftdb import AsyncClient, AsyncHeld, AsyncJob, Client, Fenced, Job, QueueFull, RequestRefused
from raftdb.client import sync_queues
from tests.e2e.cluster import ROOT, Cluster, clean_environment
from tests.e2e.conftest import NewCluster
from tests.e2e.waiting import wait_for

LONG_S = 60.0
"""A wait that ends early, unless the test fails."""


@pytest.fixture
def client(shared_cluster: Cluster) -> Iterator[Client]:
    with Client(shared_cluster.addresses, timeout_ms=30_000) as client:
        yield client


def test_what_is_put_is_taken_in_order(client: Client) -> None:
    queue = client.queue("order")
    first = queue.put("a")
    assert first.is_new
    assert [put.is_new for put in queue.put_many(["b", "c"])] == [True, True]
    assert queue.length() == 3
    assert [queue.pop() for _ in range(4)] == [b"a", b"b", b"c", None]
    assert queue.pop(wait=0.05) is None
    with client.lock("order") as held, pytest.raises(RequestRefused, match="no fences"):
        held.db.queue("order").pop(wait=1)


def test_options_of_a_message(client: Client) -> None:
    queue = client.queue("options")
    once = queue.put("x", dedup="m-1")
    again = queue.put("x", dedup="m-1")
    assert (again.id, again.is_new) == (once.id, False)
    assert queue.put("y", unique="u").is_new
    assert not queue.put("y", unique="u").is_new
    queue.put("first", priority=9)
    queue.put("late", delay=3_600, ttl=7_200)
    assert queue.pop() == b"first"
    assert queue.info()["delayed"] == 1


def test_one_that_waits_is_served_as_soon_as_there_is_something(client: Client) -> None:
    queue, got = client.queue("awaited"), []
    thread = threading.Thread(target=lambda: got.append(queue.pop(wait=LONG_S)))
    thread.start()
    for number in range(600):  # more than the replies that a session may be ahead
        client.set("beside", number)
    queue.put("at last")
    thread.join()
    assert got == [b"at last"]


def test_a_job_is_done_when_its_block_is_left_and_comes_back_if_that_fails(client: Client) -> None:
    queue, seen = client.queue("jobs"), []
    queue.put_many(["good", "bad", "last"])
    for job in queue.consume():
        with job:
            seen.append((job.value, job.deliveries))
            if job.value == b"bad":
                raise ValueError("no route")
        if job.value == b"last":
            break
    assert seen == [(b"good", 1), (b"bad", 1), (b"last", 1)]
    message = client.execute("peek", ["jobs"]).value
    assert isinstance(message, list)
    assert len(message) == 1
    assert b"ValueError: no route" in str(message).encode()
    assert queue.info()["delayed"] == 1


def test_what_has_not_begun_goes_back_when_the_loop_ends(client: Client) -> None:
    queue = client.queue("ahead")
    queue.put_many(list(range(5)))
    for job in queue.consume(batch=5):
        with job:
            assert queue.info()["in_flight"] == 5
        break
    info = queue.info()
    assert (info["visible"], info["in_flight"]) == (4, 0)
    (job,) = queue.receive()
    assert (job.value, job.deliveries) == (b"1", 2)
    assert job.nack(dead=True)
    assert queue.info()["dead"] == 1
    assert queue.redrive() == 1
    (job,) = queue.receive(4)[-1:]
    assert job.nack(dead=True)
    assert queue.redrive("1-0", job.id, to="elsewhere") == 1
    assert client.queue("elsewhere").pop() == b"1"


def test_a_job_and_its_result_are_one_transaction(client: Client) -> None:
    queue = client.queue("transfers")
    queue.put("5")
    (job,) = queue.receive(visibility=30)
    with job, client.transaction(job=job) as transaction:
        transaction.incr("sum", int(job.value))
        transaction.put("receipts", "done")
    assert client.get("sum") == b"5"
    assert client.queue("receipts").pop() == b"done"
    assert queue.info()["in_flight"] == 0


def test_a_worker_that_was_too_slow_writes_nothing(client: Client) -> None:
    queue = client.queue("slow")
    queue.put("x")
    (job,) = queue.receive(visibility=0.2)
    again = queue.receive(visibility=30, wait=LONG_S / 2)
    assert [other.deliveries for other in again] == [2]
    with pytest.raises(Fenced), client.transaction(job=job) as transaction:
        transaction.set("slow", "late")
    assert client.get("slow") is None
    assert not job.ack()
    assert again[0].ack()


def test_a_job_that_takes_long_is_extended(client: Client) -> None:
    queue = client.queue("long")
    queue.put("x")
    for job in queue.consume(visibility=4):
        with job:
            time.sleep(4.5)
            assert not job.lost.is_set()
            assert queue.info()["in_flight"] == 1
        break
    assert client.queue("long").receive() == []
    assert queue.info()["redelivered"] == 0


def test_one_that_takes_longer_than_allowed_is_handed_to_another(client: Client) -> None:
    queue = client.queue("hanging")
    queue.put("x")
    jobs = queue.consume(visibility=1, max_run=1.5)
    job = next(jobs)
    assert job.lost.wait(LONG_S)
    (again,) = client.queue("hanging").receive(wait=LONG_S / 2)
    assert again.deliveries == 2
    jobs.close()  # type: ignore[attr-defined]


CONSUMER = """
import sys
from raftdb import Client

with Client(sys.argv[1]) as client:
    for job in client.queue("terminated").consume(batch=5):
        with job:
            print(job.value.decode(), flush=True)
            sys.stdin.readline()
    print("in order")
"""


def test_sigterm_finishes_what_has_begun_and_gives_the_rest_back_free(client: Client) -> None:
    queue = client.queue("terminated")
    queue.put_many(list(range(5)))
    consumer = subprocess.Popen(
        [sys.executable, "-c", CONSUMER, ",".join(client.addresses)],
        cwd=ROOT,
        env=clean_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert consumer.stdout is not None
        assert consumer.stdout.readline() == "0\n"
        assert queue.info()["in_flight"] == 5
        consumer.send_signal(signal.SIGTERM)
        said, _ = consumer.communicate("\n", timeout=LONG_S)
        assert (said, consumer.returncode) == ("in order\n", 0)
    finally:
        consumer.kill()
        consumer.communicate()
    info = queue.info()
    assert (info["out"], info["visible"], info["in_flight"]) == (1, 4, 0)
    assert [job.value for job in queue.receive(5)] == [b"1", b"2", b"3", b"4"]


IDLE = """
import sys
from raftdb import Client

with Client(sys.argv[1]) as client:
    for job in client.queue(sys.argv[2]).consume():
        with job:
            print("begun", flush=True)
print("in order")
"""

IDLE_TASK = """
import asyncio, sys
from raftdb import AsyncClient

async def main():
    async with AsyncClient(sys.argv[1]) as client:
        async for job in client.queue(sys.argv[2]).consume():
            async with job:
                print("begun", flush=True)
    print("in order")

asyncio.run(main())
"""


@pytest.mark.parametrize(("name", "program"), [("idle-thread", IDLE), ("idle-task", IDLE_TASK)])
def test_sigterm_ends_one_that_waits(client: Client, name: str, program: str) -> None:
    queue = client.queue(name)
    queue.put("only")
    consumer = subprocess.Popen(
        [sys.executable, "-c", program, ",".join(client.addresses), name],
        cwd=ROOT,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert consumer.stdout is not None
        assert consumer.stdout.readline() == "begun\n"
        wait_for(lambda: queue.info()["out"] == 1, "the only job is done")
        consumer.send_signal(signal.SIGTERM)
        said, _ = consumer.communicate(timeout=LONG_S / 2)
        assert (said, consumer.returncode) == ("in order\n", 0)
    finally:
        consumer.kill()
        consumer.communicate()


def test_visibility_of_what_is_extended_is_at_least_a_second(client: Client) -> None:
    with pytest.raises(RequestRefused, match="at least a second"):
        next(iter(client.queue("short").consume(visibility=0.9)))


def test_a_pool_has_a_worker_at_least(client: Client) -> None:
    with pytest.raises(RequestRefused, match="at least 1"):
        client.queue("nobody").worker(print, concurrency=0)


def test_a_long_wait_is_made_of_several(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    queue, asked = client.queue("patient"), list[float]()
    fetch = queue._fetch
    monkeypatch.setattr(sync_queues, "WAIT_MS_MAX", 100)

    def counted(*given: Any) -> list[Job]:
        asked.append(given[-1])
        return fetch(*given)

    monkeypatch.setattr(queue, "_fetch", counted)
    assert queue.receive(wait=1) == []
    assert max(asked) <= 0.1
    assert len(asked) > 1
    queue.configure(paused=True)
    queue.put("a")
    assert queue.receive() == []
    queue.configure(paused=False)
    assert [job.value for job in queue.receive(wait=60)] == [b"a"]


def test_a_queue_that_is_full_says_so(client: Client) -> None:
    queue = client.queue("full")
    queue.configure(max_length=2)
    with pytest.raises(QueueFull) as caught:
        queue.put_many(["a", "b", "c"])
    assert caught.value.failed_command == 2
    assert queue.length() == 0
    queue.put_many(["a", "b"])
    with pytest.raises(QueueFull):
        queue.put("c")


def test_workers_share_the_jobs_until_they_are_stopped(client: Client) -> None:
    queue, done = client.queue("pool"), []
    queue.put_many(list(range(20)))

    def work(value: bytes) -> None:
        done.append(int(value))
        if len(done) == 20:
            queue.stop()

    queue.worker(work, concurrency=4)
    assert sorted(done) == list(range(20))
    info = queue.info()
    assert (info["visible"], info["in_flight"]) == (0, 0)


def test_a_worker_that_waits_is_stopped_at_once(client: Client) -> None:
    queue, ready = client.queue("idle"), threading.Event()
    queue.put("only")

    def work(job: Job) -> None:
        assert job.queue == "idle"
        ready.set()

    thread = threading.Thread(target=lambda: queue.worker(work, concurrency=3, pass_job=True))
    thread.start()
    assert ready.wait(LONG_S)
    wait_for(lambda: queue.info()["out"] == 1, "the job is done")
    queue.stop()
    thread.join(LONG_S / 2)
    assert not thread.is_alive()


async def test_tasks_consume_side_by_side(shared_cluster: Cluster) -> None:
    async with AsyncClient(shared_cluster.addresses, timeout_ms=30_000) as client:
        queue, done = client.queue("tasks"), []
        await queue.put_many(list(range(10)))

        async def work(job: AsyncJob) -> None:
            async with client.transaction(job=job) as transaction:
                await transaction.incr("tasks-done")
            done.append(int(job.value))
            if len(done) == 10:
                queue.stop()

        await queue.worker(work, concurrency=3, pass_job=True)
        assert sorted(done) == list(range(10))
        assert await client.get("tasks-done") == b"10"


async def test_a_task_that_is_cancelled_gives_its_job_back_free(shared_cluster: Cluster) -> None:
    async with AsyncClient(shared_cluster.addresses, timeout_ms=30_000) as client:
        queue, begun = client.queue("cancelled"), asyncio.Event()
        await queue.put("x")

        async def work(value: bytes) -> None:
            begun.set()
            await asyncio.sleep(LONG_S)

        task = asyncio.create_task(queue.worker(work))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        (job,) = await queue.receive(wait=LONG_S / 2)
        assert job.deliveries == 2
        assert await job.ack()


def test_a_consumer_and_its_jobs_survive_the_leader(new_cluster: NewCluster) -> None:
    cluster = new_cluster(3).start()
    with Client(cluster.addresses, timeout_ms=30_000) as client:
        queue = client.queue("jobs")
        done: list[bytes] = []

        def work(job: Job) -> None:
            if len(done) == 3:
                cluster.leader().kill9()
            with client.transaction(job=job) as transaction:
                transaction.append("done", b"%s;" % job.value)
            done.append(job.value)
            if len(done) == 10:
                queue.stop()

        queue.put_many(list(range(10)))
        with client.lock("held") as held:
            queue.worker(work, pass_job=True)
            assert held.is_held
        assert client.get("done") == b"".join(b"%d;" % number for number in range(10))
        info = queue.info()
        assert (info["visible"], info["delayed"], info["in_flight"], info["dead"]) == (0, 0, 0, 0)


def test_a_slot_is_put_once_and_the_latest_of_those_that_were_missed(client: Client) -> None:
    runs: list[float] = []

    @client.every("10m", name="tidy")
    def tidy() -> None:
        runs.append(time.time())

    with Client(client.addresses) as other:
        elsewhere = other.every("10m", name="tidy")(lambda: None)
        assert not tidy.put_due(6_000), "a schedule that is new begins with the slot after"
        assert not tidy.put_due(6_599)
        assert tidy.put_due(6_600)
        assert not elsewhere.put_due(6_600)
        assert not elsewhere.put_due(7_200), "the one before waits"
        queue = client.queue("every/tidy")
        assert queue.pop() == b"6600"
        assert not elsewhere.put_due(7_210)
        assert elsewhere.put_due(60_000)
        assert queue.pop() == b"60000"
        assert queue.pop() is None
    tidy()
    assert len(runs) == 1


def test_a_schedule_runs_what_is_due_and_again_what_failed(client: Client) -> None:
    runs: list[float] = []

    @client.every("1s", name="often")
    def often() -> None:
        runs.append(time.time())
        if len(runs) == 1:
            raise ValueError("once")
        if len(runs) == 3:
            often.stop()

    often.run()
    assert len(runs) == 3


def test_all_schedules_of_a_client_run_side_by_side(client: Client) -> None:
    runs: dict[str, int] = {"one": 0, "other": 0}
    done = threading.Event()

    def count(name: str) -> None:
        runs[name] += 1
        if all(runs.values()):
            done.set()

    one = client.every("1s", name="one")(lambda: count("one"))
    other = client.every("1s", name="other")(lambda: count("other"))
    thread = threading.Thread(target=client.run_schedules)
    thread.start()
    assert done.wait(LONG_S)
    one.stop()
    other.stop()
    thread.join(LONG_S)
    assert not thread.is_alive()


async def test_schedules_and_elections_of_tasks(shared_cluster: Cluster) -> None:
    async with AsyncClient(shared_cluster.addresses, timeout_ms=30_000) as client:
        election = client.election("async")
        seen = election.observe()
        assert await anext(seen) is None
        async with await election.campaign("me"):
            assert await election.leader == b"me"
            assert await anext(seen) == b"me"

        @client.every("1s", name="async")
        async def often() -> None:
            often.stop()

        await often.run()

        @client.leader_only("async-only")
        async def lead(held: AsyncHeld) -> bool:
            return held.is_held

        assert await lead()
