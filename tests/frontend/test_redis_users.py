"""Users at the Redis port: who is let in, by which words, and what others are told."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from raftdb.access import logins as logins_module
from raftdb.access.logins import Logins
from raftdb.access.tokens import digest_secret
from raftdb.frontend.redis.server import RedisLimits, RedisServer
from raftdb.frontend.redis.table import COMMANDS
from raftdb.machine.machine import Machine
from raftdb.machine.operations import UserOperation, asked_of
from raftdb.machine.reply import Result
from raftdb.machine.service import Query
from raftdb.machine.services import READS
from raftdb.machine.users.service import PutRole, PutToken, PutUser, RemoveToken, RemoveUser
from raftdb.node.effects import OnAnswer
from raftdb.node.turn import Answer
from tests.access.test_access import PASSWORD, Here
from tests.frontend.redis_support import Client, MachineNode, request

NOAUTH = b"-NOAUTH Authentication required.\r\n"
WRONGPASS = b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"
NIL = b"$-1\r\n"
TOKEN, ROOT_TOKEN = "raftdb_of-ana", "raftdb_of-root"


class UsersNode(MachineNode):
    """A node with the users of `Here`: `root`, an administrator, and `ana`, who may read keys that begin with `a`."""

    def __init__(self) -> None:
        super().__init__()
        self.here = Here()
        self.database = self.here
        self.users = self.here.users()
        self.here.change(PutToken(b"root", b"t", digest_secret(ROOT_TOKEN.encode()), 0))
        self.here.change(PutToken(b"ana", b"t", digest_secret(TOKEN.encode()), 0))

    def submit(self, operation: Any, on_answer: OnAnswer, *, user: bytes | None = None) -> None:
        super().submit(cast(Any, self.users.admitted(operation, user)), on_answer)

    def read(self, operation: Any, on_answer: OnAnswer, *, stale: bool, user: bytes | None = None) -> None:
        self.submit(operation, on_answer, user=user)

    def answer_to(self, operation: Any) -> Any:
        assert isinstance(operation, UserOperation)
        if isinstance(asked_of(operation), Query) or type(asked_of(operation)) in READS:
            reply: Any = Machine().read(operation, self.here.layer)
        else:
            reply = self.here.applied(operation).reply
        return Answer(reply.value, self.here.index, 1, reply.revision) if isinstance(reply, Result) else reply


@pytest.fixture
def node() -> UsersNode:
    return UsersNode()


@pytest.fixture
def server(node: UsersNode) -> RedisServer:
    return RedisServer(node, users=node.users, logins=Logins(node.users))


@pytest.fixture
def quick_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords are checked a turn of the loop later, without a slow digest."""

    async def later(work: Callable[..., bool], *arguments: Any) -> bool:
        await asyncio.sleep(0)
        return work(*arguments)

    monkeypatch.setattr(logins_module, "fits", lambda password, digest: password == PASSWORD)
    monkeypatch.setattr(asyncio, "to_thread", later)


async def said(client: Client, *words: str) -> bytes:
    """The reply to one command."""
    client.send(request(*words))
    return await client.receive(1)


async def test_who_has_not_said_who_it_is_may_say_that_only(server: RedisServer) -> None:
    client = Client(server)
    for words in (
        ["PING"],
        ["GET", "a"],
        ["INFO"],
        ["COMMAND"],
        ["MULTI"],
        ["CLIENT", "ID"],
        ["ACL", "WHOAMI"],
    ):
        assert await said(client, *words) == NOAUTH, words
    assert (await said(client, "HELLO", "3")).startswith(b"-NOAUTH HELLO must be called")
    assert (await said(client, "HELLO")).startswith(b"-NOAUTH HELLO must be called")
    assert await said(client, "RESET") == b"+RESET\r\n"
    assert await said(client, "AUTH", "nonsense") == WRONGPASS
    assert await said(client, "AUTH", "default", "nonsense") == WRONGPASS
    assert await said(client, "AUTH", "default", TOKEN) == b"+OK\r\n"
    assert await said(client, "RESET") == b"+RESET\r\n"
    assert await said(client, "AUTH", TOKEN) == b"+OK\r\n"
    assert await said(client, "ACL", "WHOAMI") == b"$3\r\nana\r\n"
    assert await said(client, "GET", "a") == NIL
    assert await said(client, "RESET") == b"+RESET\r\n"
    assert await said(client, "GET", "a") == NOAUTH


@pytest.mark.usefixtures("quick_passwords")
async def test_a_password_is_checked_before_what_follows(server: RedisServer) -> None:
    client = Client(server)
    client.send(
        request("AUTH", "ana", "wrong-one"), request("GET", "a"), request("AUTH", "ana", PASSWORD.decode())
    )
    client.send(request("GET", "a"), request("ACL", "WHOAMI"))
    replies = await client.receive(5)
    assert replies == WRONGPASS + NOAUTH + b"+OK\r\n" + NIL + b"$3\r\nana\r\n"


@pytest.mark.usefixtures("quick_passwords")
async def test_hello_says_who_it_is_too(server: RedisServer) -> None:
    client = Client(server)
    assert await said(client, "HELLO", "3", "AUTH", "ana", "wrong-one") == WRONGPASS
    reply = await said(client, "HELLO", "3", "AUTH", "ana", PASSWORD.decode(), "SETNAME", "me")
    assert reply.startswith(b"%7\r\n$6\r\nserver")
    assert await said(client, "CLIENT", "GETNAME") == b"$2\r\nme\r\n"
    assert b"user=ana" in await said(client, "CLIENT", "INFO")
    other = Client(server)
    assert (await said(other, "HELLO", "2", "AUTH", "ana", TOKEN)).startswith(b"*14\r\n")
    assert await said(other, "AUTH", "root", TOKEN) == WRONGPASS, "a token of another user"


async def test_a_user_may_what_its_grants_say(server: RedisServer, node: UsersNode) -> None:
    client = Client(server)
    assert await said(client, "AUTH", TOKEN) == b"+OK\r\n"
    for words in (["SET", "a", "v"], ["GET", "b"], ["FLUSHALL"], ["DBSIZE"], ["KEYS", "b*"], ["ACL", "LIST"]):
        assert (await said(client, *words)).startswith(b"-NOPERM"), words
    for words in (
        ["CONFIG", "GET", "*"],
        ["CLIENT", "LIST"],
        ["CLIENT", "KILL", "ID", "1"],
        ["ACL", "USERS"],
    ):
        assert await said(client, *words) == b"-NOPERM this command is for administrators\r\n", words
    assert await said(client, "KEYS", "a*") == b"*0\r\n"
    assert await said(client, "MULTI") == b"+OK\r\n"
    assert await said(client, "GET", "b") == b"+QUEUED\r\n"
    assert (await said(client, "EXEC")).startswith(b"-NOPERM")
    node.here.change(PutRole(b"r", (b"write keys ",)))
    assert await said(client, "SET", "b", "v") == b"+OK\r\n", "without another login"
    node.here.change(RemoveUser(b"ana"))
    assert await said(client, "GET", "a") == NOAUTH


async def test_a_stranger_sends_no_more_than_a_login_takes(server: RedisServer) -> None:
    value = "x" * 20_000
    for begun, error in (
        (b"*11\r\n", b"unauthenticated multibulk length"),
        (b"*2\r\n$4\r\nAUTH\r\n$4097\r\n", b"unauthenticated bulk length"),
        (b"*3\r\n" + b"$4000\r\n%b\r\n" % (b"x" * 4000) * 2 + b"$4000\r\n", b"too big request"),
        (b"SET k " + b"x" * 5000, b"too big inline request"),
    ):
        stranger = Client(server)
        stranger.send(begun)
        assert await stranger.receive(1) == b"-ERR Protocol error: " + error + b"\r\n"
        assert stranger.transport.is_closing()
    client = Client(server)
    assert await said(client, "AUTH", ROOT_TOKEN) == b"+OK\r\n"
    assert await said(client, "SET", "k", value) == b"+OK\r\n"
    assert await said(client, "DEL", *(f"k{number}" for number in range(20))) == b":0\r\n"


async def test_a_stranger_is_cut_off_after_a_while(node: UsersNode) -> None:
    server = RedisServer(
        node, users=node.users, logins=Logins(node.users), limits=RedisLimits(stranger_s=0.01)
    )
    stranger, client = Client(server), Client(server)
    assert await said(client, "AUTH", TOKEN) == b"+OK\r\n"
    async with asyncio.timeout(10):
        while not stranger.transport.is_aborted:
            await asyncio.sleep(0.001)
    await asyncio.sleep(0.05)
    assert await said(client, "PING") == b"+PONG\r\n"


async def test_strangers_make_room_for_those_who_come_and_users_do_not(node: UsersNode) -> None:
    server = RedisServer(
        node, users=node.users, logins=Logins(node.users), limits=RedisLimits(connections_max=3)
    )
    user = Client(server)
    assert await said(user, "AUTH", TOKEN) == b"+OK\r\n"
    strangers = [Client(server) for _ in range(50)]
    assert [stranger.transport.is_aborted for stranger in strangers] == [True] * 48 + [False] * 2
    late = Client(server)
    assert await said(late, "AUTH", TOKEN) == b"+OK\r\n"
    assert await said(user, "PING") == b"+PONG\r\n"
    assert await said(strangers[-1], "AUTH", TOKEN) == b"+OK\r\n"
    assert b"max number of clients" in await Client(server).receive(1), "all are users"


LEFT_OUT = ("quit", "reset", "multi", "exec", "hello", "auth", "client")
"""Commands that end the connection or the transaction, begin another, or tell of the connection itself."""
HIDDEN, ELSEWHERE = "hidden", "besides"
NAMES = [row.name for known in COMMANDS.values() for row in known.subcommands or (known,)]


async def everything_asked(hidden: str) -> list[tuple[list[str], bytes]]:
    """All that a user with few rights is told where this is a key, a queue and a lock that it may not read, by all
    commands, with `HIDDEN` as one of their arguments."""
    node = UsersNode()
    server = RedisServer(node, users=node.users, logins=Logins(node.users))
    for words in (
        ["SET", hidden, "contents"],
        ["ENQUEUE", hidden, "contents"],
        ["LOCK", hidden, "OWNER", "o"],
    ):
        root = Client(server)
        await said(root, "AUTH", ROOT_TOKEN)
        assert not (await said(root, *words)).startswith(b"-")
    node.here.change(PutRole(b"r", (b"write keys a", b"write queues a", b"write locks a")))
    client = Client(server)
    await said(client, "AUTH", TOKEN)
    told = []
    for name in NAMES:
        words = name.split("|")
        if words[0] in LEFT_OUT:
            continue
        for count in range(4):
            numbers, own = ["1"] * count, ["a"] * count
            for arguments in (
                [HIDDEN, *numbers],
                ["a", HIDDEN, *numbers],
                [*own, HIDDEN],
                [*own, HIDDEN, HIDDEN],
            ):
                command = [*words, *arguments]
                told.append((command, await said(client, *command)))
    return told


async def test_no_command_tells_of_what_its_sender_may_not_read() -> None:
    """Whether it is there, for one: where it is not there, every answer is the same."""
    with_it, without = await everything_asked(HIDDEN), await everything_asked(ELSEWHERE)
    assert len(with_it) > 1_000
    assert [pair for pair in zip(with_it, without, strict=True) if pair[0] != pair[1]] == []
    assert not [command for command, reply in with_it if b"contents" in reply]


async def test_what_was_queued_by_an_administrator_is_judged_when_it_runs(
    server: RedisServer, node: UsersNode
) -> None:
    node.here.change(PutUser(b"other", b"", (b"admin",)))
    client = Client(server)
    assert await said(client, "AUTH", ROOT_TOKEN) == b"+OK\r\n"
    assert await said(client, "MULTI") == b"+OK\r\n"
    for words in (["CONFIG", "GET", "*"], ["PING"]):
        assert await said(client, *words) == b"+QUEUED\r\n"
    node.here.change(PutUser(b"root", b"", (b"r",)))
    told = await said(client, "EXEC")
    assert b"maxclients" not in told
    assert told == b"*2\r\n-NOPERM this command is for administrators\r\n+PONG\r\n"


@pytest.mark.usefixtures("quick_passwords")
async def test_nobody_becomes_another_within_a_transaction(server: RedisServer) -> None:
    client = Client(server)
    assert await said(client, "AUTH", TOKEN) == b"+OK\r\n"
    for words in (
        ["AUTH", ROOT_TOKEN],
        ["AUTH", "ana", "wrong-one"],
        ["HELLO", "3", "AUTH", "root", ROOT_TOKEN],
    ):
        assert await said(client, "MULTI") == b"+OK\r\n"
        assert await said(client, *words) == b"-ERR Command not allowed inside a transaction\r\n"
        assert (await said(client, "EXEC")).startswith(b"-EXECABORT")
    assert await said(client, "ACL", "WHOAMI") == b"$3\r\nana\r\n"


async def test_a_user_that_is_gone_is_nobody_to_commands_of_the_node_either(
    server: RedisServer, node: UsersNode
) -> None:
    client = Client(server)
    assert await said(client, "AUTH", TOKEN) == b"+OK\r\n"
    assert await said(client, "PING") == b"+PONG\r\n"
    node.here.change(RemoveUser(b"ana"))
    for words in (["PING"], ["INFO"], ["COMMAND", "COUNT"], ["CLIENT", "INFO"], ["GET", "a"]):
        assert await said(client, *words) == NOAUTH, words


@pytest.mark.usefixtures("quick_passwords")
async def test_a_connection_is_its_user_as_long_as_what_it_has_shown_is_good(
    server: RedisServer, node: UsersNode
) -> None:
    by_token, by_password = Client(server), Client(server)
    assert await said(by_token, "AUTH", TOKEN) == b"+OK\r\n"
    assert await said(by_password, "AUTH", "ana", PASSWORD.decode()) == b"+OK\r\n"
    node.here.change(RemoveToken(b"ana", b"t"))
    assert await said(by_token, "GET", "a") == NOAUTH
    assert await said(by_password, "GET", "a") == b"$-1\r\n"
    node.here.change(RemoveUser(b"ana"))
    node.here.change(PutUser(b"ana", b"another digest", (b"r",)))
    assert await said(by_password, "GET", "a") == NOAUTH, "another user of the same name"
    assert await said(by_password, "MULTI") == NOAUTH


async def test_while_a_snapshot_is_put_in_place_nobody_is_let_in(
    server: RedisServer, node: UsersNode
) -> None:
    client, inside = Client(server), Client(server)
    assert await said(inside, "AUTH", TOKEN) == b"+OK\r\n"
    node.here.is_readable = False
    assert (await said(client, "AUTH", TOKEN)).startswith(b"-BUSY a snapshot is put in place")
    assert (await said(client, "AUTH", "ana", PASSWORD.decode())).startswith(
        b"-BUSY a snapshot is put in place"
    )
    for words in (["PING"], ["CONFIG", "GET", "*"], ["GET", "a"]):
        assert (await said(inside, *words)).startswith(b"-BUSY"), words


async def test_a_transaction_with_what_is_for_administrators_fails(server: RedisServer) -> None:
    client = Client(server)
    assert await said(client, "AUTH", TOKEN) == b"+OK\r\n"
    assert await said(client, "MULTI") == b"+OK\r\n"
    assert (await said(client, "CONFIG", "GET", "*")).startswith(b"-NOPERM")
    assert (await said(client, "EXEC")).startswith(b"-EXECABORT")


async def test_administrators_are_told_who_is_there(server: RedisServer) -> None:
    client = Client(server)
    assert await said(client, "AUTH", ROOT_TOKEN) == b"+OK\r\n"
    assert await said(client, "ACL", "USERS") == b"*2\r\n$3\r\nana\r\n$4\r\nroot\r\n"
    listed = await said(client, "ACL", "LIST")
    assert b"user ana on has-password role:r" in listed
    assert b"user root on no-password role:admin" in listed
    assert (await said(client, "CONFIG", "GET", "port")).startswith(b"*2\r\n")
    assert (await said(client, "ACL", "SETUSER", "x")).startswith(b"-ERR unknown subcommand")


@pytest.mark.usefixtures("quick_passwords")
async def test_a_client_may_go_while_its_password_is_checked(server: RedisServer) -> None:
    client = Client(server)
    client.send(request("AUTH", "ana", PASSWORD.decode()))
    client.protocol.connection_lost(None)
    other = Client(server)
    assert await said(other, "AUTH", "ana", PASSWORD.decode()) == b"+OK\r\n"
    assert await said(other, "GET", "a") == NIL


async def test_without_users_auth_is_as_with_redis() -> None:
    users = Here(has_users=False).users()
    client = Client(RedisServer(MachineNode(), users=users, logins=Logins(users)))
    assert await said(client, "PING") == b"+PONG\r\n"
    assert (await said(client, "AUTH", "x")).startswith(b"-ERR AUTH <password> called without any password")
    assert await said(client, "AUTH", "default", "x") == b"+OK\r\n"
    assert await said(client, "AUTH", "ana", "x") == WRONGPASS
    assert await said(client, "ACL", "WHOAMI") == b"$7\r\ndefault\r\n"
