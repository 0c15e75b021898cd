"""Loops are told to stop: by name, and by SIGTERM."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from raftdb.client.stopping import Stop

ROOT = Path(__file__).resolve().parent.parent.parent


def test_what_has_to_be_done_is_done_once_also_if_it_was_stopped_before() -> None:
    stop, done = Stop(), []

    def note() -> None:
        done.append(1)

    with stop.calling(note):
        assert done == []
        stop.set()
    assert stop.is_set
    assert done == [1]
    stop.set()
    assert done == [1]
    with stop.calling(note):
        assert done == [1, 1]


def test_sigterm_stops_all_loops_and_is_as_before_after_them() -> None:
    one, other = Stop(), Stop()
    before = signal.getsignal(signal.SIGTERM)
    with one.heeding_sigterm(), other.heeding_sigterm():
        with other.heeding_sigterm():
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        assert one.is_set
        assert other.is_set
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_program_that_handles_sigterm_itself_is_left_alone() -> None:
    heard = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    try:
        with (stop := Stop()).heeding_sigterm():
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [signal.SIGTERM]
    assert not stop.is_set


TWICE = """
import os, signal
from raftdb.client.stopping import Stop
with Stop().heeding_sigterm():
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGTERM)
    print("still here")
"""


def test_a_second_sigterm_ends_the_process() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", TWICE], cwd=ROOT, capture_output=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout) == (-signal.SIGTERM, b"")
