"""The programs of docs/examples, run as their pages say, while some of them are killed and paused."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from raftdb import Client
from tests.client.readme_examples import program_of
from tests.e2e.cluster import ROOT, Cluster, clean_environment
from tests.e2e.waiting import wait_for

EXAMPLES = ROOT / "docs" / "examples"
LIMIT_S = 60.0


@pytest.fixture
def client(shared_cluster: Cluster) -> Iterator[Client]:
    with Client(shared_cluster.addresses, timeout_ms=30_000) as client:
        yield client


def begun(client: Client, name: str, *arguments: str) -> "subprocess.Popen[str]":
    """The program of an example, running."""
    return subprocess.Popen(
        [sys.executable, str(EXAMPLES / f"{name}.py"), ",".join(client.addresses), *arguments],
        cwd=ROOT,
        env={**clean_environment(), "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def running(client: Client, name: str, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """The same, killed at the end if it still runs."""
    process = begun(client, name, *arguments)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def said(client: Client, name: str, *arguments: str) -> str:
    """What a program prints that ends by itself."""
    with running(client, name, *arguments) as process:
        out, errors = process.communicate(timeout=LIMIT_S)
        assert process.returncode == 0, errors
        return out.strip()


def ended(process: "subprocess.Popen[str]") -> int:
    """The exit code after SIGTERM."""
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=LIMIT_S)
    return process.returncode


def test_every_example_has_its_page_and_its_program() -> None:
    pages = {path.stem for path in EXAMPLES.glob("*.md")} - {"README"}
    assert pages == {path.stem for path in EXAMPLES.glob("*.py")}
    index = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert pages == set(re.findall(r"\]\((\w+)\.md\)", index))
    for page in sorted(pages):
        assert f"({page}.py)" in (EXAMPLES / f"{page}.md").read_text(encoding="utf-8")


def test_what_the_page_on_python_says(client: Client) -> None:
    program = program_of(ROOT / "docs" / "python.md", ",".join(client.addresses))
    assert program.promises >= 4
    exec(compile(program.text, "python.md", "exec"), {"__name__": "python"})


def test_a_worker_pool_counts_each_job_once_also_if_workers_are_killed(client: Client) -> None:
    said(client, "worker_pool", "put", "60")
    with running(client, "worker_pool", "work") as victim, running(client, "worker_pool", "work") as worker:
        wait_for(lambda: int(client.get("squares:done") or 0) > 5, "some jobs are done")
        victim.kill()
        wait_for(lambda: client.get("squares:done") == b"60", "all jobs are done")
        assert ended(worker) == 0
    assert said(client, "worker_pool", "show") == f"60 {sum(n * n for n in range(1, 61))}"
    info = client.queue("squares").info()
    assert (info["visible"], info["delayed"], info["in_flight"], info["dead"]) == (0, 0, 0, 0)


def test_a_nightly_job_runs_once_on_two_machines(client: Client) -> None:
    with running(client, "nightly_job", "1s") as one, running(client, "nightly_job", "1s") as other:
        wait_for(lambda: int(client.get("reports") or 0) >= 3, "three reports")
        assert ended(one) == ended(other) == 0
    reports = (client.get("report-log") or b"").decode().splitlines()
    assert [line.split()[0] for line in reports] == [str(number) for number in range(1, len(reports) + 1)]


def test_a_file_refuses_one_that_was_paused_while_it_held_the_lock(client: Client, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.txt"
    with running(client, "fenced_file", str(ledger), "-") as paused:
        assert paused.stdin is not None
        assert paused.stdout is not None
        assert paused.stdout.readline() == "my turn\n"
        paused.send_signal(signal.SIGSTOP)
        said(client, "fenced_file", str(ledger), "in time")
        paused.send_signal(signal.SIGCONT)
        _, errors = paused.communicate("too late\n", timeout=LIMIT_S)
        assert paused.returncode == 1
        assert "TooLate" in errors
    assert ledger.read_text().splitlines()[1:] == ["in time"]


def test_a_ticket_sale_is_fair(client: Client) -> None:
    said(client, "ticket_sale", "open", "3")
    queue = client.queue("sale")
    for number in range(4):
        queue.put(f"early-{number}", group="line", dedup=f"early-{number}")
    with running(client, "ticket_sale", "sell") as one, running(client, "ticket_sale", "sell") as other:
        assert said(client, "ticket_sale", "buy", "late") == "sold out"
        assert said(client, "ticket_sale", "buy", "early-1") == "number 2"
        assert ended(one) == ended(other) == 0
    tickets = client.mget([f"ticket:early-{number}" for number in range(4)])
    assert tickets == [b"number 1", b"number 2", b"number 3", b"sold out"]
