"""Finding lines that the shell's history must not keep. Pure.

The history is a file that outlives the shell, and is copied, backed up and shown to others. So a line that seems to
contain a secret, or that begins with a space, as in other shells, is not kept, not even for the arrow keys. Losing a
line is better than keeping a password.
"""

import re

_SECRET = re.compile(
    r"""
    (?:^|[;\n])\s*auth\b            # the command, of whatever kind
    | \.login\s+\S+\s+\S                # with what should have been typed unseen
    | passw (?:or)? d | (?<![a-z]) pwd (?![a-z]) | passphrase
    | secret | token | credential
    | (?:api|access|private|secret|encryption) [\W_]? key
    | \bBEGIN\ [A-Z\ ]*PRIVATE\b
    """,
    re.IGNORECASE | re.VERBOSE,
)


def is_private(line: str) -> bool:
    """Whether `line`, or a line of a block, must not be kept after it has run."""
    return line[:1].isspace() or _SECRET.search(line) is not None
