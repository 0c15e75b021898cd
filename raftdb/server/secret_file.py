"""The secrets of the cluster, from a file or the environment: one a line, the first for what this node dials."""

import os
import stat
from pathlib import Path

from raftdb.server.config import BadSetting, Settings
from raftdb.server.private_file import is_private, mode_of
from raftdb.transport import SECRETS_MAX, Secrets

SECRET_BYTES_MIN = 32
SECRET_BYTES_MAX = 1024
FILE_BYTES_MAX = 64 * 1024
NO_SECRET = "none"
"""The line that stands for no secret: peers that prove nothing are accepted, too."""

HINT = "one secret a line, for example what 'openssl rand -hex 32' prints"


def secrets_of(settings: Settings) -> Secrets:
    """The secrets that the settings name. Blocks. Raises BadSetting, whose words never have anything of a secret."""
    if settings.cluster_secret_file is not None:
        return read_secrets(settings.cluster_secret_file)
    if settings.cluster_secret is not None:
        return parse_secrets(settings.cluster_secret, "cluster_secret")
    return (None,)


def read_secrets(path: Path) -> Secrets:
    """The secrets in a file that nobody else may read. Blocks. Raises BadSetting."""
    return parse_secrets(read_private(path, "the secret of the cluster", hint=HINT), str(path))


def read_private(path: Path, what: str, *, hint: str) -> str:
    """The text of a file that nobody else may read. Blocks. Raises BadSetting."""
    try:
        with open(path, "rb", opener=_open) as file:
            _check_private(path, os.fstat(file.fileno()), hint)
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise BadSetting(f"cannot read {what}, {path}: {reason}", hint=hint) from None
    if len(content) > FILE_BYTES_MAX:
        raise BadSetting(f"{path} is too long for a file of secrets", hint=hint)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise BadSetting(f"{path} is not text", hint=hint) from None


def parse_secrets(text: str, where: str) -> Secrets:
    """The secrets in `text`, which came from `where`: each once, in order. Empty lines and those that begin with `#`
    are none. Raises BadSetting."""
    try:
        # Python gives bytes of the environment that are not UTF-8 out as halves of surrogate pairs.
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise BadSetting(f"{where} is not text", hint=HINT) from None
    lines = [line.strip() for line in text.splitlines()]
    found = dict.fromkeys(
        (number, None if line == NO_SECRET else line.encode("utf-8"))
        for number, line in enumerate(lines, start=1)
        if line and not line.startswith("#")
    )
    for number, secret in found:
        if secret is not None and not SECRET_BYTES_MIN <= len(secret) <= SECRET_BYTES_MAX:
            length = f"{SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes"
            raise BadSetting(
                f"the secret in line {number} of {where} has {len(secret)} bytes, and not {length}", hint=HINT
            )
    secrets = tuple(dict.fromkeys(secret for _, secret in found))
    if not secrets or len(secrets) > SECRETS_MAX:
        raise BadSetting(f"{where} has {len(secrets)} secrets, and not 1 to {SECRETS_MAX}", hint=HINT)
    return secrets


def _open(path: str, flags: int) -> int:
    # A pipe under this name would hold up the start, or the loop, until somebody writes to it.
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def _check_private(path: Path, found: os.stat_result, hint: str) -> None:
    """Raise BadSetting if others than the owner may read the file, or change it."""
    if not stat.S_ISREG(found.st_mode):
        raise BadSetting(f"{path} is no file", hint=hint)
    if not is_private(found):
        raise BadSetting(f"others may read or change {path}, mode {mode_of(found)}", hint=f"chmod 600 {path}")
