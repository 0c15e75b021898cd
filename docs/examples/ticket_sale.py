"""A fair ticket sale: first come, first served, and nobody gets two (docs/examples/ticket_sale.md).

Usage: ticket_sale.py ADDRESSES open COUNT | sell | buy CUSTOMER
"""

import sys
import time

from raftdb import Client, Job

VISIBILITY_S = 3
"""A seller that was killed holds up the line for this long."""


def open_sale(db: Client, count: int) -> None:
    """Begin a sale of so many tickets."""
    db.mset({"tickets": count, "sold": 0})


def sell(db: Client) -> None:
    """Serve the line until SIGTERM."""

    def serve(job: Job) -> None:
        with db.transaction(job=job) as transaction:
            sold = transaction.incr("sold")
            if sold > int(transaction.get("tickets") or 0):
                transaction.incr("sold", -1)
                transaction.set(f"ticket:{job.value.decode()}", "sold out")
            else:
                transaction.set(f"ticket:{job.value.decode()}", f"number {sold}")

    db.queue("sale").worker(serve, visibility=VISIBILITY_S, pass_job=True)


def buy(db: Client, customer: str) -> None:
    """Stand in line, and print what came of it."""
    db.queue("sale").put(customer, group="line", dedup=customer)
    while (ticket := db.get(f"ticket:{customer}")) is None:
        time.sleep(0.05)
    print(ticket.decode())


def main(addresses: str, role: str, *more: str) -> None:
    """Do one of the three."""
    with Client(addresses) as db:
        if role == "open":
            open_sale(db, int(more[0]))
        elif role == "sell":
            sell(db)
        else:
            buy(db, more[0])


if __name__ == "__main__":
    main(*sys.argv[1:])
