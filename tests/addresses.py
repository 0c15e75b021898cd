"""Addresses of tests, written as people write them."""

from raftdb.endpoint import Endpoint


def at(text: str) -> Endpoint:
    """The address `HOST:PORT`, or port 1 of `HOST`. Nothing is checked: some tests need what cannot be."""
    host, colon, port = text.rpartition(":")
    return Endpoint(host.strip("[]"), int(port)) if colon else Endpoint(port, 1)
