"""What a user may do, as values: grants, which are texts in the log and in the state, and what they come to together.

A grant lets its holder read, or read and change, all names of one kind that begin with a prefix: `read keys app/`,
`write queues jobs`. Whoever may change a name may also read it, because the answers to changes tell what was there.
"""

from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple

from raftdb.errors import RequestRefused
from raftdb.limits import KEY_BYTES_MAX

ADMIN_ROLE = b"admin"
"""The role that every cluster has: it may do everything. It cannot be changed or removed."""


class Domain(Enum):
    """The kinds of names that a grant may be about."""

    KEYS = b"keys"
    QUEUES = b"queues"
    LOCKS = b"locks"


class Need(NamedTuple):
    """What an operation needs: to read a name of a kind, or with `changes` to change it; with `is_prefix` all names
    that begin so."""

    domain: Domain
    name: bytes
    changes: bool
    is_prefix: bool = False

    def __str__(self) -> str:
        """In words, for errors."""
        verb, what = "write" if self.changes else "read", self.domain.value.decode("ascii")
        if not self.is_prefix:
            return f"{verb} this {what.removesuffix('s')}"
        return f"{verb} all {what} that begin so" if self.name else f"{verb} all {what}"


class Grant(NamedTuple):
    """Reading of all names of a kind that begin with a prefix, and changing them with `changes`."""

    domain: Domain
    prefix: bytes
    changes: bool

    def covers(self, need: Need) -> bool:
        """Whether the need is met."""
        return (
            need.domain is self.domain
            and (self.changes or not need.changes)
            and need.name.startswith(self.prefix)
        )

    @property
    def text(self) -> bytes:
        """The grant as it is written."""
        return b"%b %b %b" % (b"write" if self.changes else b"read", self.domain.value, self.prefix)


_VERBS = {b"read": False, b"write": True}
_DOMAINS = {domain.value: domain for domain in Domain}
GRANT_HINT = "a grant is: read or write, then keys, queues or locks, then a prefix (none: all names)"


def parse_grant(text: bytes) -> Grant:
    """Return the grant that is written so. Raises `RequestRefused`."""
    verb, _, rest = text.partition(b" ")
    domain, _, prefix = rest.partition(b" ")
    if verb not in _VERBS or domain not in _DOMAINS or len(prefix) > KEY_BYTES_MAX:
        raise RequestRefused("bad_request", "this is no grant", hint=GRANT_HINT)
    return Grant(_DOMAINS[domain], prefix, _VERBS[verb])


class Rights(NamedTuple):
    """All that a user may do."""

    is_admin: bool
    grants: tuple[Grant, ...]

    def readable(self, domain: Domain, prefix: bytes) -> list[bytes]:
        """Return the prefixes, within `prefix`, of the names that may be read, in order; none is the beginning of
        another."""
        if self.is_admin:
            return [prefix]
        found: list[bytes] = []
        for grant in sorted(grant.prefix for grant in self.grants if grant.domain is domain):
            if prefix.startswith(grant):
                return [prefix]
            if grant.startswith(prefix) and not (found and grant.startswith(found[-1])):
                found.append(grant)
        return found

    def unmet(self, needs: Iterable[Need]) -> Need | None:
        """Return the first of the needs that is not met, None if all are."""
        if self.is_admin:
            return None
        return next((need for need in needs if not any(grant.covers(need) for grant in self.grants)), None)
