"""Arguments that are read from a file or from stdin, by `-x` and `.expand`.

`@FILE` is the whole content of FILE, `@-` that of stdin, and `@@TEXT` is `@TEXT` itself. All other arguments are
unchanged, and so are all of them without `-x`, so that any value can be given.
"""

from collections.abc import Sequence
from typing import BinaryIO

from cli.console.failures import EXIT_FAILED, EXIT_USAGE, CommandError, reason
from cli.console.paths import typed_path
from raftdb.limits import COMMAND_BYTES_CEILING

_MARK = b"@"


def expanded(arguments: Sequence[bytes], what: str, stdin: BinaryIO | None) -> list[bytes]:
    """The arguments, with contents in place of marked ones. If none is marked, the content of `stdin` is added at the
    end.

    With None for `stdin` it cannot be read. Raises `CommandError` of `what`.
    """
    if not any(argument.startswith(_MARK) for argument in arguments) and stdin is not None:
        arguments = [*arguments, b"@-"]
    if list(arguments).count(b"@-") > 1:
        raise CommandError(what, "stdin can be read only once", exit_code=EXIT_USAGE)
    return [_content(argument, what, stdin) for argument in arguments]


def _content(argument: bytes, what: str, stdin: BinaryIO | None) -> bytes:
    if not argument.startswith(_MARK):
        return argument
    name = argument.removeprefix(_MARK)
    if name.startswith(_MARK):
        return name
    try:
        if name != b"-":
            with typed_path(name.decode("utf-8", "surrogateescape"), what).open("rb") as stream:
                return _read(stream, what)
        if stdin is None:
            hint = "name a file; a value @- is written @@-"
            raise CommandError(what, "commands come from stdin here", exit_code=EXIT_USAGE, hint=hint)
        return _read(stdin, what)
    except OSError as error:
        hint = "a value that begins with @ is written @@"
        raise CommandError(what, f"cannot read {reason(error)}", exit_code=EXIT_USAGE, hint=hint) from None


def _read(stream: BinaryIO, what: str) -> bytes:
    """The whole content. Raises `CommandError` if it is longer than any node takes, because a device may have no
    end."""
    content = stream.read(COMMAND_BYTES_CEILING + 1)
    if len(content) > COMMAND_BYTES_CEILING:
        message = f"a value has more than {COMMAND_BYTES_CEILING} bytes"
        raise CommandError(what, message, exit_code=EXIT_FAILED, code="too_large")
    return content
