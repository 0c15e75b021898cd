"""Other processes for what keeps processors busy for minutes, while other tests wait for nodes and elections.

They stand back for whoever else wants to run: real nodes beside them notice little, and no processor idles. What uses
them is in one group (`tests.groups`), so that they are no more than `WORKERS` at a time.
"""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context, parent_process

WORKERS = 2
NICENESS = 19
"""The lowest priority that there is."""


def pool(begin: Callable[[], object] | None = None) -> ProcessPoolExecutor:
    """Processes that begin anew, and not as copies of this one; each calls `begin` first."""
    return ProcessPoolExecutor(WORKERS, get_context("spawn"), _begin, (begin,))


def _begin(begin: Callable[[], object] | None) -> None:
    os.nice(NICENESS)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if begin is not None:
        begin()


def _end_with_parent() -> None:
    """A run that is killed leaves nobody behind who works on, or waits for work."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
