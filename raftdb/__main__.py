"""The entry point: `raftdb` and `python -m raftdb`.

Before anything else of the command line is used the standard streams are opened, if they are not, and the package
`cli` is found to be ours.
"""

import sys
from collections.abc import Sequence

from raftdb.packages import HINT, foreign_package
from raftdb.streams import open_standard_streams


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (default: the process') and return the exit code (interface, section 1)."""
    open_standard_streams()
    reason = foreign_package("cli")
    if reason is not None:
        print(f"raftdb: error: start: {reason}\nhint: {HINT}", file=sys.stderr)
        return 2
    from cli.main import run

    return run(sys.argv[1:] if arguments is None else arguments)


if __name__ == "__main__":
    sys.exit(main())
