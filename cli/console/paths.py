"""Paths that are typed at the prompt or on the command line."""

import os
from pathlib import Path

from cli.console.failures import EXIT_USAGE, CommandError
from cli.console.render import printable, shorten

_SHOWN_MAX = 80
"""Most characters of a bad name that an error repeats."""


def typed_path(text: str, what: str) -> Path:
    """The path of `text`, in which `~` and `~user` are expanded. Raises `CommandError` of `what` if it cannot be a
    path."""
    if not text:
        raise CommandError(what, "a path is not empty", exit_code=EXIT_USAGE)
    if "\0" in text:
        raise CommandError(what, "a path holds no NUL byte", exit_code=EXIT_USAGE)
    expanded = os.path.expanduser(text)
    if expanded.startswith("~"):
        # A file may have such a name, but more probably a user was meant.
        user = shorten(printable(text.partition("/")[0][1:]), _SHOWN_MAX)
        message = f"there is no user {user!r}" if user else "it is not known where your home is"
        hint = f"a file of that name is ./{shorten(printable(text), _SHOWN_MAX)}"
        raise CommandError(what, message, exit_code=EXIT_USAGE, hint=hint)
    return Path(expanded)
