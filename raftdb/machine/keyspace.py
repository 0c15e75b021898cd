"""How the services share one ordered key space, and how a value is stored.

A key is a one-byte prefix that names the service, then the service's own key; prefixes keep services apart
and the order within each. They are given out here, once and for ever:

    A  queue group id       a message of a group (`machine.queues.members`)
    B  queue group          the head of a group
    C  queue unique         the first of the messages that wait under a UNIQUE id
    D  queue dedup          a DEDUP id that was seen
    E                       the last number that was given to a queue (`machine.queues.records`)
    F  queue unique id      a message that waits under a UNIQUE id (`machine.queues.members`)
    G  time what            index of what queues have to do at a time
    H                       how far the index G was swept
    I  binding kind ...     what is bound to a session (`machine.locks`)
    J  lock number          a place whose owner has places in other lines, too (`machine.locks.records`)
    K                       how far the index i was swept
    L  time binding         sessions that have ended while something was bound to them (`machine.sessions`)
    M  owner                the places of an owner, in all lines
    N                       how far the index L was swept
    O  owner lock           the place of an owner in the line of a lock
    P  slot                 the highest revision of removed values of some keys (`machine.removals`)
    Q  generation key       the session to which a value is bound (`machine.bound_keys`)
    R  session generation key  a value that is bound to a session
    S  session generation   how many these are
    T  time session         index of the sessions with a time to live, by the time they end if they are not used
    U                       how far that was swept (`machine.deadlines`)
    V  user                 a user: the digest of the password, and the roles (`machine.users.records`)
    W  role                 a role: what it may do
    X  digest               a token, by the digest of its secret
    Y                       the last change of users, roles and tokens
    Z  user label           the digest of a token of a user
    a  name                 a range of keys that are gone, and are being removed (`machine.sweeping`)
    b                       the generation of the values, and the last revision before it (`machine.values`)
    c  configuration        the members, `pack_configuration`
    d  name                 a queue: its settings, its counts, where its lines begin (`machine.queues.records`)
    e  queue id             the value of a message
    f  queue id             a message, without its value
    g  queue place          the messages that may be handed out, in their order (`machine.queues.line`)
    h  queue time id        the messages by the time at which something happens to them
    i  time what            index of what ends of locks
    j  lock number          a place in the line of a lock
    k  lock token           a hold of a lock
    l  name                 a lock (`machine.locks.records`)
    m                       number of sessions of clients (`machine.sessions`)
    n                       number of values, and the last revision of a new one (`machine.values`)
    o  owner lock           the hold of an owner on a lock
    p                       number of sessions of nodes (`machine.sessions`)
    q                       how far the index of sessions of nodes was swept (`machine.deadlines`)
    r  session sequence     a reply that a session's client may ask for again (`machine.replies`)
    s  session              a session
    t                       the cluster clock, in milliseconds
    u v                     how far the indexes x and y were swept (`machine.deadlines`)
    w  time session         index of the sessions of nodes, by the time they end if they are not used
    x  time generation key  index of the values that expire
    y  time session         index of the sessions of clients, by the time they end if they are not used
    z  generation key       a value of the key-value service: header (kind, revision, expiry) and data

The service that holds the most comes last. Keys are often written in ascending order, and a tree that grows at its very
end has full pages; with a single record after that place they are left half full, and the state is twice as large.

Single numbers have 8 bytes, big-endian. The kind of a value lets other services keep other things under the same names:
a command that expects a string and finds another kind fails with `wrong_type`, as in Redis.
"""

from struct import Struct
from typing import NamedTuple

from raftdb.errors import Fatal

KEY_VALUE_PREFIX = b"z"
"""Keys of the key-value service."""

REMOVALS_PREFIX = b"P"
KEY_SESSION_PREFIX = b"Q"
BOUND_KEY_PREFIX = b"R"
BOUND_KEY_COUNT_PREFIX = b"S"
LEASED_PREFIX = b"T"
LEASED_SWEPT_KEY = b"U"
USER_PREFIX = b"V"
ROLE_PREFIX = b"W"
TOKEN_PREFIX = b"X"
USERS_REVISION_KEY = b"Y"
USER_TOKEN_PREFIX = b"Z"
ABANDONED_PREFIX = b"a"
GENERATION_KEY = b"b"
CONFIGURATION_KEY = b"c"
"""The one key of the configuration in force at the applied index: `pack_configuration` of it."""

SESSION_COUNT_KEY = b"m"
USER_SESSION_COUNT_PREFIX = b"0"
VALUE_COUNT_KEY = b"n"
NODE_SESSION_COUNT_KEY = b"p"
NODE_IDLE_SWEPT_KEY = b"q"
REPLY_PREFIX = b"r"
SESSION_PREFIX = b"s"
CLOCK_KEY = b"t"
EXPIRY_SWEPT_KEY = b"u"
IDLE_SWEPT_KEY = b"v"
NODE_IDLE_PREFIX = b"w"
EXPIRY_PREFIX = b"x"
IDLE_PREFIX = b"y"

GROUP_MEMBER_PREFIX = b"A"
GROUP_HEAD_PREFIX = b"B"
UNIQUE_FIRST_PREFIX = b"C"
DEDUP_PREFIX = b"D"
QUEUE_NUMBER_KEY = b"E"
UNIQUE_MEMBER_PREFIX = b"F"
QUEUE_END_PREFIX = b"G"
QUEUE_SWEPT_KEY = b"H"
QUEUE_PREFIX = b"d"
BODY_PREFIX = b"e"
MESSAGE_PREFIX = b"f"
LINE_PREFIX = b"g"
EVENT_PREFIX = b"h"
BOUND_PREFIX = b"I"
TANGLED_PREFIX = b"J"
LOCK_SWEPT_KEY = b"K"
ENDED_PREFIX = b"L"
WAITER_PREFIX = b"M"
ENDED_SWEPT_KEY = b"N"
PLACE_PREFIX = b"O"
LOCK_END_PREFIX = b"i"
LOCK_LINE_PREFIX = b"j"
HOLD_PREFIX = b"k"
LOCK_PREFIX = b"l"
HELD_PREFIX = b"o"

KIND_STRING = 1
"""A value that is a byte string. Kinds are stored: never reuse one."""

KINDS = {KIND_STRING: "string"}
"""The name of each kind. All have the same header; the service that keeps the kind defines the data after it."""

NEVER_EXPIRES = 0
"""The expiry, in milliseconds of the cluster clock, of a value that has none."""

_BOUND = 0x80
"""Added to the kind of a value that is bound to a session, in its stored form."""

_HEADER = Struct(">BQq")
_pack_header = _HEADER.pack
_unpack_header = _HEADER.unpack_from

HEADER_BYTES = _HEADER.size
"""Bytes in front of the data of a stored value: kind (1), revision (8), expiry (8), all big-endian."""


_INDEX = Struct(">Q")


def pack_configuration(index: int, data: bytes) -> bytes:
    """Return the stored form of the CONFIGURATION entry at `index`: so that a checkpoint or snapshot carries the last
    *committed* configuration, and no other (hazard B35)."""
    return _INDEX.pack(index) + data


def unpack_configuration(record: bytes) -> tuple[int, bytes]:
    """Return the index and the data of the CONFIGURATION entry in `record`."""
    return _INDEX.unpack_from(record)[0], record[_INDEX.size :]


def read_number(record: bytes | None) -> int:
    """Return the number that a record of 8 bytes holds, 0 if there is no record."""
    return 0 if record is None else int.from_bytes(record)


def pack_number(number: int) -> bytes:
    """Return the record of a number from 0 to below 2^64."""
    return number.to_bytes(8)


class StoredValue(NamedTuple):
    """A value as it is stored: `revision` is the index of the entry that last changed it (from 1)."""

    kind: int
    revision: int
    expires_ms: int
    data: bytes


def encode_string(
    data: bytes, *, revision: int, expires_ms: int = NEVER_EXPIRES, is_bound: bool = False
) -> bytes:
    """Return the stored form of the byte string `data`, which is bound to a session or not."""
    return _pack_header(KIND_STRING | _BOUND if is_bound else KIND_STRING, revision, expires_ms) + data


def encode_again(record: bytes, *, revision: int, expires_ms: int, is_bound: bool) -> bytes:
    """Return the stored form of a value, of whatever kind, with another revision and expiry, bound to a session or
    not."""
    kind = record[0] & ~_BOUND
    return _pack_header(kind | _BOUND if is_bound else kind, revision, expires_ms) + record[HEADER_BYTES:]


def is_bound(record: bytes) -> bool:
    """Return whether the stored value, whole or its head, is bound to a session."""
    return record[0] >= _BOUND


def decode_value(record: bytes) -> StoredValue:
    """Return the parts of a stored value, or raise `Fatal` if no version known to this node has written it."""
    return StoredValue(*decode_header(record), record[HEADER_BYTES:])


def decode_header(record: bytes) -> tuple[int, int, int]:
    """Return (kind, revision, expiry) of a stored value or its head, or raise `Fatal` as `decode_value` does."""
    if len(record) < HEADER_BYTES or record[0] & ~_BOUND not in KINDS:
        raise Fatal(
            "a stored value has a form that this node does not know",
            hint="if a newer raftdb wrote this data folder, start that one; otherwise run: raftdb doctor DIR",
        )
    header: tuple[int, int, int] = _unpack_header(record)
    return header if header[0] < _BOUND else (header[0] & ~_BOUND, *header[1:])
