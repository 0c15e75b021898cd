"""A nightly job on many machines: it runs once, wherever there is one (docs/examples/nightly_job.md).

Usage: nightly_job.py ADDRESSES [SCHEDULE]
"""

import os
import socket
import sys

from raftdb import Client


def main(addresses: str, schedule: str = "02:00") -> None:
    """Run until SIGTERM."""
    with Client(addresses) as db:

        @db.every(schedule, tz="Asia/Jakarta", name="nightly-report")
        def report() -> None:
            with db.transaction() as transaction:
                number = transaction.incr("reports")
                transaction.append("report-log", f"{number} by {socket.gethostname()}:{os.getpid()}\n")

        report.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
