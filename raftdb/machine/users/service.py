"""The operations on users, roles and tokens, which are for administrators, and the queries that list them.

The first user has to be an administrator, and there are no roles before it; the last administrator stays: else nobody
could let anybody in. A cluster without users serves everybody.
"""

import re
from dataclasses import dataclass
from enum import IntEnum

from raftdb.errors import Conflict, ReplyError, RequestRefused
from raftdb.limits import (
    ROLE_GRANTS_MAX,
    TIME_MS_MAX,
    USER_ROLES_MAX,
    USER_TOKENS_MAX,
    USERS_MAX,
)
from raftdb.machine.clock import read_clock
from raftdb.machine.integers import NotNegative
from raftdb.machine.keyspace import (
    ROLE_PREFIX,
    TOKEN_PREFIX,
    USER_PREFIX,
    USER_TOKEN_PREFIX,
    USERS_REVISION_KEY,
)
from raftdb.machine.layer import KeyValueView, Layer
from raftdb.machine.reply import Reply, Result
from raftdb.machine.service import EntryPlace, OperationType, Query, Service, ServiceOperation
from raftdb.machine.users import records
from raftdb.machine.users.records import Token, User
from raftdb.machine.users.rights import ADMIN_ROLE, parse_grant

PASSWORD_BYTES_MAX = 256
"""Longest digest of a password, with how it was made."""
_NAME = re.compile(rb"[A-Za-z0-9_.@+-]{1,63}")
_NAME_HINT = "1 to 63 letters, digits, dots, dashes, underscores, @ or +"


class Presence(IntEnum):
    """Whether what is stored may be there before. The numbers are in the log: never reuse one."""

    EITHER = 0
    MISSING = 1
    PRESENT = 2


@dataclass(frozen=True, slots=True)
class PutUser(ServiceOperation):
    """Store a user with these roles. Without a digest of a password (`password` is empty) the one it has stays."""

    user: bytes
    password: bytes
    roles: tuple[bytes, ...]
    presence: Presence = Presence.EITHER


def put_user(layer: Layer, operation: PutUser, entry: EntryPlace) -> Reply:
    """Store it. An unknown role, or no administrator left, is an error."""
    name, known = _checked(operation.user, "user"), records.load_user(layer, operation.user)
    _check_presence(operation.presence, known is not None, "user")
    roles = tuple(sorted(dict.fromkeys(operation.roles)))
    if len(roles) > USER_ROLES_MAX or len(operation.password) > PASSWORD_BYTES_MAX:
        raise ReplyError(f"a user has at most {USER_ROLES_MAX} roles")
    for role in roles:
        if role != ADMIN_ROLE and records.load_role(layer, role) is None:
            raise ReplyError(f"there is no role {_shown(role)}", code="not_found")
    if known is None and len(records.users_in(layer)) >= USERS_MAX:
        raise ReplyError(f"there are {USERS_MAX} users already")
    _keep_an_admin(layer, name, is_admin=ADMIN_ROLE in roles)
    password = operation.password or (b"" if known is None else known.password)
    records.store_user(layer, name, User(password, roles))
    records.note_users_changed(layer, entry.index)
    return Result(True, entry.index)


@dataclass(frozen=True, slots=True)
class RemoveUser(ServiceOperation):
    """Remove a user with all tokens."""

    user: bytes


def remove_user(layer: Layer, operation: RemoveUser, entry: EntryPlace) -> Reply:
    """Remove it. The last administrator stays."""
    name = _checked(operation.user, "user")
    if records.load_user(layer, name) is None:
        return Result(False, None)
    _keep_an_admin(layer, name, is_admin=False)
    for label in records.tokens_of(layer, name):
        records.remove_token(layer, name, label)
    layer.delete(USER_PREFIX + name)
    records.note_users_changed(layer, entry.index)
    return Result(True, entry.index)


@dataclass(frozen=True, slots=True)
class PutRole(ServiceOperation):
    """Store a role with these grants, in the place of those that it had."""

    role: bytes
    grants: tuple[bytes, ...]
    presence: Presence = Presence.EITHER


def put_role(layer: Layer, operation: PutRole, entry: EntryPlace) -> Reply:
    """Store it."""
    name = _checked(operation.role, "role")
    if name == ADMIN_ROLE:
        raise ReplyError("the role admin cannot be changed")
    if not records.users_revision(layer):
        raise ReplyError("there are no users yet", hint="add a user with the role admin first")
    known = records.load_role(layer, name)
    _check_presence(operation.presence, known is not None, "role")
    if len(operation.grants) > ROLE_GRANTS_MAX:
        raise ReplyError(f"a role has at most {ROLE_GRANTS_MAX} grants")
    if known is None and len(records.roles_in(layer)) >= USERS_MAX:
        raise ReplyError(f"there are {USERS_MAX} roles already")
    try:
        grants = tuple(map(parse_grant, sorted(dict.fromkeys(operation.grants))))
    except RequestRefused as error:
        raise ReplyError(error.message, hint=error.hint) from error
    records.store_role(layer, name, grants)
    records.note_users_changed(layer, entry.index)
    return Result(True, entry.index)


@dataclass(frozen=True, slots=True)
class RemoveRole(ServiceOperation):
    """Remove a role that no user has."""

    role: bytes


def remove_role(layer: Layer, operation: RemoveRole, entry: EntryPlace) -> Reply:
    """Remove it."""
    name = _checked(operation.role, "role")
    if name == ADMIN_ROLE:
        raise ReplyError("the role admin cannot be removed")
    if records.load_role(layer, name) is None:
        return Result(False, None)
    holder = next((user for user, record in records.users_in(layer) if name in record.roles), None)
    if holder is not None:
        raise Conflict(f"the user {_shown(holder)} has this role", hint="take it from all users first")
    layer.delete(ROLE_PREFIX + name)
    records.note_users_changed(layer, entry.index)
    return Result(True, entry.index)


@dataclass(frozen=True, slots=True)
class PutToken(ServiceOperation):
    """Store a token of a user: the digest of its secret, its label, and in how many milliseconds it ends (0: never)."""

    user: bytes
    label: bytes
    digest: bytes
    ttl_ms: NotNegative


def put_token(layer: Layer, operation: PutToken, entry: EntryPlace) -> Reply:
    """Store it. A label names one token of a user. Those of the user that have ended make room."""
    user, label = _checked(operation.user, "user"), _checked(operation.label, "token")
    if records.load_user(layer, user) is None:
        raise ReplyError(f"there is no user {_shown(user)}", code="not_found")
    if len(operation.digest) != records.DIGEST_BYTES:
        raise ReplyError("a token is stored by a digest of its secret")
    now_ms = read_clock(layer)
    tokens = records.tokens_in(layer, user)
    ended = [one for one in tokens if 0 < one.ends_ms <= now_ms]
    if any(one.label == label and one not in ended for one in tokens):
        raise Conflict("the user has a token of this name", hint="revoke it, or choose another name")
    if len(tokens) - len(ended) >= USER_TOKENS_MAX:
        raise ReplyError(f"a user has at most {USER_TOKENS_MAX} tokens")
    for one in ended:
        records.remove_token(layer, user, one.label)
    ends_ms = min(now_ms + operation.ttl_ms, TIME_MS_MAX) if operation.ttl_ms else 0
    records.store_token(layer, operation.digest, Token(user, label, now_ms, ends_ms))
    records.note_users_changed(layer, entry.index)
    return Result(ends_ms, entry.index)


@dataclass(frozen=True, slots=True)
class RemoveToken(ServiceOperation):
    """Remove a token of a user."""

    user: bytes
    label: bytes


def remove_token(layer: Layer, operation: RemoveToken, entry: EntryPlace) -> Reply:
    """Remove it; it need not be there."""
    if not records.remove_token(layer, _checked(operation.user, "user"), _checked(operation.label, "token")):
        return Result(False, None)
    records.note_users_changed(layer, entry.index)
    return Result(True, entry.index)


@dataclass(frozen=True, slots=True)
class ReadUsers(Query):
    """List all users."""


def read_users(view: KeyValueView, query: ReadUsers) -> Result:
    """Answer name, roles and labels of tokens of each user, in order, and whether a password fits any."""
    rows = [
        (name, user.roles, records.tokens_of(view, name), bool(user.password))
        for name, user in records.users_in(view)
    ]
    return Result(rows, None)


@dataclass(frozen=True, slots=True)
class ReadRoles(Query):
    """List all roles but the one of administrators."""


def read_roles(view: KeyValueView, query: ReadRoles) -> Result:
    """Answer name and grants of each role, in order."""
    return Result([(name, [grant.text for grant in grants]) for name, grants in records.roles_in(view)], None)


@dataclass(frozen=True, slots=True)
class ReadTokens(Query):
    """List the tokens of a user."""

    owner: bytes


def read_tokens(view: KeyValueView, query: ReadTokens) -> Result:
    """Answer the tokens of the user in the order of their labels, without their secrets."""
    return Result(records.tokens_in(view, query.owner), None)


def _checked(name: bytes, what: str) -> bytes:
    if _NAME.fullmatch(name) is None:
        raise ReplyError(f"this is no name of a {what}", hint=_NAME_HINT)
    return name


def _shown(name: bytes) -> str:
    return name.decode("ascii", "backslashreplace")


def _check_presence(wanted: Presence, is_there: bool, what: str) -> None:
    if wanted is Presence.MISSING and is_there:
        raise Conflict(f"there is such a {what} already")
    if wanted is Presence.PRESENT and not is_there:
        raise ReplyError(f"there is no such {what}", code="not_found")


def _keep_an_admin(layer: Layer, changed: bytes, *, is_admin: bool) -> None:
    """Raise unless somebody is an administrator when the user `changed` is one or not."""
    others = (user for name, user in records.users_in(layer) if name != changed)
    if not is_admin and not any(ADMIN_ROLE in user.roles for user in others):
        raise Conflict("at least one user has to be an administrator", hint="give the role admin to a user")


USERS = Service(
    heading="users",
    prefixes=USER_PREFIX + ROLE_PREFIX + TOKEN_PREFIX + USERS_REVISION_KEY + USER_TOKEN_PREFIX,
    operations=(
        OperationType(type=PutUser, number=82, run=put_user),
        OperationType(type=RemoveUser, number=83, run=remove_user),
        OperationType(type=PutRole, number=84, run=put_role),
        OperationType(type=RemoveRole, number=85, run=remove_role),
        OperationType(type=PutToken, number=86, run=put_token),
        OperationType(type=RemoveToken, number=87, run=remove_token),
    ),
    queries={ReadUsers: read_users, ReadRoles: read_roles, ReadTokens: read_tokens},
)
