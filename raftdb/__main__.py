"""The entry point: `raftdb` and `python -m raftdb`.

`storage` and `cli` are common names: another distribution may have put its own package over ours, and neither
pip nor Python says a word. So their versions are compared before anything else of them is used. And even before that
the standard streams are opened, if they are not.
"""

import importlib
import sys
from collections.abc import Sequence

import raftdb
from raftdb.streams import open_standard_streams


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (default: the process') and return the exit code (interface, section 1)."""
    open_standard_streams()
    arguments = sys.argv[1:] if arguments is None else arguments
    reason = foreign_package("cli")
    if reason is None:
        from cli.main import run, starts_nodes

        # Importing `storage` loads LMDB: only commands that start nodes pay for it, and no other needs it.
        reason = foreign_package("storage") if starts_nodes(arguments) else None
        if reason is None:
            return run(arguments)
    print(f"raftdb: error: start: {reason}", file=sys.stderr)
    print("hint: install raftdb into a virtual environment of its own, or with pipx", file=sys.stderr)
    return 2


def foreign_package(name: str) -> str | None:
    """Why the top-level package `name` is not the one of this raftdb; None if it is."""
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        return f"the package {name!r} of raftdb {raftdb.__version__} cannot be imported: {error}"
    version = getattr(module, "RAFTDB_VERSION", None)
    if version == raftdb.__version__:
        return None
    path = getattr(module, "__file__", None) or "an unknown place"
    found = "is not raftdb's" if version is None else f"is of raftdb {version}"
    return f"the package {name!r} at {path} {found}; this is raftdb {raftdb.__version__}"


if __name__ == "__main__":
    sys.exit(main())
