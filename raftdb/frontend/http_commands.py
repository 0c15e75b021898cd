"""Commands that have paths of their own over HTTP: how a path's handler asks for one.

A handler puts the words of a command together, as they stand in the one table of commands, and names the parts of its
result. So what may be said, and what it means, is decided in one place for all frontends.
"""

from collections.abc import Awaitable, Mapping, Sequence
from typing import Protocol
from urllib.parse import unquote_to_bytes

from aiohttp import web

from raftdb.commands.spec import parse
from raftdb.commands.transactions import build_transaction
from raftdb.commands.waiting import check_wait
from raftdb.frontend.http_server import SEGMENTS
from raftdb.frontend.json_requests import SessionPart, in_session
from raftdb.frontend.json_values import Shown
from raftdb.limits import Limits
from raftdb.machine.operations import ClientOperation, Mode
from raftdb.machine.service import Command

Words = Sequence[bytes]
"""The arguments of a command."""


class Ask(Protocol):
    """Has the node execute an operation; see `DataApi.ask`."""

    def __call__(
        self,
        request: web.BaseRequest,
        name: str,
        operation: ClientOperation,
        *,
        wait_ms: int = 0,
        is_shown: bool = True,
    ) -> Awaitable[Shown]:
        """Execute it."""
        ...


class Commands:
    """Executes commands for the handlers of paths. `ask` and `read` are those of `DataApi`."""

    def __init__(self, ask: Ask, read: "Read", encode: "Encode", *, limits: Limits) -> None:
        self.ask, self.read, self.encode = ask, read, encode
        self.limits = limits

    async def run(
        self,
        request: web.BaseRequest,
        name: str,
        words: Words,
        *,
        session: SessionPart | None = None,
        wait_ms: int = 0,
        is_shown: bool = True,
    ) -> Shown:
        """The outcome of one command. Raises as `DataApi.ask`, and RequestRefused."""
        command = parse(name, words, limits=self.limits)
        return await self.execute(request, name, command, session=session, wait_ms=wait_ms, is_shown=is_shown)

    async def execute(
        self,
        request: web.BaseRequest,
        name: str,
        command: Command,
        *,
        session: SessionPart | None = None,
        wait_ms: int = 0,
        is_shown: bool = True,
    ) -> Shown:
        """The outcome of a command that was put together. Raises as `run`."""
        check_wait(command, wait_ms)
        operation = command if session is None else in_session(session, command)
        return await self.ask(request, name, operation, wait_ms=wait_ms, is_shown=is_shown)

    async def run_all(
        self, request: web.BaseRequest, name: str, several: Sequence[Words], *, session: SessionPart | None
    ) -> Shown:
        """The outcomes of one command with several lists of words, in one entry of the log, or none of them. Raises as
        `run`."""
        transaction = build_transaction(
            [(name, words) for words in several], mode=Mode.ATOMIC, limits=self.limits
        )
        operation = transaction if session is None else in_session(session, transaction)
        return await self.ask(request, name, operation)


class Read(Protocol):
    """Reads the body of a request, bounded; see `DataApi.body`."""

    def __call__(self, request: web.BaseRequest) -> Awaitable[bytes]:
        """Read it."""
        ...


class Encode(Protocol):
    """Encodes the fields of an answer, a long `value` among them on a thread; see `DataApi.encoded`."""

    def __call__(self, fields: dict[str, object], value: object) -> Awaitable[bytes]:
        """Encode them."""
        ...


def segment(request: web.BaseRequest, name: str) -> bytes:
    """A segment of the path, decoded."""
    return unquote_to_bytes(request[SEGMENTS][name])


def seconds(milliseconds: int) -> bytes:
    """Milliseconds as the seconds that commands take."""
    return b"%d.%03d" % divmod(milliseconds, 1000)


def options(given: Mapping[bytes, bytes | None]) -> list[bytes]:
    """The words of the options that were given."""
    return [word for name, text in given.items() if text is not None for word in (name, text)]


def mapped(flat: object) -> dict[str, object]:
    """A list of names and values as a dictionary."""
    words = flat if isinstance(flat, list) else []
    return {name.decode(): value for name, value in zip(words[::2], words[1::2], strict=True)}
