"""How much longer do others wait while somebody floods a node with logins?

    python -m benchmarks.logins [--rate 300] [--flood 1000] [--seconds 10] [--rounds 5] [--only passwords,tokens]

An honest client with a token writes at a fixed rate to the leader of three nodes that have users, and its latency
counts from when a write was due (`benchmarks.open_loop`). In each round it does so alone, and beside each of these, so
many times a second on 64 connections:

* `no login`: requests that need none (`GET /livez`), for comparison.
* `passwords`: a user with a wrong password, from 64 addresses, others in each round.
* `wrong tokens`: tokens that are none.
* `tokens`: requests with a token, which are answered.

The order turns from round to round. A ratio is that of the percentile beside a flood to the one alone in its round; the
table has their medians, and how many elections there were. Nodes and loads share the cores: some of what a flood costs
is its own sending. The first second of a flood is not counted: so long some wrong passwords are checked.
"""

import argparse
import base64
import json
import secrets
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from benchmarks.common import ROOT, cpu_seconds, end_process, temporary_folder
from benchmarks.peer_table import spread
from benchmarks.report import Report, add_common_options
from benchmarks.running import FixedRate
from benchmarks.secured import ADMINISTRATOR, SecuredCluster, Way, running

CONNECTIONS = 64
SETTLE_S = 1.5
"""A flood begins so long before the honest client, and ends so long after it."""
ASK_LIMIT_S = 10.0
ALONE = "alone"
FLOODS = ("no login", "passwords", "wrong tokens", "tokens")


class Row(NamedTuple):
    """What the honest client saw in one round; `answers` are those to the flood, by status."""

    round: int
    beside: str
    latencies_ms: dict[str, float]
    answered_per_s: float
    leader_cores: float
    elections: int
    answers: dict[str, int]


class Flood:
    """A process that floods the leader."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "begin\n":
            raise RuntimeError("the flood did not begin")

    def result(self) -> dict[str, int]:
        """Wait for its end; returns what it was answered."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        self._process.communicate()
        told: dict[str, Any] = json.loads(line)
        return {"200": told["answered"], **told["errors"]}

    def stop(self) -> None:
        """End it, if it has not ended."""
        end_process(self._process)


class Bench:
    """The cluster, and who asks it."""

    def __init__(self, cluster: SecuredCluster, options: argparse.Namespace, folder: Path) -> None:
        self._cluster = cluster
        self._options = options
        self._folder = folder
        self.leader = cluster.leader()
        self._token = self._make_token()

    def _make_token(self) -> str:
        address = self._cluster.addresses[self.leader]
        request = urllib.request.Request(
            f"http://{address}/v1/users/{ADMINISTRATOR}/tokens/honest",
            data=b"{}",
            headers=self._cluster.authorization(),
            method="POST",
        )
        with urllib.request.urlopen(request, timeout=ASK_LIMIT_S) as answer:
            return str(json.load(answer)["secret"])

    def measure(self, round_number: int, beside: str) -> Row:
        """One row."""
        cluster, options = self._cluster, self._options
        if cluster.leader() != self.leader:
            raise RuntimeError("another node leads")
        term, pid = cluster.status(self.leader)["term"], cluster.processes[self.leader].pid
        flood = None if beside == ALONE else Flood(self._command(beside, round_number))
        try:
            time.sleep(SETTLE_S)
            used_s = cpu_seconds(pid)
            load = FixedRate(
                cluster.addresses[self.leader],
                rate=options.rate, seconds=options.seconds, samples=self._folder / "samples",
                more=["--authorization", f"Bearer {self._token}"],
            )  # fmt: skip
            summary = load.result().summary
            cores = (cpu_seconds(pid) - used_s) / options.seconds
            answers = {} if flood is None else flood.result()
        finally:
            if flood is not None:
                flood.stop()
        if summary["errors"]:
            raise RuntimeError(f"the honest client was refused: {summary['errors']}")
        return Row(
            round_number, beside, summary["latencies_ms"], summary["answered_per_s"], cores,
            cluster.status(cluster.leader())["term"] - term, answers,
        )  # fmt: skip

    def _command(self, name: str, round_number: int) -> list[str]:
        """A flood that begins before the honest client, and ends after it."""
        options, address = self._options, self._cluster.addresses[self.leader]
        seconds = options.seconds + 2 * SETTLE_S
        command = [sys.executable, "-m", "benchmarks.open_loop", address, str(options.flood), str(seconds)]
        command += ["--connections", str(CONNECTIONS)]
        if name == "no login":
            return [*command, "--get", "/livez"]
        wrong = base64.b64encode(f"{ADMINISTRATOR}:{secrets.token_hex()}".encode()).decode()
        said = {
            "passwords": f"Basic {wrong}",
            "wrong tokens": f"Bearer {secrets.token_urlsafe(32)}",
            "tokens": f"Bearer {self._token}",
        }[name]
        command += ["--get", "/v1/whoami", "--authorization", said]
        sources = CONNECTIONS if name == "passwords" else 0
        return [*command, "--sources", str(sources), "--network", f"1.{round_number}"]


@contextmanager
def prepared(folder: Path, options: argparse.Namespace) -> Iterator[Bench]:
    """A cluster with users and a secret between its nodes, inside the `with` block."""
    with running(folder / "cluster", Way(tls=False, users=True), log_level=options.log_level) as cluster:
        yield Bench(cluster, options, folder)


def summarize(rows: list[Row]) -> list[dict[str, Any]]:
    """Of the honest client alone, and beside each flood, the medians of the rounds."""
    alone = {row.round: row.latencies_ms for row in rows if row.beside == ALONE}
    summaries = []
    for beside in (ALONE, *FLOODS):
        mine = [row for row in rows if row.beside == beside]
        if mine:
            answers: Counter[str] = Counter()
            for row in mine:
                answers.update(row.answers)
            summaries.append(
                {
                    "beside": beside,
                    **{
                        name: median(row.latencies_ms[name] for row in mine) for name in ("p50", "p99", "max")
                    },
                    **{
                        f"{name}_ratio": spread(
                            [row.latencies_ms[name] / alone[row.round][name] for row in mine]
                        )
                        for name in ("p50", "p99")
                    },
                    "leader_cores": median(row.leader_cores for row in mine),
                    "elections": sum(row.elections for row in mine),
                    "answers": dict(sorted(answers.items())),
                }
            )
    return summaries


def tell(report: Report, summaries: list[dict[str, Any]]) -> None:
    """The table for people."""
    report.say(
        f"\n{'beside':14}{'p50 ms':>8}{'p99 ms':>8}{'max ms':>8}{'cores':>7}{'elections':>11}"
        "  p99 to that alone    answers to the flood"
    )
    for one in summaries:
        ratio = one["p99_ratio"]
        shown = f"{ratio['median']:.2f} [{ratio['lowest']:.2f} to {ratio['highest']:.2f}]"
        answers = ", ".join(
            f"{status}: {count:,}" for status, count in sorted(one["answers"].items()) if count
        )
        report.say(
            f"{one['beside']:14}{one['p50']:8.2f}{one['p99']:8.2f}{one['max']:8.1f}{one['leader_cores']:7.2f}"
            f"{one['elections']:11}  {shown:20} {answers}"
        )


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rate", type=float, default=300.0, help="writes per second of the honest client")
    parser.add_argument("--flood", type=float, default=1000.0, help="requests per second of a flood")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each row")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default=",".join(FLOODS), help=f"of {', '.join(FLOODS)}")
    add_common_options(parser, plots=False)
    options = parser.parse_args()
    options.only = options.only.split(",")
    if not set(options.only) <= set(FLOODS):
        parser.error(f"--only knows {', '.join(FLOODS)}")
    return options


def main() -> int:
    options = parse_options()
    rows: list[Row] = []
    with temporary_folder(options.data) as folder:
        report = Report(folder, options)
        with prepared(folder, options) as bench:
            bench.measure(0, ALONE)
            for number in range(1, options.rounds + 1):
                ways = [ALONE, *options.only]
                turn = number % len(ways)
                for beside in ways[turn:] + ways[:turn]:
                    row = bench.measure(number, beside)
                    rows.append(row)
                    report.say(f"round {number}, {beside}: p99 {row.latencies_ms['p99']:.2f} ms")
    summaries = summarize(rows)
    tell(report, summaries)
    report.finish({"rows": [row._asdict() for row in rows], "summaries": summaries})
    return 0


if __name__ == "__main__":
    sys.exit(main())
