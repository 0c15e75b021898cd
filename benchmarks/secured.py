"""What TLS and users take away from writes: redis-benchmark's SET on the leader of three nodes, four ways.

    python -m benchmarks.secured [--connections 64] [--rounds 5] [--seconds 4] [--ways plain,users] [--json]

`plain` is a cluster as it is by default; `users` has an administrator, as whom the clients log in; `tls` takes nothing
but TLS, with certificates between the nodes, too; `tls and users` is both. Each way has fresh nodes in each round, the
order turns from round to round, and a ratio is taken within a round, to `plain`. Nodes and load share the cores, and
the load has TLS to do, too: what it takes of the processors is in the table.

It needs redis-benchmark (Debian's package redis-tools), and `raftdb[tls]` for the certificates.
"""

import argparse
import base64
import json
import secrets
import shutil
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import mean, median
from typing import Any, NamedTuple

from benchmarks.common import ROOT, LocalCluster, temporary_folder
from benchmarks.generators import Ask, Loaded, LoadError, run_redis_benchmark
from benchmarks.load import KEYS
from benchmarks.peer_table import spread
from benchmarks.report import Report, add_common_options

STATUS_LIMIT_S = 2.0
ADMINISTRATOR = "admin"


class Way(NamedTuple):
    """What a cluster asks of its clients."""

    tls: bool
    users: bool


WAYS = {
    "plain": Way(tls=False, users=False),
    "users": Way(tls=False, users=True),
    "tls": Way(tls=True, users=False),
    "tls and users": Way(tls=True, users=True),
}


class Row(NamedTuple):
    """One way in one round. Processor time is in microseconds for each write; `follower` is the mean of both."""

    round: int
    way: str
    per_second: float
    latencies_ms: dict[str, float]
    cpu_us: dict[str, float]


class SecuredCluster(LocalCluster):
    """A cluster that is asked by TLS, and by its administrator, if it wants that."""

    def __init__(self, folder: Path, way: Way, *, log_level: str) -> None:
        settings: dict[str, object] = {}
        self._way = way
        self._password = secrets.token_urlsafe()
        self._certificates = folder / "certificates"
        if way.users:
            password_file = folder / "password"
            password_file.touch(mode=0o600)
            password_file.write_text(self._password)
            settings["admin_password_file"] = password_file
        if way.tls:
            settings |= {"tls": "required", "tls_ca": self._certificates / "ca.crt"}
        super().__init__(folder, nodes=3, flags=["--log-level", log_level], settings=settings, redis=True)
        if way.tls:
            self._make_certificates()

    def _make_certificates(self) -> None:
        peers = ",".join(f"{name}={address}" for name, address in self.addresses.items())
        wanted = [["ca"], *(["node", name, "--peers", peers] for name in self.addresses)]
        for words in wanted:
            command = [sys.executable, "-m", "raftdb", "cert", *words, "--dir", str(self._certificates)]
            subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, check=True)
        self._context = ssl.create_default_context(cafile=self._certificates / "ca.crt")

    def settings_of(self, name: str) -> dict[str, object]:
        """Its own certificate."""
        if not self._way.tls:
            return {}
        pair = {"tls_cert": f"{name}.crt", "tls_key": f"{name}.key"}
        return {setting: self._certificates / file for setting, file in pair.items()}

    def authorization(self) -> dict[str, str]:
        """The header of a request by the administrator, if there is one."""
        words = f"{ADMINISTRATOR}:{self._password}".encode()
        return {"Authorization": f"Basic {base64.b64encode(words).decode()}"} if self._way.users else {}

    def status(self, name: str) -> dict[str, Any]:
        """See `LocalCluster`."""
        url = f"http{'s' * self._way.tls}://{self.addresses[name]}/v1/status"
        request = urllib.request.Request(url, headers=self.authorization())
        try:
            with urllib.request.urlopen(
                request, timeout=STATUS_LIMIT_S, context=self._context if self._way.tls else None
            ) as answer:
                status: dict[str, Any] = json.load(answer)
                return status
        except OSError:
            return {}

    def options(self) -> list[str]:
        """How redis-benchmark proves who it is, and sees who this is."""
        user = ["--user", ADMINISTRATOR, "-a", self._password] if self._way.users else []
        tls = ["--tls", "--cacert", str(self._certificates / "ca.crt")] if self._way.tls else []
        return user + tls


@contextmanager
def running(folder: Path, way: Way, *, log_level: str) -> Iterator[SecuredCluster]:
    """A cluster that runs inside the `with` block; its data is deleted afterwards."""
    folder.mkdir()
    try:
        cluster = SecuredCluster(folder, way, log_level=log_level)
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()
    finally:
        shutil.rmtree(folder)


def measure(cluster: SecuredCluster, ask: Ask, round_number: int, way: str) -> Row:
    """One row; LoadError if it means nothing."""
    leader = cluster.leader()
    moments: list[dict[str, float]] = []
    loaded: Loaded = run_redis_benchmark(
        cluster.redis_addresses[leader], ask, cluster.folder,
        lambda: moments.append(cluster.cpu_seconds()), cluster.options(),
    )  # fmt: skip
    if cluster.leader() != leader:
        raise LoadError(f"{leader} led no longer at the end")
    before, after = moments
    used = {name: (after[name] - before[name]) * 1e6 / loaded.operations for name in after}
    cpu_us = {
        "leader": used[leader],
        "follower": mean(used[name] for name in cluster.followers()),
        "generator": loaded.cpu_seconds * 1e6 / loaded.operations,
    }
    return Row(round_number, way, loaded.per_second, loaded.latencies_ms, cpu_us)


def summarize(rows: list[Row]) -> list[dict[str, Any]]:
    """Of each way the median over the rounds, and its ratio to `plain` within each."""
    plain = {row.round: row.per_second for row in rows if row.way == "plain"}
    summaries = []
    for way in WAYS:
        mine = [row for row in rows if row.way == way]
        if mine:
            ratios = [row.per_second / plain[row.round] for row in mine if row.round in plain]
            summaries.append(
                {
                    "way": way,
                    "per_second": spread([row.per_second for row in mine]),
                    "p99_ms": median(row.latencies_ms["p99"] for row in mine),
                    "cpu_us": {role: median(row.cpu_us[role] for row in mine) for role in mine[0].cpu_us},
                    "ratio": spread(ratios) if ratios else None,
                    "ratios": ratios,
                }
            )
    return summaries


def tell(report: Report, summaries: list[dict[str, Any]]) -> None:
    """The table for people."""
    report.say(
        f"\n{'':15}{'per s':>9} {'':19}{'p99 ms':>8}{'cpu us l':>10}{'f':>6}{'g':>6}  times as fast as plain"
    )
    for summary in summaries:
        speed, cpu, ratio = summary["per_second"], summary["cpu_us"], summary["ratio"]
        range_text = f"[{speed['lowest']:,.0f} to {speed['highest']:,.0f}]"
        text = (
            f"{ratio['median']:.2f} [{ratio['lowest']:.2f} to {ratio['highest']:.2f}]"
            if ratio is not None
            else "-"
        )
        report.say(
            f"{summary['way']:15}{speed['median']:9,.0f} {range_text:19}{summary['p99_ms']:8.2f}"
            f"{cpu['leader']:10.0f}{cpu['follower']:6.0f}{cpu['generator']:6.0f}  {text}"
        )


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ways", default=",".join(WAYS), help=f"of {', '.join(WAYS)}")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="measured, of each way in each round")
    parser.add_argument("--warm-up", type=float, default=1.5, help="seconds before, not measured")
    parser.add_argument("--value-bytes", type=int, default=64)
    add_common_options(parser, plots=False)
    options = parser.parse_args()
    options.ways = options.ways.split(",")
    if not set(options.ways) <= set(WAYS):
        parser.error(f"--ways knows {', '.join(WAYS)}")
    return options


def main() -> int:
    options = parse_options()
    if shutil.which("redis-benchmark") is None:
        raise SystemExit("redis-benchmark is not installed: it is in Debian's package redis-tools")
    ask = Ask(
        "set", options.connections, 1,
        seconds=options.seconds, warm_up_s=options.warm_up,
        keys=KEYS, value_bytes=options.value_bytes, seed=options.seed,
    )  # fmt: skip
    rows = []
    with temporary_folder(options.data) as folder:
        report = Report(folder, options)
        for number in range(1, options.rounds + 1):
            turn = number % len(options.ways)
            for way in options.ways[turn:] + options.ways[:turn]:
                with running(folder / "cluster", WAYS[way], log_level=options.log_level) as cluster:
                    row = measure(cluster, ask, number, way)
                rows.append(row)
                report.say(f"round {number}, {way}: {row.per_second:,.0f}/s")
    summaries = summarize(rows)
    tell(report, summaries)
    report.finish({"rows": [row._asdict() for row in rows], "summaries": summaries})
    return 0


if __name__ == "__main__":
    sys.exit(main())
