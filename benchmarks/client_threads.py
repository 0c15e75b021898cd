"""Do threads that share one blocking client get as much done as threads with a client each?

    python -m benchmarks.client_threads [--threads 16] [--seconds 5] [--nodes 3]

The threads of one process call a cluster of real nodes on this machine, first `set` and then `get`, once through one
client together, and once through one client each. The ratio is the result, because both share the interpreter and the
cluster.
"""

import argparse
import json
import threading
import time
from collections.abc import Callable, Sequence

from benchmarks.common import (
    command_to_repeat,
    describe_machine,
    measure_sync,
    running_cluster,
    temporary_folder,
)
from raftdb import Client


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print the report as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--nodes", type=int, default=3)
    options = parser.parse_args(arguments)
    report: dict[str, object] = {"command": command_to_repeat(), "machine": describe_machine()}
    with temporary_folder(None) as folder:
        report["sync"] = measure_sync(folder)
        with running_cluster(folder, nodes=options.nodes) as cluster:
            addresses = ",".join(cluster.addresses.values())
            for name, write in (("set", True), ("get", False)):
                shared, own = (
                    calls_per_second(addresses, options.threads, options.seconds, shared=shared, write=write)
                    for shared in (True, False)
                )
                report[name] = {
                    "shared_per_second": round(shared),
                    "one_each_per_second": round(own),
                    "shared_to_own": round(shared / own, 2),
                }
    print(json.dumps(report, indent=2))
    return 0


def calls_per_second(addresses: str, threads: int, seconds: float, *, shared: bool, write: bool) -> float:
    """The calls per second of all threads together."""
    clients = [Client(addresses) for _ in range(1 if shared else threads)]
    counts = [0] * threads
    begin = threading.Barrier(threads + 1)
    ends = float("inf")

    def work(number: int) -> None:
        client = clients[number % len(clients)]
        key = f"key{number}"
        call: Callable[[], object] = (
            (lambda: client.set(key, "v" * 100)) if write else (lambda: client.get(key))
        )
        call()
        begin.wait()
        while time.monotonic() < ends:
            call()
            counts[number] += 1

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    began = time.monotonic()
    ends = began + seconds
    begin.wait()
    for worker in workers:
        worker.join()
    took_s = time.monotonic() - began
    for client in clients:
        client.close()
    return sum(counts) / took_s


if __name__ == "__main__":
    raise SystemExit(main())
