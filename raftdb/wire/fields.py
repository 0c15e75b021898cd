"""Exact checks of decoded fields: type first, then range. `True` is not 1 here, and 1.0 is not 1.

Each check is a function of one decoded value that returns whether it fits; `check_fields` says which value did not fit.
"""

import re
from collections.abc import Callable, Sequence
from typing import TypeAlias

from raftdb.core.model import StartId
from raftdb.endpoint import (
    NO_REDIS,
    BadAddress,
    Endpoint,
    RedisAddresses,
    parse_reachable_endpoint,
    text_of,
)
from raftdb.errors import RemoteProtocolError

NUMBER_LIMIT = 2**63
"""Indexes, terms, rounds and sequence numbers are from 0 to below this."""

NODE_ID_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
"""The form of a node's id, checked everywhere: a member under an id that no node can have could never be reached."""

UUID_LENGTH_MAX = 64
"""Longest name of a data folder, in characters."""

NONCE_LENGTH_MAX = 64
"""Longest nonce of a start, in characters."""

DIGEST_BYTES = 32
"""Length of a SHA-256."""

TEXT_LENGTH_MAX = 1024
"""Longest free text, in characters: cluster ids, uuids, reasons."""

Check: TypeAlias = Callable[[object], bool]


def is_number(value: object) -> bool:
    """Return whether `value` is an integer from 0 to below 2^63."""
    return type(value) is int and 0 <= value < NUMBER_LIMIT


def is_flag(value: object) -> bool:
    """Return whether `value` is True or False."""
    return value is True or value is False


def is_bytes(value: object) -> bool:
    """Return whether `value` is a byte string."""
    return type(value) is bytes


def is_digest(value: object) -> bool:
    """Return whether `value` can be a SHA-256."""
    return type(value) is bytes and len(value) == DIGEST_BYTES


def is_node_id(value: object) -> bool:
    """Return whether `value` can be a node's id."""
    return type(value) is str and NODE_ID_PATTERN.fullmatch(value) is not None


def is_address(value: object) -> bool:
    """Return whether `value` is a HOST:PORT that others can be told, in its one spelling."""
    try:
        return str(parse_reachable_endpoint(value)) == value
    except BadAddress:
        return False


def is_address_or_none(value: object) -> bool:
    """Return whether `value` is an address or None."""
    return value is None or is_address(value)


def is_redis_addresses(value: object) -> bool:
    """Return whether `value` is the list of a node's two addresses for Redis clients, either of which may be None."""
    return type(value) is list and len(value) == 2 and all(map(is_address_or_none, value))


def redis_addresses_of(value: object) -> RedisAddresses:
    """Return the addresses in `value`, which `is_redis_addresses` has accepted."""
    return RedisAddresses(*map(endpoint_of, value)) if type(value) is list else NO_REDIS


def redis_addresses_form(addresses: RedisAddresses) -> list[str | None]:
    """Return the form that `redis_addresses_of` reads."""
    return [text_of(addresses.plain), text_of(addresses.cluster)]


def endpoint_of(value: object) -> Endpoint | None:
    """Return the address in `value`, which `is_address_or_none` has accepted."""
    return None if value is None else parse_reachable_endpoint(value)


def is_uuid_or_none(value: object) -> bool:
    """Return whether `value` can name a data folder, or is None."""
    return value is None or (type(value) is str and 0 < len(value) <= UUID_LENGTH_MAX and value.isprintable())


def is_nonce(value: object) -> bool:
    """Return whether `value` can be the nonce of a start."""
    return (
        type(value) is str and 0 < len(value) <= NONCE_LENGTH_MAX and value.isascii() and value.isprintable()
    )


def is_nonce_or_none(value: object) -> bool:
    """Return whether `value` can be the nonce of a start, or is None."""
    return value is None or is_nonce(value)


def is_start_or_none(value: object) -> bool:
    """Return whether `value` is the number and nonce of a start, as a list, or None."""
    return value is None or (
        type(value) is list and len(value) == 2 and is_number(value[0]) and is_nonce(value[1])
    )


def start_of(value: object) -> StartId | None:
    """Return the start in `value`, which `is_start_or_none` has accepted."""
    return StartId(*value) if type(value) is list else None


def is_text(value: object) -> bool:
    """Return whether `value` is text of bounded length."""
    return type(value) is str and len(value) <= TEXT_LENGTH_MAX


def check_fields(what: str, names: Sequence[str], checks: Sequence[Check], values: Sequence[object]) -> None:
    """Raise `RemoteProtocolError` unless there is a value for each check, and each fits. `what` and `names` explain."""
    if len(values) != len(checks):
        raise RemoteProtocolError(f"{what} has {len(values)} fields, not {len(checks)}")
    for name, check, value in zip(names, checks, values, strict=True):
        if not check(value):
            raise RemoteProtocolError(f"{what} has a bad {name}: {type(value).__name__}")


def check_list(what: str, value: object, *, count_max: int) -> list[object]:
    """Return `value` if it is a list of at most `count_max` elements, else raise `RemoteProtocolError`."""
    if type(value) is not list:
        raise RemoteProtocolError(f"{what} is not an array")
    if len(value) > count_max:
        raise RemoteProtocolError(f"{what} has {len(value)} elements: the limit is {count_max}")
    return value
