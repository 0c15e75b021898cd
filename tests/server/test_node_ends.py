"""One whole node in this process, and how it ends: what fails while it stops, starts, or makes room."""

import asyncio
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from raftdb.errors import Fatal
from raftdb.server import bootstrap
from raftdb.server.bootstrap import _Node
from raftdb.server.config import Settings
from raftdb.server.folder import create_folder, open_folder
from raftdb.server.security import Security
from raftdb.server.shutdown import Shutdown
from raftdb.server.space import SpaceWatch
from storage.errors import WriteFailed
from storage.state_store import LmdbStateStore
from tests.addresses import at

WAIT_S = 20.0
ALWAYS_SHORT_BYTES = 1 << 60
"""A reserve that no disk has."""


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@contextmanager
def node_in(path: Path, listen: str, **more: Any) -> Iterator[_Node]:
    """A node alone in its cluster, whose folder is new."""
    settings = Settings(listen=at(listen), data=path, **more)
    with ExitStack() as stack:
        folder = stack.enter_context(open_folder(settings))
        identity = create_folder(folder, settings)
        log = stack.enter_context(closing(folder.open_log()))
        state = stack.enter_context(closing(folder.open_state()))
        yield _Node(settings, Security(settings), folder, identity, log, state)


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The parts of the node that were closed, in that order."""
    names: list[str] = []
    plain = Shutdown.close

    async def close(self: Shutdown, what: str, work: Callable[[], Any]) -> None:
        await plain(self, what, work)
        names.append(what)

    monkeypatch.setattr(Shutdown, "close", close)
    return names


@pytest.fixture
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = SpaceWatch.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "period_seconds", 0.02)


def troubles(records: list[logging.LogRecord]) -> list[str]:
    """What was said of more than the usual."""
    return [record.getMessage() for record in records if record.levelno >= logging.ERROR]


def test_an_address_of_another_machine_is_said_to_be_none_of_this_one(tmp_path: Path) -> None:
    with node_in(tmp_path / "data", "192.0.2.1:8001") as node, pytest.raises(Fatal) as raised:
        asyncio.run(node.run())
    assert raised.value.exit_code == 3
    assert (raised.value.hint or "").startswith("--listen names an address of this machine")


def test_a_port_in_use_stops_what_was_started_before_the_disk_is_closed(
    tmp_path: Path, listening: socket.socket, closed: list[str], log_records: list[logging.LogRecord]
) -> None:
    host, port = listening.getsockname()
    with node_in(tmp_path / "data", f"{host}:{port}") as node, pytest.raises(Fatal) as raised:
        asyncio.run(node.run())
    assert raised.value.exit_code == 3
    assert closed == ["measuring of collections", "driver", "background", "disk"]
    assert troubles(log_records) == []


@pytest.mark.usefixtures("looks_often")
def test_a_checkpoint_to_make_room_that_fails_ends_the_node_with_its_reason(
    tmp_path: Path,
    closed: list[str],
    monkeypatch: pytest.MonkeyPatch,
    log_records: list[logging.LogRecord],
) -> None:
    def flush(self: LmdbStateStore, frozen: object) -> None:
        raise WriteFailed("the disk is gone")

    monkeypatch.setattr(LmdbStateStore, "flush", flush)

    async def run(node: _Node) -> None:
        async with asyncio.timeout(WAIT_S):
            await node.run()

    with (
        node_in(tmp_path / "data", free_address(), disk_reserve_bytes=ALWAYS_SHORT_BYTES) as node,
        pytest.raises(Fatal, match="the disk is gone") as raised,
    ):
        asyncio.run(run(node))
    assert raised.value.exit_code == 1
    listening = ["lessons", "streams of events", "listener", "measuring of collections"]
    assert closed == ["network", "space watch", "forwarder", *listening, "driver", "background", "disk"]
    assert troubles(log_records) == ["internal error, the node stops", "fatal"]


@pytest.mark.usefixtures("looks_often")
def test_a_stop_during_a_checkpoint_to_make_room_is_a_clean_one(
    tmp_path: Path,
    closed: list[str],
    monkeypatch: pytest.MonkeyPatch,
    log_records: list[logging.LogRecord],
) -> None:
    monkeypatch.setattr(bootstrap, "GRACE_SECONDS", 0.01)
    has_begun, may_go_on = threading.Event(), threading.Event()
    plain = LmdbStateStore.flush

    def flush(self: LmdbStateStore, frozen: Any) -> None:
        has_begun.set()
        may_go_on.wait(WAIT_S)
        plain(self, frozen)

    monkeypatch.setattr(LmdbStateStore, "flush", flush)

    async def stop_it_meanwhile(node: _Node) -> None:
        running = asyncio.create_task(node.run())
        async with asyncio.timeout(WAIT_S):
            await asyncio.to_thread(has_begun.wait, WAIT_S)
            node._shutdown.signalled(signal.SIGTERM)
            while "background" not in closed:
                await asyncio.sleep(0.01)
            may_go_on.set()
            await running

    with node_in(tmp_path / "data", free_address(), disk_reserve_bytes=ALWAYS_SHORT_BYTES) as node:
        asyncio.run(stop_it_meanwhile(node))
    assert closed[-1] == "disk"
    assert troubles(log_records) == []


def test_a_node_whose_folder_is_deleted_ends_though_nobody_writes(
    tmp_path: Path, looks_often: None, closed: list[str]
) -> None:
    """Hazard B89: it would vote, and show itself alive, until the next write."""

    async def delete_it_meanwhile(node: _Node) -> None:
        running = asyncio.create_task(node.run())
        # Its first entry is on the disk by then, so nothing is written any more.
        while not hasattr(node, "_driver") or not (
            node._driver.is_leader() and node._view.applied_index == node._view.last_index
        ):
            await asyncio.sleep(0.01)
        (tmp_path / "data").rename(tmp_path / "elsewhere")
        async with asyncio.timeout(WAIT_S):
            await running

    with node_in(tmp_path / "data", free_address()) as node, pytest.raises(Fatal) as raised:
        asyncio.run(delete_it_meanwhile(node))
    assert raised.value.message == f"{tmp_path / 'data'} was deleted while in use"
    assert "if a disk of its own belongs there, mount it" in (raised.value.hint or "")
    assert closed[-1] == "disk"


def test_a_name_in_members_that_nobody_has_is_said(
    tmp_path: Path, log_records: list[logging.LogRecord]
) -> None:
    """A mistyped one moves nobody, and the node looks for the member where it was."""
    with node_in(tmp_path / "data", free_address(), members={"n1": free_address(), "nl": free_address()}):
        said = [record for record in log_records if record.levelno == logging.WARNING]
    assert [record.getMessage() for record in said] == [
        "the setting members names nodes that are no members here"
    ]
    assert getattr(said[0], "fields", None) == {"named": ["nl"]}
