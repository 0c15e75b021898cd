"""The parts of one node that know who asks, put together; and its first user.

A cluster has no users at first, and serves everybody who reaches it. With a password for the user `admin` in the
settings of its nodes it serves nobody before that user exists: the first leader that finds none makes it, with the
password of its own settings. Once there are users these settings mean nothing, whatever they are changed to; but who
has lost the password, and may start a node with `admin_reset`, gets in again: who has the nodes has the data anyway.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from raftdb.access.logins import Logins
from raftdb.access.passwords import check_password, digest_password
from raftdb.access.users import Users
from raftdb.errors import RaftdbError
from raftdb.frontend import Browsers, Gate, MemberAddresses
from raftdb.machine.operations import Submission, UserOperation
from raftdb.machine.users.checking import NODE
from raftdb.machine.users.rights import ADMIN_ROLE
from raftdb.machine.users.service import Presence, PutUser
from raftdb.node.turn import Answer
from raftdb.node.view import NodeView
from raftdb.server.config import BadSetting, Settings
from raftdb.server.facts import USERS_FACT
from raftdb.server.secret_file import read_private

logger = logging.getLogger("raftdb.audit")

FIRST_USER = b"admin"
LOOK_SECONDS, LOOK_SECONDS_IDLE = 0.1, 1.0
"""How often a node looks whether there are users, if it is to make the first one, and if not."""
HINT = "a password of 8 bytes or more, alone in the file"


WriteFact = Callable[[str, bytes], Awaitable[None]]
"""Keeps a fact in the folder; see `raftdb.server.disk.NodeDisk.put_fact`."""


class Executes(Protocol):
    """Runs an operation; see `raftdb.node.driver.Driver.execute`."""

    async def __call__(self, operation: Submission, *, consistency: str = ...) -> Answer:
        """Run it."""
        ...


class Access:
    """Who asks this node. `password` is that of the first user, None without one; with `resets` it is given that
    password in any case. `had_users`: this node has seen some in an earlier life. They may be in its log only now, and
    it serves nobody before it has applied that."""

    def __init__(
        self,
        view: NodeView,
        *,
        password: bytes | None,
        resets: bool,
        had_users: bool,
        silence_s: Callable[[], float],
    ) -> None:
        self._view = view
        self._password = password
        self._resets = resets
        self._had_users = had_users
        self.users = Users(view, awaits_first=password is not None or had_users, silence_s=silence_s)
        self.logins = Logins(self.users)
        self.gate = Gate(self.users, self.logins)

    def browsers(self, settings: Settings, members: MemberAddresses) -> Browsers:
        """What judges the requests of pages of these members."""
        may_act = settings.dashboard == "write"
        return Browsers(
            members,
            token=settings.dashboard_token if may_act else None,
            with_users=lambda: may_act and not self.users.serves_everybody,
        )

    async def run(self, execute: Executes, write_fact: WriteFact) -> None:
        """Wait until there are users, and make the first one as soon as this node leads a cluster without any."""
        password = self._password
        digest = b"" if password is None else await asyncio.to_thread(digest_password, password)
        while not self._has_users():
            if digest and self._view.is_leader and self._has_users() is False:
                await self._make(digest, Presence.MISSING, execute)
            await asyncio.sleep(LOOK_SECONDS if digest else LOOK_SECONDS_IDLE)
        if not self._had_users:
            await write_fact(USERS_FACT, b"yes")
        while digest and self._resets:
            if self._view.is_leader and await self._make(digest, Presence.EITHER, execute):
                return
            await asyncio.sleep(LOOK_SECONDS)

    async def _make(self, digest: bytes, presence: Presence, execute: Executes) -> bool:
        """Have the first user with this password; returns whether it is done."""
        first = PutUser(FIRST_USER, digest, (ADMIN_ROLE,), presence)
        fields = {"user": FIRST_USER.decode()}
        try:
            await execute(first if presence is Presence.MISSING else UserOperation(NODE, 0, first))
        except RaftdbError as error:
            # Another leader may have made it, or has to. Where there are users, this is nobody's wish, and refused.
            logger.info("the first user is not made", extra={"fields": {**fields, "why": error.message}})
            return False
        if presence is Presence.MISSING:
            logger.info("the first user is made", extra={"fields": fields})
        else:
            logger.warning("admin_reset: the user has the password of the settings", extra={"fields": fields})
        return True

    def _has_users(self) -> bool | None:
        """None: that cannot be known now."""
        try:
            return self.users.revision > 0
        except RaftdbError:
            return None


def password_of(settings: Settings) -> bytes | None:
    """The password of the first user that the settings name. Blocks. Raises BadSetting, whose words never have it."""
    if settings.admin_password_file is not None:
        text = read_private(settings.admin_password_file, "the password of the user admin", hint=HINT)
    elif settings.admin_password is not None:
        text = settings.admin_password
    else:
        return None
    password = text.rstrip("\r\n").encode("utf-8", "surrogateescape")
    try:
        check_password(password)
    except RaftdbError as error:
        raise BadSetting(
            f"the password of the user admin cannot be used: {error.message}", hint=HINT
        ) from None
    return password
