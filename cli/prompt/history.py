"""The shell's history: a file that only its user can read. Its failures never stop the shell.

prompt_toolkit calls a history in its event loop. The file is read before the loop runs, and written between two
prompts, so that a slow home folder does not hold up typing.
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
"""Most lines that are loaded, the latest ones."""


def history_path() -> Path | None:
    """The path in `RAFTDB_HISTORY`, or `raftdb/history` in the user's state folder (XDG_STATE_HOME); None if the
    variable is empty, or the user has no home. Raises `CommandError` if the variable is not a path."""
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
    """The lines in memory, and in the file at `path` if it can be used; `problem` says why it cannot.

    The file is made for its owner alone. `save` appends new lines.
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
            if _is_regular(path):  # /dev/null keeps nothing, and opening a pipe would block
                self._file = FileHistory(str(path))
                self._old = list(self._file.load_history_strings())[:LINES_LOADED_MAX]
        except OSError as error:
            self._file = None
            self.problem = reason(error)

    @classmethod
    def of_user(cls) -> "ShellHistory":
        """The history at `history_path`."""
        try:
            return cls(history_path())
        except CommandError as error:
            return cls(None, problem=error.message)

    def load_history_strings(self) -> Iterable[str]:
        """The lines of earlier shells, latest first."""
        return self._old

    def append_string(self, string: str) -> None:
        """Keep a line in memory, unless it is private."""
        if not is_private(string):
            super().append_string(string)

    def store_string(self, string: str) -> None:
        """Keep a line for `save`."""
        self._unsaved.append(string)

    def save(self) -> None:
        """Append the new lines to the file. After an error the file is no longer used."""
        lines, self._unsaved = self._unsaved, []
        try:
            for line in lines:
                if self._file is not None:
                    # Lone surrogates (bytes pasted that are not UTF-8) cannot be written.
                    self._file.store_string(line.encode("utf-8", "replace").decode())
        except OSError:
            self._file = None


def _is_regular(path: Path) -> bool:
    """Whether `path` is a regular file, which is made if it does not exist. Raises `OSError` if it cannot be used."""
    descriptor = open_for_owner(path, os.O_RDWR | os.O_APPEND | os.O_NONBLOCK, 0o600)
    try:
        return stat.S_ISREG(os.fstat(descriptor).st_mode)
    finally:
        os.close(descriptor)
