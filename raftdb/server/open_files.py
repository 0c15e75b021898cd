"""The limit on open files and connections of this process: raised as far as needed, and refused if it stays too low.

Every connection, of clients and of peers, is an open file to the system. The limit that a shell or a service manager
gives (`ulimit -n`) is often far below what it allows a process to ask for, so a node asks. If that is not enough for a
node to work at all, it does not start: it would hold a folder and refuse its peers without saying why.
"""

import logging
import resource

from raftdb.errors import Fatal
from raftdb.frontend import OPEN_FILES_RESERVED, ServerLimits, connections_allowed
from raftdb.server.folder import EXIT_OF_REASON
from storage import Reason

logger = logging.getLogger("raftdb.server")

CONNECTIONS_MIN = 64
"""The fewest connections with which a node is of use: those of its peers, and some of clients."""
CONNECTIONS_USUAL = 4_096
"""With fewer connections than this a node warns: more are needed only where thousands of clients wait at once."""
OPEN_FILES_MIN = OPEN_FILES_RESERVED + CONNECTIONS_MIN


def allow_open_files() -> None:
    """Raise the limit on open files to what a node can use. Raises `Fatal` (exit code 7) if it stays too low to work.

    Warns if it stays so low that fewer connections are taken than a node can serve.
    """
    wanted = ServerLimits().connections_max
    allowed = _raise_limit(wanted + OPEN_FILES_RESERVED)
    if allowed < OPEN_FILES_MIN:
        raise Fatal(
            f"this process may have {allowed} files open, and a node needs {OPEN_FILES_MIN} at the least",
            exit_code=EXIT_OF_REASON[Reason.OPEN_FILES],
            hint=f"raise the limit: 'ulimit -n {wanted + OPEN_FILES_RESERVED}', or LimitNOFILE= of its service",
        )
    connections = connections_allowed(wanted)
    if connections < CONNECTIONS_USUAL:
        details = {"open_files": allowed, "connections": connections, "instead_of": CONNECTIONS_USUAL}
        logger.warning("the limit on open files leaves fewer connections", extra={"fields": details})


def _raise_limit(wanted: int) -> int:
    """Raise the soft limit to `wanted`, as far as the hard one lets; returns what it is then, at most `wanted`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    target = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
    except (OSError, ValueError):
        return soft  # a system that allows less than it says
    return target
