"""Commands about the connection itself: its client, the version of the protocol, and pings."""

from collections.abc import Callable
from functools import partial
from typing import Any

from raftdb.frontend.redis.arguments import integer
from raftdb.frontend.redis.client_state import NAME_BYTES_MAX, ClientState, mode_of
from raftdb.frontend.redis.errors import SYNTAX, CommandRefused, text_of, wrong_arity
from raftdb.frontend.redis.logging_in import log_in
from raftdb.frontend.redis.rows import LOCAL, SESSION, Arguments, Row, only_subcommands, run_here
from raftdb.frontend.redis.versions import REDIS_VERSION
from raftdb.wire.resp_replies import Error, Verbatim


def _ping(client: ClientState, given: Arguments) -> object:
    if len(given) > 2:
        raise wrong_arity("ping")
    return given[1] if len(given) == 2 else "PONG"


def _echo(client: ClientState, given: Arguments) -> object:
    return given[1]


def _select(client: ClientState, given: Arguments) -> object:
    if integer(given[1]) != 0:
        raise CommandRefused("ERR DB index is out of range")
    return "OK"


def _quit(client: ClientState, given: Arguments) -> object:
    client.is_ending = True
    return "OK"


def _reset(client: ClientState, given: Arguments) -> object:
    client.reset()
    return "RESET"


def _auth(client: ClientState, given: Arguments) -> object:
    """`AUTH token`, or `AUTH user password-or-token`."""
    return log_in(client, given, lambda: "OK")


def _hello(client: ClientState, given: Arguments) -> object:
    """`HELLO [version [AUTH user password] [SETNAME name]]`."""
    version = client.version
    name: bytes | None = None
    login: Arguments | None = None
    if len(given) > 1:
        if not given[1].isdigit() or len(given[1]) > 18:
            raise CommandRefused("ERR Protocol version is not an integer or out of range")
        version = int(given[1])
        if version not in (2, 3):
            raise CommandRefused("NOPROTO unsupported protocol version")
    place = 2
    while place < len(given):
        word, left = given[place].upper(), len(given) - place - 1
        if word == b"AUTH" and left >= 2:
            login = given[place : place + 3]
            place += 3
        elif word == b"SETNAME" and left >= 1:
            name = _checked_name(given[place + 1], "ERR Client names")
            place += 2
        else:
            raise CommandRefused(f"ERR Syntax error in HELLO option '{text_of(given[place])}'")
    finish = partial(_introduced, client, version, name)
    if login is not None:
        return log_in(client, login, finish)
    return NO_HELLO if client.user is None and client.facts.asks_for_users else finish()


def _introduced(client: ClientState, version: int, name: bytes | None) -> object:
    if name is not None:
        client.name = name
    client.version = version
    return {
        b"server": b"redis",
        b"version": REDIS_VERSION.encode(),
        b"proto": version,
        b"id": client.id,
        b"mode": mode_of(client.facts).encode(),
        b"role": b"master",
        b"modules": [],
    }


def _checked_name(name: bytes, what: str) -> bytes:
    if any(not ord("!") <= byte <= ord("~") for byte in name) or len(name) > NAME_BYTES_MAX:
        raise CommandRefused(f"{what} cannot contain spaces, newlines or special characters.")
    return name


def _set_name(client: ClientState, given: Arguments) -> object:
    client.name = _checked_name(given[2], "ERR Client names")
    return "OK"


def _set_info(client: ClientState, given: Arguments) -> object:
    word = given[2].upper()
    if word == b"LIB-NAME":
        client.library_name = _checked_name(given[3], "ERR lib-name")
    elif word == b"LIB-VER":
        client.library_version = _checked_name(given[3], "ERR lib-ver")
    else:
        raise CommandRefused(f"ERR Unrecognized option '{text_of(given[2])}'")
    return "OK"


def _described(client: ClientState) -> str:
    """One client, as in the reply to CLIENT LIST."""
    now = client.now()
    queued = -1 if client.queued is None else len(client.queued)
    fields = {
        "id": client.id,
        "addr": client.address,
        "laddr": client.local_address,
        "name": text_of(client.name),
        "age": int(now - client.begun),
        "idle": int(now - client.last_used),
        "flags": "b" if client.blocked else "N" if client.queued is None else "x",
        "db": 0,
        "multi": queued,
        "cmd": client.last_command,
        "user": text_of(client.user or b"default"),
        "resp": client.version,
        "lib-name": text_of(client.library_name),
        "lib-ver": text_of(client.library_version),
    }
    return " ".join(f"{name}={value}" for name, value in fields.items()) + "\n"


def _list(client: ClientState, given: Arguments) -> object:
    """`CLIENT LIST [TYPE type] [ID id ...]`."""
    clients = list(client.facts.clients)
    if len(given) > 2:
        word = given[2].upper()
        if word == b"TYPE" and len(given) == 4:
            if given[3].lower() not in (b"normal", b"master", b"replica", b"slave", b"pubsub"):
                raise CommandRefused(f"ERR Unknown client type '{text_of(given[3])}'")
            clients = clients if given[3].lower() == b"normal" else []
        elif word == b"ID" and len(given) > 3:
            wanted = {_client_id(text) for text in given[3:]}
            clients = [each for each in clients if each.id in wanted]
        else:
            raise CommandRefused(SYNTAX)
    return Verbatim("".join(map(_described, clients)))


def _kill(client: ClientState, given: Arguments) -> object:
    """`CLIENT KILL addr`, or `CLIENT KILL [ID id] [ADDR addr] [LADDR addr] [TYPE normal] [SKIPME yes|no]`."""
    clients = list(client.facts.clients)
    if len(given) == 3:
        found = [each for each in clients if each.address == text_of(given[2])]
        if not found:
            raise CommandRefused("ERR No such client")
        _end_all(found, client)
        return "OK"
    spared = client
    for word, text in zip(given[2::2], given[3::2], strict=False):
        if word.upper() == b"SKIPME" and text.upper() in (b"YES", b"NO"):
            spared = client if text.upper() == b"YES" else None  # type: ignore[assignment]
        elif word.upper() == b"ID":
            clients = [each for each in clients if each.id == _client_id(text)]
        elif word.upper() == b"ADDR":
            clients = [each for each in clients if each.address == text_of(text)]
        elif word.upper() == b"LADDR":
            clients = [each for each in clients if each.local_address == text_of(text)]
        elif word.upper() == b"TYPE" and text.lower() in (
            b"normal",
            b"master",
            b"replica",
            b"slave",
            b"pubsub",
        ):
            clients = clients if text.lower() == b"normal" else []
        else:
            raise CommandRefused(SYNTAX)
    if len(given) % 2:
        raise CommandRefused(SYNTAX)
    return _end_all([each for each in clients if each is not spared], client)


def _end_all(clients: list[ClientState], client: ClientState) -> int:
    """End connections; that of the client itself once it has its reply."""
    for each in clients:
        if each is client:
            client.is_ending = True
        else:
            each.end()
    return len(clients)


def _unblock(client: ClientState, given: Arguments) -> object:
    """`CLIENT UNBLOCK id [TIMEOUT|ERROR]`."""
    if len(given) > 4:
        raise CommandRefused(
            "ERR unknown subcommand or wrong number of arguments for 'UNBLOCK'. Try CLIENT HELP."
        )
    word = given[3].upper() if len(given) == 4 else b"TIMEOUT"
    if word not in (b"TIMEOUT", b"ERROR"):
        raise CommandRefused("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")
    wanted = integer(given[2])
    blocked = next((each.blocked for each in client.facts.clients if each.id == wanted), None)
    if blocked is None:
        return 0
    blocked.unblock(with_error=word == b"ERROR")
    return 1


def _client_id(text: bytes) -> int:
    if not text.isdigit() or len(text) > 18 or int(text) == 0:
        raise CommandRefused("ERR Invalid client ID")
    return int(text)


def _switch(*words: bytes) -> Callable[[ClientState, Arguments], Any]:
    """Accept a setting of a connection that has no effect here."""

    def run(client: ClientState, given: Arguments) -> object:
        if given[2].upper() not in words:
            raise CommandRefused(SYNTAX)
        return "OK"

    return run


def _tracking(client: ClientState, given: Arguments) -> object:
    if given[2].upper() != b"OFF":
        raise CommandRefused("ERR client-side caching is not supported")
    return "OK"


def _help(command: str, *lines: str) -> Callable[[ClientState, Arguments], Any]:
    heading = f"{command} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"
    return lambda client, given: [heading, *lines, "HELP", "    Print this help."]


_client = partial(run_here, "connection")


_FLAGS = ("noscript", "loading", "stale")
_ADMIN = ("admin", *_FLAGS)
_NO_AUTH = (*SESSION, "no_auth")
NO_HELLO = Error(
    "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> "
    "option can be used to authenticate the client and select the RESP protocol version at the same time"
)

CLIENT: tuple[Row, ...] = (
    _client(
        "client|id", 2, _FLAGS, "5.0.0", "The number of this connection", lambda client, given: client.id
    ),
    _client(
        "client|getname",
        2,
        _FLAGS,
        "2.6.9",
        "The name of this connection",
        lambda client, given: client.name or None,
    ),
    _client("client|setname", 3, _FLAGS, "2.6.9", "Name this connection", _set_name),
    _client("client|setinfo", 4, _FLAGS, "7.2.0", "Name the library of this client", _set_info),
    _client(
        "client|info",
        2,
        _FLAGS,
        "2.6.9",
        "What is known of this connection",
        lambda client, given: Verbatim(_described(client)),
    ),
    _client("client|kill", -3, _ADMIN, "2.4.0", "End connections", _kill),
    _client("client|list", -2, _ADMIN, "2.4.0", "All connections of this node", _list),
    _client("client|unblock", -3, _ADMIN, "5.0.0", "Let a blocked connection wait no longer", _unblock),
    _client("client|no-evict", 3, _FLAGS, "7.0.0", "Accepted, and changes nothing", _switch(b"ON", b"OFF")),
    _client("client|no-touch", 3, _FLAGS, "7.2.0", "Accepted, and changes nothing", _switch(b"ON", b"OFF")),
    _client("client|reply", 3, _FLAGS, "3.2.0", "Only ON is supported", _switch(b"ON")),
    _client("client|tracking", -3, _FLAGS, "6.0.0", "Only OFF is supported", _tracking),
    _client(
        "client|getredir", 2, _FLAGS, "6.0.0", "Where invalidations go: nowhere", lambda client, given: -1
    ),
    _client(
        "client|help",
        2,
        _FLAGS,
        "5.0.0",
        "What CLIENT can do",
        _help("CLIENT", "ID", "GETNAME", "SETNAME", "INFO", "KILL", "LIST", "UNBLOCK"),
    ),
)


_row = partial(run_here, "connection")
_ALONE = {"waits_for_reads": True, "waits_for_writes": True}

CONNECTION: tuple[Row, ...] = (
    _row("ping", -1, ("fast",), "1.0.0", "A sign of life of this node", _ping),
    _row("echo", 2, LOCAL, "1.0.0", "What was said", _echo),
    _row("select", 2, LOCAL, "1.0.0", "There is one database, 0", _select),
    _row("quit", -1, _NO_AUTH, "1.0.0", "End this connection", _quit, is_immediate=True),
    _row("reset", 1, _NO_AUTH, "6.2.0", "Be as a new connection is", _reset, is_immediate=True, **_ALONE),
    _row("hello", -1, _NO_AUTH, "6.0.0", "Choose the version of the protocol", _hello, **_ALONE),
    _row("auth", -2, _NO_AUTH, "1.0.0", "Whose connection it is", _auth, **_ALONE),
    _row("client", -2, (), "2.4.0", "About connections", only_subcommands, subcommands=CLIENT),
)
"""The rows of the table."""
