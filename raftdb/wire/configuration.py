"""The configuration of a cluster as it stands in the log: `[version, [[id, http, redis, voter], ...]]` in
CBOR.

The order of the members is kept: `decode(encode(members)) == members`.
"""

from raftdb.core.model import Member
from raftdb.errors import LocalProtocolError, RemoteProtocolError
from raftdb.wire import cbor
from raftdb.wire.fields import (
    Check,
    check_fields,
    check_list,
    is_address,
    is_address_or_none,
    is_flag,
    is_node_id,
)

VERSION = 1
"""Version of the form of a configuration."""

MEMBERS_MAX = 64
"""Most members of a cluster, learners counted."""

CONFIGURATION_BYTES_MAX = 256 * 1024
"""Longest encoded configuration: `MEMBERS_MAX` members with the longest addresses fit."""

CONFIGURATION_ITEMS_MAX = 5 * MEMBERS_MAX + 16
"""Most CBOR items of a configuration."""

_NAMES = ("id", "http", "redis", "voter")
_CHECKS: tuple[Check, ...] = (is_node_id, is_address, is_address_or_none, is_flag)


def encode_configuration(members: tuple[Member, ...]) -> bytes:
    """Return the bytes that go into the log for `members`. Raises `LocalProtocolError` if `decode` would
    refuse them."""
    rows: list[object] = [[member.id, member.http, member.redis, member.voter] for member in members]
    try:
        _check_rows(rows)
    except RemoteProtocolError as error:
        raise LocalProtocolError(f"a configuration cannot be encoded: {error.message}") from error
    return cbor.encode([VERSION, rows])


def decode_configuration(data: bytes) -> tuple[Member, ...]:
    """Return the members that `data` holds, in order, or raise `RemoteProtocolError`. No id stands twice."""
    parts = cbor.decode(data, bytes_max=CONFIGURATION_BYTES_MAX, items_max=CONFIGURATION_ITEMS_MAX)
    if type(parts) is not list or len(parts) != 2 or type(parts[0]) is not int:
        raise RemoteProtocolError("a configuration is not an array of its version and its members")
    if parts[0] != VERSION:
        raise RemoteProtocolError(
            f"a configuration has version {parts[0]}: this node knows version {VERSION}"
        )
    return _check_rows(parts[1])


def _check_rows(rows: object) -> tuple[Member, ...]:
    members: dict[str, Member] = {}
    for row in check_list("a configuration", rows, count_max=MEMBERS_MAX):
        fields = check_list("a member", row, count_max=len(_NAMES))
        check_fields("a member", _NAMES, _CHECKS, fields)
        member = Member(*fields)  # type: ignore[arg-type]  # just checked, one by one
        if member.id in members:
            raise RemoteProtocolError(f"a configuration names {member.id!r} twice")
        members[member.id] = member
    return tuple(members.values())
