"""Ending the values and sessions that are due, of all services; and removing keys that are gone already, step by step.

They end by an entry of its own, `Expire`, which a leader proposes when the time is near; one entry ends a bounded
number, and the leader proposes the next while some are left. If a client keeps something alive at the same time, the
order of the entries in the log decides (hazard B55).
"""

from raftdb.machine.clock import read_clock
from raftdb.machine.layer import KeyValueView, Layer
from raftdb.machine.reply import Result
from raftdb.machine.services import ENDINGS, FORGET
from raftdb.machine.sweeping import is_pending, remove_some


def sweep(layer: Layer, index: int) -> Result:
    """End what is due by the clock as part of the entry at `index`, up to the bounds of each service, and remove some
    of what was abandoned. Answers how many ended."""
    clock_ms = read_clock(layer)
    count = 0
    for ending in ENDINGS:
        cost = 0
        last: tuple[int, bytes] | None = None
        for last in ending.index.due(layer, clock_ms, limit=ending.count_max):
            cost += ending.end(layer, *last, index)
            count += 1
            if cost >= ending.cost_max:
                break
        if last is not None:
            ending.index.swept(layer, *last)
    remove_some(layer, FORGET)
    return Result(count, None)


def next_deadline_ms(view: KeyValueView) -> int | None:
    """Return the time of the next deadline on the cluster clock, None if there is none; 0 while there is something to
    remove."""
    if is_pending(view):
        return 0
    firsts = [first for first in (ending.index.first(view) for ending in ENDINGS) if first is not None]
    return min(firsts)[0] if firsts else None
