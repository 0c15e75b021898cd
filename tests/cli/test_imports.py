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
    of_the_shell = ("cli.vocabulary", "cli.transactions", "cli.dot_commands", "cli.interpreter", "difflib")
    assert loaded(cluster, of_the_shell, *arguments).startswith("loaded  exit ")


@pytest.mark.parametrize(
    "module",
    [
        "cli.blocks",
        "cli.cluster_view",
        "cli.highlight",
        "cli.interpreter",
        "cli.lexer",
        "cli.monitor",
        "cli.private_lines",
        "cli.render",
        "cli.status_line",
        "cli.suggest",
        "cli.syntax",
        "cli.transactions",
        "raftdb.client.sync_client",
    ],
)
def test_these_modules_are_free_of_the_terminal(module: str) -> None:
    program = f"import sys, {module}; sys.exit('prompt_toolkit' in sys.modules or 'asyncio' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], timeout=30, check=True)
