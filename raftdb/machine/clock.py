"""The cluster clock: the only time that replicated rules depend on (hazards B55, B63).

An entry bears the time that its leader's clock showed when it was proposed. At apply the clock moves to the latest
time any entry has borne, and never back; in between it stands still. How a leader counts, and from where, is in
`raftdb.node.clock`: time without a leader does not count, so that values and sessions may end late, but never early.
"""

from raftdb.machine.keyspace import CLOCK_KEY, pack_number, read_number
from raftdb.machine.layer import KeyValueView, Layer


def read_clock(view: KeyValueView) -> int:
    """Return the cluster clock as `view` has it, in milliseconds; 0 before the first entry with a time."""
    return read_number(view.get(CLOCK_KEY))


def advance_clock(layer: Layer, time_ms: int) -> None:
    """Move the clock to `time_ms`, if that is later than where it is; written only if it moves."""
    if time_ms <= layer.clock_at_least_ms:
        return
    if time_ms > read_number(layer.get(CLOCK_KEY)):
        layer.put(CLOCK_KEY, pack_number(time_ms))
    layer.clock_at_least_ms = time_ms
