"""Queues and locks: messages and locks per second, whatever the length of a queue, and beside etcd's locks.

    python -m benchmarks.services [--parts queues,locks,waiters] [--rounds 3] [--quick] [--json] [--plot FILE.png]

Three nodes and the load share the cores, and requests go to the node that leads, over one kept connection for each
client, in a closed loop.

* `queues`: 64 clients over the Redis port put messages, and then receive and acknowledge them, one at a time and ten at
  a time, in a cluster whose queue was empty before, and in one where `--waiting` messages wait in it. Both run, and are
  loaded in turn. The rest of what was put stays in the queue; for the cluster that begins empty each round has a new
  queue.
* `locks`: 1 and 64 clients take a lock and give it back, each one of its own: raftdb over the Redis port, and etcd's
  lock service over gRPC, with a lease for each client. Each system runs alone, in turn, freshly started.
* `waiters`: so many clients wait for one lock, and each gives it back when it has got it: hand-ons per second, entries
  of the log for each, and what a client that waits takes of the leader's memory, beside one that is only connected.

A ratio is taken within one round; the table has the median of the rounds, and the lowest and highest. etcd comes from
Debian's package etcd-server; if it is not installed that is said, and it is left out.
"""

import argparse
import asyncio
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.common import temporary_folder
from benchmarks.generators import Ask, Loaded, LoadError, run_ours
from benchmarks.lock_waiters import hand_on_all
from benchmarks.peer_systems import Raftdb, System, running_system
from benchmarks.peers import Node, Watch, programs
from benchmarks.report import Report, add_common_options
from benchmarks.running import post
from benchmarks.service_load import fill_queue
from benchmarks.service_rows import Row, load_text, plot, summarize, tell

PARTS = ("queues", "locks", "waiters")
QUEUE_CLIENTS = 64
LOCK_CLIENTS = (1, 64)
BATCHES = (1, 10)
QUICK = {"waiting": 20_000, "waiters": 100, "rounds": 1, "seconds": 1.0, "warm_up": 0.5}
"""Sizes of `--quick`: it shows that everything works, and its figures mean little."""
LONG_QUEUE = "long"


def roles_of(system: System, moments: list[dict[str, Node]], operations: int) -> dict[str, dict[str, float]]:
    """Processor time of one operation, and memory, by role, from the moments before and after a load."""
    before, after = moments
    leader = system.leader()
    of_role = {"leader": [leader], "follower": [name for name in sorted(after) if name != leader]}
    return {
        "cpu_us": {
            role: mean(after[name].cpu_s - before[name].cpu_s for name in names) * 1e6 / operations
            for role, names in of_role.items()
        },
        "memory_mib": {
            role: max(after[name].memory_bytes for name in names) / 2**20 for role, names in of_role.items()
        },
    }


def committed_of(system: System) -> int | None:
    """The entries in the log so far; None if the system does not say."""
    return system.writes() if isinstance(system, Raftdb) else None


class Run:
    """All measurements, and those that failed."""

    def __init__(self, report: Report, folder: Path, options: argparse.Namespace) -> None:
        self.rows: list[Row] = []
        self.failures: list[str] = []
        self.filled: dict[str, Any] = {}
        self.waiters: list[dict[str, Any]] = []
        self._report = report
        self._folder = folder
        self._options = options

    def queues(self) -> None:
        """Load a short queue and a long one in turn, round by round."""
        with ExitStack() as stack:
            systems = {
                waiting: stack.enter_context(self._started("raftdb", f"with-{waiting}"))
                for waiting in (0, self._options.waiting)
            }
            self._fill(systems[self._options.waiting])
            for number in range(1, self._options.rounds + 1):
                turn = list(systems)[:: 1 if number % 2 else -1]
                for batch in BATCHES:
                    for load, script in (("enqueue", "enqueue"), ("receive + ack", "deliver")):
                        for waiting in turn:
                            name = LONG_QUEUE if waiting else f"short-{number}-{batch}"
                            more = ["--script", script, "--batch", str(batch), "--name", name]
                            self._measure(
                                systems[waiting],
                                number,
                                load,
                                QUEUE_CLIENTS,
                                more,
                                batch=batch,
                                waiting=waiting,
                            )

    def locks(self, systems: list[str]) -> None:
        """Load the locks of each system, freshly started; the first system changes with each round."""
        for number in range(1, self._options.rounds + 1):
            turn = systems[:: 1 if number % 2 else -1]
            for clients in LOCK_CLIENTS:
                for name in turn:
                    with self._failing_alone(f"round {number}, {name}"), self._started(name, name) as system:
                        more = ["--script", "lock"] if name == "raftdb" else []
                        self._measure(system, number, "lock + unlock", clients, more)

    def wait(self, systems: list[str]) -> None:
        """Let many wait for one lock of each system."""
        for number in range(1, self._options.rounds + 1):
            for name in systems[:: 1 if number % 2 else -1]:
                with self._failing_alone(f"round {number}, {name}"), self._started(name, name) as system:
                    self._measure_waiters(system, number)

    def _fill(self, system: System) -> None:
        """Put the messages of the long queue, and have them all in a checkpoint."""
        assert isinstance(system, Raftdb)
        count, watch = self._options.waiting, Watch(system)
        watch.mark()
        began = time.monotonic()
        asyncio.run(
            fill_queue(
                system.ports()["redis"], LONG_QUEUE.encode(), count, value_bytes=self._options.value_bytes
            )
        )
        filled_s = time.monotonic() - began
        watch.mark()
        began = time.monotonic()
        post(system.ports()["http"], "/v1/snapshot")
        checkpoint_s = time.monotonic() - began
        watch.mark()
        leader = system.leader()
        cpu_s = {name: node.cpu_s - watch.moments[0][name].cpu_s for name, node in watch.moments[1].items()}
        self.filled = {
            "messages": count,
            "seconds": filled_s,
            "cpu_us": {name: used * 1e6 / count for name, used in cpu_s.items()},
            "checkpoint_seconds": checkpoint_s,
            "leader": leader,
            "memory_mib": [
                {name: node.memory_bytes / 2**20 for name, node in moment.items()} for moment in watch.moments
            ],
        }
        memory = [f"{moment[leader].memory_bytes / 2**20:.0f}" for moment in watch.moments]
        self._report.say(
            f"{count:,} messages put in {filled_s:.1f} s, {count / filled_s:,.0f}/s, with "
            f"{cpu_s[leader] * 1e6 / count:.0f} us of the leader's processor time each; checkpoint of the rest in "
            f"{checkpoint_s:.1f} s; memory of the leader {' -> '.join(memory)} MiB"
        )

    def _measure(
        self,
        system: System,
        number: int,
        load: str,
        clients: int,
        more: list[str],
        *,
        batch: int = 1,
        waiting: int = 0,
    ) -> None:
        options = self._options
        ask = Ask(
            load, clients, batch,
            seconds=options.seconds, warm_up_s=options.warm_up,
            keys=1, value_bytes=options.value_bytes, seed=options.seed,
        )  # fmt: skip
        what = f"round {number}, {load_text(load, clients, batch)}, {system.name}"
        what += f", {waiting:,} waiting" if waiting else ""
        with self._failing_alone(what):
            row = self._row(system, number, ask, more, waiting=waiting)
            self.rows.append(row)
            errors = f"; errors: {row.errors}" if row.errors else ""
            self._report.say(f"{what}: {row.per_second:,.0f}/s{errors}")

    def _row(self, system: System, number: int, ask: Ask, more: list[str], *, waiting: int) -> Row:
        """One row; LoadError if it means nothing."""
        leader, watch, ports = system.leader(), Watch(system), system.ports()
        committed = committed_of(system)
        loaded: Loaded = (
            run_ours("benchmarks.service_load", ports["redis"], ask, watch.mark, more)
            if system.name == "raftdb"
            else run_ours("benchmarks.lock_load", ports["grpc"], ask, watch.mark, more)
        )
        last_committed = committed_of(system)
        operations = loaded.operations * ask.depth
        if not operations:
            raise LoadError(f"nothing was answered; errors: {loaded.errors or 'none'}")
        if system.leader() != leader:
            raise LoadError(f"{leader} led no longer at the end")
        roles = roles_of(system, watch.moments, operations)
        entries = (
            None
            if committed is None or last_committed is None
            else (last_committed - committed) / (loaded.answered * ask.depth)
        )
        return Row(
            number, ask.command, ask.connections, ask.depth, system.name, waiting,
            loaded.per_second * ask.depth, loaded.latencies_ms, loaded.errors,
            entries,
            cpu_us={**roles["cpu_us"], "generator": loaded.cpu_seconds * 1e6 / operations},
            memory_mib=roles["memory_mib"],
        )  # fmt: skip

    def _measure_waiters(self, system: System, number: int) -> None:
        count, watch = self._options.waiters, Watch(system)
        found = hand_on_all(system, count, watch.mark, lambda: committed_of(system))
        unconnected, connected, waiting, served = watch.moments
        leader = system.leader()
        roles = roles_of(system, [waiting, served], count)
        row = Row(
            number, "hand-on", count, 1, system.name, 0,
            count / found.seconds, {}, {}, found.entries,
            cpu_us={**roles["cpu_us"], "generator": found.cpu_seconds * 1e6 / count},
            memory_mib=roles["memory_mib"],
        )  # fmt: skip
        self.rows.append(row)
        kib = {
            "connected": (connected[leader].memory_bytes - unconnected[leader].memory_bytes) / 1024 / count,
            "waiting": (waiting[leader].memory_bytes - connected[leader].memory_bytes) / 1024 / count,
        }
        self.waiters.append({"round": number, "system": system.name, "waiters": count, "kib": kib})
        entries = "" if found.entries is None else f", {found.entries:.3f} entries for each"
        self._report.say(
            f"round {number}, {count:,} waiters on one lock, {system.name}: {count / found.seconds:,.0f} hand-ons/s"
            f"{entries}; of the leader's memory {kib['connected']:.1f} KiB for each connection, and "
            f"{kib['waiting']:.1f} KiB more while it waits"
        )

    @contextmanager
    def _failing_alone(self, what: str) -> Iterator[None]:
        """Measure one row, and report it if it fails, so that the others are measured."""
        try:
            yield
        except (RuntimeError, OSError) as error:
            self.failures.append(f"{what}: {error}")
            self._report.say(f"{what}: FAILED: {error}")

    @contextmanager
    def _started(self, name: str, folder_name: str) -> Iterator[System]:
        """A fresh system; its data is deleted afterwards."""
        folder = self._folder / folder_name
        folder.mkdir()
        with ExitStack() as stack:
            stack.callback(shutil.rmtree, folder)
            yield running_system(
                name, folder, stack, nodes=self._options.nodes, log_level=self._options.log_level
            )


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", default=",".join(PARTS), help="which of them")
    parser.add_argument("--systems", default="raftdb,etcd", help="which of them, for locks and waiters")
    parser.add_argument("--waiting", type=int, default=1_000_000, help="messages in the long queue")
    parser.add_argument("--waiters", type=int, default=1_000, help="clients that wait for one lock")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="measured, of each row")
    parser.add_argument("--warm-up", type=float, default=1.5, help="seconds before, not measured")
    parser.add_argument("--nodes", type=int, default=3, help="of raftdb and of etcd")
    parser.add_argument("--value-bytes", type=int, default=64, help="of a message")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it works")
    add_common_options(parser)
    options = parser.parse_args()
    if options.quick:
        vars(options).update(QUICK)
    options.parts, options.systems = options.parts.split(","), options.systems.split(",")
    if not (set(options.parts) <= set(PARTS) and set(options.systems) <= {"raftdb", "etcd"}):
        parser.error(f"--parts knows {', '.join(PARTS)}, and --systems raftdb and etcd")
    return options


def main() -> int:
    options = parse_options()
    installed = programs()
    with temporary_folder(options.data) as folder:
        report = Report(folder, options)
        systems = [name for name in options.systems if name == "raftdb" or name in installed]
        if systems != options.systems:
            report.say("etcd is not installed, and left out: it is in Debian's package etcd-server")
        run = Run(report, folder, options)
        if "queues" in options.parts:
            run.queues()
        if "locks" in options.parts:
            run.locks(systems)
        if "waiters" in options.parts:
            run.wait(systems)
    summaries = summarize(run.rows)
    tell(report, summaries)
    if options.plot is not None:
        plot(options.plot, summaries)
    report.finish(
        {
            "filled": run.filled,
            "rows": [row._asdict() for row in run.rows],
            "waiters": run.waiters,
            "summaries": summaries,
            "failures": run.failures,
        }
    )
    for failure in run.failures:
        report.say(f"FAILED: {failure}")
    return 1 if run.failures else 0


if __name__ == "__main__":
    sys.exit(main())
