"""Lessons for the page `/learn`: a small simulated cluster plays a script, and the recording is the answer.

A lesson is played by a process of its own, one at a time and at low priority, so that this node does not notice; what
was played lately is kept. The process gets a script of this package, never one of a client.
"""

import asyncio
import json
import sys
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

from aiohttp import web

from raftdb.endpoint import Endpoint
from raftdb.errors import RequestRefused, Unavailable
from raftdb.frontend.http_pages import PagesApi
from raftdb.frontend.http_query import integer_of, parameters
from raftdb.frontend.http_reply import Reply
from raftdb.frontend.http_server import SEGMENTS, HttpServer
from raftdb.route import Permission, Route
from raftdb.web import PAGES, chapters

PLAYER = "raftdb.simulation.lessons"
PAGE_MODULE = "learn"
OWN = "own"
PLAY_TIMEOUT_S = 30.0
RECORDING_BYTES_MAX = 8 << 20
KEPT_MAX = 16
"""Recordings that are kept: tens of kilobytes each."""
WAITING_MAX = 8
"""Requests that wait for the process that plays."""
SEED_MAX = 1 << 32
NODES_MAX = 9
WORD_BYTES_MAX = 40


@asynccontextmanager
async def serve_lessons(port: int, *, own: bytes | None, is_recording: bool) -> AsyncIterator[Endpoint]:
    """Serve the pages and the lessons on loopback, without a node; yields the address. Raises OSError."""
    lessons = LessonsApi(own=own, is_recording=is_recording)
    pages = PagesApi(tuple, mode="read", pages=[page for page in PAGES if page.module == PAGE_MODULE])
    server = HttpServer({**pages.routes(), **lessons.routes()})
    try:
        yield Endpoint(*await server.start("127.0.0.1", port))
    finally:
        await lessons.close()
        await server.close(grace_s=0)


class Wanted(NamedTuple):
    """A chapter, and what is other than in its script."""

    chapter: str
    arguments: tuple[str, ...]


class LessonsApi:
    """The routes of the lessons. `close` ends a process that still plays."""

    def __init__(self, *, own: bytes | None = None, is_recording: bool = False) -> None:
        """`own` is another lesson, under the name `own`: a script, or with `is_recording` what was recorded."""
        self._chapters = dict(chapters())
        self._recorded = own if is_recording else None
        if own is not None:
            self._chapters[OWN] = own.decode("utf-8", "replace")
        self._kept: OrderedDict[Wanted, bytes] = OrderedDict()
        self._playing = asyncio.Lock()
        self._waiting_count = 0
        self._process: asyncio.subprocess.Process | None = None

    def routes(self) -> dict[str, dict[str, Route]]:
        """A new path table."""
        return {
            "/v1/lessons": {"GET": Route(self.table, Permission.READ)},
            "/v1/lessons/{chapter}": {"GET": Route(self.lesson, Permission.READ)},
        }

    async def table(self, _request: web.BaseRequest) -> Reply:
        """GET /v1/lessons: the names of all chapters."""
        return Reply(json.dumps({"chapters": sorted(self._chapters)}).encode())

    async def lesson(self, request: web.BaseRequest) -> Reply:
        """GET /v1/lessons/{chapter}?seed=&nodes=&break=: the recording of one."""
        wanted = self._wanted(request)
        if wanted.chapter == OWN and self._recorded is not None:
            return Reply(self._recorded)
        if wanted not in self._kept:
            if self._waiting_count >= WAITING_MAX:
                raise Unavailable("busy", "other lessons are being played")
            self._waiting_count += 1
            try:
                async with self._playing:
                    if wanted not in self._kept:
                        self._keep(wanted, await self._play(wanted))
            finally:
                self._waiting_count -= 1
        self._kept.move_to_end(wanted)
        return Reply(self._kept[wanted])

    async def close(self) -> None:
        """End the process that plays."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()

    def _keep(self, wanted: Wanted, recording: bytes) -> None:
        self._kept[wanted] = recording
        if len(self._kept) > KEPT_MAX:
            self._kept.popitem(last=False)

    async def _play(self, wanted: Wanted) -> bytes:
        pipe = asyncio.subprocess.PIPE
        command = (sys.executable, "-m", PLAYER, *wanted.arguments)
        process = self._process = await asyncio.create_subprocess_exec(
            *command, stdin=pipe, stdout=pipe, stderr=pipe
        )
        try:
            async with asyncio.timeout(PLAY_TIMEOUT_S):
                played, problem = await process.communicate(self._chapters[wanted.chapter].encode())
        except TimeoutError as error:
            raise Unavailable("busy", "the lesson takes too long to play") from error
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            self._process = None
        if process.returncode != 0 or len(played) > RECORDING_BYTES_MAX:
            words = problem.decode("utf-8", "replace").strip().rpartition("\n")[2]
            raise RequestRefused("bad_request", f"the lesson cannot be played so: {words[:200]}")
        return played

    def _wanted(self, request: web.BaseRequest) -> Wanted:
        """What a request asks for. Raises RequestRefused."""
        chapter = request[SEGMENTS]["chapter"]
        if chapter not in self._chapters:
            raise RequestRefused("not_found", "there is no such chapter", hint="GET /v1/lessons")
        given = parameters(request, ("seed", "nodes", "break"))
        arguments = []
        if "seed" in given:
            arguments += ["--seed", str(integer_of("seed", given["seed"], maximum=SEED_MAX))]
        if "nodes" in given:
            arguments += ["--nodes", str(integer_of("nodes", given["nodes"], maximum=NODES_MAX))]
        if "break" in given:
            rule = given["break"].decode("ascii", "replace")
            if len(rule) > WORD_BYTES_MAX or not rule.replace("_", "").isalpha() or not rule.isascii():
                raise RequestRefused("bad_request", "break is the name of a rule")
            arguments += ["--break", rule]
        return Wanted(chapter, tuple(arguments))
