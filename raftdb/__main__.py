"""The entry point: `raftdb` and `python -m raftdb`.

Before the rest of the command line is imported, standard streams that are closed are opened, and the package `cli` is
checked to be raftdb's own.
"""

import sys
from collections.abc import Sequence

from raftdb.packages import HINT, foreign_package
from raftdb.streams import open_standard_streams


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line, by default that of the process, and return its exit code (docs/interface.md, section 1)."""
    open_standard_streams()
    reason = foreign_package("cli")
    if reason is not None:
        print(f"raftdb: error: start: {reason}\nhint: {HINT}", file=sys.stderr)
        return 2
    from cli.main import run

    return run(sys.argv[1:] if arguments is None else arguments)


if __name__ == "__main__":
    sys.exit(main())
