"""A bank whose workers are killed, and put to sleep beyond their visibility, while leaders are killed as well: each
transfer is applied once, and no money is lost or made."""

import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field

import pytest

from raftdb import Client
from tests.e2e.bank_worker import VISIBILITY_S
from tests.e2e.cluster import ROOT, Cluster, clean_environment
from tests.e2e.conftest import NewCluster
from tests.e2e.waiting import wait_for

ACCOUNTS = 10
MONEY = 100
DRAINED_S = 120.0


@dataclass(frozen=True)
class Scale:
    """How much of it: workers at a time, how long there are killings at least, and how often a leader is killed."""

    workers: int
    seconds: float
    leader_every_s: float
    jobs_per_round: int


SHORT = Scale(workers=4, seconds=4.0, leader_every_s=2.0, jobs_per_round=5)
LONG = Scale(workers=20, seconds=60.0, leader_every_s=5.0, jobs_per_round=10)


@dataclass
class Workers:
    """Processes, of which some are asleep until a time."""

    cluster: Cluster
    kind: str
    random: random.Random
    running: list["subprocess.Popen[bytes]"] = field(default_factory=list)
    asleep: dict[int, float] = field(default_factory=dict)
    killed: int = 0
    slept: int = 0

    def begin(self, count: int) -> None:
        for _ in range(count):
            self.running.append(
                subprocess.Popen(
                    [
                        sys.executable,
                        "-m",
                        "tests.e2e.bank_worker",
                        ",".join(self.cluster.addresses),
                        self.kind,
                    ],
                    cwd=ROOT,
                    env=clean_environment(),
                    stdin=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )

    def harm_one(self) -> None:
        """Kill one, and begin another; or put one to sleep for longer than its jobs are hidden."""
        victim = self.random.choice(self.running)
        if self.random.random() < 0.5:
            victim.kill()
            victim.wait()
            self.running.remove(victim)
            self.asleep.pop(victim.pid, None)
            self.killed += 1
            self.begin(1)
        elif victim.pid not in self.asleep:
            victim.send_signal(signal.SIGSTOP)
            self.asleep[victim.pid] = time.monotonic() + VISIBILITY_S * 1.5
            self.slept += 1

    def wake(self, *, all_of_them: bool = False) -> None:
        for worker in self.running:
            if worker.pid in self.asleep and (all_of_them or self.asleep[worker.pid] < time.monotonic()):
                worker.send_signal(signal.SIGCONT)
                del self.asleep[worker.pid]

    def end(self) -> None:
        self.wake(all_of_them=True)
        for worker in self.running:
            worker.terminate()
        # One that has only just begun does not hear the signal yet, and dies of it: it has taken nothing.
        assert {worker.wait(60) for worker in self.running} <= {0, -signal.SIGTERM}

    def close(self) -> None:
        for worker in self.running:
            worker.kill()
            worker.wait()


def put_jobs(client: Client, chance: random.Random, first: int, count: int) -> None:
    jobs = []
    for number in range(first, first + count):
        source, target = chance.sample(range(ACCOUNTS), 2)
        jobs.append(f"{number} {source} {target} {chance.randrange(1, 20)}")
    client.queue("transfers").put_many(jobs)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("kind", ["unfenced", "fenced"])
def test_each_transfer_is_applied_once_whoever_is_killed(
    new_cluster: NewCluster, is_long: bool, kind: str
) -> None:
    scale, chance = LONG if is_long else SHORT, random.Random(7)
    cluster = new_cluster(3).start()
    workers = Workers(cluster, kind, chance)
    jobs = leaders_killed = 0
    with Client(cluster.addresses, timeout_ms=60_000) as client:
        client.mset({f"account:{number}": MONEY for number in range(ACCOUNTS)})
        queue = client.queue("transfers")
        queue.configure(max_failures=0)
        try:
            workers.begin(scale.workers)
            began = leader_killed = time.monotonic()
            while time.monotonic() < began + scale.seconds or not (
                workers.killed and workers.slept and leaders_killed
            ):
                put_jobs(client, chance, jobs, scale.jobs_per_round)
                jobs += scale.jobs_per_round
                workers.harm_one()
                workers.wake()
                if time.monotonic() > leader_killed + scale.leader_every_s:
                    cluster.leader().kill9()
                    leader_killed = time.monotonic()
                    leaders_killed += 1
                    for node in cluster:
                        if not node.is_running:
                            node.start()
                time.sleep(0.3)
            workers.wake(all_of_them=True)
            wait_for(lambda: is_empty(client), "all jobs to be done", DRAINED_S)
            workers.end()
        finally:
            workers.close()
        applied = [client.get(f"applied:{number}") for number in range(jobs)]
        assert applied == [b"1"] * jobs
        accounts = client.mget([f"account:{number}" for number in range(ACCOUNTS)])
        assert sum(int(money or 0) for money in accounts) == ACCOUNTS * MONEY
        assert queue.info()["dead"] == 0


def is_empty(client: Client) -> bool:
    info = client.queue("transfers").info()
    return not any(info[state] for state in ("visible", "delayed", "in_flight"))
