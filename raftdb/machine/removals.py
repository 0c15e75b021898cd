"""The trace that removed values leave, so that a key that came and went meanwhile is known to have changed.

A key that is there has a revision, and one that is missing has none: that somebody made it and removed it again cannot
be seen from it. So for each of a fixed number of slots, into which the names of keys are hashed, the highest revision
of the values that were removed from it is kept. Who has seen that a key is missing in the state of some entry learns
from its slot whether a later value may have been there. As keys share slots, it may be the value of another key: then a
transaction is refused that might have been executed, and its client tries again. No change is ever missed.

A value that is replaced needs no trace, because the new one has a higher revision. One that is removed because its time
is up leaves its own revision, and not that of the moment: whoever has seen the key without it has seen a later state.
"""

from zlib import crc32

from raftdb.machine.keyspace import REMOVALS_PREFIX, pack_number, read_number
from raftdb.machine.layer import KeyValueView, Layer

SLOTS = 4096
"""The number of slots: with a thousand removals a second, one of four refuses a transaction of a second wrongly that
has seen a key missing. A replicated rule."""


def note_removal(layer: Layer, key: bytes, revision: int) -> None:
    """A value of `key` was removed that had this revision."""
    slot = _slot_of(key)
    if read_number(layer.peek(slot)) < revision:
        layer.put(slot, pack_number(revision))


def removed_revision(view: KeyValueView, key: bytes) -> int:
    """Return a revision that no removed value of `key` exceeds, 0 if there was none."""
    return read_number(view.get(_slot_of(key)))


def _slot_of(key: bytes) -> bytes:
    return REMOVALS_PREFIX + (crc32(key) % SLOTS).to_bytes(2)
