"""How errors are told, and which exit code they are (interface, section 1)."""

from cli.render import shorten
from raftdb.errors import CODES, Fatal, OutcomeUnknown, RaftdbError, Unavailable

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_UNAVAILABLE = 3
EXIT_ADDRESS_IN_USE = 3
EXIT_NO_SUCH_KEY = 4
EXIT_FOLDER = 4
EXIT_CONFLICT = 5
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141
"""What a shell reports for a program that a closed pipe ended (128 + SIGPIPE)."""


WHAT_CHARACTERS_MAX = 200
"""How much of what failed is repeated in its error: a path may be long, a word that is no command endless."""


class CommandError(RaftdbError):
    """A sub-command of the command line itself failed: `what: message`, with the exit code to end with."""

    def __init__(self, what: str, message: str, *, exit_code: int, hint: str | None = None) -> None:
        super().__init__("bad_request" if exit_code == EXIT_USAGE else "internal", message, hint=hint)
        self.what = what
        self.exit_code = exit_code


def exit_code_of(error: RaftdbError) -> int:
    """The exit code that stands for `error`."""
    if isinstance(error, CommandError | Fatal):
        return error.exit_code
    if error.code in CODES:
        return CODES[error.code].exit_code
    return EXIT_UNAVAILABLE if isinstance(error, Unavailable) else EXIT_FAILED


def describe(error: RaftdbError, what: str, *, program: str | None = "raftdb") -> str:
    """`raftdb: error: WHAT: WHY` and, if there is a next step, a line `hint: NEXT STEP`.

    `what` is the command that failed (empty: the program itself); `program` None leaves out the prefix, for
    the shell.
    """
    if isinstance(error, CommandError):
        what = error.what
    message = _without_name(error, what)
    # What somebody typed: it may be long, and it may hold control characters.
    what = shorten(what if what.isprintable() else repr(what)[1:-1], WHAT_CHARACTERS_MAX)
    unknown = "outcome unknown: " if isinstance(error, OutcomeUnknown) else ""
    program = f"{program}: " if program else ""
    lines = [f"{program}error: {what + ': ' if what else ''}{unknown}{message}"]
    if error.hint:
        lines.append(f"hint: {error.hint}")
    return "\n".join(lines)


def _without_name(error: RaftdbError, what: str) -> str:
    """The message without the command's name at its end, where `what` says it already."""
    name = what.rpartition(": ")[2]  # a script puts the place in front
    if error.code in ("unknown_command", "wrong_arity"):
        for ending in (f" for {name.lower()!r}", f" {name!r}"):
            if error.message.endswith(ending):
                return error.message.removesuffix(ending)
    return error.message
