"""Which lines the shell's history must not keep. Pure.

History is a file that outlives the shell, and is copied, backed up and shown to others. So a line stays out of it, and
out of the memory of the arrow keys, if it looks as if it held a secret, or if it begins with a space, as in other
shells: better a line too many than a password.
"""

import re

_SECRET = re.compile(
    r"""
    (?:^|[;\n])\s*auth\b            # the command, of whatever kind
    | passw (?:or)? d | (?<![a-z]) pwd (?![a-z]) | passphrase
    | secret | token | credential
    | (?:api|access|private|secret|encryption) [\W_]? key
    | \bBEGIN\ [A-Z\ ]*PRIVATE\b
    """,
    re.IGNORECASE | re.VERBOSE,
)


def is_private(line: str) -> bool:
    """Whether `line`, or one of the lines of a block, is to be forgotten once it has run."""
    return line[:1].isspace() or _SECRET.search(line) is not None
