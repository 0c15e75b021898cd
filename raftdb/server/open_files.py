"""The limit on open files and connections of this process: raised as far as needed, divided, and refused if it stays
too low.

Every connection, of clients and of peers, is an open file to the system. The limit that a shell or a service manager
gives (`ulimit -n`) is often far below what it allows a process to ask for, so a node asks. What it gets is divided
among its doors, or a crowd at one of them would keep others from accepting, and peers come in by one of these. If it is
not enough for a node to work at all, it does not start: it would hold a folder and refuse its peers without saying why.
"""

import logging
import resource
from typing import NamedTuple

from raftdb.errors import Fatal
from raftdb.frontend import RedisLimits, ServerLimits
from raftdb.server.folder import EXIT_OF_REASON
from storage import Reason

logger = logging.getLogger("raftdb.server")

OPEN_FILES_RESERVED = 64
"""Open files beside the connections that are accepted: storage, links to peers, logs, the listeners themselves."""
CONNECTIONS_MIN = 64
"""The fewest connections with which a node is of use: those of its peers, and some of clients."""
CONNECTIONS_USUAL = 4_096
"""With fewer connections than this a node warns: more are needed only where thousands of clients wait at once."""
OPEN_FILES_MIN = OPEN_FILES_RESERVED + CONNECTIONS_MIN
HTTP_PARTS = 2
"""Where there are too few connections for all doors, that for peers and HTTP has as many as two others."""


class Shares(NamedTuple):
    """How many connections the door for peers and HTTP takes at most, and each door for Redis clients."""

    http: int
    redis: int


def allow_open_files(redis_doors: int) -> None:
    """Raise the limit on open files to what a node with so many doors for Redis clients can use. Raises `Fatal` (exit
    code 7) if it stays too low to work.

    Warns if it stays so low that fewer connections are taken than a node can serve.
    """
    wanted = _connections_wanted(redis_doors) + OPEN_FILES_RESERVED
    allowed = _raise_limit(wanted)
    if allowed < OPEN_FILES_MIN:
        raise Fatal(
            f"this process may have {allowed} files open, and a node needs {OPEN_FILES_MIN} at the least",
            exit_code=EXIT_OF_REASON[Reason.OPEN_FILES],
            hint=f"raise the limit: 'ulimit -n {wanted}', or LimitNOFILE= of its service",
        )
    connections = allowed - OPEN_FILES_RESERVED
    if connections < CONNECTIONS_USUAL:
        details = {"open_files": allowed, "connections": connections, "instead_of": CONNECTIONS_USUAL}
        logger.warning("the limit on open files leaves fewer connections", extra={"fields": details})


def connection_shares(redis_doors: int) -> Shares:
    """Divide the connections that the limit on open files leaves. No door gets more than it wants."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    total = _connections_wanted(redis_doors)
    if soft != resource.RLIM_INFINITY:
        total = min(total, soft - OPEN_FILES_RESERVED)
    http = max(1, min(ServerLimits().connections_max, total * HTTP_PARTS // (HTTP_PARTS + redis_doors)))
    return Shares(http, max(1, (total - http) // max(1, redis_doors)))


def _connections_wanted(redis_doors: int) -> int:
    return ServerLimits().connections_max + redis_doors * RedisLimits().connections_max


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
