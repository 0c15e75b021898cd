"""raftdb beside etcd and Redis: writes and linearizable reads of the same small values on the same machine.

    python -m benchmarks.peers [--shapes 1,16,64,256,64x16] [--rounds 3] [--seconds 5] [--json] [--plot FILE.png]

Three nodes of raftdb, three of etcd, and one Redis with `appendfsync always`, which replicates nothing: what one disk
and one process can do. Each runs alone, in turn, freshly started for each shape of load (connections, or connections x
requests under way on each), with all keys written before; the turn goes round in each round. Servers and load share
the cores, so a load that takes less leaves more. What generators there are, and which keys they send, stands in
`benchmarks/generators.py`; each row names its own. A ratio is taken within one round, to the fastest of etcd's rows
there, whatever generator made it; the table has the median of the rounds, and the lowest and highest.

`--systems uncompacted,compacting` compares raftdb with itself: without any compaction of the log, and with one nearly
always under way, port by port and generator by generator.

Of a leader and of a follower: processor time per operation, memory that is no file's, and, under writes, bytes that
were sent to the disk per write. etcd and Redis come from Debian's packages etcd-server, redis-server, redis-tools (for
redis-benchmark) and nghttp2-client (for h2load); what is not installed is said, and left out.
"""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import mean
from typing import NamedTuple

from benchmarks.common import cpu_seconds, temporary_folder
from benchmarks.generators import GENERATORS, Ask, Generator, LoadError
from benchmarks.load import KEYS, make_pairs
from benchmarks.peer_systems import RAFTDBS, System, running_system
from benchmarks.peer_table import COLORS, Row, plot, summarize, tell
from benchmarks.report import Report, add_common_options
from benchmarks.running import memory_bytes, written_bytes

SYSTEMS = ("raftdb", "etcd", "redis")
"""Those that are measured unless others are named."""
COMMANDS = ("set", "get")
PACKAGES = {
    "etcd": "etcd-server",
    "redis-server": "redis-server",
    "redis-benchmark": "redis-tools",
    "h2load": "nghttp2-client",
}
"""The Debian package of each program."""
PROGRAM_OF = {"etcd": "etcd", "redis": "redis-server"}
"""The program of each other system."""
VERSION_LIMIT_S = 10.0


class Shape(NamedTuple):
    """The shape of a load: connections, and requests under way on each."""

    connections: int
    depth: int

    @classmethod
    def read(cls, text: str) -> "Shape":
        """`64`, or `64x16`; ValueError for anything else, and below 1."""
        connections, cross, depth = text.partition("x")
        shape = cls(int(connections), int(depth) if cross else 1)
        if min(shape) < 1:
            raise ValueError(text)
        return shape

    def __str__(self) -> str:
        """The text that `parse` reads."""
        return f"{self.connections}x{self.depth}" if self.depth > 1 else str(self.connections)


class Node(NamedTuple):
    """What a node has used so far, and its memory."""

    cpu_s: float
    written_bytes: int
    memory_bytes: int


class Watch:
    """Looks at the nodes of a system whenever a generator marks a moment."""

    def __init__(self, system: System) -> None:
        self._pids = system.pids()
        self.moments: list[dict[str, Node]] = []

    def mark(self) -> None:
        self.moments.append(
            {
                name: Node(cpu_seconds(pid), written_bytes(pid), memory_bytes(pid))
                for name, pid in self._pids.items()
            }
        )


def measure(
    system: System, generator: Generator, address: str, ask: Ask, *, folder: Path, round_number: int
) -> Row:
    """One row; LoadError if it means nothing."""
    leader, writes, watch = system.leader(), system.writes(), Watch(system)
    loaded = generator.run(address, ask, folder, watch.mark)
    if not loaded.operations:
        raise LoadError(f"nothing was answered; errors: {loaded.errors or 'none'}")
    if system.leader() != leader:
        raise LoadError(f"{leader} led no longer at the end")
    if ask.command == "set" and writes is not None:
        committed = (system.writes() or 0) - writes
        if committed < loaded.operations:
            raise LoadError(f"{loaded.operations} writes were answered, and {committed} committed")
    before, after = watch.moments
    of_role = {"leader": [leader], "follower": [name for name in sorted(after) if name != leader]}
    roles = {role: names for role, names in of_role.items() if names}
    cpu_us = {
        role: mean(after[name].cpu_s - before[name].cpu_s for name in names) * 1e6 / loaded.operations
        for role, names in roles.items()
    }
    written = {
        role: mean(after[name].written_bytes - before[name].written_bytes for name in names)
        / loaded.operations
        for role, names in roles.items()
    }
    return Row(
        round_number, ask.command, ask.connections, ask.depth,
        system.name, generator.protocol, generator.name, generator.keys,
        loaded.per_second, loaded.latencies_ms, loaded.errors,
        cpu_us={**cpu_us, "generator": loaded.cpu_seconds * 1e6 / loaded.operations},
        memory_mib={role: max(after[name].memory_bytes for name in names) / 2**20 for role, names in roles.items()},
        written_bytes=written if ask.command == "set" else {},
    )  # fmt: skip


class Run:
    """All measurements, and those that failed."""

    def __init__(self, report: Report, folder: Path, options: argparse.Namespace) -> None:
        self.rows: list[Row] = []
        self.failures: list[str] = []
        self.without_redis_port = False
        self._report = report
        self._folder = folder
        self._options = options
        self._pairs = make_pairs(keys=options.keys, value_bytes=options.value_bytes, seed=options.seed)

    def measure_all(self, systems: list[str]) -> None:
        """Measure every shape on every system, round by round; the first system changes with each round."""
        for number in range(self._options.rounds):
            turn = number % len(systems)
            for shape in self._options.shapes:
                for name in systems[turn:] + systems[:turn]:
                    what = f"round {number + 1}, {shape}, {name}"
                    with self._failing_alone(what), self._started(name) as system:
                        self._measure_shape(system, shape, number + 1)

    @contextmanager
    def _failing_alone(self, what: str) -> Iterator[None]:
        """Measure one row, and report it if it fails, so that the others are measured."""
        try:
            yield
        except (RuntimeError, OSError) as error:
            self.failures.append(f"{what}: {error}")
            self._report.say(f"{what}: FAILED: {error}")

    @contextmanager
    def _started(self, name: str) -> Iterator[System]:
        """A fresh system with all keys written; its data is deleted afterwards."""
        folder = self._folder / name
        folder.mkdir()
        with ExitStack() as stack:
            stack.callback(shutil.rmtree, folder)
            system = running_system(
                name, folder, stack, nodes=self._options.nodes, log_level=self._options.log_level
            )
            if name in RAFTDBS and "redis" not in system.ports() and not self.without_redis_port:
                self.without_redis_port = True
                self._report.say("raftdb does not answer on its Redis port, and has no rows for it")
            system.fill(self._pairs)
            yield system

    def _measure_shape(self, system: System, shape: Shape, round_number: int) -> None:
        options = self._options
        for command in COMMANDS:
            ask = Ask(
                command, *shape,
                seconds=options.seconds, warm_up_s=options.warm_up,
                keys=options.keys, value_bytes=options.value_bytes, seed=options.seed,
            )  # fmt: skip
            for generator in GENERATORS:
                if generator.suits(ask) and generator.name not in options.without:
                    # Asked for again each time: another node may lead since the last row.
                    address = system.ports().get(generator.protocol)
                    if address is not None:
                        self._measure_one(system, generator, address, ask, round_number)

    def _measure_one(
        self, system: System, generator: Generator, address: str, ask: Ask, round_number: int
    ) -> None:
        shape = Shape(ask.connections, ask.depth)
        what = f"round {round_number}, {ask.command}, {shape}, {system.name}: {generator.name} on {generator.protocol}"
        with self._failing_alone(what):
            row = measure(system, generator, address, ask, folder=self._folder, round_number=round_number)
            self.rows.append(row)
            errors = f"; errors: {row.errors}" if row.errors else ""
            self._report.say(f"{what}: {row.per_second:,.0f}/s{errors}")


def programs() -> dict[str, str]:
    """The version of each program that is installed, in its own words."""
    found = {}
    for program in PACKAGES:
        if shutil.which(program):
            done = subprocess.run(
                [program, "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                check=False, timeout=VERSION_LIMIT_S,
            )  # fmt: skip
            found[program] = (done.stdout or done.stderr).partition("\n")[0].strip()
    return found


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--systems", default=",".join(SYSTEMS), help=f"of {', '.join(COLORS)}")
    parser.add_argument("--shapes", default="1,16,64,256,64x16", help="connections, or connections x depth")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="measured, of each row")
    parser.add_argument("--warm-up", type=float, default=1.5, help="seconds before, not measured")
    parser.add_argument("--nodes", type=int, default=3, help="of raftdb and of etcd")
    parser.add_argument("--keys", type=int, default=KEYS, help="written before, and loaded")
    parser.add_argument("--value-bytes", type=int, default=64)
    add_common_options(parser)
    options = parser.parse_args()
    try:
        options.shapes = [Shape.read(text) for text in options.shapes.split(",")]
    except ValueError:
        parser.error(f"--shapes has numbers like 64 or 64x16, and not {options.shapes!r}")
    options.systems = options.systems.split(",")
    if not set(options.systems) <= set(COLORS):
        parser.error(f"--systems knows {', '.join(COLORS)}")
    return options


def main() -> int:
    options = parse_options()
    installed = programs()
    options.without = set(PACKAGES) - set(installed)
    systems = [name for name in options.systems if PROGRAM_OF.get(name) not in options.without]
    with temporary_folder(options.data) as folder:
        report = Report(folder, options)
        report.say("; ".join(f"{program}: {version}" for program, version in installed.items()))
        for program in sorted(options.without):
            report.say(
                f"{program} is not installed, and left out: it is in Debian's package {PACKAGES[program]}"
            )
        report.say(
            f"{options.nodes} nodes, {options.keys:,} keys, values of {options.value_bytes} bytes, "
            f"{options.rounds} x {options.seconds:g} s for each row\n"
        )
        run = Run(report, folder, options)
        run.measure_all(systems)
    summaries = summarize(run.rows)
    tell(report, summaries)
    if options.plot is not None:
        plot(options.plot, summaries)
    report.finish(
        {
            "programs": installed,
            "missing": {program: PACKAGES[program] for program in sorted(options.without)},
            "rows": [row._asdict() for row in run.rows],
            "summaries": summaries,
            "failures": run.failures,
        }
    )
    for failure in run.failures:
        report.say(f"FAILED: {failure}")
    return 1 if run.failures else 0


if __name__ == "__main__":
    sys.exit(main())
