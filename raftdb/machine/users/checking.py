"""Whether a user may do what an operation asks for: judged where it is admitted, and again where it takes effect.

The first judgement is of the node that was asked, by the users as it has them; they may have changed in the meantime.
So an operation bears the revision of the users by which it was admitted. If it is that of the state where it takes
effect nothing has changed, and nothing is judged twice; else it is judged anew, by that state, on every replica alike.
"""

from typing import NamedTuple

from raftdb.errors import ReplyError
from raftdb.machine.layer import KeyValueView
from raftdb.machine.service import ServiceOperation
from raftdb.machine.sessions import CloseSession, KeepSession, RegisterSession
from raftdb.machine.users.needs import ADMINISTRATION, needs
from raftdb.machine.users.records import rights_of, users_revision
from raftdb.machine.users.rights import Rights
from raftdb.machine.users.service import ReadRoles, ReadTokens, ReadUsers

NEEDS_NOTHING = (RegisterSession, CloseSession, KeepSession)
"""What every user may do: a session is a secret of who began it, and gives no right."""
_LISTS = (ReadUsers, ReadRoles, ReadTokens)


class Authority(NamedTuple):
    """On whose behalf something is done, and the revision of the users by which it was admitted."""

    user: bytes
    revision: int


def check(view: KeyValueView, authority: Authority, operation: object) -> None:
    """Raise `ReplyError` (`forbidden`) unless the user may do it, or could when it was admitted, and no user has
    changed since."""
    if users_revision(view) != authority.revision:
        judge(rights_of(view, authority.user), authority.user, operation)


def judge(rights: Rights | None, user: bytes, operation: object) -> None:
    """Raise `ReplyError` (`forbidden`) unless a user with these rights (None: there is no such user) may do it. The
    error says nothing about what is there."""
    if rights is None:
        raise _forbidden(user, "does not exist any more")
    if isinstance(operation, ServiceOperation | _LISTS):
        is_for_all = isinstance(operation, NEEDS_NOTHING)
        unmet = None if is_for_all or rights.is_admin else ADMINISTRATION[0]
        what = "manage users"
    else:
        unmet = rights.unmet(needs(operation))
        what = str(unmet)
    if unmet is not None:
        raise _forbidden(user, f"may not {what}")


def _forbidden(user: bytes, why: str) -> ReplyError:
    name = user.decode("ascii", "backslashreplace")
    return ReplyError(f"the user {name} {why}", hint="an administrator gives rights", code="forbidden")
