"""What following changes costs a node: the history alone, and watchers of other prefixes, of one each, and of the same.

```
python -m benchmarks.watchers [--watchers 10000] [--changes 20000]
```

Entries with one `set` of 64 bytes are applied to a state in memory, in slices of 64, and all that is new is found for
the watchers; making bytes of it, once for all, and the sockets are left out. Processor time per change.
"""

import argparse
import time
from collections.abc import Sequence

from raftdb.core.block import Block
from raftdb.core.model import EntryKind
from raftdb.machine.entries import encode, stamp
from raftdb.machine.machine import Machine
from raftdb.machine.strings import Set
from raftdb.node.execution import apply_slice
from raftdb.node.history import History
from raftdb.node.watches import Watcher, Watches
from storage import MemoryStateStore

SLICE = 64


def blocks(changes: int, prefixes: int) -> list[Block]:
    """Entries with one `set` each, in slices; the keys go through the prefixes in turn."""
    payloads = [
        stamp(encode(Set(b"user:%06d:name" % (n % prefixes), b"x" * 64)), 1_000) for n in range(changes)
    ]
    return [
        Block.of(first + 1, 1, EntryKind.COMMAND, payloads[first : first + SLICE])
        for first in range(0, changes, SLICE)
    ]


def measure(content: Sequence[Block], watched: Sequence[bytes], *, keeps: bool = True) -> tuple[float, int]:
    """Microseconds of processor time per change, and how many deliveries there were."""
    state, machine, history = MemoryStateStore(), Machine(), History()
    history.restart(0, state)
    watches, told, changes = Watches(history), 0, 0
    for prefix in watched:
        watches.join(Watcher(prefix, 0))
    began_s = time.process_time()
    for block in content:
        where = (block.first_index, block.last_index, state, machine)
        apply_slice([block], *where, bytes_max=1 << 40, history=history if keeps else None)
        changes += block.entry_count
        while watches.is_behind:
            told += sum(len(delivery.watchers) for delivery in watches.advance())
            watches.told()
    return (time.process_time() - began_s) / changes * 1e6, told


def main() -> None:
    """Print a line for each case."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--watchers", type=int, default=10_000)
    parser.add_argument("--changes", type=int, default=20_000)
    options = parser.parse_args()
    count = options.watchers
    content = blocks(options.changes, count)
    cases: list[tuple[str, list[bytes], bool]] = [
        ("no history", [], False),
        ("history, no watcher", [], True),
        ("one watcher of another prefix", [b"other:"], True),
        (f"{count} watchers of other prefixes", [b"other:%06d:" % n for n in range(count)], True),
        (f"{count} watchers, one for each change", [b"user:%06d:" % n for n in range(count)], True),
        ("100 watchers of all changes", [b""] * 100, True),
    ]
    for name, watched, keeps in cases:
        best_us, told = min(measure(content, watched, keeps=keeps) for _ in range(3))
        print(f"{name:42} {best_us:7.2f} us a change, {told} deliveries", flush=True)


if __name__ == "__main__":
    main()
