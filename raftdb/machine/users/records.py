"""How users, roles and tokens stand in the key space.

    V  user                a user: the digest of the password, and the roles
    W  role                the grants of a role
    X  digest              a token, by the SHA-256 of its secret: whose it is, its label, since when, until when
    Z  length user label   the digest of that token
    Y                      the index of the entry that changed any of this last

The records are lists of byte strings, each after its length in two bytes.

Digests of passwords are made by the node that was asked to set one: a salted hash takes time by design, and applying an
entry must not. Secrets themselves are never in an entry.
"""

from collections.abc import Iterable
from typing import NamedTuple

from raftdb.errors import Fatal
from raftdb.limits import USER_TOKENS_MAX, USERS_MAX
from raftdb.machine.keyspace import (
    ROLE_PREFIX,
    TOKEN_PREFIX,
    USER_PREFIX,
    USER_TOKEN_PREFIX,
    USERS_REVISION_KEY,
    pack_number,
    read_number,
)
from raftdb.machine.layer import KeyValueView, Layer
from raftdb.machine.scanning import behind
from raftdb.machine.users.rights import ADMIN_ROLE, Grant, Rights, parse_grant

DIGEST_BYTES = 32
"""Length of the digest of a token's secret."""


class User(NamedTuple):
    """A user. `password` is the digest of the password, with how it was made; empty: none fits."""

    password: bytes
    roles: tuple[bytes, ...]


class Token(NamedTuple):
    """A token: whose it is, how it is called, and when it was made and ends, in milliseconds of the cluster clock (0:
    never)."""

    user: bytes
    label: bytes
    made_ms: int
    ends_ms: int


def load_user(view: KeyValueView, name: bytes) -> User | None:
    """Return the user of this name."""
    record = view.get(USER_PREFIX + name)
    return None if record is None else unpack_user(record)


def unpack_user(record: bytes) -> User:
    """Return the user that a record holds."""
    password, *roles = _unpacked(record)
    return User(password, tuple(roles))


def store_user(layer: Layer, name: bytes, user: User) -> None:
    """Store a user."""
    layer.put(USER_PREFIX + name, _packed((user.password, *user.roles)))


def load_role(view: KeyValueView, name: bytes) -> tuple[Grant, ...] | None:
    """Return the grants of a role, None if there is none of this name."""
    record = view.get(ROLE_PREFIX + name)
    return None if record is None else unpack_role(record)


def unpack_role(record: bytes) -> tuple[Grant, ...]:
    """Return the grants that a record holds."""
    return tuple(map(parse_grant, _unpacked(record)))


def store_role(layer: Layer, name: bytes, grants: tuple[Grant, ...]) -> None:
    """Store a role."""
    layer.put(ROLE_PREFIX + name, _packed(grant.text for grant in grants))


def load_token(view: KeyValueView, digest: bytes) -> Token | None:
    """Return the token whose secret has this digest."""
    record = view.get(TOKEN_PREFIX + digest)
    if record is None:
        return None
    user, label, made, ends = _unpacked(record)
    return Token(user, label, read_number(made), read_number(ends))


def store_token(layer: Layer, digest: bytes, token: Token) -> None:
    """Store a token."""
    times = (pack_number(token.made_ms), pack_number(token.ends_ms))
    layer.put(TOKEN_PREFIX + digest, _packed((token.user, token.label, *times)))
    layer.put(_label_key(token.user, token.label), digest)


def remove_token(layer: Layer, user: bytes, label: bytes) -> bool:
    """Remove a token; returns whether it was there."""
    digest = layer.get(_label_key(user, label))
    if digest is None:
        return False
    layer.delete(TOKEN_PREFIX + digest)
    layer.delete(_label_key(user, label))
    return True


def tokens_of(view: KeyValueView, user: bytes) -> list[bytes]:
    """Return the labels of a user's tokens, in order."""
    front = _label_key(user, b"")
    found = view.scan(front, behind(front), limit=USER_TOKENS_MAX + 1, length=0)
    return [key[len(front) :] for key, _ in found]


def tokens_in(view: KeyValueView, user: bytes) -> list[Token]:
    """Return a user's tokens, in the order of their labels."""
    digests = (view.get(_label_key(user, label)) for label in tokens_of(view, user))
    found = (load_token(view, digest) for digest in digests if digest is not None)
    return [token for token in found if token is not None]


def users_in(view: KeyValueView) -> list[tuple[bytes, User]]:
    """Return all users by their names, in order."""
    return [(name, unpack_user(record)) for name, record in _all(view, USER_PREFIX)]


def roles_in(view: KeyValueView) -> list[tuple[bytes, tuple[Grant, ...]]]:
    """Return all roles but `ADMIN_ROLE` by their names, in order."""
    return [(name, unpack_role(record)) for name, record in _all(view, ROLE_PREFIX)]


def users_revision(view: KeyValueView) -> int:
    """Return the index of the last change of users, roles and tokens, 0 if there are none: from the first user on there
    always is one, and nobody else is served."""
    if not isinstance(view, Layer):
        return read_number(view.get(USERS_REVISION_KEY))
    revision = view.users_revision
    if revision is None:
        revision = view.users_revision = read_number(view.peek(USERS_REVISION_KEY))
    return revision


def note_users_changed(layer: Layer, index: int) -> None:
    """Note that an entry has changed them."""
    layer.put(USERS_REVISION_KEY, pack_number(index))
    layer.users_revision = index


def rights_of(view: KeyValueView, name: bytes) -> Rights | None:
    """Return what a user may do, None if there is no such user."""
    user = load_user(view, name)
    if user is None:
        return None
    if ADMIN_ROLE in user.roles:
        return Rights(True, ())
    return Rights(False, tuple(grant for role in user.roles for grant in load_role(view, role) or ()))


def _label_key(user: bytes, label: bytes) -> bytes:
    return USER_TOKEN_PREFIX + bytes((len(user),)) + user + label


def _all(view: KeyValueView, prefix: bytes) -> list[tuple[bytes, bytes]]:
    return [(key[1:], record) for key, record in view.scan(prefix, behind(prefix), limit=USERS_MAX)]


def _packed(parts: Iterable[bytes]) -> bytes:
    return b"".join(len(part).to_bytes(2, "big") + part for part in parts)


def _unpacked(record: bytes) -> list[bytes]:
    parts, begin = list[bytes](), 0
    while begin < len(record):
        end = begin + 2 + int.from_bytes(record[begin : begin + 2], "big")
        if end > len(record):
            raise Fatal("the state has a broken record of a user", hint="run: raftdb doctor DIR")
        parts.append(record[begin + 2 : end])
        begin = end
    return parts
