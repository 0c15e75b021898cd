"""The keys that a connection watches, with their revisions."""

from collections.abc import Sequence

KEY_BYTES = 128
"""The memory of a watched key besides its bytes."""
WATCHED_MAX = 1024
"""Most keys that one connection watches."""


class Watched:
    """The watched keys, each with its revision when it was first watched, which counts. `since`: the index of the
    earliest state in which one was seen, 0 without any."""

    __slots__ = ("_revisions", "generation", "held_bytes", "since")

    def __init__(self) -> None:
        self._revisions: dict[bytes, int] = {}
        self.since = self.held_bytes = 0
        """About how much memory the keys take."""
        self.generation = 0
        """A number that changes whenever all keys are dropped, so that revisions that arrive later are ignored."""

    def __len__(self) -> int:
        return len(self._revisions)

    def add(self, keys: Sequence[bytes], revisions: Sequence[int], seen_at: int, generation: int) -> None:
        """Watch the keys with these revisions, which they had in the state of the entry at `seen_at`; unless all keys
        were dropped since they were asked for."""
        if generation == self.generation:
            self.since = min(self.since, seen_at) or seen_at
            for key, revision in zip(keys, revisions, strict=True):
                if key not in self._revisions:
                    self._revisions[key] = revision
                    self.held_bytes += len(key) + KEY_BYTES

    def pairs(self) -> tuple[tuple[bytes, int], ...]:
        """All keys with their revisions."""
        return tuple(self._revisions.items())

    def clear(self) -> None:
        """Watch nothing."""
        self._revisions.clear()
        self.since = self.held_bytes = 0
        self.generation += 1
