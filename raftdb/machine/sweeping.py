"""Ranges of keys that are gone at one point of the log, and are removed step by step afterwards.

To remove very many keys would take an entry too long. So the keys of such things bear a number, which stands in one
record, and everything begins there: if the record gets the next number, nothing leads to the keys with the old one any
more. Then they are handed over here. Entries of the sweeper remove them, a bounded number each, until none is left.

A service that uses it
----------------------
* keeps its numbers, and never uses one twice;
* calls `abandon` in the handler that lets the keys go, and from then on passes them over wherever it might meet them,
  as in an index that it shares between numbers;
* declares `Service.forget` if something is kept beside such a key: it is called for each before it is removed.

Neither counts nor events change with the removal: they belong to the moment when the keys were gone.
"""

from collections.abc import Callable, Mapping

from raftdb.budgets import SWEEP_ABANDONED_MAX
from raftdb.machine.keyspace import ABANDONED_PREFIX
from raftdb.machine.layer import KeyValueView, Layer

HEAD_BYTES = 32
"""The bytes of a value that `Forget` is given, or all if it has fewer."""

Forget = Callable[[Layer, bytes, bytes], None]
"""Removes what a service keeps beside an abandoned key, given the key and the beginning of its value."""

_END = bytes((ABANDONED_PREFIX[0] + 1,))
_LENGTH_BYTES = 2


def abandon(layer: Layer, name: bytes, first: bytes, end: bytes) -> None:
    """Let all keys with `first` <= key < `end` be removed in time. No key is put there any more.

    `name` begins with the prefix of the service, and is all that keeps two such ranges apart. If a range of this name
    is being removed already, `first` must be its end.
    """
    key = ABANDONED_PREFIX + name
    record = layer.get(key)
    layer.put(key, _record(first if record is None else _parts(record)[0], end))
    # It is due at once, whatever the clock shows.
    layer.note_deadline(0)


def is_pending(view: KeyValueView) -> bool:
    """Return whether there is something to remove."""
    return bool(view.scan(ABANDONED_PREFIX, _END, limit=1))


def remove_some(layer: Layer, forget: Mapping[int, Forget]) -> int:
    """Remove up to `SWEEP_ABANDONED_MAX` abandoned keys; returns how many. `forget` is by the first byte of keys."""
    left = SWEEP_ABANDONED_MAX
    for key, record in layer.scan(ABANDONED_PREFIX, _END, limit=SWEEP_ABANDONED_MAX):
        first, end = _parts(record)
        found = layer.scan(first, end, limit=left, length=HEAD_BYTES)
        for abandoned, head in found:
            forget_beside = forget.get(abandoned[0])
            if forget_beside is not None:
                forget_beside(layer, abandoned, head)
            layer.delete(abandoned)
        left -= len(found)
        if not left:
            layer.put(key, _record(found[-1][0] + b"\0", end))
            break
        layer.delete(key)
    return SWEEP_ABANDONED_MAX - left


def _record(first: bytes, end: bytes) -> bytes:
    return len(first).to_bytes(_LENGTH_BYTES) + first + end


def _parts(record: bytes) -> tuple[bytes, bytes]:
    behind = _LENGTH_BYTES + int.from_bytes(record[:_LENGTH_BYTES])
    return record[_LENGTH_BYTES:behind], record[behind:]
