"""AUTH and HELLO: whose connection it is. And ACL, as far as it means something here: users are made by `raftdb user`.

A token is known at once. A password is checked on a thread: the connection begins no other request until it has been.
"""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, cast

from raftdb.access.tokens import SECRET_PREFIX
from raftdb.errors import RaftdbError, RequestRefused, Unavailable
from raftdb.frontend.redis.client_state import ClientState
from raftdb.frontend.redis.errors import SYNTAX, CommandRefused, error_of
from raftdb.frontend.redis.rows import LOCAL, Arguments, Call, Row, only_subcommands, run_here
from raftdb.machine.reply import Told
from raftdb.machine.users.service import ReadUsers
from raftdb.wire.resp_replies import Error, encode

if TYPE_CHECKING:
    from raftdb.frontend.redis.connection import RedisConnection
    from raftdb.frontend.redis.server import RedisServer

logger = logging.getLogger("raftdb.redis")

NO_PASSWORD = (
    "ERR AUTH <password> called without any password configured for the default user. "
    "Are you sure your configuration is correct?"
)
WRONG_PASSWORD = "WRONGPASS invalid username-password pair or user is disabled."
NOBODY = "NOAUTH Authentication required."
NOT_QUEUED = "ERR Command not allowed inside a transaction"
NO_ADMINISTRATOR = "NOPERM this command is for administrators"


class LoginCall(NamedTuple):
    """A password that is to be checked. `finish` makes the reply once the connection is the user's."""

    user: bytes
    password: bytes
    finish: Callable[[], object]


class LoginReply:
    """The reply to a password that is being checked."""

    __slots__ = ("data", "task")

    def __init__(self) -> None:
        self.data: bytes | None = None
        self.task: asyncio.Task[None] | None = None

    def unblock(self, *, with_error: bool) -> None:
        """See `Blocked`: it is over soon, and there is nothing to take back."""


def check_user(server: "RedisServer", client: ClientState, row: Row) -> None:
    """Raise `CommandRefused` for a command that is not for this client, where there are users. What the others ask the
    node for it judges itself."""
    if not server.asks_for_users:
        return
    if client.queued is not None and row.name in ("auth", "hello"):
        # A transaction has one user. (Without users they are queued, as Redis does.)
        raise CommandRefused(NOT_QUEUED)
    if "no_auth" in row.flags:
        return
    try:
        rights = None if client.proof is None else server.rights_by(client.proof)
    except Unavailable as error:
        raise CommandRefused(error_of(error)) from None
    if rights is None:
        # What was shown may not be good any more.
        client.proof = None
        raise CommandRefused(NOBODY)
    if "admin" in row.flags and not rights.is_admin:
        raise CommandRefused(NO_ADMINISTRATOR)


def begin_login(server: "RedisServer", connection: "RedisConnection", call: LoginCall) -> LoginReply:
    """Check a password, and answer once that is done."""
    reply, client = LoginReply(), connection.client
    client.blocked = reply

    async def check() -> None:
        logins = client.facts.logins
        value: object = Error(NOBODY)
        try:
            if logins is not None:
                client.proof = await logins.of_password(call.user, call.password, client.host)
                value = call.finish()
        except RequestRefused:
            value = Error(WRONG_PASSWORD)
        except RaftdbError as error:
            value = error_of(error)
        except Exception:
            logger.exception("a password cannot be checked")
            value = Error("ERR the server failed on this command; its log says why")
        finally:
            client.blocked = None
            reply.data = encode(value, client.version)
            server.is_ready(connection)

    reply.task = asyncio.ensure_future(check())
    return reply


def log_in(client: ClientState, given: Arguments, finish: Callable[[], object]) -> object:
    """The reply to the words AUTH, a user or none, and a secret: that of `finish`, or a `LoginCall` for a password."""
    if len(given) > 3:
        raise CommandRefused(SYNTAX)
    logins = client.facts.logins
    if logins is None or not client.facts.asks_for_users:
        # As Redis does for a user without a password.
        if len(given) == 2:
            raise CommandRefused(NO_PASSWORD)
        if given[1] != b"default":
            raise CommandRefused(WRONG_PASSWORD)
        return finish()
    # Clients put the user `default` in front of a password alone.
    user = given[1] if len(given) == 3 and given[1] != b"default" else None
    secret = given[-1]
    if user is None or secret.startswith(SECRET_PREFIX.encode()):
        try:
            found = logins.of_token(secret, client.host)
        except RequestRefused:
            raise CommandRefused(WRONG_PASSWORD) from None
        except Unavailable as error:
            raise CommandRefused(error_of(error)) from None
        if user not in (None, found.user):
            raise CommandRefused(WRONG_PASSWORD)
    else:
        # One that was right lately is known at once there, too.
        return LoginCall(user, secret, finish)
    client.proof = found
    return finish()


def _who_am_i(client: ClientState, given: Arguments) -> object:
    return client.user or b"default"


def _names(given: Arguments) -> Call:
    return ReadUsers(), lambda told: [row[0] for row in _rows(told)]


def _list(given: Arguments) -> Call:
    return ReadUsers(), lambda told: [_line(*row) for row in _rows(told)]


def _rows(told: Told) -> list[tuple[bytes, list[bytes], list[bytes], bool]]:
    return cast(list[tuple[bytes, list[bytes], list[bytes], bool]], told.value)


def _line(user: bytes, roles: list[bytes], tokens: list[bytes], has_password: bool) -> bytes:
    """A user, in words that are like those of Redis: the grants of a role are told by `raftdb role list`."""
    password = b"has-password" if has_password else b"no-password"
    return b" ".join((b"user", user, b"on", password, *(b"role:" + role for role in roles)))


_row = partial(run_here, "server")

_LISTS = ("admin", "noscript", "loading", "stale")
_ACL: tuple[Row, ...] = (
    _row("acl|whoami", 2, LOCAL, "6.0.0", "Whose connection this is", _who_am_i),
    Row(
        name="acl|users",
        arity=2,
        flags=_LISTS,
        group="server",
        since="6.0.0",
        summary="All users",
        build=_names,
    ),
    Row(
        name="acl|list",
        arity=2,
        flags=_LISTS,
        group="server",
        since="6.0.0",
        summary="Users and roles",
        build=_list,
    ),
)
ACL = (_row("acl", -2, (), "6.0.0", "About users", only_subcommands, subcommands=_ACL),)
"""The rows of the table; those of AUTH and HELLO stand with the connection's."""
