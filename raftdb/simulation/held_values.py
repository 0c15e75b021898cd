"""The values of the model, and the traces of removed ones: by these a missing key that came and went is known to have
changed. The rules are written a second time here (`raftdb.machine.removals`)."""

from zlib import crc32

from raftdb.limits import SESSION_KEYS_MAX
from raftdb.machine.removals import SLOTS
from raftdb.simulation.modelled import Held


class HeldValues(dict[bytes, Held]):
    """All values that were not deleted, by their keys. They are stored and removed one by one, or all at once."""

    def __init__(self) -> None:
        super().__init__()
        self._removed: dict[int, int] = {}
        """The highest revision of the removed values of each slot of keys."""
        self._made = self._flushed = 0
        """The last entry that made a value where there was none; and the last of them before all were removed."""

    def __setitem__(self, key: bytes, held: Held) -> None:
        """Store a value."""
        if key not in self:
            self._made = held.revision
        super().__setitem__(key, held)

    def __delitem__(self, key: bytes) -> None:
        """Remove a value, and leave its trace."""
        slot = crc32(key) % SLOTS
        self._removed[slot] = max(self._removed.get(slot, 0), self[key].revision)
        super().__delitem__(key)

    def discard(self, key: bytes) -> None:
        """Remove a value, if there is one."""
        if key in self:
            del self[key]

    def is_full(self, session: tuple[bytes, int], *, beside: bytes) -> bool:
        """Whether as many values as may be are bound to a session beside that of one key."""
        bound = [key for key, held in self.items() if held.session == session and key != beside]
        return len(bound) >= SESSION_KEYS_MAX

    def end_session(self, session: tuple[bytes, int]) -> None:
        """Remove the values that are bound to a session."""
        for key in [key for key, held in self.items() if held.session == session]:
            del self[key]

    def clear(self) -> None:
        """Remove all values, if there are any."""
        if self:
            self._flushed = self._made
        super().clear()

    def came(self, key: bytes, since: int) -> bool:
        """Whether the key, which is not seen now and was not at `since`, may have been there (0: nobody asks)."""
        ended = self[key].revision if key in self else 0
        return 0 < since < max(self._removed.get(crc32(key) % SLOTS, 0), self._flushed, ended)

    def copy(self) -> "HeldValues":
        """These values and traces, apart from what becomes of them."""
        copied = HeldValues()
        super(HeldValues, copied).update(self)
        copied._removed, copied._made, copied._flushed = dict(self._removed), self._made, self._flushed
        return copied
