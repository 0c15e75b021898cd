"""Other processes for what keeps processors busy for minutes, while other tests wait for nodes and elections.

They stand back for whoever else wants to run: real nodes beside them notice little, and no processor idles. What uses
them is in one group (`tests.groups`), so that they are no more than `WORKERS` at a time.
"""

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

WORKERS = 2
NICENESS = 19
"""The lowest priority that there is."""


def pool(begin: Callable[[], object] | None = None) -> ProcessPoolExecutor:
    """Processes that begin anew, and not as copies of this one; each calls `begin` first."""
    return ProcessPoolExecutor(WORKERS, get_context("spawn"), _begin, (begin,))


def _begin(begin: Callable[[], object] | None) -> None:
    os.nice(NICENESS)
    if begin is not None:
        begin()
