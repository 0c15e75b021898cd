"""A view of the state on a dictionary: the contract of the state store, without a store."""


class DictionaryView:
    """Holds `pairs`."""

    def __init__(self, pairs: dict[bytes, bytes] | None = None) -> None:
        self.pairs = pairs or {}

    def get(self, key: bytes, /) -> bytes | None:
        return self.pairs.get(key)

    def head(self, key: bytes, length: int, /) -> bytes | None:
        value = self.pairs.get(key)
        return None if value is None else value[:length]

    def scan(
        self, first: bytes, end: bytes | None, *, limit: int, length: int | None = None
    ) -> list[tuple[bytes, bytes]]:
        found = sorted((key, value[:length]) for key, value in self.pairs.items() if first <= key)
        return [pair for pair in found if end is None or pair[0] < end][:limit]
