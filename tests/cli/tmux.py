"""A real terminal, of a fixed size, that nobody sits at: tmux with a server of its own."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

TMUX = shutil.which("tmux")
COLUMNS, LINES = 90, 24
WAIT_S = 30.0
"""Longest wait for something to appear: only a hang is longer."""
RETYPE_S = 1.0
"""How long a menu may take before the person types the letter again."""
CELLS_STYLE = re.compile(r"\x1b\[[0-9;]*m")


class Tmux:
    """One program in one terminal. `stop` ends both."""

    def __init__(self, folder: Path, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        assert TMUX is not None
        self._last = ""
        # A socket's path has about 100 bytes at most, and test folders have long names.
        self._socket = os.path.relpath(folder / "tmux")
        kept = {"PATH": os.environ["PATH"], "HOME": str(folder), "TERM": "xterm-256color", "LANG": "C.UTF-8"}
        variables = [f"{name}={value}" for name, value in {**kept, **environment}.items()]
        program = ["env", "-i", *variables, sys.executable, "-P", "-m", "raftdb", *arguments]
        size = ["-x", str(COLUMNS), "-y", str(LINES)]
        self._tmux("-f", os.devnull, "new-session", "-d", *size, *program)

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        assert TMUX is not None
        command = [TMUX, "-S", self._socket, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False)

    def _tmux(self, *arguments: str) -> str:
        done = self._run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def stop(self) -> None:
        """End the terminal, and with it the program."""
        self._run("kill-server")

    def wait_for_end(self) -> None:
        """Wait until the program has ended, and the terminal with it."""
        deadline = time.monotonic() + WAIT_S
        while self._run("has-session").returncode == 0:
            assert time.monotonic() < deadline, "the program goes on\n" + "\n".join(self.screen())
            time.sleep(0.02)

    def type(self, text: str) -> None:
        """Type characters as they are."""
        self._last = text[-1]
        self._tmux("send-keys", "-l", text)

    def press(self, *keys: str) -> None:
        """Press keys by tmux' names for them: `Enter`, `Tab`, `C-d`, `M-Enter`."""
        self._tmux("send-keys", *keys)

    def enter(self, text: str) -> None:
        """Type a line and press Enter."""
        self.type(text)
        self.press("Enter")

    def screen(self, *, styled: bool = False) -> list[str]:
        """The lines that can be seen, without spaces at their ends; `styled`: with the codes of colours."""
        shown = self._tmux("capture-pane", "-p", *(["-e"] if styled else []))
        return [line.rstrip() for line in shown.split("\n")]

    def wait_for(self, *patterns: str) -> list[str]:
        """The screen, once it is whole: for each of the patterns a line of it matches as a whole. It is drawn in steps,
        so a line that was there a moment ago may be missing while another is drawn."""
        deadline = time.monotonic() + WAIT_S
        while True:
            lines = self.screen()
            missing = [
                pattern for pattern in patterns if not any(re.fullmatch(pattern, line) for line in lines)
            ]
            if not missing:
                return lines
            assert time.monotonic() < deadline, f"no line is {missing[0]!r} in\n" + "\n".join(lines)
            time.sleep(0.02)

    def wait_for_menu(self, pattern: str) -> list[str]:
        """The same for a line of the menu. What is not found in time is not offered before the next letter: so the
        last one is typed again now and then, as a person would."""
        deadline = time.monotonic() + WAIT_S
        while True:
            until = time.monotonic() + RETYPE_S
            lines: list[str] = []
            while time.monotonic() < until:
                lines = self.screen()
                if any(re.fullmatch(pattern, line) for line in lines):
                    return lines
                time.sleep(0.02)
            assert time.monotonic() < deadline, f"no line is {pattern!r} in\n" + "\n".join(lines)
            self.press("BSpace")
            self.type(self._last)

    def style_of(self, text: str) -> str:
        """The codes in force where `text` begins, in the last line that has it and styles it: `36` is cyan."""
        for line in reversed(self.screen(styled=True)):
            before, found, _ = line.partition(text)
            if found:
                return ";".join(CELLS_STYLE.findall(before)[-1:]).strip("\x1b[m")
        raise AssertionError(f"{text!r} is not on the screen")
