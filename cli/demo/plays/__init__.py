"""The demonstrations, in the order in which a beginner would watch them.

Each is one module with a `DEMO`, which is data: to change what is shown, change a step. Steps that several of them have
in common are in `scenes`. A step names nodes by roles, never by ids, because nobody knows who will be elected; and it
expects what every correct cluster shows, on every network, however long that takes. What differs from run to run, such
as the number of an entry, is not expected, and the step `varies`.
"""

from cli.demo.plays import compaction, kv, note, partition, queue, sync, transaction
from cli.demo.steps import Demo

DEMOS: dict[str, Demo] = {
    demo.name: demo
    for demo in (
        kv.DEMO,
        queue.DEMO,
        note.DEMO,
        sync.DEMO,
        partition.DEMO,
        transaction.DEMO,
        compaction.DEMO,
    )
}
"""All of them by name."""

__all__ = ["DEMOS"]
