"""Finding who asks: passwords and tokens, what they cost, and what a user is let do by this node's state."""

import asyncio
from typing import Any

import pytest

from raftdb.access import logins as logins_module
from raftdb.access.logins import (
    ADDRESSES_MAX,
    LINE_MAX,
    LINE_OF_ADDRESS_MAX,
    REMEMBERED_S,
    WELCOME_S,
    WRONG_BUDGET,
    WRONG_BUDGET_PER_S,
    WRONG_FREE,
    Logins,
)
from raftdb.access.passwords import NOBODY, check_password, digest_password, fits
from raftdb.access.tokens import digest_secret, make_secret
from raftdb.access.users import EVERYTHING, SILENCE_S_MAX, Users
from raftdb.errors import RaftdbError, ReplyError, RequestRefused, Unavailable
from raftdb.machine.layer import KeyValueView
from raftdb.machine.operations import UserOperation, asked_of
from raftdb.machine.strings import Get, Set
from raftdb.machine.users.rights import Domain, Need
from raftdb.machine.users.service import PutRole, PutToken, PutUser, ReadUsers, RemoveToken, RemoveUser
from tests.machine.database import Database

PASSWORD = b"correct horse"
DIGEST = digest_password(PASSWORD)
HOME = "192.0.2.7"


class Here(Database):
    """A node's state, with the users `root` and `ana`; `ana` may read keys that begin with `a`."""

    def __init__(self, *, has_users: bool = True) -> None:
        super().__init__()
        self.is_readable = True
        self.silence_s = 0.0
        self.heard_ms = 0
        if has_users:
            self.value(PutUser(b"root", b"", (b"admin",)))
            self.change(PutRole(b"r", (b"read keys a",)))
            self.change(PutUser(b"ana", DIGEST, (b"r",)))

    @property
    def applied_index(self) -> int:
        return self.index

    @property
    def latest_time_ms(self) -> int:
        return self.heard_ms

    @property
    def readable_state(self) -> KeyValueView | None:
        return self.layer if self.is_readable else None

    def change(self, operation: Any) -> None:
        """Have an administrator do something."""
        self.value(UserOperation(b"root", 1 << 40, operation))

    def users(self, *, awaits_first: bool = False) -> Users:
        """What a node makes of it."""
        return Users(self, awaits_first=awaits_first, silence_s=lambda: self.silence_s)


def code(error: pytest.ExceptionInfo[RaftdbError]) -> str:
    return error.value.code


def test_a_password_fits_its_digest_alone() -> None:
    assert fits(PASSWORD, DIGEST)
    assert digest_password(PASSWORD) != DIGEST, "each has a salt of its own"
    others = (b"", PASSWORD + b" ", PASSWORD[:-1], b"x" * 2_000)
    assert not any(fits(other, DIGEST) for other in others)
    assert not any(
        fits(PASSWORD, broken) for broken in (b"", DIGEST[:-1], DIGEST + b"x", b"\x02" + DIGEST[1:], NOBODY)
    )
    for short in (b"", b"seven77", b"x" * 1_025):
        with pytest.raises(RequestRefused):
            check_password(short)


def test_secrets_of_tokens_are_all_different_and_long() -> None:
    made = {make_secret() for _ in range(100)}
    assert len(made) == 100
    assert all(len(secret) >= 43 + len("raftdb_") and secret.startswith("raftdb_") for secret in made)


def test_without_users_nothing_is_asked_for() -> None:
    users = Here(has_users=False).users()
    assert users.serves_everybody
    assert users.admitted(Set(b"k", b""), None) == Set(b"k", b"")
    users.check_admin(None)
    users.check_needs(None, *EVERYTHING)


def test_a_node_that_awaits_its_first_user_serves_nobody_before() -> None:
    here = Here(has_users=False)
    users = here.users(awaits_first=True)
    for user in (None, b"root"):
        with pytest.raises(Unavailable, match="knows of no user yet"):
            users.admitted(Get(b"k"), user)
    here.value(PutUser(b"root", b"", (b"admin",)))
    assert asked_of(users.admitted(Get(b"k"), b"root")) == Get(b"k")


def test_what_a_user_asks_for_is_judged_and_says_by_which_users() -> None:
    here = Here()
    users = here.users()
    assert users.admitted(Get(b"a1"), b"ana") == UserOperation(b"ana", here.index, Get(b"a1"))
    for user, expected in ((None, "unauthenticated"), (b"nobody", "forbidden"), (b"ana", "forbidden")):
        with pytest.raises(RaftdbError) as error:
            users.admitted(Set(b"a1", b""), user)
        assert code(error) == expected
    with pytest.raises(ReplyError):
        users.admitted(ReadUsers(), b"ana")
    here.change(PutRole(b"r", (b"write keys a",)))
    assert users.admitted(Set(b"a1", b""), b"ana") == UserOperation(b"ana", here.index, Set(b"a1", b""))


def test_routes_without_commands_are_judged_too() -> None:
    here = Here()
    users = here.users()
    read_a = Need(Domain.KEYS, b"a", changes=False, is_prefix=True)
    users.check_needs(b"ana", read_a)
    users.check_needs(b"root", *EVERYTHING)
    users.check_admin(b"root")
    refused: list[Any] = [
        lambda: users.check_needs(b"ana", *EVERYTHING),
        lambda: users.check_needs(b"nobody", read_a),
        lambda: users.check_admin(b"ana"),
        lambda: users.check_admin(b"nobody"),
    ]
    for call in refused:
        with pytest.raises(RequestRefused) as error:
            call()
        assert code(error) == "forbidden"
    for call in (lambda: users.check_admin(None), lambda: users.check_needs(None, read_a)):
        with pytest.raises(RequestRefused) as error:
            call()
        assert code(error) == "unauthenticated"


def test_a_node_without_a_leader_answers_no_stale_reads_for_long() -> None:
    here = Here()
    users = here.users()
    users.admitted(Get(b"a"), b"ana", stale=True)
    here.silence_s = SILENCE_S_MAX + 1
    users.admitted(Get(b"a"), b"ana")
    with pytest.raises(Unavailable):
        users.admitted(Get(b"a"), b"ana", stale=True)


def test_while_a_snapshot_is_put_in_place_nobody_is_known() -> None:
    here = Here()
    users = here.users()
    here.is_readable = False
    with pytest.raises(Unavailable):
        users.admitted(Get(b"a"), b"ana")


def test_a_token_is_good_until_it_ends_or_is_taken_back() -> None:
    here = Here()
    here.now_ms = 1_000
    users = here.users()
    logins = Logins(users)
    here.change(PutToken(b"ana", b"job", digest_secret(b"secret"), 500))
    here.change(PutToken(b"ana", b"ever", digest_secret(b"other"), 0))
    proof = logins.of_token(b"secret", HOME)
    assert proof.user == b"ana"
    assert logins.of_token(b"secret", HOME) == proof
    users.check_proof(proof)
    here.now_ms = 1_500
    here.change(PutToken(b"ana", b"third", digest_secret(b"third"), 0))
    for wrong in (b"secret", b"", b"x" * 1_000):
        with pytest.raises(RequestRefused) as error:
            logins.of_token(wrong, HOME)
        assert code(error) == "unauthenticated"
    with pytest.raises(RequestRefused):
        users.check_proof(proof)
    assert logins.of_token(b"other", HOME).user == b"ana"
    here.change(RemoveToken(b"ana", b"ever"))
    with pytest.raises(RequestRefused):
        logins.of_token(b"other", HOME)
    assert logins.refused_count == 4


def test_a_token_ends_while_nothing_is_written() -> None:
    here = Here()
    here.now_ms = 1_000
    logins = Logins(here.users())
    here.change(PutToken(b"ana", b"job", digest_secret(b"secret"), 500))
    here.heard_ms = 1_499
    proof = logins.of_token(b"secret", HOME)
    here.heard_ms = 1_500
    with pytest.raises(RequestRefused):
        logins.of_token(b"secret", HOME)
    with pytest.raises(RequestRefused):
        logins._users.check_proof(proof)


async def test_a_password_is_checked_once_and_remembered_for_its_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here, checked = Here(), list[bytes]()

    def noted(password: bytes, digest: bytes) -> bool:
        checked.append(password)
        return fits(password, digest)

    monkeypatch.setattr(logins_module, "fits", noted)
    now_s = 100.0
    logins = Logins(here.users(), clock=lambda: now_s)
    for _ in range(3):
        assert (await logins.of_password(b"ana", PASSWORD, HOME)).user == b"ana"
    assert len(checked) == 1
    await logins.of_password(b"ana", PASSWORD, "192.0.2.8")
    assert len(checked) == 2, "another address"
    now_s += REMEMBERED_S + 1
    await logins.of_password(b"ana", PASSWORD, HOME)
    assert len(checked) == 3
    here.change(PutUser(b"ana", digest_password(b"another one"), (b"r",)))
    with pytest.raises(RequestRefused):
        await logins.of_password(b"ana", PASSWORD, HOME)
    here.change(RemoveUser(b"ana"))
    with pytest.raises(RequestRefused) as error:
        await logins.of_password(b"ana", b"another one", HOME)
    assert str(error.value) == "there is no such user with this password"
    assert len(checked) == 5, "an unknown user takes as long"


async def test_a_password_proves_a_user_until_it_is_another_one() -> None:
    here = Here()
    users = here.users()
    proof = await Logins(users).of_password(b"ana", PASSWORD, HOME)
    users.check_proof(proof)
    here.change(PutUser(b"ana", b"", ()))
    users.check_proof(proof)
    changes: list[list[Any]] = [
        [PutUser(b"ana", digest_password(PASSWORD), ())],
        [RemoveUser(b"ana"), PutUser(b"ana", digest_password(PASSWORD), (b"admin",))],
        [RemoveUser(b"ana"), PutUser(b"ana", b"", ())],
    ]
    for change in changes:
        for operation in change:
            here.change(operation)
        with pytest.raises(RequestRefused) as error:
            users.check_proof(proof)
        assert code(error) == "unauthenticated"


async def test_an_address_with_wrong_passwords_waits_longer_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logins_module, "fits", lambda password, digest: False)
    now_s = 0.0
    logins = Logins(Here().users(), clock=lambda: now_s)

    async def outcome(address: str = HOME) -> str:
        with pytest.raises(RaftdbError) as error:
            await logins.of_password(b"ana", b"wrong", address)
        return code(error)

    assert [await outcome() for _ in range(WRONG_FREE + 1)] == ["unauthenticated"] * (WRONG_FREE + 1)
    assert await outcome() == "busy"
    assert await outcome("192.0.2.8") == "unauthenticated", "others do not wait for it"
    waited: list[float] = []
    for _ in range(9):
        began_s = now_s
        while await outcome() == "busy":
            now_s += 0.5
        waited.append(now_s - began_s)
    assert waited == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    for number in range(ADDRESSES_MAX + 10):
        logins._note_wrong(f"a{number}")
    assert len(logins._wrong) == ADDRESSES_MAX


async def test_a_flood_of_wrong_passwords_is_refused_but_for_addresses_that_were_right(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checked: list[bytes] = []

    def fits_slowly(password: bytes, digest: bytes) -> bool:
        checked.append(password)
        return password == PASSWORD

    monkeypatch.setattr(logins_module, "fits", fits_slowly)
    now_s = 0.0
    logins = Logins(Here().users(), clock=lambda: now_s)
    assert (await logins.of_password(b"ana", PASSWORD, HOME)).user == b"ana"

    async def outcome(address: str, password: bytes = b"wrong") -> str:
        try:
            await logins.of_password(b"ana", password, address)
        except RaftdbError as error:
            return error.code
        return "ok"

    flood = [await outcome(f"198.51.100.{number}") for number in range(250)]
    assert flood == ["unauthenticated"] * int(WRONG_BUDGET) + ["busy"] * (250 - int(WRONG_BUDGET))
    assert await outcome("203.0.113.1", PASSWORD) == "busy", "nobody knows who that is"
    assert await outcome(HOME, b"wrong") == "unauthenticated"
    assert await outcome(HOME, PASSWORD) == "ok"
    now_s += 1 / WRONG_BUDGET_PER_S
    assert await outcome("203.0.113.1", PASSWORD) == "ok", "right ones cost nothing of it"
    assert await outcome("203.0.113.2") == "unauthenticated"
    assert await outcome("203.0.113.3") == "busy"
    checked.clear()
    for _ in range(100):
        now_s += 1
        for number in range(5):
            await outcome(f"198.51.100.{number}", b"%d" % number)
    assert len(checked) == 100 * WRONG_BUDGET_PER_S
    now_s += WELCOME_S
    for number in range(int(WRONG_BUDGET)):
        assert await outcome(f"192.0.2.{100 + number}") == "unauthenticated"
    assert await outcome(HOME, b"wrong") == "busy", "that was too long ago"


async def test_an_address_has_a_part_of_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(password: bytes, digest: bytes) -> bool:
        asyncio.run_coroutine_threadsafe(gate.wait(), loop).result(60)
        return True

    monkeypatch.setattr(logins_module, "fits", slow)
    logins = Logins(Here().users())
    asked = [
        asyncio.ensure_future(logins.of_password(b"ana", b"%d" % number, HOME))
        for number in range(LINE_OF_ADDRESS_MAX)
    ]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await logins.of_password(b"ana", PASSWORD, HOME)
    other = asyncio.ensure_future(logins.of_password(b"ana", PASSWORD, "192.0.2.8"))
    await asyncio.sleep(0)
    assert not other.done()
    gate.set()
    assert [proof.user for proof in await asyncio.gather(*asked, other)] == [b"ana"] * (
        LINE_OF_ADDRESS_MAX + 1
    )
    assert not logins._line


async def test_few_wait_for_a_check(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(password: bytes, digest: bytes) -> bool:
        asyncio.run_coroutine_threadsafe(gate.wait(), loop).result(60)
        return True

    monkeypatch.setattr(logins_module, "fits", slow)
    logins = Logins(Here().users())
    asked = [
        asyncio.ensure_future(logins.of_password(b"ana", PASSWORD, f"192.0.2.{number}"))
        for number in range(LINE_MAX)
    ]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable) as error:
        await logins.of_password(b"ana", PASSWORD, HOME)
    assert code(error) == "busy"
    with pytest.raises(Unavailable):
        await logins.digest_of(PASSWORD)
    gate.set()
    assert [proof.user for proof in await asyncio.gather(*asked)] == [b"ana"] * LINE_MAX
