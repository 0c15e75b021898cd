"""Python's collector of garbage in cycles, which stops everything while it looks.

What a node keeps long is either made at its start, or known to hold no cycles by its type: entries of the log, changes
of the state, keys are byte strings in lists and dictionaries, which a collection passes in a glance each. So what is
there once a node has started is taken out of its sight, and it looks more rarely.

Measured: a full collection of a node that has just started takes 10 to 30 ms (52,000 objects, most of them of modules
and classes), and did so again and again while a node worked; with a full cache, of half a million entries in a tuple
each, it took 117 ms. After `settle` it takes under 1 ms; with that cache in columns and 300,000 changes, 6 to 12 ms.
"""

import gc

YOUNG_OBJECTS = 10_000
"""Objects made, less those gone, that bring a look at the young ones: under 1 ms each, 14 times rarer than usual."""


def settle() -> None:
    """Leave all that is there now out of later collections. To be called once a node has started."""
    gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])
    gc.collect()
    gc.freeze()
