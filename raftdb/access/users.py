"""The users as this node's state has them now, and whether one of them may do what is asked for."""

import logging
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from raftdb.errors import ReplyError, RequestRefused, Unavailable
from raftdb.machine.clock import read_clock
from raftdb.machine.layer import KeyValueView
from raftdb.machine.operations import GuardedOperation, SessionOperation, Submission, UserOperation
from raftdb.machine.services import COMMANDS
from raftdb.machine.users.checking import judge
from raftdb.machine.users.records import load_token, load_user, rights_of, users_revision
from raftdb.machine.users.rights import Domain, Need, Rights

audit = logging.getLogger("raftdb.audit")

RIGHTS_KEPT_MAX = 10_000
TOKENS_KEPT_MAX = 10_000
SILENCE_S_MAX = 10.0
"""For how long a node without a leader answers reads that may be stale, where there are users."""


class StateHere(Protocol):
    """The state of this node; see `raftdb.node.view.NodeView`."""

    @property
    def readable_state(self) -> KeyValueView | None:
        """The key space; None while a snapshot is put in place."""
        ...

    @property
    def applied_index(self) -> int:
        """The last entry in it."""
        ...

    @property
    def latest_time_ms(self) -> int:
        """The time of the cluster as far as this node knows it: it goes on while nothing is written."""
        ...


class Proof(NamedTuple):
    """By what somebody has shown to be a user: a token with the digest `token`, or a password that fits `password`."""

    user: bytes
    token: bytes | None
    password: bytes | None


class Users:
    """The users of one node. `awaits_first`: nobody is served before there is a user. `silence_s`: for how long this
    node has heard no leader."""

    def __init__(self, here: StateHere, *, awaits_first: bool, silence_s: Callable[[], float]) -> None:
        self._here = here
        self._awaits_first = awaits_first
        self._silence_s = silence_s
        self._seen_index = -1
        self._revision = 0
        self._rights: dict[bytes, Rights | None] = {}
        self._passwords: dict[bytes, bytes | None] = {}
        self._tokens: dict[bytes, tuple[bytes, int]] = {}
        """User and end of each token that was used lately, by its digest."""

    @property
    def revision(self) -> int:
        """The index of their last change here, 0 if there are none. Raises Unavailable."""
        if self._here.applied_index != self._seen_index:
            self._look()
        return self._revision

    @property
    def serves_everybody(self) -> bool:
        """Whether nobody has to be a user. Raises Unavailable."""
        return self.revision == 0 and not self._awaits_first

    def admitted(self, operation: Any, user: bytes | None, *, stale: bool = False) -> Submission:
        """Return what the node is to be asked for on behalf of a user. Raises `RequestRefused` (`unauthenticated`),
        Unavailable, or `ReplyError` (`forbidden`)."""
        if self.serves_everybody:
            return operation  # type: ignore[no-any-return]
        user = self.required(user)
        try:
            judge(self.rights(user), user, operation)
        except ReplyError:
            fields = {"by": user.decode("ascii", "replace"), "what": _name_of(operation)}
            audit.warning("refused", extra={"fields": fields})
            raise
        if stale and self._silence_s() > SILENCE_S_MAX:
            raise Unavailable(
                "no_leader",
                "this node has heard no leader for long, and may not know who is a user",
                hint="ask another node",
            )
        return UserOperation(user, self._revision, operation)

    def required(self, user: bytes | None) -> bytes:
        """Return the user. Raises `RequestRefused` (`unauthenticated`) if there is none; or Unavailable."""
        self.check_first()
        if user is None:
            raise RequestRefused(
                "unauthenticated",
                "nobody is served here without being a user",
                hint="send a token, or a user with a password",
            )
        return user

    def check_first(self) -> None:
        """Raise Unavailable (`busy`) while this node knows of no user, and is to serve nobody before."""
        if not self.revision and self._awaits_first:
            raise Unavailable("busy", "this node knows of no user yet", hint="try again in a moment")

    def is_admin(self, user: bytes) -> bool:
        """Return whether a user is an administrator. Raises Unavailable."""
        rights = self.rights(user)
        return rights is not None and rights.is_admin

    def check_admin(self, user: bytes | None) -> None:
        """Raise `RequestRefused` unless the user is an administrator, or nobody has to be a user."""
        if not self.serves_everybody:
            user = self.required(user)
            if not self.is_admin(user):
                raise _forbidden(user, "is no administrator")

    def check_needs(self, user: bytes | None, *needs: Need) -> None:
        """Raise `RequestRefused` unless the user may do this, or nobody has to be a user."""
        if not self.serves_everybody:
            user = self.required(user)
            rights = self.rights(user)
            if rights is None:
                raise _forbidden(user, "does not exist any more")
            unmet = rights.unmet(needs)
            if unmet is not None:
                raise _forbidden(user, f"may not {unmet}")

    def rights(self, user: bytes) -> Rights | None:
        """Return what a user may do, None if there is none of this name."""
        view = self._look()
        if user not in self._rights:
            if len(self._rights) >= RIGHTS_KEPT_MAX:
                self._rights.clear()
            self._rights[user] = rights_of(view, user)
        return self._rights[user]

    def password_of(self, user: bytes) -> bytes | None:
        """Return the digest of a user's password, None if no password fits."""
        view = self._look()
        if user not in self._passwords:
            if len(self._passwords) >= RIGHTS_KEPT_MAX:
                self._passwords.clear()
            found = load_user(view, user)
            self._passwords[user] = None if found is None or not found.password else found.password
        return self._passwords[user]

    def user_of_token(self, digest: bytes) -> bytes | None:
        """Return whose token has a secret of this digest, None if there is no such token, or none any more."""
        view = self._look()
        known = self._tokens.get(digest)
        if known is None:
            token = load_token(view, digest)
            if token is None:
                return None
            if len(self._tokens) >= TOKENS_KEPT_MAX:
                self._tokens.clear()
            known = self._tokens[digest] = (token.user, token.ends_ms)
        user, ends_ms = known
        has_ended = ends_ms and max(read_clock(view), self._here.latest_time_ms) >= ends_ms
        return None if has_ended else user

    def check_proof(self, proof: Proof) -> None:
        """Raise `RequestRefused` (`unauthenticated`) if that proves nothing any more: the token was taken back or has
        ended, the password is another one, or the user is gone. Raises Unavailable, too."""
        if proof.token is not None:
            holds = self.user_of_token(proof.token) == proof.user
        else:
            holds = proof.password is not None and self.password_of(proof.user) == proof.password
        if not holds:
            raise RequestRefused(
                "unauthenticated", "the token or password is not good any more", hint="log in again"
            )

    def _look(self) -> KeyValueView:
        """See which users there are now. Raises Unavailable."""
        view = self._here.readable_state
        if view is None:
            raise Unavailable("busy", "a snapshot is put in place", hint="try again in a moment")
        if self._here.applied_index != self._seen_index:
            self._seen_index = self._here.applied_index
            revision = users_revision(view)
            if revision != self._revision:
                self._revision = revision
                self._rights.clear()
                self._passwords.clear()
                self._tokens.clear()
        return view


EVERYTHING = tuple(Need(domain, b"", changes=False, is_prefix=True) for domain in Domain)
"""What it takes to read all there is."""


def _name_of(operation: object) -> str:
    """What is asked for, in a word: the name of the command, as people type it."""
    if isinstance(operation, SessionOperation | GuardedOperation):
        return _name_of(operation.operation)
    known = COMMANDS.get(type(operation))  # type: ignore[arg-type]
    return known.names[0].name if known is not None and known.names else type(operation).__name__


def _forbidden(user: bytes, why: str) -> RequestRefused:
    name = user.decode("ascii", "backslashreplace")
    return RequestRefused("forbidden", f"the user {name} {why}", hint="an administrator gives rights")
