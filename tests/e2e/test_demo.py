"""The demonstrations on real nodes: each comes to a good end, and to a bad one where the nodes have a bug."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cli.console.failures import CommandError
from cli.demo.plays import DEMOS
from cli.local.namespaces import Namespaces
from cli.main import run

Capture = pytest.CaptureFixture[str]

BUGS = {
    "kv": (
        (
            "from raftdb.machine import editing\n"
            "plain = editing.change_value\n"
            "def change(layer, key, before, stored, data, **more):\n"
            "    plain(layer, key, before, stored, data[1:], **more)\n"
            "editing.change_value = change\n"
        ),
        '✗ expected: OK · OK · "ABC"',
    ),
    "queue": (
        (
            "from raftdb.machine.queues import taking\n"
            "plain = taking._first\n"
            "taking._first = lambda view, queue, count: plain(view, queue, 100)[-1:]\n"
        ),
        '✗ expected: "1" · "2" · "3"',
    ),
    "note": (
        (
            "from raftdb.frontend import http_note\n"
            "plain = http_note._form_of\n"
            "def form(body):\n"
            "    text, name = plain(body)\n"
            "    return text.partition(chr(10))[0], name\n"
            "http_note._form_of = form\n"
        ),
        "✗ expected: Dear all, · the meeting is at ten.",
    ),
    "sync": ("B76k", '✗ expected: "acquired":false'),
    "partition": (
        (
            "from raftdb.core import leader\n"
            "def advance(state, leadership):\n"
            "    if state.log.persisted_index > state.commit_index:\n"
            "        state.commit_to(state.log.persisted_index)\n"
            "        leader.reads.serve_held(state, leadership)\n"
            "leader.advance_commit = advance\n"
        ),
        "✗ expected: an error: there is no majority",
    ),
    "transaction": ("B58", "✗ expected: CONFLICT ana"),
    "compaction": (
        (
            "from raftdb.machine import scanning\n"
            "plain = scanning.value_count\n"
            "scanning.value_count = lambda view: plain(view) - 1\n"
        ),
        "✗ expected: 10000 · 10000 · 200",
    ),
}
"""A bug of the nodes for each demonstration, and what that must say then. A word is one of `tests.sim.mutations`."""


@pytest.mark.parametrize("name", DEMOS)
def test_a_demonstration_comes_to_its_end(name: str, tmp_path: Path, capsys: Capture) -> None:
    recording = tmp_path / "recording.cast"
    assert run(["demo", name, "--network", "none", "--seed", "1", "--record", str(recording)]) == 0, (
        capsys.readouterr()
    )
    said = capsys.readouterr().out
    steps = len(DEMOS[name].steps)
    assert f"{name}: all {steps} steps were as expected" in said
    assert said.count("✓ expected") == steps
    head, *events = map(json.loads, recording.read_text(encoding="utf-8").splitlines())
    assert head["version"] == 2
    assert "".join(text for _, kind, text in events if kind == "o").count("expected: ") == steps
    times = [at for at, _, _ in events]
    assert times == sorted(times)


def reason_against_namespaces() -> str | None:
    """Why no namespaces can be made here, None if they can."""
    try:
        with Namespaces() as namespaces:
            namespaces.host_of("n1")
    except CommandError as error:
        return str(error)
    return None


@pytest.mark.skipif(reason_against_namespaces() is not None, reason="network namespaces cannot be made here")
def test_each_node_has_an_address_of_its_own(capsys: Capture) -> None:
    """Also one that is added; and all is gone in the end, with what one that was killed has left."""
    left = subprocess.Popen(
        [sys.executable, "-c", LEAVE_NAMESPACES], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    assert left.stdout is not None
    assert left.stdout.readline() == "made\n"
    left.kill()
    left.communicate()
    assert f"raftdb-{left.pid}-n1" in netns_names()
    assert run(["demo", "kv", "--network", "none", "--namespaces"]) == 0, capsys.readouterr()
    said = capsys.readouterr().out
    assert re.search(r"http://10\.\d+\.\d+\.1:8001/", said)
    assert not [name for name in netns_names() if str(os.getpid()) in name or str(left.pid) in name]
    interfaces = os.listdir("/sys/class/net")
    assert not [name for name in interfaces if name.startswith((f"rdb{os.getpid()}", f"rdb{left.pid}"))]


LEAVE_NAMESPACES = """
from cli.local.namespaces import Namespaces
import time
with Namespaces() as namespaces:
    namespaces.host_of("n1")
    print("made", flush=True)
    time.sleep(600)
"""


def netns_names() -> list[str]:
    done = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True)
    return [line.partition(" ")[0] for line in done.stdout.splitlines()]


@pytest.mark.parametrize("name", DEMOS)
def test_a_demonstration_fails_where_nodes_have_a_bug(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    bug, wanted = BUGS[name]
    if "\n" not in bug:
        bug = (
            "from contextlib import ExitStack\n"
            "from tests.sim.mutations import MUTATIONS, planted\n"
            "kept = ExitStack()\n"
            f"kept.enter_context(planted(next(each for each in MUTATIONS if each.hazard == {bug!r})))\n"
        )
    # Python imports this module at the start of each node.
    (tmp_path / "sitecustomize.py").write_text(bug)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.getcwd()]))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert run(["demo", name, "--network", "none"]) == 1, capsys.readouterr()
    said = capsys.readouterr().out
    assert wanted in said
    assert said.splitlines()[-1].startswith("what the nodes wrote is kept in ")
