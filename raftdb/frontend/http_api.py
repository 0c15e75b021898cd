"""The client API over HTTP (docs/interface.md, section 3): one handler per route, over a `Node`.

`HttpApi.routes()` is the table for `HttpServer`; the composition root adds the route of the peers to it.
"""

from collections.abc import Callable, Mapping, Sequence

from aiohttp import web

from raftdb.access.logins import Logins
from raftdb.frontend.http_charts import ChartsApi, Since, nothing_sampled
from raftdb.frontend.http_commands import Commands
from raftdb.frontend.http_data import ApiLimits, DataApi
from raftdb.frontend.http_description import DescriptionApi
from raftdb.frontend.http_events import EventsApi
from raftdb.frontend.http_execute import LeanExecute
from raftdb.frontend.http_file import Sending, stream_file
from raftdb.frontend.http_history import HistoryApi
from raftdb.frontend.http_lean import LeanRoutes
from raftdb.frontend.http_lessons import LessonsApi
from raftdb.frontend.http_locks import LocksApi
from raftdb.frontend.http_members import MembersApi
from raftdb.frontend.http_memory import hold_answer
from raftdb.frontend.http_metrics import MetricsApi, Render, nothing_measured
from raftdb.frontend.http_network import NetworkApi
from raftdb.frontend.http_note import NoteApi
from raftdb.frontend.http_pages import PagesApi, wants_page
from raftdb.frontend.http_query import integer_of, parameters
from raftdb.frontend.http_queues import QueuesApi
from raftdb.frontend.http_reply import OCTETS, TEXT, Reply
from raftdb.frontend.http_stream import EventStreams
from raftdb.frontend.http_users import UsersApi
from raftdb.frontend.http_watch import WatchApi
from raftdb.frontend.json_values import encode_json
from raftdb.frontend.leading import require_leader
from raftdb.frontend.node_api import Node
from raftdb.limits import DEFAULT_LIMITS, PAGE_BYTES_MAX, Limits
from raftdb.node.aside import Aside
from raftdb.route import Permission, Route

LOG_LIMIT_DEFAULT = 100
"""Entries in one page of GET /v1/request_log unless the client gives a number."""
LOG_LIMIT_MAX = 1000
"""Most entries in one page of GET /v1/request_log."""

INDEX_HEADER = "Raftdb-Index"
"""The header with the index of the last entry in a backup."""

LOG_PAGE_HELD_BYTES = PAGE_BYTES_MAX // 2
"""The memory taken for a page of the log before it is read, because most pages are far shorter than they may be."""

ReadinessCheck = Callable[[], str | None]
"""One condition of being ready to serve: returns None if it holds, else what is wrong."""


class HttpApi:
    """The handlers of the client API.

    `limits` bounds requests, and `command_limits` commands. `readiness_checks` are further conditions of GET /readyz,
    by name, and `readiness_warnings` are conditions that it reports but does not require. `pages` are for people with
    browsers (None: there are none). `logins` digests passwords (None: there are no users). `metrics` and `charts`
    make what GET /metrics and GET /v1/charts answer.
    """

    def __init__(
        self,
        node: Node,
        *,
        limits: ApiLimits | None = None,
        command_limits: Limits = DEFAULT_LIMITS,
        readiness_checks: Mapping[str, ReadinessCheck] | None = None,
        readiness_warnings: Mapping[str, ReadinessCheck] | None = None,
        pages: PagesApi | None = None,
        logins: Logins | None = None,
        metrics: Render = nothing_measured,
        charts: Since = nothing_sampled,
    ) -> None:
        self._node = node
        self._command_limits = command_limits
        self._aside = Aside()
        self.streams = EventStreams()
        """The streams of events, which are to be closed before the listener."""
        self.events = EventsApi(node, self.streams)
        self.watching = WatchApi(node, self.streams, self._aside)
        self._sending: Sending | None = None
        """The backup that a client is reading."""
        self._data = DataApi(
            node, limits=limits or ApiLimits(), command_limits=command_limits, aside=self._aside
        )
        self._commands = Commands(self._data.ask, self._data.body, self._data.encoded, limits=command_limits)
        self._checks: dict[str, ReadinessCheck] = {"leader": self._leader_known, **(readiness_checks or {})}
        self._warnings = dict(readiness_warnings or {})
        self._pages = pages
        self._logins = logins
        self._metrics = metrics
        self._charts = charts
        self.lessons = LessonsApi() if pages is not None else None

    def routes(self) -> dict[str, dict[str, Route]]:
        """A new path table with every route of this API: path -> method -> route.

        HEAD has the handler of GET, and the reply leaves the body out (RFC 9110, 9.3.2); only a backup, which would be
        made for nothing, has a handler of its own for HEAD.
        """
        routes: dict[str, dict[str, Route]] = {
            "/": {"GET": Route(self.index, Permission.PAGE)},
            "/health": {"GET": Route(self.health, Permission.HEALTH)},
            "/livez": {"GET": Route(self.livez, Permission.OPEN)},
            "/readyz": {"GET": Route(self.readyz, Permission.OPEN)},
            "/v1/backup": {
                "GET": Route(self.backup, Permission.ADMIN),
                "HEAD": Route(self.backup_head, Permission.ADMIN),
            },
            "/v1/request_log": {"GET": Route(self.request_log, Permission.READ_ALL)},
            "/v1/snapshot": {"POST": Route(self.snapshot, Permission.ADMIN)},
            "/v1/status": {"GET": Route(self.status, Permission.READ)},
            **self._data.routes(),
            **LocksApi(self._commands).routes(),
            **NoteApi(self._commands, self._aside).routes(),
            **self._users_routes(),
            **QueuesApi(self._commands, self._node).routes(),
            **MembersApi(self._node).routes(),
            **NetworkApi(self._node).routes(),
            **self.events.routes(),
            **self.watching.routes(),
            **HistoryApi(self._node, self._aside).routes(),
            **(self._pages.routes() if self._pages is not None else {}),
            **(self.lessons.routes() if self.lessons is not None else {}),
            **MetricsApi(self._node, self._metrics).routes(),
            **ChartsApi(self._charts, self._aside).routes(),
            **DescriptionApi().routes(),
        }
        for methods in routes.values():
            if "GET" in methods:
                methods.setdefault("HEAD", methods["GET"])
        return routes

    def _users_routes(self) -> dict[str, dict[str, Route]]:
        if self._logins is None:
            return {}
        return UsersApi(self._node, self._logins, self._data.ask, self._data.body).routes()

    def lean_routes(self) -> LeanRoutes:
        """The routes that `HttpServer` may serve on its lean path."""
        lean = LeanExecute(
            self._node,
            body_bytes_max=self._data.body_bytes_max,
            command_limits=self._command_limits,
            aside=self._aside,
        )
        return {("POST", "/v1/execute"): lean}

    async def request_log(self, request: web.BaseRequest) -> Reply:
        """GET /v1/request_log?from=&limit=: a page of the leader's log."""
        given = parameters(request, ("from", "limit"))
        first = integer_of("from", given["from"]) if "from" in given else None
        limit = LOG_LIMIT_DEFAULT
        if "limit" in given:
            limit = integer_of("limit", given["limit"], maximum=LOG_LIMIT_MAX)
        require_leader(self._node, "request_log")
        hold_answer(request, LOG_PAGE_HELD_BYTES, was_written=False)
        page = await self._node.request_log(first, limit)
        return Reply(await self._aside.run(encode_json, page))

    async def status(self, _request: web.BaseRequest) -> Reply:
        """GET /v1/status, which any node answers."""
        return Reply(encode_json(self._node.status()))

    async def snapshot(self, _request: web.BaseRequest) -> Reply:
        """POST /v1/snapshot: make a checkpoint and compact the log now, on the leader."""
        require_leader(self._node, "snapshot")
        return Reply(encode_json({"index": await self._node.checkpoint()}))

    async def backup(self, request: web.BaseRequest) -> web.StreamResponse:
        """GET /v1/backup: stream a consistent copy of the leader's state, which ends with its digest."""
        require_leader(self._node, "backup")
        if self._sending is not None:
            await self._sending.make_room()
        sending = None
        try:
            async with self._node.backup() as backup:
                self._sending = sending = Sending(request)
                headers = {
                    INDEX_HEADER: str(backup.index),
                    "Content-Disposition": f'attachment; filename="raftdb-{backup.index}.backup"',
                }
                return await stream_file(request, backup.path, headers=headers, sending=sending)
        finally:
            if sending is not None:
                self._sending = None
                sending.is_over.set()

    async def backup_head(self, _request: web.BaseRequest) -> Reply:
        """HEAD /v1/backup: the head of the answer without a length, which is known only once a backup is made."""
        require_leader(self._node, "backup")
        return Reply(None, content_type=OCTETS)

    async def health(self, _request: web.BaseRequest) -> Reply:
        """GET /health, which any node answers: whether it leads, its term, and the id of the leader."""
        status = self._node.status()
        leader = status["leader"]
        fields = {
            "is_leader": self._node.is_leader(),
            "term": status["term"],
            "leader": None if leader is None else leader["id"],
        }
        return Reply(encode_json(fields))

    async def livez(self, _request: web.BaseRequest) -> Reply:
        """GET /livez: the process is alive. A quorum is not required, because a restart would not bring one."""
        return Reply(b"ok\n", content_type=TEXT)

    async def readyz(self, request: web.BaseRequest) -> Reply:
        """GET /readyz[?verbose]: the node can serve clients, which a follower does by redirecting them to the
        leader."""
        problems = {name: check() for name, check in sorted(self._checks.items())}
        warnings = {name: check() for name, check in sorted(self._warnings.items())}
        ready = not any(problems.values())
        lines = [f"[!]{name} warning: {warning}" for name, warning in warnings.items() if warning is not None]
        lines.append("ok" if ready else "not ready")
        if "verbose" in request.query or not ready:
            lines = [
                f"[+]{name} ok" if problem is None else f"[-]{name} failed: {problem}"
                for name, problem in problems.items()
            ] + lines
        headers = [] if ready else [(b"Retry-After", b"1")]
        text = "\n".join([*lines, ""]).encode()
        return Reply(text, status=200 if ready else 503, content_type=TEXT, headers=headers)

    async def index(self, request: web.BaseRequest) -> Reply:
        """GET /: the first page for a browser, else the list of routes."""
        if self._pages is not None and wants_page(request):
            return await self._pages.page(request)
        routes: Sequence[str] = [
            f"{method} {path}"
            for path, methods in sorted(self.routes().items())
            for method in sorted(methods)
            if method != "HEAD"
        ]
        headers = [(b"Vary", b"Accept")]
        return Reply(encode_json({"name": "raftdb", "routes": routes}), headers=headers)

    def _leader_known(self) -> str | None:
        if self._node.is_leader() or self._node.leader_hint() is not None:
            return None
        return "no leader is known"
