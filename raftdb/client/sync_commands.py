# Made from async_commands.py by .ci/unasync.py: what is to be changed is changed there.
"""The methods of a client that are one call each. `methods` and `cluster_methods` make their requests and read the
answers, and `async_client` and `sync_client` carry them out."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from raftdb.client import cluster_methods, methods
from raftdb.client.comparing import Comparison
from raftdb.client.flow import Method
from raftdb.client.given import Command, Form, Lifetime, Pairs, Revisions, Text, V, revisions_of, whole
from raftdb.client.methods import LINEARIZABLE, SCAN_PAGE, Condition
from raftdb.client.model import Answer, KeyPage, KeyValue, LogPage, Member, Membership, TransactionAnswer
from raftdb.client.protocol import Consistency, Mode
from raftdb.errors import LeaderHint
from raftdb.machine.scanning import DELETED_MAX

T = TypeVar("T")


class ClientCommands(ABC, Generic[V]):
    """The calls of a client. `timeout_ms` is the longest time of the one call, by default the client's."""

    _form: Form[V]

    @abstractmethod
    def _run(self, method: Method[T], timeout_ms: float | None = None) -> T:
        """Make one call. Raises `RaftdbError`."""

    def execute(
        self,
        name: str,
        arguments: Iterable[Text] = (),
        *,
        consistency: Consistency = LINEARIZABLE,
        timeout_ms: float | None = None,
    ) -> Answer:
        """Execute a command of the table of commands. With `consistency="stale"` any node may answer a read."""
        return self._run(methods.execute(self._form, name, arguments, consistency), timeout_ms)

    def get(
        self, key: Text, *, consistency: Consistency = LINEARIZABLE, timeout_ms: float | None = None
    ) -> V | None:
        """The value of a key; None if there is no such key."""
        return self._run(methods.get(self._form, key, consistency), timeout_ms)

    def get_with_revision(
        self, key: Text, *, consistency: Consistency = LINEARIZABLE, timeout_ms: float | None = None
    ) -> tuple[V | None, int]:
        """The value of a key, and the index of the entry that last changed it; None and 0 if there is no such key."""
        return self._run(methods.get_with_revision(self._form, key, consistency), timeout_ms)

    def mget(self, keys: Iterable[Text], *, timeout_ms: float | None = None) -> list[V | None]:
        """The values of several keys at one moment, in their order; None for a missing one."""
        return self._run(methods.mget(self._form, keys), timeout_ms)

    def exists(self, *keys: Text, timeout_ms: float | None = None) -> int:
        """How many of the keys exist, each as often as it is named."""
        return self._run(methods.exists(keys), timeout_ms)

    def strlen(self, key: Text, *, timeout_ms: float | None = None) -> int:
        """The length of a value in bytes; 0 if there is no such key."""
        return self._run(methods.integer("strlen", key), timeout_ms)

    def set(
        self,
        key: Text,
        value: Text,
        *,
        ttl: Lifetime | None = None,
        keep_ttl: bool = False,
        only_if: Condition | None = None,
        session: bool = False,
        timeout_ms: float | None = None,
    ) -> bool:
        """Store a value. With `only_if`, which is `"missing"` or `"present"`, False if that is not true of the key.

        The value lives for `ttl`, in seconds or as a `timedelta`, to the millisecond, on the cluster's clock. Without
        it the value lives for ever, or, with `keep_ttl`, as long as the old value would have. With `session` it is gone
        when this client is closed, or `session_ttl` after its process has ended or was cut off, whatever the key's own
        time. Raises `SessionLost` if the keys that were bound before are gone.
        """
        arguments = methods.set_arguments(key, value, ttl, keep_ttl, only_if, session)
        return self._run(methods.set_value(arguments), timeout_ms)

    def delete(self, *keys: Text, timeout_ms: float | None = None) -> int:
        """Delete keys at one moment; returns how many there were. `pop` returns the value."""
        return self._run(methods.delete(keys), timeout_ms)

    def delprefix(self, prefix: Text, *, timeout_ms: float | None = None) -> int:
        """Delete all keys that begin with `prefix`; returns how many there were. Each 1,000 go at one moment of their
        own, for which `timeout_ms` is the time; keys that are put meanwhile may go, too."""
        count = 0
        while True:
            deleted = self._run(methods.integer("delprefix", prefix), timeout_ms)
            count += deleted
            if deleted < DELETED_MAX:
                return count

    def pop(self, key: Text, *, timeout_ms: float | None = None) -> V | None:
        """Delete a key; returns its old value, or None if there was no such key."""
        return self._run(methods.pop(self._form, key), timeout_ms)

    def append(self, key: Text, value: Text, *, timeout_ms: float | None = None) -> None:
        """Append bytes to the value of a key, which is created if there is none."""
        self._run(methods.status_only("append", key, value), timeout_ms)

    def setrange(self, key: Text, offset: int, value: Text, *, timeout_ms: float | None = None) -> int:
        """Overwrite a value from byte `offset` on; a gap before that is filled with zero bytes. Returns the new length
        in bytes."""
        return self._run(methods.setrange(key, offset, value), timeout_ms)

    def incr(self, key: Text, by: int = 1, *, timeout_ms: float | None = None) -> int:
        """Add `by` to a number of 64 bits, signed; returns the sum. A missing key counts as 0."""
        return self._run(methods.incr(key, by), timeout_ms)

    def cas(self, key: Text, revision: int, value: Text, *, timeout_ms: float | None = None) -> int:
        """Store a value if the key still has `revision` (0: if there is no such key); returns the new revision.

        Raises `Conflict` if the key has another revision.
        """
        return self._run(methods.cas(key, revision, value), timeout_ms)

    def getset(self, key: Text, value: Text, *, timeout_ms: float | None = None) -> V | None:
        """Store a value; returns the old one, or None if there was no such key."""
        return self._run(methods.getset(self._form, key, value), timeout_ms)

    def mset(self, pairs: Pairs, *, timeout_ms: float | None = None) -> None:
        """Store several values at one moment."""
        self._run(methods.mset(pairs), timeout_ms)

    def expire(self, key: Text, ttl: Lifetime, *, timeout_ms: float | None = None) -> bool:
        """Let a key live for `ttl` from now on, in seconds or as a `timedelta`, rounded up to whole seconds, on the
        cluster's clock; 0 or less deletes it. Returns False if there is no such key."""
        return self._run(methods.expire(key, ttl), timeout_ms)

    def ttl(self, key: Text, *, timeout_ms: float | None = None) -> int:
        """How long a key will live, in seconds, rounded up; -1 if it lives for ever, -2 if there is no such key."""
        return self._run(methods.integer("ttl", key), timeout_ms)

    def persist(self, key: Text, *, timeout_ms: float | None = None) -> bool:
        """Let a key live for ever; returns False if there is no such key, or it has no time to live."""
        return self._run(methods.boolean("persist", key), timeout_ms)

    def dbsize(self, *, timeout_ms: float | None = None) -> int:
        """The number of keys."""
        return self._run(methods.integer("dbsize"), timeout_ms)

    def key_page(
        self,
        prefix: Text = b"",
        *,
        after: Text | None = None,
        limit: int = 100,
        values: bool = True,
        consistency: Consistency = LINEARIZABLE,
        timeout_ms: float | None = None,
    ) -> KeyPage[V]:
        """Up to `limit` (at most 1000) keys that begin with `prefix` and come after `after`, at one moment."""
        method = methods.key_page(self._form, prefix, after, limit, values=values, consistency=consistency)
        return self._run(method, timeout_ms)

    def scan(
        self,
        prefix: Text = b"",
        *,
        page: int = SCAN_PAGE,
        consistency: Consistency = LINEARIZABLE,
        timeout_ms: float | None = None,
    ) -> Iterator[KeyValue[V]]:
        """All keys that begin with `prefix`, with values and revisions, in order. They are asked for in pages of `page`
        keys (at most 1000). Each page is of one moment, but different pages are not. `timeout_ms` is for one page."""
        return self._pages(prefix, page, True, consistency, timeout_ms)

    def keys(
        self,
        prefix: Text = b"",
        *,
        page: int = SCAN_PAGE,
        consistency: Consistency = LINEARIZABLE,
        timeout_ms: float | None = None,
    ) -> Iterator[V]:
        """The same keys as `scan`, without values."""
        return (found.key for found in self._pages(prefix, page, False, consistency, timeout_ms))

    def transact(
        self,
        commands: Iterable[Command],
        *,
        watch: Revisions | None = None,
        watched_at: int = 0,
        mode: Mode = "atomic",
        compare: Iterable[Comparison] = (),
        otherwise: Iterable[Command] = (),
        timeout_ms: float | None = None,
    ) -> TransactionAnswer:
        """Execute several commands, each `(name, arguments)`, as one entry of the log, if each key of `watch` still has
        its revision there (0: there is no such key). With `watched_at`, the index of the earliest of the answers that
        the revisions come from, a missing key that was made and deleted since has changed, too.

        If a command fails in mode `"atomic"`, nothing is executed, and the `CommandFailed` has its index as
        `failed_command`; in mode `"redis"` its error is one of the results. Raises `Conflict`, with nothing executed,
        if a revision has changed.

        With `compare` it branches: `commands` are executed if all these conditions hold, else those of `otherwise`, and
        `succeeded` of the answer says which.
        """
        method = methods.transact(
            self._form,
            commands,
            revisions_of(watch),
            mode,
            watched_at=whole(watched_at, "an index"),
            compare=compare,
            otherwise=otherwise,
        )
        return self._run(method, timeout_ms)

    def request_log(
        self, *, first: int | None = None, limit: int = 100, timeout_ms: float | None = None
    ) -> LogPage:
        """A page of the leader's log: up to `limit` entries from index `first` on (None: the leader chooses).

        Raises `RaftdbError` `compacted` if `first` is no longer in the log.
        """
        return self._run(cluster_methods.request_log(first, limit), timeout_ms)

    def snapshot(self, *, timeout_ms: float | None = None) -> int:
        """Make the leader's state durable and compact its log now; returns the index up to which the state is
        durable."""
        return self._run(cluster_methods.SNAPSHOT, timeout_ms)

    def members(self, *, timeout_ms: float | None = None) -> tuple[Member, ...]:
        """The cluster's members as the leader knows them, with the last index that each is known to have."""
        return self._run(cluster_methods.MEMBERS, timeout_ms)

    def membership(self, *, timeout_ms: float | None = None) -> Membership:
        """The members as the leader knows them, and the ids of removed ones."""
        return self._run(cluster_methods.MEMBERSHIP, timeout_ms)

    def add_member(
        self,
        node_id: str,
        http: str,
        *,
        redis: str | None = None,
        redis_cluster: str | None = None,
        learner: bool = False,
        force: bool = False,
        timeout_ms: float | None = None,
    ) -> Membership:
        """Add the node `node_id` at the address `http` (HOST:PORT) as a learner, which becomes a voter once it has
        caught up; with `learner` it stays a learner. If `pending` is True in the answer, it is still catching up."""
        return self._run(
            cluster_methods.add(
                node_id, http, redis=redis, redis_cluster=redis_cluster, learner=learner, force=force
            ),
            timeout_ms,
        )

    def remove_member(
        self, node_id: str, *, force: bool = False, timeout_ms: float | None = None
    ) -> Membership:
        """Remove a node for good. With `force` also if fewer voters than a majority are alive then."""
        return self._run(cluster_methods.remove(node_id, force=force), timeout_ms)

    def promote_member(
        self, node_id: str, *, force: bool = False, timeout_ms: float | None = None
    ) -> Membership:
        """Make a learner a voter. `force` as in `remove_member`."""
        return self._run(cluster_methods.promote(node_id, force=force), timeout_ms)

    def move_member(
        self,
        node_id: str,
        http: str,
        *,
        redis: str | None = None,
        redis_cluster: str | None = None,
        timeout_ms: float | None = None,
    ) -> Membership:
        """Change the address of a node to `http`, and those of its Redis ports to `redis` and `redis_cluster`
        (HOST:PORT; None: it has no such port)."""
        return self._run(
            cluster_methods.move(node_id, http, redis=redis, redis_cluster=redis_cluster), timeout_ms
        )

    def transfer_leadership(
        self, node_id: str | None = None, *, timeout_ms: float | None = None
    ) -> LeaderHint:
        """Let the node lead (None: the voter with the most entries); returns the new leader's addresses once it
        leads."""
        return self._run(cluster_methods.transfer(node_id), timeout_ms)

    def _pages(
        self, prefix: Text, page: int, values: bool, consistency: Consistency, timeout_ms: float | None
    ) -> Iterator[KeyValue[V]]:
        method = methods.key_page(self._form, prefix, None, page, values=values, consistency=consistency)
        while True:
            found = self._run(method, timeout_ms)
            yield from found.keys
            after = found.next_after
            if after is None:
                return
            method = methods.key_page(self._form, prefix, after, page, values=values, consistency=consistency)
