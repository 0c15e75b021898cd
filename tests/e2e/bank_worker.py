"""A worker of the bank, as a process: it moves money between accounts, as jobs say, one job at a time.

Usage: bank_worker.py ADDRESSES fenced|unfenced

The transfer and the end of its job are one transaction. It also notes how often each job was applied.
"""

import sys

from raftdb import Client, Job, LockTimeout, Transaction

VISIBILITY_S = 2.0
LOCK_TTL_S = 2.0


def transfer(transaction: Transaction, job: Job) -> None:
    number, source, target, amount = job.value.split()
    transaction.execute("incrby", [b"account:" + source, b"-" + amount])
    transaction.execute("incrby", [b"account:" + target, amount])
    transaction.execute("incr", [b"applied:" + number])


def main(addresses: str, kind: str) -> None:
    with Client(addresses, timeout_ms=30_000) as db:

        def unfenced(job: Job) -> None:
            with db.transaction(job=job) as transaction:
                transfer(transaction, job)

        def fenced(job: Job) -> None:
            """Under a lock of each account, always the smaller first, so that nobody waits in a circle."""
            first, second = sorted(job.value.split()[1:3])
            try:
                with (
                    db.lock(first, ttl=LOCK_TTL_S, wait=30) as one,
                    one.db.lock(second, ttl=LOCK_TTL_S, wait=30) as both,
                    both.db.transaction(job=job) as transaction,
                ):
                    transfer(transaction, job)
            except LockTimeout:
                job.nack(free=True)

        queue = db.queue("transfers")
        queue.worker(fenced if kind == "fenced" else unfenced, visibility=VISIBILITY_S, pass_job=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
