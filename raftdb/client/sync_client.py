"""The client for ordinary, blocking Python: `flow` decides, `connection` carries out, this loop joins them."""

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from random import Random
from threading import Lock, get_ident
from types import TracebackType
from typing import TypeVar

from raftdb.client import methods
from raftdb.client.buffer import Buffer
from raftdb.client.connection import Connections, now_ms
from raftdb.client.flow import AwaitOthers, Caller, Exchange, Flow, Limits, Method, Outcome, Step
from raftdb.client.http1 import AnswerLost, NotSent, Sink
from raftdb.client.methods import LINEARIZABLE, SCAN_PAGE, Command, Condition, Key, Text
from raftdb.client.model import Answer, KeyPage, KeyValue, LogPage, Member, NodeStatus, TransactionAnswer
from raftdb.client.routing import DEFAULT_ADDRESSES, Pause, Router, parse_addresses
from raftdb.client.session import Sessions
from raftdb.client.transaction import Transaction
from raftdb.errors import LocalProtocolError, RaftdbError, Unavailable

DEFAULT_TIMEOUT_MS = 8_000
"""Longest time of one call, retries included. Nodes give a request up after 5 s unless configured otherwise:
the one who knows more should speak first."""

T = TypeVar("T")


class Client:
    """A connection to a cluster.

    `addresses`: the nodes' HTTP addresses, `"HOST:PORT,HOST:PORT"` or a sequence of such; any of them will
    do, more survive more failures. `timeout_ms`: the deadline of each call, retries included.
    `unreachable_timeout_ms`: give up sooner if no node at all can be connected to (None: do not). `random`:
    the source of jitter.

    `sessions`: writes are numbered within a session, which the first of them registers. So they are sent again, for as
    long as the deadline allows, whatever became of them, and happen once. Without, a write is sent again only if it
    surely was not executed; and a client that makes one write only is spared a round trip.

    Keys and values are `bytes`, or `str` for its UTF-8; what comes back is always `bytes`.

    Threads may share a client: their calls are then made one after the other. For calls side by side give each thread
    a client of its own, or use `AsyncClient`. A child process that inherits a client begins connections and a session
    of its own.

    Every method raises `RaftdbError`: `Unavailable` if the cluster cannot answer now, and the call surely was not
    executed; `OutcomeUnknown` if a write may have happened or may yet; `CommandFailed` if the command ran and failed,
    with `Conflict` for a revision that has changed; `SessionExpired` if the cluster no longer remembers whether it
    executed a write; `RequestRefused` if it is malformed; `RemoteProtocolError` if what answers is no raftdb node.
    """

    def __init__(
        self,
        addresses: str | Sequence[str] = DEFAULT_ADDRESSES,
        *,
        timeout_ms: float = DEFAULT_TIMEOUT_MS,
        unreachable_timeout_ms: float | None = None,
        sessions: bool = True,
        random: Random | None = None,
    ) -> None:
        text = addresses if isinstance(addresses, str) else ",".join(addresses)
        self._addresses = parse_addresses(text)
        self._has_sessions = sessions
        self._random = random or Random()
        self._timeout_ms = timeout_ms
        self._unreachable_timeout_ms = unreachable_timeout_ms
        self._begin()

    def _begin(self) -> None:
        """What is this process' own: connections, the session, and the turn to use them."""
        self._process_id = os.getpid()
        self._lock = Lock()
        self._thread_id: int | None = None
        self._connections = Connections()
        self._caller = Caller(
            Router(self._addresses, random=self._random),
            sessions=Sessions() if self._has_sessions else None,
            clock=now_ms,
            random=self._random,
        )

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses this client was given, in order."""
        return self._addresses

    def execute(
        self, name: str, arguments: Sequence[Text] = (), *, consistency: str = LINEARIZABLE
    ) -> Answer:
        """Run one command of the table of commands. `consistency="stale"`: reads by any node."""
        return self._run(methods.execute(name, arguments, consistency))

    def get(self, key: Text, *, consistency: str = LINEARIZABLE) -> bytes | None:
        """The value of a key; None if there is no such key."""
        return self._run(methods.get(key, consistency))

    def get_with_revision(self, key: Text, *, consistency: str = LINEARIZABLE) -> tuple[bytes | None, int]:
        """The value of a key, and the index of the entry that last changed it; None and 0 if there is no such key."""
        return self._run(methods.get_with_revision(key, consistency))

    def mget(self, keys: Sequence[Text]) -> list[bytes | None]:
        """The values of several keys at one moment, in their order; None for a missing one."""
        return self._run(methods.mget(keys))

    def exists(self, *keys: Text) -> int:
        """How many of the keys exist, each as often as it is named."""
        return self._run(methods.integer("exists", *keys))

    def strlen(self, key: Text) -> int:
        """The length of a value in bytes; 0 if there is no such key."""
        return self._run(methods.integer("strlen", key))

    def set(
        self,
        key: Text,
        value: Text,
        *,
        ttl_ms: int | None = None,
        keep_ttl: bool = False,
        only_if: Condition | None = None,
    ) -> bool:
        """Store a value; True unless `only_if`, `"missing"` or `"present"`, is not true of the key.

        `ttl_ms`: it lives for so long, on the cluster's clock. Else for ever, or, with `keep_ttl`, as long as the value
        before it would have.
        """
        return self._run(methods.set_value(methods.set_arguments(key, value, ttl_ms, keep_ttl, only_if)))

    def delete(self, key: Text) -> bytes | None:
        """Delete a key; the value it had, or None."""
        return self._run(methods.delete(key))

    def append(self, key: Text, value: Text) -> None:
        """Put text behind a value; creates the key if there is none."""
        self._run(methods.status_only("append", key, value))

    def incr(self, key: Text, by: int = 1) -> int:
        """Add to a number, 64 bits, signed; the sum. A missing key counts as 0."""
        return self._run(methods.integer("incrby", key, str(by)))

    def cas(self, key: Text, revision: int, value: Text) -> int:
        """Store a value if the key still has `revision` (0: if there is no such key); the new revision.

        Raises `Conflict` if it has not.
        """
        return self._run(methods.cas(key, revision, value))

    def getset(self, key: Text, value: Text) -> bytes | None:
        """Store a value; the one before, or None."""
        return self._run(methods.getset(key, value))

    def mset(self, pairs: Mapping[Key, Text]) -> None:
        """Store several values at once."""
        self._run(methods.mset(pairs))

    def expire(self, key: Text, seconds: int) -> bool:
        """Let a key live for so long from now on, on the cluster's clock; deletes it if that is 0 or less. False if
        there is no such key."""
        return self._run(methods.boolean("expire", key, str(seconds)))

    def ttl(self, key: Text) -> int:
        """How long a key will live, in seconds, rounded up; -1 for ever, -2 if there is no such key."""
        return self._run(methods.integer("ttl", key))

    def persist(self, key: Text) -> bool:
        """Let a key live for ever; False if there is no such key, or if it does already."""
        return self._run(methods.boolean("persist", key))

    def dbsize(self) -> int:
        """How many keys there are."""
        return self._run(methods.integer("dbsize"))

    def key_page(
        self,
        prefix: Text = b"",
        *,
        after: Text | None = None,
        limit: int = 100,
        values: bool = True,
        consistency: str = LINEARIZABLE,
    ) -> KeyPage:
        """Up to `limit` (at most 1000) keys that begin with `prefix` and come after `after`, at one moment."""
        return self._run(methods.key_page(prefix, after, limit, values=values, consistency=consistency))

    def scan(
        self, prefix: Text = b"", *, page: int = SCAN_PAGE, consistency: str = LINEARIZABLE
    ) -> Iterator[KeyValue]:
        """All keys that begin with `prefix`, with values and revisions, in order; `page` of them are asked for at a
        time. Each page is of one moment, the whole is not."""
        return self._pages(prefix, page, values=True, consistency=consistency)

    def keys(
        self, prefix: Text = b"", *, page: int = SCAN_PAGE, consistency: str = LINEARIZABLE
    ) -> Iterator[bytes]:
        """As `scan`, without the values."""
        return (found.key for found in self._pages(prefix, page, values=False, consistency=consistency))

    def transact(
        self,
        commands: Iterable[Command],
        *,
        watch: Mapping[Key, int] | None = None,
        mode: str = "atomic",
    ) -> TransactionAnswer:
        """Execute several commands, `(name, arguments)`, as one entry of the log, if each key of `watch` still has the
        revision given (0: there is no such key).

        If one fails: in mode `"atomic"` nothing is executed, and `CommandFailed` says which by `failed_command`; in
        mode `"redis"` its error stands among the results. Raises `Conflict`, with nothing executed, if a revision has
        changed.
        """
        return self._run(methods.transact(commands, methods.watched(watch), mode))

    def transaction(self) -> Transaction:
        """A transaction that reads at once and writes when it is committed (see `raftdb.client.transaction`)."""
        return Transaction(self, self.get_with_revision, self._commit)

    def request_log(self, *, first: int | None = None, limit: int = 100) -> LogPage:
        """A page of the leader's log: up to `limit` entries from index `first` (None: the node's choice).

        Raises `RaftdbError` `compacted` if `first` is no longer in the log.
        """
        return self._run(methods.request_log(first, limit))

    def status(self, address: str | None = None) -> NodeStatus:
        """The view of the node at `address` (HOST:PORT), or of the first node that answers.

        With an address the question is whether that node is up: it gets one second and no second chance.
        """
        if address is None:
            return self._run(methods.STATUS)
        limits = self._limits()
        return self._carry_out(self._caller.ask(methods.STATUS, address, limits), limits)

    def members(self) -> tuple[Member, ...]:
        """The cluster's members as the leader knows them, with how far each has come."""
        return self._run(methods.MEMBERS)

    def snapshot(self) -> int:
        """Make the leader's state durable and compact its log now; the index that the state is durable up to."""
        return self._run(methods.SNAPSHOT)

    def backup(self, sink: Sink) -> int:
        """Stream a backup of the leader's state into `sink`; the index that it goes up to.

        Memory is bounded. An answer that is cut off is asked for again, as long as the time of a call lasts: `sink`
        then begins anew. Verifying what arrived is the caller's work (`raftdb.client.backup`). What the sink raises
        is passed on.
        """
        return self._run(methods.backup(sink))

    def close(self) -> None:
        """End the session, if the leader can be told quickly, and close the connections. The client may be used
        again."""
        if self._process_id == os.getpid():
            with suppress(RaftdbError):
                self._carry_out(self._caller.close(), self._limits())
        self._connections.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _pages(self, prefix: Text, page: int, *, values: bool, consistency: str) -> Iterator[KeyValue]:
        after: bytes | None = None
        while True:
            found = self.key_page(prefix, after=after, limit=page, values=values, consistency=consistency)
            yield from found.keys
            after = found.next_after
            if after is None:
                return

    def _commit(self, buffer: Buffer) -> TransactionAnswer:
        return self.transact(buffer.commands, watch=buffer.watched)

    def _limits(self) -> Limits:
        return Limits(now_ms(), self._timeout_ms, self._unreachable_timeout_ms)

    def _run(self, method: Method[T]) -> T:
        if self._process_id != os.getpid():
            # Two processes on one connection, or with one numbering, would take each other's answers.
            self._begin()
        limits = self._limits()
        return self._carry_out(self._caller.flow(method, limits), limits)

    def _carry_out(self, flow: Flow[T], limits: Limits) -> T:
        """Do what the flow says until it ends."""
        with self._turn(limits):
            try:
                step = next(flow)
                while True:
                    step = flow.send(self._perform(step))
            except StopIteration as end:
                result: T = end.value
                return result
            finally:
                flow.close()

    def _perform(self, step: Step) -> Outcome:
        """Carry out one step; what came of it."""
        if isinstance(step, Pause):
            time.sleep(step.duration_ms / 1000.0)
            return None
        assert isinstance(step, Exchange), f"{AwaitOthers.__name__}, and there are no others"
        try:
            return self._connections.exchange(
                step.attempt.address,
                step.request.method,
                step.request.target,
                step.request.body,
                connect_by_ms=step.attempt.connect_by_ms,
                answer_by_ms=step.attempt.answer_by_ms,
                sink=step.sink,
            )
        except (NotSent, AnswerLost) as error:
            return error

    @contextmanager
    def _turn(self, limits: Limits) -> Iterator[None]:
        """One call at a time, whichever thread makes it; waiting for the turn is part of the call's time."""
        lock = self._lock
        if self._thread_id == get_ident():
            raise LocalProtocolError(
                "a call of this client was made within another one (a signal handler, a sink)"
            )
        if not lock.acquire(timeout=max(limits.ends_ms - now_ms(), 0.0) / 1000.0):
            raise Unavailable(
                "busy",
                f"another thread has used this client for {limits.timeout_ms / 1000:g} s",
                hint="give each thread a client of its own",
            )
        self._thread_id = get_ident()
        try:
            yield
        finally:
            self._thread_id = None
            lock.release()
