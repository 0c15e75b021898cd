"""Reads that answer more than the commands of the table do. They never stand in the log, and have no name in the shell:
frontends ask them of a node, and `raftdb.machine.scanning` answers."""

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class ReadRecord:
    """Read all that is known of `key`."""

    key: bytes


@dataclass(frozen=True, slots=True)
class ReadPage:
    """Read up to `limit` keys that begin with `prefix` and come after `after`, in order, with all that is known of
    them; without their values unless `with_values`."""

    prefix: bytes
    after: bytes
    limit: int
    with_values: bool = True


Query: TypeAlias = ReadRecord | ReadPage
"""What a frontend may ask beside commands."""
