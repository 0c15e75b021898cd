"""The messages and exit codes of errors (docs/interface.md, section 1).

`as_ours` turns errors of Python and of the system into raftdb's, in two places: around a line of the shell, and around
a command line.
"""

from collections.abc import Mapping

from cli.console.render import printable, shorten
from raftdb.client.json_body import bytes_to_json
from raftdb.errors import (
    CODES,
    CommandFailed,
    Conflict,
    Deadlock,
    Fatal,
    OutcomeUnknown,
    RaftdbError,
    RequestRefused,
    Unauthenticated,
    Unavailable,
)

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_UNAVAILABLE = 3
EXIT_ADDRESS_IN_USE = 3
EXIT_NO_SUCH_KEY = 4
EXIT_FOLDER = 4
EXIT_CONFLICT = 5
EXIT_PERMISSION = 5
EXIT_INPUT_OUTPUT = 8
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141
"""The exit code that a shell reports for a program that was ended by a closed pipe (128 + SIGPIPE)."""


WHAT_CHARACTERS_MAX = 200
"""Most characters of a path or word that an error repeats, because these may be very long."""


class CommandError(RaftdbError):
    """A sub-command failed for a reason of its own. It is shown as `what: message`, and has the exit code."""

    def __init__(
        self, what: str, message: str, *, exit_code: int, hint: str | None = None, code: str | None = None
    ) -> None:
        """`code` is that of the error that is reported, if it is in the table of codes."""
        super().__init__(
            code or ("bad_request" if exit_code == EXIT_USAGE else "internal"), message, hint=hint
        )
        self.what = what
        self.exit_code = exit_code


class Interrupted(KeyboardInterrupt):
    """Ctrl-C while a command ran. `may_have_changed`: a write that it sent may still take effect."""

    def __init__(self, *, may_have_changed: bool) -> None:
        super().__init__()
        self.may_have_changed = may_have_changed


LOG_IN = (
    "--token-file FILE or RAFTDB_TOKEN is a token; --user NAME asks for a password, or takes RAFTDB_PASSWORD"
)
LOG_IN_HERE = ".login USER asks for a password, .login for a token"
"""The next steps of who is not known to the cluster, on the command line and in the shell."""

INTERRUPTED = "interrupted"
INTERRUPTED_WRITE = "interrupted: a write that was sent may still take effect"


def as_ours(error: Exception) -> RaftdbError:
    """Any error as one of raftdb's, with a message for people. An unforeseen one is an internal error."""
    if isinstance(error, RaftdbError):
        return error
    if isinstance(error, OSError):
        return RaftdbError("internal", reason(error))
    if isinstance(error, UnicodeError):
        return RequestRefused("bad_request", "what was given is not valid text (UTF-8)")
    if isinstance(error, ValueError) and "null byte" in str(
        error
    ):  # of Python, for any call that takes a path
        return RequestRefused("bad_request", "a path holds no NUL byte")
    if isinstance(error, MemoryError):
        return RaftdbError("internal", "there is not enough memory")
    message = f"internal error: {type(error).__name__}: {printable(str(error))}"
    return RaftdbError("internal", message, hint="--debug shows where")


def reason(error: OSError) -> str:
    """The reason of a system error, such as `PATH: Permission denied`, without the path if it is not known."""
    why = error.strerror or str(error) or type(error).__name__
    if error.filename is None or isinstance(error.filename, int):
        return why
    name = error.filename if isinstance(error.filename, str) else repr(error.filename)
    return f"{shorten(printable(name), WHAT_CHARACTERS_MAX)}: {why}"


def exit_code_of(error: RaftdbError) -> int:
    """The exit code of `error`."""
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
    # A person typed this, so it may be long and may contain control characters.
    what = shorten(printable(what), WHAT_CHARACTERS_MAX)
    unknown = "outcome unknown: " if isinstance(error, OutcomeUnknown) else ""
    program = f"{program}: " if program else ""
    lines = [f"{program}error: {what + ': ' if what else ''}{unknown}{message}"]
    hint = error.hint
    if isinstance(error, Unauthenticated):
        hint = LOG_IN if program else LOG_IN_HERE
    if hint:
        lines.append(f"hint: {hint}")
    return "\n".join(lines)


def body_of(error: RaftdbError, what: str) -> Mapping[str, object]:
    """The error as a JSON object, like the errors of nodes (docs/interface.md, section 3)."""
    if isinstance(error, CommandError):
        what = error.what
    fields: dict[str, object] = {"code": error.code, "message": error.message}
    if what:
        fields["what"] = what
    if error.hint:
        fields["hint"] = error.hint
    leader = error.leader if isinstance(error, Unavailable) else None
    if leader is not None:
        fields["leader"] = leader.named()
    body: dict[str, object] = {"error": fields}
    if isinstance(error, Conflict):
        body["conflict"] = [bytes_to_json(key) for key in error.keys]
    if isinstance(error, Deadlock):
        body["cycle"] = [[bytes_to_json(name) for name in step] for step in error.cycle]
    if isinstance(error, CommandFailed) and error.failed_command is not None:
        body["failed"] = error.failed_command
    return body


def _without_name(error: RaftdbError, what: str) -> str:
    """The message without the command's name at its end if `what` has it already."""
    name = what.rpartition(": ")[2]  # a script puts the place in front
    if error.code in ("unknown_command", "wrong_arity"):
        for ending in (f" for {name.lower()!r}", f" {name!r}"):
            if error.message.endswith(ending):
                return error.message.removesuffix(ending)
    return error.message
