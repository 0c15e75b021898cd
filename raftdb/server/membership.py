"""How a new node joins a running cluster: it asks to be added.

With a secret of the cluster it proves that it knows it, and believes only who does the same (`_Proved`); without one it
asks as a client does (`_AsClient`).

A new folder gets the id of the running cluster, and nothing else: without a configuration it neither votes nor stands
for election, and learns everything from the leader, which dials it. It asks to be added only once it listens, for the
leader adds it as a learner at once and makes it a voter when it has caught up.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import aiohttp

from raftdb.client.addresses import learnt_endpoint
from raftdb.client.sync_client import Client
from raftdb.endpoint import Endpoint
from raftdb.errors import Fatal, RaftdbError, RemoteProtocolError, Unavailable, required
from raftdb.node.view import NodeView
from raftdb.server.config import EXIT_CONFIGURATION, Settings
from raftdb.transport import PeerProof, PeerTls, ask_to_join, new_session, short_reason, where

logger = logging.getLogger("raftdb.server")

ASK_TIMEOUT_S_MIN = 10.0
ASK_TIMEOUT_S_MAX = 80.0
"""How long a request to the cluster may take: longer than a node takes to say how far a new one has come. It is doubled
after each request that took too long, because a slow network takes longer (`raftdb.core.timing.request_ticks`)."""
PAUSE_MIN_S = 0.2
PAUSE_MAX_S = 3.0
"""First and longest pause between two requests to a cluster that does not answer."""
FINAL = frozenset({"conflict", "not_found", "bad_request", "forbidden", "method_not_allowed"})
"""Codes of refusals that asking again does not change."""


def find_cluster(settings: Settings, proof: PeerProof) -> str:
    """The id of the running cluster at `settings.join`; asks until one of its nodes answers. Blocks."""
    nodes = required(settings.join, "node to ask")
    pause_s, last_why = PAUSE_MIN_S, ""
    while True:
        try:
            is_proved = proof.is_offered_to(nodes[0])
            return _proved_cluster_id(nodes, proof) if is_proved else _cluster_id(nodes, proof)
        except RaftdbError as error:
            if error.message != last_why:
                details = {"asked": ",".join(map(str, nodes)), "why": error.message}
                logger.warning("the cluster to join does not answer", extra={"fields": details})
            last_why = error.message
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, PAUSE_MAX_S)


def _cluster_id(nodes: Sequence[Endpoint], proof: PeerProof) -> str:
    """What one of these nodes says that its cluster is. Raises RaftdbError."""
    tls = proof.tls_to(nodes[0])
    context = None if tls is None else tls.context()
    with Client(list(map(str, nodes)), unreachable_timeout_ms=0.0, tls=context) as client:
        return client.status().cluster_id


def _proved_cluster_id(nodes: Sequence[Endpoint], proof: PeerProof) -> str:
    """The same of one that proves that it knows the secret. Raises RaftdbError."""

    async def ask() -> str:
        why: RaftdbError | None = None
        for node in nodes:
            try:
                async with new_session(total_s=ASK_TIMEOUT_S_MIN) as session:
                    _, answer = await ask_to_join(session, node, proof, None)
                cluster_id, tls = str(answer.get("cluster_id", "")), proof.tls_to(node)
                if tls is None or tls.may_speak_for(cluster_id):
                    return cluster_id
                why = RemoteProtocolError(
                    f"{node} says that it is of cluster {cluster_id}, its certificate does not"
                )
            except RemoteProtocolError as error:
                why = error
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                why = Unavailable("unreachable", f"{node}: {short_reason(error)}")
        raise required(why, "reason")

    return asyncio.run(ask())


class JoinRefused(Exception):
    """The cluster has refused the request, and would refuse it again."""

    def __init__(self, message: str, hint: str | None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Registrar:
    """Asks the cluster to add this node. `run` is its one task, which ends when that is done.

    `http` is where others reach this node, and `proof` how it proves itself.
    """

    def __init__(
        self,
        settings: Settings,
        view: NodeView,
        http: Endpoint,
        *,
        proof: PeerProof,
        on_fatal: Callable[[Fatal], None],
    ) -> None:
        self._proof = proof
        self._settings = settings
        self._view = view
        self._http = http
        self._on_fatal = on_fatal

    async def run(self) -> None:
        """Join, if the settings say so; ask until the node is added or is refused for good."""
        if self._settings.join is None:
            return
        if self._view.configuration.ids == (self._view.id,):
            # The settings name other nodes, so this node was not meant to be a cluster of its own: it was once started
            # without `join`.
            details = {"join": ",".join(map(str, self._settings.join))}
            logger.warning(
                "join is ignored: this folder is a cluster of its own; to join, begin with an empty one",
                extra={"fields": details},
            )
        elif self._view.configuration_index == 0:
            try:
                await self._repeat(self._join)
            except JoinRefused as refused:
                reason = f"the cluster does not add this node: {refused.message}"
                self._on_fatal(Fatal(reason, exit_code=EXIT_CONFIGURATION, hint=refused.hint))

    async def _repeat(self, ask: Callable[[aiohttp.ClientSession, Endpoint], Awaitable[bool]]) -> None:
        """Ask at each address that is known, again and again, until one answers that it is done."""
        pause_s, last_why = PAUSE_MIN_S, ""
        timeout_s = ASK_TIMEOUT_S_MIN
        async with new_session(total_s=ASK_TIMEOUT_S_MAX) as session:
            while True:
                why = "no other node is known"
                for target in self._targets():
                    try:
                        async with asyncio.timeout(timeout_s):
                            if await ask(session, target):
                                return
                    except RemoteProtocolError as error:
                        why = f"{target}: {error.message}"
                    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
                        why = f"{target}: {short_reason(error)}"
                        if isinstance(error, TimeoutError):
                            timeout_s = min(2 * timeout_s, ASK_TIMEOUT_S_MAX)
                # A cluster that does not answer is asked many times: only a new reason is worth a line.
                if why != last_why:
                    fields = {"http": self._http, "why": why}
                    logger.warning(
                        "the cluster could not be asked to add this node", extra={"fields": fields}
                    )
                last_why = why
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, PAUSE_MAX_S)

    def _targets(self) -> Sequence[Endpoint]:
        """The nodes to ask: each redirects to the leader."""
        members = self._view.configuration.members
        others = [member.http for member in members if member.id != self._view.id]
        return [*others, *(self._settings.join or ())]

    async def _join(self, session: aiohttp.ClientSession, target: Endpoint) -> bool:
        """Ask to be added, unless this node is a member already."""
        own = self._view.id
        cluster = self._cluster_at(session, target)
        found = await cluster.members()
        known = next((one for one in found.get("members", ()) if one.get("id") == own), None)
        if known is None:
            facts = {"id": own, "http": str(self._http), **self._settings.advertised_redis.named()}
            answer = await cluster.add(facts)
            logger.info("taken in by the cluster", extra={"fields": {"index": answer.get("index")}})
        elif known.get("http") != str(self._http):
            raise JoinRefused(
                f"{own} is a member already, at {known.get('http')} and not at {self._http}",
                f"if that node is this one: raftdb cluster address {own} {self._http}",
            )
        return True

    def _cluster_at(self, session: aiohttp.ClientSession, target: Endpoint) -> "_Proved | _AsClient":
        """The cluster as this node asks it at `target`. Raises OSError."""
        try:
            if self._proof.is_offered_to(target):
                return _Proved(target, self._proof)
            return _AsClient(session, target, self._proof.tls_to(target))
        except RemoteProtocolError as error:
            raise ConnectionError(error.message) from None


class _AsClient:
    """The cluster as a client asks it at one of its nodes. Redirects are followed. Raises `JoinRefused`, OSError for a
    refusal that may pass, aiohttp's errors."""

    def __init__(self, session: aiohttp.ClientSession, target: Endpoint, tls: PeerTls | None) -> None:
        self._session = session
        self._target = target
        self._url, self._options = where(target, "/v1/members", tls)

    async def members(self) -> Mapping[str, Any]:
        """The members as the leader knows them."""
        return await self._call("GET")

    async def add(self, facts: Mapping[str, object]) -> Mapping[str, Any]:
        """Have a node with these facts added."""
        return await self._call("POST", facts)

    async def _call(self, method: str, body: Mapping[str, object] | None = None) -> Mapping[str, Any]:
        async with self._session.request(method, self._url, json=body, **self._options) as response:
            return _checked(self._target, response.status, await response.json(content_type=None))


class _Proved:
    """The cluster as one asks it that proves itself, by the secret or by a certificate, by members that do so, too.
    Raises the same, and RemoteProtocolError."""

    def __init__(self, target: Endpoint, proof: PeerProof) -> None:
        self._target = target
        self._proof = proof

    async def members(self) -> Mapping[str, Any]:
        """The members as the leader knows them, or as the node does that was asked if it knows no leader."""
        status, answer = await self._ask(None)
        leader = learnt_endpoint(answer.get("leader"))
        if leader is not None and self._target.is_tls:
            leader = leader.over_tls()
        if leader is not None and leader != self._target:
            self._target = leader
            status, answer = await self._ask(None)
        return _checked(self._target, status, answer)

    async def add(self, facts: Mapping[str, object]) -> Mapping[str, Any]:
        """Have a node with these facts added."""
        return _checked(self._target, *await self._ask(facts))

    async def _ask(self, facts: Mapping[str, object] | None) -> tuple[int, Mapping[str, Any]]:
        # A proof is of one connection.
        async with new_session(total_s=ASK_TIMEOUT_S_MAX) as session:
            return await ask_to_join(session, self._target, self._proof, facts)


def _checked(target: Endpoint, status: int, content: object) -> Mapping[str, Any]:
    """The content of an answer. Raises `JoinRefused`, OSError for a refusal that may pass, ValueError."""
    if not isinstance(content, dict):
        raise ValueError(f"{target} does not answer as a raftdb node")
    if status < 300:
        return content
    error = content.get("error")
    if not isinstance(error, dict):
        raise ValueError(f"{target} answered HTTP status {status}")
    if error.get("code") in FINAL:
        raise JoinRefused(str(error.get("message")), error.get("hint"))
    raise OSError(str(error.get("message")))
