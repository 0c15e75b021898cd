"""The account of a node's memory that clients and peers can make grow, in bytes.

The account has four parts:

* **requests**: bodies that arrive, the commands decoded from them, and answers until they are read. Each connection
  takes memory before it uses it, and gives it back. Over the limit a request is answered `busy`, as early as its need
  is known. The limit is lower the more a connection holds already: those that hold much share what is left for those
  that hold less, and cannot take it from them. A client that holds much and does nothing is cut off for one that finds
  no room all the same.
* **changes**: applied changes that are not yet durable in the state. While many wait for the disk, which a checkpoint,
  a backup or an export keeps busy, a leader takes no more writes, and above a further limit entries are no longer
  applied.
* **entries** and **peers**: the newest entries of the log, and messages that wait to be sent. They have bounds of their
  own, and are only counted here.

Messages that arrive from members take nothing from the account and never wait for it, so a client that fills a node's
memory cannot depose a leader.

Sizes are those of Python's objects, not of their content: the factors below were measured with tracemalloc, and the
whole under attack with `benchmarks/overload.py`.
"""

from collections.abc import Callable

from raftdb.errors import Unavailable

MEMORY_BYTES_MAX = 512 << 20
"""The limit, unless the setting `memory_bytes_max` gives another one."""
MEMORY_BYTES_MIN = 192 << 20
"""The lowest limit that may be set: the largest legal request and its answer fit into the requests' part of it."""

CHANGES_FRACTION = 1 / 2
"""The fraction of the limit that changes may take before entries are no longer applied."""
HUGE_FRACTION = 1 / 4
"""The fraction that all requests may take together before huge connections get no more: others still have room."""
LARGE_FRACTION = 3 / 8
"""The same for large connections."""
REQUESTS_FRACTION = 1 / 2
"""The fraction that all requests may take together before none gets more."""
FREE_FRACTION = 1 / 16
"""The fraction that requests may take whatever the other parts take: reads go on while changes wait for the disk."""
LARGE_BYTES = 64 * 1024
"""A connection is large if it holds more than this."""
HUGE_BYTES = 4 << 20
"""A connection is huge if it holds more than this: it has very large requests, or very many, or does not read."""

DECODED_FACTOR = 4
"""The memory that a long body takes until it is answered, in multiples of its length: the body, its text, the decoded
bytes, and the encoded command. Measured: 3.0 for a value of 1 MiB of ASCII, 3.8 in base64, 4.4 for a transaction of
4,000 commands."""
DECODED_FACTOR_SMALL = 8
"""The same for a short body: many small arguments take 8.1 times their text. While a body is decoded it takes up to 24
times its length; only one long body is decoded at a time, so that is not in the account."""
ANSWER_FACTOR = 2
"""The memory that a value of an answer takes until it is read, in multiples of its length: 1 until it is encoded, then
up to 4/3. While it is encoded it takes 4.3; only one long value is encoded at a time, too."""


class MemoryAccount:
    """The account of one node, with `bytes_max` as its limit. It is used on the event loop's thread only."""

    def __init__(self, bytes_max: int = MEMORY_BYTES_MAX) -> None:
        self.bytes_max = bytes_max
        self._free_bytes = int(FREE_FRACTION * bytes_max)
        self.request_bytes = 0
        """Bytes taken by the requests of all connections."""
        self._watched: dict[str, Callable[[], int]] = {}
        self.large: dict[Hold, None] = {}
        """The large connections that may be cut off; they are not many, because they share the limit."""

    def watch(self, name: str, level: Callable[[], int]) -> None:
        """Count the bytes that `level` returns as taken by the part `name`, which has a bound of its own."""
        self._watched[name] = level

    def levels(self) -> dict[str, int]:
        """The bytes taken by each part."""
        return {"requests": self.request_bytes, **{name: level() for name, level in self._watched.items()}}

    def find_room(self, hold: "Hold", more_bytes: int) -> bool:
        """True if `hold` may take `more_bytes` more. If there is no room, it is made by cutting off clients that hold
        more than it would, and do nothing; who holds most first."""
        while not self._has_room(hold, more_bytes):
            others = [each for each in self.large if each.bytes > hold.bytes + more_bytes]
            others.sort(key=lambda each: each.bytes, reverse=True)
            if not any(each.cut() for each in others):
                return False
        return True

    def _has_room(self, hold: "Hold", more_bytes: int) -> bool:
        wanted = self.request_bytes + more_bytes
        if wanted <= self._free_bytes:
            return True
        if wanted > hold.fraction_with(more_bytes) * self.bytes_max:
            return False
        return wanted + sum(level() for level in self._watched.values()) <= self.bytes_max

    @property
    def changes_bytes_max(self) -> int:
        """Bytes of changes above which entries are no longer applied while the disk is busy."""
        return int(CHANGES_FRACTION * self.bytes_max)


class Hold:
    """The memory that one connection has taken from the account."""

    __slots__ = ("_account", "_cut", "bytes", "is_of_many")

    def __init__(
        self, account: MemoryAccount, *, cut: Callable[[], bool] | None = None, is_of_many: bool = False
    ) -> None:
        """`cut` cuts the connection off if its client does nothing, and returns whether it did; None: it is never cut
        off."""
        self._account = account
        self._cut = cut
        self.bytes = 0
        self.is_of_many = is_of_many
        """Whether it is another node's, which passes on requests of many clients: it may be huge."""

    def grow(self, more_bytes: int) -> None:
        """Take `more_bytes` more. Raises Unavailable (`busy`) without taking any."""
        self.resize(self.bytes + more_bytes)

    def resize(self, new_bytes: int) -> None:
        """Hold `new_bytes` in all. Raises Unavailable (`busy`) if that is more than before and there is no room."""
        more = new_bytes - self.bytes
        if more > 0 and not self._account.find_room(self, more):
            raise _busy()
        self.set(new_bytes)

    def require_room(self, more_bytes: int) -> None:
        """Raise Unavailable (`busy`) if there is no room for `more_bytes` more now. Takes nothing, because they may
        never come."""
        if not self._account.find_room(self, more_bytes):
            raise _busy()

    def set(self, new_bytes: int) -> None:
        """Hold `new_bytes` in all, whether there is room or not."""
        account = self._account
        account.request_bytes += new_bytes - self.bytes
        self.bytes = new_bytes
        if self._cut is not None:
            if new_bytes > LARGE_BYTES:
                account.large[self] = None
            else:
                account.large.pop(self, None)

    def fraction_with(self, more_bytes: int) -> float:
        """The fraction of the limit that all requests may take together for this connection to get `more_bytes`."""
        own_bytes = self.bytes + more_bytes
        if own_bytes <= LARGE_BYTES:
            return REQUESTS_FRACTION
        return LARGE_FRACTION if own_bytes <= HUGE_BYTES or self.is_of_many else HUGE_FRACTION

    def cut(self) -> bool:
        """Cut off a client that does nothing, and give everything back. False if it does, as far as is known."""
        if self._cut is None or not self._cut():
            return False
        self.release()
        return True

    def release(self) -> None:
        """Give everything back."""
        self.set(0)


def _busy() -> Unavailable:
    return Unavailable("busy", "the memory for requests is in use", hint="send fewer or smaller ones at once")
