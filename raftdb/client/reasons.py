"""Why each node did not serve a call, for the message of the error that ends it. No I/O."""

from collections.abc import Sequence

from raftdb.endpoint import Endpoint


class Reasons:
    """The latest reason of each node, and which node named the address of a leader. `given`: the addresses that the
    client was given."""

    def __init__(self, given: Sequence[Endpoint]) -> None:
        self._given = given
        self._reasons: dict[Endpoint, str] = {}
        self._named_by: dict[Endpoint, Endpoint] = {}

    def said(self, address: Endpoint, message: str) -> None:
        """A node has answered this."""
        self._reasons[address] = message

    def failed(self, address: Endpoint, reason: str) -> None:
        """There was no answer. For an address that was not given, it is also said which node named it."""
        named_by = self._named_by.get(address)
        if named_by is not None and address not in self._given:
            reason = f"{reason} ({named_by} says that the leader is there)"
        self._reasons[address] = reason

    def named(self, leader: Endpoint, named_by: Endpoint) -> None:
        """A node has named the address of the leader."""
        self._named_by[leader] = named_by

    def all(self) -> list[str]:
        """The reasons, each once, sorted."""
        return sorted(set(self._reasons.values()))

    def unreachable_leaders(self) -> list[str]:
        """The addresses of leaders that nodes named, that were not given to this client, and that did not serve the
        call."""
        return [
            str(address)
            for address in sorted(self._named_by)
            if address in self._reasons and address not in self._given
        ]

    def in_words(self, *, but: str = "") -> str:
        """Why each node did not serve the call, nodes with the same reason together; those with the reason `but` are
        left out."""
        nodes_by_reason: dict[str, list[str]] = {}
        for address, reason in sorted(self._reasons.items()):
            if reason != but:
                nodes_by_reason.setdefault(reason, []).append(str(address))
        return "; ".join(f"{', '.join(nodes)}: {reason}" for reason, nodes in nodes_by_reason.items())
