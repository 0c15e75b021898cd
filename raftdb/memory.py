"""The memory of a node that others can make grow, in one account, in bytes.

What takes part:

* **requests**: bodies while they arrive, what they are decoded to, and answers until they are read. Each connection
  takes before it holds something, and gives back. Over the limit the answer is `busy`, as early as it is known.
* **changes**: what is applied and not yet durable in the state. While much of it waits for the disk (a checkpoint, a
  backup or an export is under way there) a leader takes no more writes, and beyond that nothing more is applied.
* **entries** and **peers**: the newest entries of the log, and messages that wait to be sent. Bounded on their own, so
  they are only looked at here.

Heartbeats, votes and what else peers say take nothing and never wait: who fills a node's memory deposes no leader.

Sizes are what Python's objects take, not what they hold: the factors below were measured with tracemalloc, and the
whole under attack with `benchmarks/memory_under_attack.py`.
"""

from collections.abc import Callable

from raftdb.errors import Unavailable

MEMORY_BYTES_MAX = 512 << 20
"""The limit, unless the setting `memory_bytes_max` says another one."""
MEMORY_BYTES_MIN = 128 << 20
"""The lowest limit that may be set: the largest legal request and its answer fit into their part of it."""

CHANGES_FRACTION = 1 / 2
"""Of the limit, how much changes may take before nothing more is applied."""
LARGE_FRACTION = 3 / 8
"""Of the limit, how much all requests may take together before a large one is refused: small ones still have room."""
REQUESTS_FRACTION = 1 / 2
"""The same for all requests."""
FREE_FRACTION = 1 / 16
"""Of the limit, how much requests may take whatever else is taken: reads go on while changes wait for the disk."""
LARGE_BYTES = 64 * 1024
"""A connection that holds more than this is a large one."""

DECODED_FACTOR = 4
"""Times its length a long body takes until it is answered: itself, its text, the bytes that it stands for, and the
encoded command. Measured: 3.0 for a value of 1 MiB of ASCII, 3.8 in base64, 4.4 for a transaction of 4,000 commands."""
DECODED_FACTOR_SMALL = 8
"""The same for a short one: many small arguments take 8.1 times their text. While it is decoded a body takes up to 24
times its length; that is done for one long body at a time, so it is no part of the account."""
ANSWER_FACTOR = 2
"""Times its length a value takes until it is read: itself until it is encoded, and then up to 4/3. While it is encoded
it takes 4.3 times its length; that, too, is done for one long value at a time."""


class MemoryAccount:
    """See the module. `bytes_max` is the limit. On the event loop's thread only."""

    def __init__(self, bytes_max: int = MEMORY_BYTES_MAX) -> None:
        self.bytes_max = bytes_max
        self._free_bytes = int(FREE_FRACTION * bytes_max)
        self.request_bytes = 0
        """Taken by requests, of all connections."""
        self._watched: dict[str, Callable[[], int]] = {}

    def watch(self, name: str, level: Callable[[], int]) -> None:
        """Count what `level` says, in bytes, as taken: something that is bounded by other means."""
        self._watched[name] = level

    def levels(self) -> dict[str, int]:
        """What is taken, by whom, in bytes."""
        return {"requests": self.request_bytes, **{name: level() for name, level in self._watched.items()}}

    def has_room(self, more_bytes: int, *, large: bool) -> bool:
        """True if requests may take so many bytes more."""
        wanted = self.request_bytes + more_bytes
        if wanted <= self._free_bytes:
            return True
        fraction = LARGE_FRACTION if large else REQUESTS_FRACTION
        if wanted > fraction * self.bytes_max:
            return False
        return wanted + sum(level() for level in self._watched.values()) <= self.bytes_max

    @property
    def changes_bytes_max(self) -> int:
        """Changes above which nothing more is applied while the disk is at work."""
        return int(CHANGES_FRACTION * self.bytes_max)


class Hold:
    """What one connection has taken from the account."""

    __slots__ = ("_account", "bytes")

    def __init__(self, account: MemoryAccount) -> None:
        self._account = account
        self.bytes = 0

    def grow(self, more_bytes: int) -> None:
        """Take more. Raises Unavailable (`busy`), and takes nothing then."""
        self.resize(self.bytes + more_bytes)

    def resize(self, new_bytes: int) -> None:
        """Have so many bytes, in all. Raises Unavailable (`busy`) if that is more than before and there is no room."""
        more = new_bytes - self.bytes
        if more > 0 and not self._account.has_room(more, large=new_bytes > LARGE_BYTES):
            raise _busy()
        self.set(new_bytes)

    def require_room(self, more_bytes: int) -> None:
        """Raise Unavailable (`busy`) if there is no room for so much more now; takes nothing, for it may never come."""
        if not self._account.has_room(more_bytes, large=self.bytes + more_bytes > LARGE_BYTES):
            raise _busy()

    def set(self, new_bytes: int) -> None:
        """Have so many bytes, in all, whether there is room or not."""
        self._account.request_bytes += new_bytes - self.bytes
        self.bytes = new_bytes

    def release(self) -> None:
        """Give everything back."""
        self.set(0)


def _busy() -> Unavailable:
    return Unavailable("busy", "the memory for requests is in use", hint="send fewer or smaller ones at once")
