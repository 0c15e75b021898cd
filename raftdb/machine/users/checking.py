"""Whether a user may do what an operation asks for: judged where it is admitted, and again where it takes effect.

The first judgement is of the node that was asked, by the users as it has them; they may have changed in the meantime.
So an operation bears the revision of the users by which it was admitted. If it is that of the state where it takes
effect nothing has changed, and nothing is judged twice; else it is judged anew, by that state, on every replica alike.
What comes on nobody's behalf takes no effect where there are users: a node that does not know yet that there are some
may have admitted it.
"""

from typing import NamedTuple, TypeVar, cast

from raftdb.errors import Deadlock, ReplyError
from raftdb.machine.layer import KeyValueView
from raftdb.machine.locks.holding import LeaveLine
from raftdb.machine.operations import Expire, UserOperation
from raftdb.machine.reply import Repetition, Reply
from raftdb.machine.service import Query, ServiceOperation
from raftdb.machine.session_records import SessionOwner
from raftdb.machine.sessions import CloseSession, KeepSession, RegisterSession
from raftdb.machine.users.narrowing import lists_some
from raftdb.machine.users.needs import needs
from raftdb.machine.users.records import rights_of, users_revision
from raftdb.machine.users.rights import Domain, Need, Rights
from raftdb.machine.users.service import PutToken, PutUser, ReadRoles, ReadTokens, ReadUsers, RemoveToken

_NEEDS_NOTHING = (RegisterSession, CloseSession, KeepSession)
"""What every user may do, the first one if it may write anything: a session is a secret of who began it, and gives no
right."""
NODE = b""
"""On whose behalf a node itself reads, to count what there is, and gives the administrator the password of its
settings. No user can have this name."""
_OF_NODES = (Query, PutUser)
_OF_ADMINISTRATORS = (ServiceOperation, ReadUsers, ReadRoles, ReadTokens)
"""What is for administrators alone, whatever their grants."""


class Authority(NamedTuple):
    """On whose behalf something is done, and the revision of the users by which it was admitted."""

    user: bytes
    revision: int


Asked = TypeVar("Asked")


def authorized(view: KeyValueView, operation: Asked | UserOperation) -> Asked:
    """Return what is asked for, alone. Raises `ReplyError`: `forbidden` unless the user may do it, or could when it was
    admitted, and no user has changed since; `unauthenticated` for what is on nobody's behalf where there are users."""
    revision = users_revision(view)
    if isinstance(operation, UserOperation):
        asked = cast(Asked, operation.operation)
        is_of_node = operation.user == NODE and isinstance(asked, _OF_NODES)
        if revision != operation.revision and not is_of_node:
            judge(rights_of(view, operation.user), operation.user, asked)
        return asked
    if revision and not _is_of_the_cluster(operation):
        raise ReplyError(
            "nobody is served here without being a user",
            hint="send a token, or a user with a password",
            code="unauthenticated",
        )
    return operation


def _is_of_the_cluster(operation: object) -> bool:
    """Whether nodes themselves ask for it, and no client can: a leader ends what is due, and gives up the places in
    lines of those that wait no more."""
    if isinstance(operation, RegisterSession):
        return operation.owner is SessionOwner.NODE
    return isinstance(operation, Expire | LeaveLine)


def judge(rights: Rights | None, user: bytes, operation: object) -> None:
    """Raise `ReplyError` (`forbidden`) unless a user with these rights (None: there is no such user) may do it. The
    error says nothing about what is there."""
    if rights is None:
        raise _forbidden(user, "does not exist any more")
    if rights.is_admin or _is_own(operation, user):
        return
    if isinstance(operation, RegisterSession) and not any(grant.changes for grant in rights.grants):
        # Sessions make room for each other: who may write nothing has no use for one.
        raise _forbidden(user, "may not write anything, and gets no session")
    if isinstance(operation, _NEEDS_NOTHING):
        return
    if isinstance(operation, _OF_ADMINISTRATORS):
        raise _forbidden(user, "may not manage users")
    unmet = rights.unmet(needs(operation))
    if unmet is not None and not lists_some(rights, operation):
        raise _forbidden(user, f"may not {unmet}")


def _is_own(operation: object, user: bytes) -> bool:
    """Whether it is about tokens of the user itself: who has proved to be that user may log in in more places, and out
    again."""
    if isinstance(operation, ReadTokens):
        return operation.owner == user
    return isinstance(operation, PutToken | RemoveToken) and operation.user == user


def told(view: KeyValueView, user: bytes, reply: Reply) -> Reply:
    """Return a reply without what its user may not read: the circle of a deadlock may go through locks of others."""
    found = reply.reply if isinstance(reply, Repetition) else reply
    if not isinstance(found, Deadlock):
        return reply
    rights = rights_of(view, user)
    needed = (Need(Domain.LOCKS, lock, changes=False) for _, lock in found.cycle)
    if rights is not None and rights.unmet(needed) is None:
        return reply
    hidden = Deadlock(
        "this would wait for ever: it would close a circle through locks that you may not read",
        cycle=(),
        hint=found.hint,
    )
    return reply._replace(reply=hidden) if isinstance(reply, Repetition) else hidden


def _forbidden(user: bytes, why: str) -> ReplyError:
    name = user.decode("ascii", "backslashreplace")
    return ReplyError(f"the user {name} {why}", hint="an administrator gives rights", code="forbidden")
