"""A worker pool: the result of a job and its end are one transaction (docs/examples/worker_pool.md).

Usage: worker_pool.py ADDRESSES put COUNT | work | show
"""

import sys
import time

from raftdb import Client, Job

VISIBILITY_S = 3
"""A worker that was killed holds its jobs back for this long."""


def put(db: Client, count: int) -> None:
    """Put the numbers from 1 to `count` into the queue, all at once."""
    db.queue("squares").put_many(list(range(1, count + 1)))


def work(db: Client) -> None:
    """Work until SIGTERM."""

    def square(job: Job) -> None:
        number = int(job.value)
        time.sleep(0.01)  # the work itself
        with db.transaction(job=job) as transaction:
            # `execute` reads nothing, so many workers add to one sum without conflicts.
            transaction.execute("incrby", ["squares:sum", number * number])
            transaction.execute("incr", ["squares:done"])

    db.queue("squares").worker(square, concurrency=2, visibility=VISIBILITY_S, pass_job=True)


def show(db: Client) -> None:
    """Print how many are done, and the sum of their squares."""
    done, total = db.mget(["squares:done", "squares:sum"])
    print(int(done or 0), int(total or 0))


def main(addresses: str, role: str, *more: str) -> None:
    """Do one of the three."""
    with Client(addresses) as db:
        if role == "put":
            put(db, int(more[0]))
        elif role == "work":
            work(db)
        else:
            show(db)


if __name__ == "__main__":
    main(*sys.argv[1:])
