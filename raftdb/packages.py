"""Whether a top-level package is ours.

`storage` and `cli` are common names: another distribution may have put its own package over ours, and neither pip nor
Python says a word. So their versions are compared before anything else of them is used.
"""

import importlib

import raftdb

HINT = "install raftdb into a virtual environment of its own, or with pipx"
"""What to do about a package that is not ours."""


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
