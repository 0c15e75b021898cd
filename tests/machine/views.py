"""A view of the state on a dictionary: the contract of the state store, without a store."""


class DictionaryView:
    """Holds `pairs`."""

    def __init__(self, pairs: dict[bytes, bytes] | None = None) -> None:
        self.pairs = pairs or {}

    def get(self, key: bytes, /) -> bytes | None:
        return self.pairs.get(key)

    def scan(self, first: bytes, end: bytes | None, *, limit: int) -> list[tuple[bytes, bytes]]:
        found = sorted((key, value) for key, value in self.pairs.items() if first <= key)
        return [pair for pair in found if end is None or pair[0] < end][:limit]
