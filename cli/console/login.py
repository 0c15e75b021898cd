"""Who the command line is to the cluster: from its options, from the environment, or by asking the person.

Secrets are never arguments, because everybody on a machine may read the command lines of others. They come from a
prompt, from the environment, or from a file.
"""

import os
import stat
import sys
from pathlib import Path

from cli.console.failures import EXIT_USAGE, CommandError, reason
from cli.console.output import is_terminal
from raftdb.client.credentials import Credentials

TOKEN, TOKEN_FILE = "RAFTDB_TOKEN", "RAFTDB_TOKEN_FILE"
USER = "RAFTDB_USER"
PASSWORD, PASSWORD_FILE = "RAFTDB_PASSWORD", "RAFTDB_PASSWORD_FILE"
"""The environment variables for who asks. An empty one counts as one that is not set."""
NEW_PASSWORD = "RAFTDB_NEW_PASSWORD"
"""The environment variable for the password that a user is to get."""

SECRET_BYTES_MAX = 64 * 1024


def credentials(user: str | None, token_file: str | None) -> Credentials:
    """Who asks. `user` and `token_file` are options, which come before the environment. Raises `CommandError` (exit
    code 2), and `RequestRefused` for a secret that cannot be one."""
    if user is not None and token_file is not None:
        raise _wrong("--user and --token-file exclude each other: a token says who its user is")
    if token_file is not None:
        return Credentials(token=read_secret(Path(token_file), "the token"))
    if user is not None:
        return Credentials(user=user, password=_password_of(user))
    token, user = _variable(TOKEN, TOKEN_FILE, "the token"), os.environ.get(USER)
    if token and user:
        raise _wrong(f"{USER} and a token exclude each other: a token says who its user is", f"unset {USER}")
    if token:
        return Credentials(token=token)
    return Credentials(user=user, password=_password_of(user)) if user else Credentials()


def _password_of(user: str) -> str:
    # A password in the environment is that of the user in the environment, if there is one.
    if os.environ.get(USER) in (None, "", user):
        password = _variable(PASSWORD, PASSWORD_FILE, "the password")
        if password:
            return password
    if not is_terminal(sys.stdin):
        raise _wrong(f"there is no password for the user {user}", f"set {PASSWORD} or {PASSWORD_FILE}")
    return asked(f"password of {user}: ")


def asked(question: str) -> str:
    """A secret that the person types, unseen. Raises `CommandError` if there is none."""
    from getpass import getpass

    try:
        secret = getpass(question, sys.stderr)
    except EOFError:
        secret = ""
    if not secret:
        raise _wrong("nothing was typed")
    return secret


def new_password(file: Path | None, user: str) -> str:
    """The password that a user is to get: from a file, from the environment, or typed twice. Raises `CommandError`."""
    if file is not None:
        return read_secret(file, "the password")
    given = os.environ.get(NEW_PASSWORD)
    if given:
        return given
    if not is_terminal(sys.stdin):
        raise _wrong(
            f"there is no password for the new user {user}",
            f"--password-file FILE, {NEW_PASSWORD}, or --no-password for one that only has tokens",
        )
    password = asked(f"new password of {user}: ")
    if asked("once more: ") != password:
        raise _wrong("the two are not the same: nothing was done")
    return password


def read_secret(path: Path, what: str) -> str:
    """The secret in a file, without the line end behind it; `-` is stdin. Says so if others may read the file. Raises
    `CommandError`."""
    try:
        if path == Path("-"):
            content = sys.stdin.buffer.read(SECRET_BYTES_MAX + 1)
        else:
            with path.open("rb") as file:
                found = os.fstat(file.fileno())
                content = file.read(SECRET_BYTES_MAX + 1)
            if stat.S_ISREG(found.st_mode) and found.st_mode & stat.S_IRWXO:
                print(f"raftdb: others may read {path}: chmod 600 {path}", file=sys.stderr)
    except OSError as error:
        raise _wrong(f"cannot read {what}: {reason(error)}") from None
    if len(content) > SECRET_BYTES_MAX:
        raise _wrong(f"{path} is too long for a file of a secret")
    secret = content.decode("utf-8", "surrogateescape").rstrip("\r\n")
    if not secret:
        raise _wrong(f"{path} is empty")
    return secret


def _variable(name: str, file_name: str, what: str) -> str | None:
    """What a variable has, or the file that the other one names."""
    given, path = os.environ.get(name), os.environ.get(file_name)
    if given and path:
        raise _wrong(f"{name} and {file_name} exclude each other")
    return read_secret(Path(path), what) if path else given


def _wrong(message: str, hint: str | None = None) -> CommandError:
    return CommandError("log in", message, exit_code=EXIT_USAGE, hint=hint)
