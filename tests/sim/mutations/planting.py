"""A planted bug, as the tests have it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from raftdb.simulation import planting
from raftdb.simulation.planting import PlantBug


class Mutation(NamedTuple):
    """A planted bug: the hazard it comes from, what it does, and how to plant it."""

    hazard: str
    title: str
    patches: PlantBug


@contextmanager
def planted(mutation: Mutation) -> Iterator[None]:
    """The product with one bug in it."""
    with planting.planted(mutation.patches()):
        yield
