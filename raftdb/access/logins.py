"""Finding the user of a password or a token, at a bounded cost.

A token costs a digest and a look-up. A password costs 40 ms of a processor (`raftdb.access.passwords`): they are
checked one at a time, on a thread, and few wait for that; others are told that the node is busy. One that was right is
remembered for a while, for the address that it came from, by a digest under a key that only this process has. An
address from which wrong ones came is refused without a check, for longer each time, and none has more than a part of
the line: nobody can try many, nor keep the thread from others. What is refused says the same for a wrong password and
an unknown user, and takes as long.

All wrong ones together have a budget: when it is spent, by a flood from however many addresses, nearly all of it is
refused without a check, and takes a hundredth of a processor. Addresses from which a right one came lately are checked
all the same.
"""

import asyncio
import hashlib
import logging
import secrets
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from math import inf

from raftdb.access.passwords import NOBODY, PASSWORD_BYTES_MAX, digest_password, fits
from raftdb.access.tokens import SECRET_TEXT_BYTES_MAX, digest_secret
from raftdb.access.users import Proof, Users
from raftdb.errors import RequestRefused, Unavailable

logger = logging.getLogger("raftdb.audit")

LINE_MAX = 16
"""Passwords that wait to be checked; beyond them a node says `busy`."""
LINE_OF_ADDRESS_MAX = 4
"""So many of them from one address."""
WRONG_BUDGET = float(LINE_MAX)
WRONG_BUDGET_PER_S = 0.25
"""So many wrong passwords are checked at once, whatever addresses they came from, and so many for ever."""
WELCOME_S = 24 * 3600.0
"""How long an address from which a right one came is checked beyond that."""
REMEMBERED_S = 300.0
REMEMBERED_MAX = 10_000
"""Passwords that were right, and for how long they are remembered."""
WRONG_FREE = 3
"""Wrong ones from one address before it has to wait."""
WAIT_S_MIN, WAIT_S_MAX = 0.5, 30.0
"""How long it waits after the first one more, and at most: twice as long each time."""
ADDRESSES_MAX = 10_000
FORGIVEN_S = 600.0
"""After so long without a wrong one an address begins anew."""


@dataclass(slots=True)
class _Wrong:
    """The wrong passwords from one address: how many, when the last one came, and until when none is looked at."""

    count: int = 0
    last_s: float = 0.0
    until_s: float = 0.0


class Logins:
    """The logins at one node. All is called on the event loop. `clock`: seconds, monotonic."""

    def __init__(self, users: Users, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._users = users
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._one_at_a_time = asyncio.Lock()
        self._line: Counter[str] = Counter()
        """Those that wait for the thread, or have it, by address."""
        self._budget, self._budget_s = WRONG_BUDGET, clock()
        """How many wrong passwords may still be checked, and when that was reckoned."""
        self._welcome: OrderedDict[str, float] = OrderedDict()
        """Addresses from which a right one came, and when; the oldest first."""
        self._remembered: OrderedDict[bytes, tuple[float, bytes]] = OrderedDict()
        """Until when a password is remembered, and the digest that it fits; the oldest first."""
        self._wrong: OrderedDict[str, _Wrong] = OrderedDict()
        """By address, the one that was wrong last at the end."""
        self.refused_count = 0
        """Logins that were refused."""

    def of_token(self, secret: bytes, address: str) -> Proof:
        """Return whose token this is. Raises `RequestRefused` (`unauthenticated`), or Unavailable."""
        if len(secret) <= SECRET_TEXT_BYTES_MAX:
            digest = digest_secret(secret)
            user = self._users.user_of_token(digest)
            if user is not None:
                return Proof(user, digest, None)
        raise self._refusal("token", None, address)

    def known(self, user: bytes, password: bytes, address: str) -> bool:
        """Return whether this was right lately, so that it need not be checked again."""
        found = self._remembered.get(self._place_of(user, password, address))
        if found is None or found[0] < self._clock():
            return False
        return found[1] == self._users.password_of(user)

    async def of_password(self, user: bytes, password: bytes, address: str) -> Proof:
        """Return the user, whose password this must be. Raises `RequestRefused` (`unauthenticated`), or Unavailable
        (`busy`) for an address that has to wait, and if too many wait already, or too many were wrong."""
        if self.known(user, password, address):
            return Proof(user, None, self._users.password_of(user))
        wrong = self._wrong.get(address)
        if wrong is not None and self._clock() < wrong.until_s:
            raise Unavailable(
                "busy", "too many wrong passwords came from this address", hint="wait for half a minute"
            )
        self._check_budget(address)
        async with self._turn(hint="use a token", address=address):
            digest = self._users.password_of(user)
            is_right = await asyncio.to_thread(fits, password, NOBODY if digest is None else digest)
        if digest is None or not is_right or digest != self._users.password_of(user):
            self._note_wrong(address)
            raise self._refusal("password", user, address)
        self._remember(user, password, address, digest)
        logger.info("logged in", extra={"fields": {"user": _shown(user), "from": address}})
        return Proof(user, None, digest)

    async def digest_of(self, password: bytes) -> bytes:
        """Return the digest of a new password. Raises Unavailable (`busy`)."""
        async with self._turn(hint="try again in a second", address=""):
            return await asyncio.to_thread(digest_password, password)

    @asynccontextmanager
    async def _turn(self, *, hint: str, address: str) -> AsyncIterator[None]:
        """Wait in line for the thread. Raises Unavailable (`busy`) if too many wait already,
        in all or from this address (empty: ours)."""
        if self._line.total() >= LINE_MAX or (address and self._line[address] >= LINE_OF_ADDRESS_MAX):
            raise Unavailable("busy", "too many passwords are to be checked", hint=hint)
        self._line[address] += 1
        try:
            async with self._one_at_a_time:
                yield
        finally:
            self._line[address] -= 1
            if not self._line[address]:
                del self._line[address]

    def _place_of(self, user: bytes, password: bytes, address: str) -> bytes:
        parts = (user, password[: PASSWORD_BYTES_MAX + 1], address.encode("utf-8", "replace"))
        told = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        return hashlib.blake2b(told, key=self._key, digest_size=32).digest()

    def _check_budget(self, address: str) -> None:
        """Raise Unavailable (`busy`) while there is a flood of wrong passwords, to an address that is not welcome."""
        now_s = self._clock()
        self._budget = min(WRONG_BUDGET, self._budget + WRONG_BUDGET_PER_S * (now_s - self._budget_s))
        self._budget_s = now_s
        if self._budget - self._line.total() < 1 and now_s > self._welcome.get(address, -inf) + WELCOME_S:
            raise Unavailable(
                "busy", "too many wrong passwords came to this node", hint="use a token, or ask another node"
            )

    def _remember(self, user: bytes, password: bytes, address: str, digest: bytes) -> None:
        self._wrong.pop(address, None)
        self._welcome.pop(address, None)
        self._welcome[address] = self._clock()
        while len(self._welcome) > ADDRESSES_MAX:
            self._welcome.popitem(last=False)
        self._remembered[self._place_of(user, password, address)] = (self._clock() + REMEMBERED_S, digest)
        while len(self._remembered) > REMEMBERED_MAX:
            self._remembered.popitem(last=False)

    def _note_wrong(self, address: str) -> None:
        now_s = self._clock()
        self._budget = max(0.0, self._budget - 1)
        wrong = self._wrong.pop(address, None)
        if wrong is None or now_s > wrong.last_s + FORGIVEN_S:
            wrong = _Wrong()
        wrong.count, wrong.last_s = wrong.count + 1, now_s
        if wrong.count > WRONG_FREE:
            wait_s = min(WAIT_S_MAX, WAIT_S_MIN * 2.0 ** min(wrong.count - WRONG_FREE - 1, 16))
            wrong.until_s = now_s + wait_s
        self._wrong[address] = wrong
        while len(self._wrong) > ADDRESSES_MAX:
            self._wrong.popitem(last=False)

    def _refusal(self, what: str, user: bytes | None, address: str) -> RequestRefused:
        self.refused_count += 1
        fields = {"what": what, "from": address}
        if user is not None:
            fields["user"] = _shown(user)
        logger.warning("login refused", extra={"fields": fields})
        if what == "token":
            return RequestRefused("unauthenticated", "this is no token", hint="it may have ended")
        return RequestRefused("unauthenticated", "there is no such user with this password")


def _shown(user: bytes) -> str:
    return user[:63].decode("ascii", "backslashreplace")
