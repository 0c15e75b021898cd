"""How a client uses TLS to the nodes. No I/O, and `ssl` is loaded only where TLS is used, which takes a while.

A client that was told to use TLS uses it to every node, whatever scheme the address has that another node names: nobody
may talk it out of it.
"""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from raftdb.endpoint import Endpoint
from raftdb.errors import RequestRefused

if TYPE_CHECKING:
    from ssl import SSLContext

FilePath: TypeAlias = str | os.PathLike[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """The files of a client's TLS, PEM each: `ca` has the CA of the nodes (None: those that the system trusts), `cert`
    and `key` are what the client shows to nodes that ask for it (None: nothing; a key may be in the file of `cert`)."""

    ca: FilePath | None = None
    cert: FilePath | None = None
    key: FilePath | None = None


TlsOption: TypeAlias = "Tls | SSLContext | bool | None"
"""What callers give: None for TLS to addresses with `https://` alone, by the CAs that the system trusts."""


class Encryption:
    """The TLS of one client, from what its caller has given."""

    def __init__(self, given: TlsOption = None, addresses: tuple[Endpoint, ...] = ()) -> None:
        self.given = given
        self._is_for_all = given not in (None, False) or any(address.is_tls for address in addresses)
        self._context: SSLContext | None = None

    def reached(self, address: Endpoint) -> Endpoint:
        """`address` as this client connects to it. Raises `RequestRefused`."""
        if self.given is False and address.is_tls:
            raise RequestRefused(
                "bad_request", f"{address} is reached by TLS, and this client was told not to use it"
            )
        return address.over_tls() if self._is_for_all else address

    def context(self) -> "SSLContext":
        """What TLS is done by, made once. Reads files. Raises `RequestRefused`."""
        if self._context is None:
            from raftdb.client.tls import context_of

            self._context = context_of(self.given)
        return self._context
