"""Signals end what runs in order, and once; a terminal is left as it was found."""

import os
import pty
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cli.console.stop_signals import MOMENT_S, Stopped, StopSignals
from tests.client.fake_node import FakeCluster

WAIT_S = 30.0
"""Longest wait for a program: only a hang is longer."""


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def now_s() -> list[float]:
    """The time, which only the test moves."""
    return [100.0]


@pytest.fixture
def signals(now_s: list[float]) -> StopSignals:
    signals = StopSignals(clock=lambda: now_s[0])
    signals.install(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    return signals


def test_signals_within_a_moment_count_once(signals: StopSignals, now_s: list[float]) -> None:
    with pytest.raises(Stopped):
        signal.raise_signal(signal.SIGTERM)
    now_s[0] += MOMENT_S * 0.99
    signal.raise_signal(signal.SIGHUP)
    signal.raise_signal(signal.SIGTERM)
    now_s[0] += MOMENT_S * 0.02
    with pytest.raises(Stopped):
        signal.raise_signal(signal.SIGTERM)
    assert signals.first is signal.SIGTERM


def test_a_shell_at_its_prompt_is_left_and_a_later_signal_means_at_once(
    signals: StopSignals, now_s: list[float]
) -> None:
    left: list[bool] = []

    def leave() -> bool:
        left.append(True)
        return True

    signals.announce(leave)
    signal.raise_signal(signal.SIGHUP)
    assert left == [True]
    now_s[0] += MOMENT_S
    with pytest.raises(Stopped):
        signal.raise_signal(signal.SIGTERM)
    assert left == [True]


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT])
def test_what_is_to_be_ignored_stays_ignored(number: signal.Signals) -> None:
    signal.signal(number, signal.SIG_IGN)
    signals = StopSignals()
    signals.install(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    signal.raise_signal(number)
    assert signals.first is None
    assert signal.getsignal(number) is signal.SIG_IGN


def test_but_a_program_can_always_be_told_to_stop() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    StopSignals().install(signal.SIGTERM)
    with pytest.raises(Stopped):
        signal.raise_signal(signal.SIGTERM)


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


class Window:
    """A terminal, and a shell that reads it."""

    def __init__(self, cluster: FakeCluster) -> None:
        self._descriptors: tuple[int, ...] = pty.openpty()
        self._screen, self._terminal = self._descriptors
        self.before = self.settings
        environment = {**os.environ, "RAFTDB_URL": cluster.addresses, "RAFTDB_HISTORY": "", "TERM": "xterm"}
        # Who makes a terminal its own is told when it closes.
        program = """
import fcntl, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from raftdb.__main__ import main
sys.exit(main(["shell"]))
"""
        self.shell = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=self._terminal,
            stdout=self._terminal,
            stderr=self._terminal,
            env=environment,
            start_new_session=True,
        )
        wait_for(lambda: not self.settings[3] & termios.ECHO, "no prompt reads the terminal")

    @property
    def settings(self) -> list[Any]:
        return termios.tcgetattr(self._terminal)

    def close(self) -> None:
        """Close the terminal, once: later its descriptors are somebody else's."""
        descriptors, self._descriptors = self._descriptors, ()
        for descriptor in descriptors:
            os.close(descriptor)


@pytest.fixture
def window(cluster: FakeCluster) -> Iterator[Window]:
    window = Window(cluster)
    yield window
    window.shell.kill()
    window.shell.wait()
    window.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_shell_that_is_killed_leaves_the_terminal_as_it_was(window: Window, number: signal.Signals) -> None:
    window.shell.send_signal(number)
    assert window.shell.wait(WAIT_S) == -number, "whoever started it sees what it died of"
    assert window.settings == window.before


def test_a_shell_whose_terminal_closes_ends(window: Window) -> None:
    window.close()
    assert window.shell.wait(WAIT_S) == -signal.SIGHUP
