"""Checking that the top-level packages are those of raftdb.

`storage` and `cli` are common names: another distribution may have replaced a package with its own, which neither pip
nor Python reports. So their versions are compared before they are used.
"""

import importlib

import raftdb

HINT = "install raftdb into a virtual environment of its own, or with pipx"
"""The advice for a package that is not raftdb's."""


def foreign_package(name: str) -> str | None:
    """Why the top-level package `name` is not that of this raftdb; None if it is."""
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
