"""Clients in processes that fork: what is copied is the parent's, and the child begins anew."""

import subprocess
import sys

from tests.client.fake_node import FakeCluster

IN_CHILD = """
import asyncio, os, sys, threading, traceback
from raftdb import AsyncClient, Client
from raftdb.client import sync_sharing as sharing

def in_child(work):
    child = os.fork()
    if not child:
        try:
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    return child

def in_threads(count, work):
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads

def join(threads):
    for thread in threads:
        thread.join()

def succeeded(child):
    assert os.waitpid(child, 0)[1] == 0
"""


def run_script(cluster: FakeCluster, script: str) -> str:
    """What a process printed that ran this, with the addresses as its argument; it says nothing else."""
    # Threads and a fork are what is tested; Python warns of them.
    options = ["-W", "error", "-W", "ignore::DeprecationWarning"]
    command = [sys.executable, *options, "-c", IN_CHILD + script, cluster.addresses]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


def sessions_used(cluster: FakeCluster) -> list[str]:
    """The session of each command that bore one, in the order of their coming."""
    bodies = [body for node in cluster.nodes for body in node.bodies]
    return [body["session"]["id"] for body in bodies if body and "session" in body]


BY_ITSELF = """
client = Client(sys.argv[1])
assert client.incr("n") == 1
parents = client._calls

def count():
    assert client.incr("n") == 2
    assert client._calls is not parents

def look():
    assert client.status(sys.argv[1].split(",")[0]).id == "n1"
    assert client._calls is not parents

succeeded(in_child(count))
succeeded(in_child(look))
assert client.incr("n") == 3
assert client._calls is parents
client.close()
"""


def test_a_child_begins_a_session_of_its_own_and_the_parent_keeps_its(cluster: FakeCluster) -> None:
    run_script(cluster, BY_ITSELF)
    parent, child, again = sessions_used(cluster)
    assert parent == again != child
    assert cluster.values[b"n"] == b"3"


AT_ONCE = """
client = Client(sys.argv[1])
client.incr("n")
build = sharing.SharedCalls.__init__
begun = threading.Barrier(4)

def slowly(self, *given):
    try:
        begun.wait(1.0)
    except threading.BrokenBarrierError:
        pass
    build(self, *given)

def count():
    sharing.SharedCalls.__init__ = slowly
    join(in_threads(4, lambda: client.incr("n")))

succeeded(in_child(count))
client.close()
"""


def test_no_thread_of_a_child_counts_on_in_the_session_of_its_parent(cluster: FakeCluster) -> None:
    """Threads that begin anew at the same time see either the parent's whole or their own, never a half of each."""
    run_script(cluster, AT_ONCE)
    parent, *children = sessions_used(cluster)
    assert len(children) == 4
    assert parent not in children
    assert cluster.values[b"n"] == b"5"


BOTH_BUSY = """
def count(times):
    for _ in range(times):
        client.incr("n")

client = Client(sys.argv[1], timeout_ms=60_000)
client.incr("n")
others = in_threads(3, lambda: count(20))

def busy_child():
    join(in_threads(3, lambda: count(10)))
    client.close()

child = in_child(busy_child)
count(20)
join(others)
succeeded(child)
print(client.get("n").decode())
client.close()
"""


def test_after_a_fork_the_threads_of_both_processes_count(cluster: FakeCluster) -> None:
    assert run_script(cluster, BOTH_BUSY) == f"{1 + 60 + 20 + 30}\n"


ASYNCHRONOUS = """
async def count(client):
    await client.incr("n")
    await client.close()

async def main():
    client = AsyncClient(sys.argv[1])
    await client.incr("n")
    succeeded(in_child(lambda: asyncio.run(count(client))))
    await client.incr("n")
    await client.close()

asyncio.run(main())
"""


def test_a_child_of_a_coroutine_begins_anew_on_a_loop_of_its_own(cluster: FakeCluster) -> None:
    run_script(cluster, ASYNCHRONOUS)
    parent, child, again = sessions_used(cluster)
    assert parent == again != child
    assert cluster.values[b"n"] == b"3"
