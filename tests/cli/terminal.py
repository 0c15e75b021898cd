"""A person at the shell's prompt: types when there is something to react to. The terminal is prompt_toolkit's own
stand-in."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

from prompt_toolkit.buffer import Buffer
from prompt_toolkit.input.base import PipeInput
from prompt_toolkit.output import DummyOutput

from cli.console.output import Output
from cli.prompt.history import ShellHistory
from cli.prompt.shell import Shell
from cli.run.interpreter import Interpreter
from raftdb.client.sync_client import Client
from tests.client.fake_node import FakeCluster

WAIT_S = 20.0
"""Longest wait for what the person waits for: only a hang is longer."""

Condition = Callable[[], bool]


class Terminal:
    """A shell on a fake cluster, to which text is typed."""

    def __init__(self, cluster: FakeCluster, keys: PipeInput, history: Path | None = None) -> None:
        self.cluster = cluster
        self._keys = keys
        self.client = Client(cluster.addresses, timeout_ms=2_000, unreachable_timeout_ms=0)
        self.interpreter = Interpreter(self.client, Output("table"))
        self._history = history
        self.shell: Shell | None = None
        self.lines = 0
        self.news: list[str] = []
        """What `up` would say of its nodes."""
        self.missed: list[object] = []

    @property
    def buffer(self) -> Buffer:
        """The line being typed."""
        assert self.shell is not None
        return self.shell.session.default_buffer

    def type(self, *steps: str | Condition, leave: bool = True) -> int:
        """Type texts one after the other, waiting in between for conditions; then leave with Ctrl-D, unless somebody
        else will. The exit code."""
        # Made here, and not by the person: its buffer is what conditions look at.
        self.shell = Shell(
            self.interpreter,
            history=ShellHistory(self._history),
            input=self._keys,
            terminal=DummyOutput(),
            take_news=self._take_news,
        )
        self.shell.session.prompt = self._counted(self.shell.session.prompt)  # type: ignore[method-assign]
        person = threading.Thread(target=self._follow, args=([*steps, *(["\x04"] if leave else [])],))
        person.start()
        try:
            with self.client:
                return self.shell.run()
        finally:
            person.join()
            assert not self.missed, "what the person waited for did not come"

    def _follow(self, steps: list[str | Condition]) -> None:
        for step in steps:
            if isinstance(step, str):
                self._keys.send_text(step)
                continue
            deadline = time.monotonic() + WAIT_S
            # Asked once more it might say no: some conditions do something when they are met.
            while not (is_met := step()) and time.monotonic() < deadline:
                time.sleep(0.005)
            if not is_met:
                self.missed.append(step)
                self._keys.send_text("\x03\x04\x04")  # leaves whatever is going on
                return

    def has_line(self, text: str) -> Condition:
        """The line being typed is `text`."""
        return lambda: self.buffer.text == text

    def has_menu(self, *texts: str) -> Condition:
        """The menu offers these."""

        def is_shown() -> bool:
            state = self.buffer.complete_state
            return state is not None and [found.text for found in state.completions] == list(texts)

        return is_shown

    def has_suggestion(self, text: str) -> Condition:
        """This is suggested behind the cursor, from an earlier line."""
        return lambda: (self.buffer.suggestion is not None) and self.buffer.suggestion.text == text

    def has_run(self, lines: int) -> Condition:
        """So many lines were entered and run."""
        return lambda: self.lines == lines

    def _take_news(self) -> list[str]:
        news, self.news = self.news, []
        return news

    def _counted(self, prompt: Callable[..., str]) -> Callable[..., str]:
        """`prompt`, which comes again once a line has run."""

        def counted() -> str:
            self.lines += 1
            return prompt()

        self.lines = -1
        return counted
