"""What each command may load: a one-shot command must be useful within 150 ms, a prompt within 400 ms."""

import subprocess
import sys

import pytest

from tests.client.fake_node import FakeCluster

SLOW = ("aiohttp", "prompt_toolkit", "asyncio", "lmdb", "cbor2", "http.client", "ssl", "email")
PROGRAM = """
import sys
from raftdb.__main__ import main
code = main(sys.argv[2:])
loaded = [name for name in sys.argv[1].split(",") if name in sys.modules]
print("loaded", ",".join(loaded), "exit", code)
"""


def loaded(cluster: FakeCluster, forbidden: tuple[str, ...], *arguments: str) -> str:
    """The last line that the program prints."""
    command = [sys.executable, "-c", PROGRAM, ",".join(forbidden), "--connect", cluster.addresses, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    return ended.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    "arguments",
    [
        ["set", "k", "v"],
        ["-o", "json", "strlen", "k"],
        ["log"],
        ["cluster", "status"],
        ["shell", "-c", "set a 1; get a"],
        ["help"],
    ],
    ids=" ".join,
)
def test_one_shot_commands_and_scripts_load_nothing_slow(cluster: FakeCluster, arguments: list[str]) -> None:
    assert loaded(cluster, SLOW, *arguments) == "loaded  exit 0"


@pytest.mark.parametrize("arguments", [["get", "k"], ["set", "k", "v"]], ids=" ".join)
def test_one_shot_commands_load_nothing_of_the_shell(cluster: FakeCluster, arguments: list[str]) -> None:
    of_the_shell = (
        "cli.line.vocabulary",
        "cli.run.transactions",
        "cli.run.dot_commands",
        "cli.run.interpreter",
        "difflib",
    )
    assert loaded(cluster, of_the_shell, *arguments).startswith("loaded  exit ")


@pytest.mark.parametrize(
    "module",
    [
        "cli.console.render",
        "cli.line.blocks",
        "cli.line.highlight",
        "cli.line.lexer",
        "cli.line.private_lines",
        "cli.line.suggest",
        "cli.line.syntax",
        "cli.prompt.cluster_view",
        "cli.prompt.monitor",
        "cli.prompt.status_line",
        "cli.run.interpreter",
        "cli.run.transactions",
        "raftdb.client.sync_client",
        "raftdb.client.sync_transaction",
        "raftdb.client.retrying",
    ],
)
def test_these_modules_are_free_of_the_terminal(module: str) -> None:
    program = f"import sys, {module}; sys.exit('prompt_toolkit' in sys.modules or 'asyncio' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], timeout=30, check=True)


PUBLIC = """
import sys
import raftdb
assert len(raftdb.__all__) > 8 and set(raftdb.__all__) <= set(dir(raftdb)), dir(raftdb)
light = [name for name in sys.modules if name.startswith("raftdb.")]
assert not light, light
from raftdb import Client, CommandFailed, Conflict, OutcomeUnknown, RaftdbError, SessionExpired, Transaction
from raftdb import Unavailable, transactional
assert not issubclass(OutcomeUnknown, Unavailable)
with Client(sys.argv[2]) as client:
    client.set("k", "v")
    with client.transaction() as transaction:
        transaction.append("k", "w")
    transactional(client)(lambda transaction: transaction.incr("n"))()
    assert client.mget(["k", "n"]) == [b"vw", b"1"]
loaded = [name for name in sys.argv[1].split(",") if name in sys.modules]
assert not loaded, loaded
assert "click" not in sys.modules, "the library needs no command line"
assert "raftdb.client.async_client" not in sys.modules
from raftdb import AsyncClient, AsyncTransaction
assert "asyncio" in sys.modules and "aiohttp" not in sys.modules
try:
    from raftdb import Cluster
except ImportError:
    print("done")
"""


def test_the_public_names_load_when_they_are_asked_for_and_the_blocking_client_loads_no_loop(
    cluster: FakeCluster,
) -> None:
    command = [sys.executable, "-c", PUBLIC, ",".join(SLOW), cluster.addresses]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (ended.stdout, ended.stderr) == ("done\n", "")
