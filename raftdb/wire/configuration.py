"""The configuration of a cluster as it stands in the log, in CBOR:
`[version, [[id, http, redis, voter, joining, uuid, start], ...], [removed id, ...], birth]`,
a start being `[number, nonce]`, and `redis` the addresses of plain and of cluster clients.

Members and removed ids are sorted by id, as in `Configuration`, so that one configuration has one encoding.
"""

from typing import Any

from raftdb.core.membership import MEMBERS_MAX, Configuration, Form
from raftdb.core.model import Member
from raftdb.errors import LocalProtocolError, RemoteProtocolError
from raftdb.wire import cbor
from raftdb.wire.fields import (
    Check,
    check_fields,
    check_list,
    endpoint_of,
    is_address,
    is_flag,
    is_node_id,
    is_nonce_or_none,
    is_redis_addresses,
    is_start_or_none,
    is_uuid_or_none,
    redis_addresses_form,
    redis_addresses_of,
    start_of,
)

VERSION = 5
"""Version of the form of a configuration."""

CONFIGURATION_BYTES_MAX = 60 * 1024
"""Longest encoded configuration, which has to fit into the header of a snapshot: `MEMBERS_MAX` members with the longest
addresses do, and thousands of removed ids of common length beside usual members. Then no more can be removed."""

_NAMES = ("id", "http", "redis", "voter", "joining", "uuid", "start")
_CHECKS: tuple[Check, ...] = (
    *(is_node_id, is_address, is_redis_addresses),
    *(is_flag, is_flag, is_uuid_or_none, is_start_or_none),
)


def encode_configuration(configuration: Configuration) -> bytes:
    """Return the bytes that go into the log for `configuration`. Raises `LocalProtocolError` if `decode` would refuse
    them. The length is not checked: the maker of a new configuration compares it with `CONFIGURATION_BYTES_MAX`."""
    rows: list[object] = [
        [
            *(member.id, str(member.http), redis_addresses_form(member.redis)),
            *(member.voter, member.joining, member.uuid, member.start and list(member.start)),
        ]
        for member in configuration.members
    ]
    removed: list[object] = list(configuration.removed)
    try:
        _check(rows, removed, configuration.birth)
    except RemoteProtocolError as error:
        raise LocalProtocolError(f"a configuration cannot be encoded: {error.message}") from error
    return cbor.encode([VERSION, rows, removed, configuration.birth])


def decode_configuration(data: bytes) -> Configuration:
    """Return the configuration that `data` holds, or raise `RemoteProtocolError`."""
    parts = cbor.decode(data, bytes_max=CONFIGURATION_BYTES_MAX, items_max=CONFIGURATION_BYTES_MAX)
    if type(parts) is not list or not parts or type(parts[0]) is not int:
        raise RemoteProtocolError("a configuration is not an array that starts with its version")
    if parts[0] != VERSION:
        raise RemoteProtocolError(
            f"a configuration has version {parts[0]}: this node knows version {VERSION}"
        )
    if len(parts) != 4:
        raise RemoteProtocolError("a configuration is not its version, members, removed ids and birth")
    return _check(*parts[1:])


def _check(rows: object, removed: object, birth: object) -> Configuration:
    members = []
    for row in check_list("a configuration", rows, count_max=MEMBERS_MAX):
        fields = check_list("a member", row, count_max=len(_NAMES))
        check_fields("a member", _NAMES, _CHECKS, fields)
        facts: dict[str, Any] = dict(zip(_NAMES, fields, strict=True))
        read = {"http": endpoint_of, "redis": redis_addresses_of, "start": start_of}
        members.append(Member(**facts | {name: form(facts[name]) for name, form in read.items()}))
        if members[-1].voter and members[-1].joining:
            raise RemoteProtocolError(f"a configuration has {members[-1].id!r} vote and join at once")
    ids = check_list("removed ids", removed, count_max=CONFIGURATION_BYTES_MAX)
    if not all(map(is_node_id, ids)):
        raise RemoteProtocolError("a removed id is none")
    if not is_nonce_or_none(birth):
        raise RemoteProtocolError("a birth is none")
    try:
        return Configuration(tuple(members), tuple(map(str, ids)), None if birth is None else str(birth))
    except ValueError as error:
        raise RemoteProtocolError(f"a configuration does not hold together: {error}") from None


FORM = Form(encode_configuration, decode_configuration, CONFIGURATION_BYTES_MAX)
"""This form, as the core is given it."""
