"""Messages of a queue that have a name in common, as their group, in the order of their ids; which is the first of them
is noted.

A scan for the first from the beginning would step over all that were there before it (`line`). So a name has its first
member noted, and the one behind it is looked for when that leaves. No member is before the first, so few that have left
are in between.
"""

from dataclasses import dataclass

from raftdb.machine.keyspace import (
    GROUP_HEAD_PREFIX,
    GROUP_MEMBER_PREFIX,
    UNIQUE_FIRST_PREFIX,
    UNIQUE_MEMBER_PREFIX,
    pack_number,
)
from raftdb.machine.layer import KeyValueView, Layer
from raftdb.machine.queues.records import ID_BYTES

_LAST_ID = b"\xff" * ID_BYTES


@dataclass(frozen=True, slots=True)
class Members:
    """One kind of such names: what the keys of the members begin with, and those of the first ones. `number` is one of
    a queue."""

    member_prefix: bytes
    first_prefix: bytes

    def first(self, view: KeyValueView, number: int, name: bytes) -> bytes | None:
        """Return the id of the first member, None if there is none."""
        return view.get(self._first_key(number, name))

    def add(self, layer: Layer, number: int, name: bytes, message_id: bytes) -> None:
        """Let a message be a member; it may be one already."""
        first = self.first(layer, number, name)
        if first is None or message_id < first:
            layer.put(self._first_key(number, name), message_id)
        layer.put(self._member_key(number, name, message_id), b"")

    def remove(self, layer: Layer, number: int, name: bytes, message_id: bytes) -> bytes | None:
        """Let a member be one no more. Returns the id of the one that becomes the first by that, if one does."""
        member_key = self._member_key(number, name, message_id)
        layer.delete(member_key)
        if self.first(layer, number, name) != message_id:
            return None
        last = self._member_key(number, name, _LAST_ID)
        found = layer.scan(member_key + b"\0", last, limit=1)
        if not found:
            layer.delete(self._first_key(number, name))
            return None
        first = found[0][0][-ID_BYTES:]
        layer.put(self._first_key(number, name), first)
        return first

    def _first_key(self, number: int, name: bytes) -> bytes:
        return self.first_prefix + pack_number(number) + name

    def _member_key(self, number: int, name: bytes, message_id: bytes) -> bytes:
        return self.member_prefix + pack_number(number) + bytes((len(name),)) + name + message_id


GROUPS = Members(GROUP_MEMBER_PREFIX, GROUP_HEAD_PREFIX)
"""The messages of a group that wait or are in flight."""
UNIQUES = Members(UNIQUE_MEMBER_PREFIX, UNIQUE_FIRST_PREFIX)
"""The messages of a UNIQUE id that wait."""
