"""The processes of a local cluster, for the nodes' pages: a listener of its own thread, beside the shell.

A page may kill, restart, pause and resume a node while the shell waits for somebody to type. Whatever is done to the
cluster is done by one thread at a time, for which the cluster has a lock.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager
from functools import partial

from cli.console.failures import CommandError
from cli.local.cluster import LocalCluster
from raftdb.endpoint import Endpoint, parse_endpoint
from raftdb.errors import RequestRefused

START_TIMEOUT_S = 30.0
NEWS_MAX = 100


class PageControl:
    """The listener. `start` once, if pages may act; `close` in the end, before the cluster is stopped."""

    def __init__(self, cluster: LocalCluster) -> None:
        self._cluster = cluster
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending: asyncio.Event | None = None
        self._news: deque[str] = deque(maxlen=NEWS_MAX)
        self._address: Future[Endpoint] = Future()
        self._thread = threading.Thread(target=self._run, name="page-control", daemon=True)

    def start(self) -> None:
        """Begin to listen, and have the nodes that are started from now on tell their pages where. Raises OSError."""
        self._thread.start()
        self._cluster.let_pages_reach(self._address.result(START_TIMEOUT_S))

    def close(self) -> None:
        """Stop listening, once what is being done is done."""
        if self._loop is not None and self._ending is not None:
            self._loop.call_soon_threadsafe(self._ending.set)
            self._thread.join()

    def take_news(self) -> list[str]:
        """A line for people about each thing that a page has done since the last call."""
        return [self._news.popleft() for _ in range(len(self._news))]

    async def states(self) -> Mapping[str, str]:
        """See `ProcessOwner`."""
        cluster = self._cluster
        return {node_id: cluster.state(node_id).value for node_id in cluster.node_ids}

    async def act(self, action: str, node_id: str) -> str:
        """See `ProcessOwner`."""
        try:
            return await asyncio.to_thread(self._act, action, node_id)
        except CommandError as error:
            raise RequestRefused("bad_request", error.message) from error

    def _act(self, action: str, node_id: str) -> str:
        cluster = self._cluster
        acts: dict[str, Callable[[str], str]] = {
            "kill": cluster.kill,
            "pause": cluster.pause,
            "restart": partial(cluster.restart, waits=False),
            "resume": cluster.resume,
        }
        done = acts[action](node_id)
        self._news.append(f"by a page: {done}")
        return done

    def _run(self) -> None:
        try:
            # It is loaded only where there are pages that may act, and not on the event loop.
            from raftdb.frontend import serve_processes

            asyncio.run(self._serve(serve_processes))
        except Exception as error:
            if self._address.done():
                raise
            self._address.set_exception(error)

    async def _serve(self, serve: Callable[..., AbstractAsyncContextManager[Endpoint]]) -> None:
        self._loop, self._ending = asyncio.get_running_loop(), asyncio.Event()
        async with serve(self, self._members, token=self._cluster.token) as address:
            self._address.set_result(address)
            await self._ending.wait()

    def _members(self) -> list[Endpoint]:
        return [parse_endpoint(place.http) for place in self._cluster.places]
