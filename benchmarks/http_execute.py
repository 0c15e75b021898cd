"""How many requests of POST /v1/execute can the HTTP frontend take on one core? The node answers at once.

    python -m benchmarks.http_execute [--seconds 3] [--connections 32]

Three servers are loaded in turn, each a process on its own core, by one process on another core: aiohttp's
`web.Application` and its low-level `web.Server`, both with the simplest handler, and the frontend of raftdb, which also
parses and checks the command. The figures are for comparison with each other, on one machine, in one run.
"""

import argparse
import asyncio
import multiprocessing
import os
import platform
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from importlib.metadata import version
from multiprocessing.connection import Connection
from typing import Any, NamedTuple, cast

import aiohttp
import msgspec
import uvloop
from aiohttp import web

from raftdb.core.events import Change
from raftdb.errors import LeaderHint
from raftdb.frontend import Backup, Consistency, HttpApi, HttpServer
from raftdb.impairment import NetworkChange
from raftdb.machine.operations import ClientOperation, SessionOperation
from raftdb.machine.service import Command, Query
from raftdb.machine.users.rights import Need
from raftdb.node.chronicle import Chronicle
from raftdb.node.effects import OnAnswer
from raftdb.node.history import History
from raftdb.node.turn import Answer

BODY = b'{"command": "set", "args": ["kunci", "satu"]}'
WARM_UP_S = 0.5
VARIANTS = ("application", "low level", "raftdb")


class InstantNode:
    """A node that has executed every command already."""

    cluster_id = ""
    election_timeout_s = 1.0

    def __init__(self) -> None:
        self.history = History()
        self._answer = Answer("OK", 12, 3)
        self.chronicle = Chronicle()

    async def execute(
        self, operation: ClientOperation | Query, *, consistency: Consistency, user: bytes | None = None
    ) -> Answer:
        return self._answer

    def wait(
        self,
        operation: Command | SessionOperation,
        on_answer: OnAnswer,
        *,
        wait_ms: int,
        user: bytes | None = None,
    ) -> int:
        raise NotImplementedError

    def check(self, user: bytes | None, *needs: Need) -> None:
        raise NotImplementedError

    def leave(self, request_id: int) -> None:
        raise NotImplementedError

    def submit(
        self,
        operation: ClientOperation | Query,
        on_answer: OnAnswer,
        *,
        stale: bool = False,
        user: bytes | None = None,
    ) -> None:
        asyncio.get_running_loop().call_soon(on_answer, self._answer)

    async def request_log(self, first: int | None, limit: int) -> Mapping[str, object]:
        return {}

    async def checkpoint(self) -> int:
        return 0

    def backup(self) -> AbstractAsyncContextManager[Backup]:
        raise NotImplementedError

    def status(self) -> Mapping[str, Any]:
        return {}

    def log_shape(self) -> Mapping[str, Any]:
        return {}

    def figures(self) -> Mapping[str, Any]:
        return {}

    def election_timer(self) -> Mapping[str, Any] | None:
        return None

    def membership(self) -> Mapping[str, object]:
        return {}

    def network(self) -> Mapping[str, object]:
        return {}

    def change_network(self, change: NetworkChange) -> None:
        raise NotImplementedError

    async def change_members(self, change: Change, *, force: bool) -> Answer:
        raise NotImplementedError

    async def transfer(self, target: str | None) -> LeaderHint:
        raise NotImplementedError

    def is_leader(self) -> bool:
        return True

    def leader_hint(self) -> LeaderHint | None:
        return None


async def least_handler(request: web.BaseRequest) -> web.Response:
    """The simplest handler: it decodes JSON and encodes JSON, and checks nothing."""
    msgspec.json.decode(await request.read())
    body = msgspec.json.encode({"result": "OK", "index": 12, "term": 3})
    return web.Response(body=body, content_type="application/json")


async def start(variant: str) -> int:
    """Start the server `variant` on a free port of the loopback interface; returns the port."""
    if variant == "raftdb":
        api = HttpApi(InstantNode())
        _, port = await HttpServer(api.routes(), lean=api.lean_routes()).start("127.0.0.1", 0)
        return port
    runner: web.BaseRunner
    if variant == "application":
        application = web.Application()
        application.router.add_post("/v1/execute", least_handler)
        runner = web.AppRunner(application, access_log=None)
    else:
        runner = web.ServerRunner(web.Server(least_handler, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return int(runner.addresses[0][1])


def serve(variant: str, core: int, ready: Connection) -> None:
    """The server process: sends its port, then serves until it is terminated."""
    os.sched_setaffinity(0, {core})

    async def run() -> None:
        ready.send(await start(variant))
        await asyncio.Event().wait()

    uvloop.run(run())


class Load(asyncio.Protocol):
    """One connection that sends the next request once the last is answered."""

    answered = 0

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # `isinstance` does not work, because uvloop's transports do not inherit asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        assert data.startswith(b"HTTP/1.1 200 "), data[:200]
        assert data.endswith(b"}"), "an answer came in pieces"
        assert self._transport is not None
        Load.answered += 1
        self._transport.write(self._request)


async def measure(port: int, *, connections: int, seconds: float) -> float:
    """Requests per second over `connections` connections."""
    head = f"POST /v1/execute HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
    request = f"{head}Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY
    loop = asyncio.get_running_loop()
    for _ in range(connections):
        await loop.create_connection(lambda: Load(request), "127.0.0.1", port)
    await asyncio.sleep(WARM_UP_S)
    before, started = Load.answered, time.perf_counter()
    await asyncio.sleep(seconds)
    return (Load.answered - before) / (time.perf_counter() - started)


class Result(NamedTuple):
    """One server's figure."""

    variant: str
    requests_per_s: float


def run_variant(variant: str, *, connections: int, seconds: float, cores: Sequence[int]) -> Result:
    """Measure one server in a process of its own."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    server = context.Process(target=serve, args=(variant, cores[-1], there), daemon=True)
    server.start()
    try:
        port = here.recv()
        return Result(variant, uvloop.run(measure(port, connections=connections, seconds=seconds)))
    finally:
        server.terminate()
        server.join()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--connections", type=int, default=32)
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    print(f"Python {platform.python_version()}, aiohttp {aiohttp.__version__}, uvloop {version('uvloop')}")
    print(
        f"{platform.machine()}, {len(cores)} cores; {arguments.connections} connections, {arguments.seconds:g} s each"
    )
    os.sched_setaffinity(0, {cores[0]})
    for variant in VARIANTS:
        result = run_variant(
            variant, connections=arguments.connections, seconds=arguments.seconds, cores=cores
        )
        print(f"{result.variant:12} {result.requests_per_s:10,.0f} requests/s")


if __name__ == "__main__":
    main()
