"""A file that one process at a time appends to, not too often, and that refuses those that are late
(docs/examples/fenced_file.md).

Usage: fenced_file.py ADDRESSES FILE LINE
"""

import fcntl
import sys
import time
from pathlib import Path

from raftdb import Client

TTL_S = 4
"""How long the lock outlives a process that is gone."""
INTERVAL_S = 0.5
"""Time between two uses."""


class TooLate(Exception):
    """Somebody with a larger token was here already."""


def append(path: Path, token: int, line: str) -> None:
    """Add a line to the file, whose first line is the largest token that it has seen. Raises `TooLate`."""
    with path.open("a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # until the file is closed
        file.seek(0)
        first, _, rest = file.read().partition("\n")
        if token < int(first or 0):
            raise TooLate(f"token {token} is older than {first}, which was here already")
        file.truncate(0)
        file.write(f"{token}\n{rest}{line}\n")


def main(addresses: str, path: str, line: str) -> None:
    """Append one line, as soon as it is this process' turn."""
    with Client(addresses) as db, db.lock("ledger", ttl=TTL_S) as held:
        left_s = float(held.db.get("ledger-next") or 0) - time.time()
        time.sleep(min(max(left_s, 0.0), INTERVAL_S))
        held.db.set("ledger-next", f"{time.time() + INTERVAL_S}")
        print("my turn", flush=True)
        if line == "-":
            line = sys.stdin.readline().strip()  # a process may be paused here, for ever so long
        append(Path(path), held.token, line)


if __name__ == "__main__":
    main(*sys.argv[1:])
