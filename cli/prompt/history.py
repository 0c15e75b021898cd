"""The shell's history: a file kept for its user alone, and never a reason for the shell to fail.

prompt_toolkit calls a history from inside its event loop; the file is read before the loop runs and written
between two prompts instead, so that a slow home folder does not freeze a line that is being typed.
"""

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from prompt_toolkit.history import FileHistory, History

from cli.console.failures import CommandError, reason
from cli.console.paths import typed_path
from cli.line.private_lines import is_private
from raftdb.ownership import make_folder_for_owner, open_for_owner

LINES_LOADED_MAX = 10_000
"""How many of the latest lines are offered."""


def history_path() -> Path | None:
    """`RAFTDB_HISTORY`, or `raftdb/history` in the user's state folder (XDG_STATE_HOME); None if set to
    nothing. Raises `CommandError` if what was chosen is no path."""
    chosen = os.environ.get("RAFTDB_HISTORY")
    if chosen is not None:
        return typed_path(chosen, "history") if chosen else None
    state = os.environ.get("XDG_STATE_HOME")
    try:
        folder = Path(state) if state else Path.home() / ".local" / "state"
    except RuntimeError:  # a user without a home
        return None
    return folder / "raftdb" / "history"


class ShellHistory(History):
    """Lines in memory, and in the file at `path` if there is one and it can be written; `problem` says why not.

    The file is created for its owner alone. `save` appends what was typed since the last time.
    """

    def __init__(self, path: Path | None, *, problem: str | None = None) -> None:
        super().__init__()
        self._unsaved: list[str] = []
        self._old: list[str] = []  # latest first, as prompt_toolkit wants them
        self._file: FileHistory | None = None
        self.problem = problem
        if path is None:
            return
        try:
            make_folder_for_owner(path.parent, 0o700)
            if _is_regular(path):  # /dev/null keeps nothing, and a pipe would be waited for
                self._file = FileHistory(str(path))
                self._old = list(self._file.load_history_strings())[:LINES_LOADED_MAX]
        except OSError as error:
            self._file = None
            self.problem = reason(error)

    @classmethod
    def of_user(cls) -> "ShellHistory":
        """The history where `history_path` says it is."""
        try:
            return cls(history_path())
        except CommandError as error:
            return cls(None, problem=error.message)

    def load_history_strings(self) -> Iterable[str]:
        """The lines of earlier shells, latest first."""
        return self._old

    def append_string(self, string: str) -> None:
        """Remember a line, unless it must not be kept, not even for the arrow keys."""
        if not is_private(string):
            super().append_string(string)

    def store_string(self, string: str) -> None:
        """Remember a line for `save`."""
        self._unsaved.append(string)

    def save(self) -> None:
        """Append the new lines to the file; a disk that is full, or gone, is no reason to stop."""
        lines, self._unsaved = self._unsaved, []
        try:
            for line in lines:
                if self._file is not None:
                    # Lone surrogates (bytes pasted that are not UTF-8) cannot be written.
                    self._file.store_string(line.encode("utf-8", "replace").decode())
        except OSError:
            self._file = None


def _is_regular(path: Path) -> bool:
    """Whether `path` is an ordinary file, which is made if nothing is there. Raises `OSError` if it cannot be used."""
    descriptor = open_for_owner(path, os.O_RDWR | os.O_APPEND | os.O_NONBLOCK, 0o600)
    try:
        return stat.S_ISREG(os.fstat(descriptor).st_mode)
    finally:
        os.close(descriptor)
