"""The methods of the blocking client that are commands of the database: each is a line, for what it sends and
understands is in `methods`, and how it is carried out in `sync_client`."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from raftdb.client import methods
from raftdb.client.flow import Method
from raftdb.client.methods import LINEARIZABLE, SCAN_PAGE, Command, Condition, Key, Text
from raftdb.client.model import Answer, KeyPage, KeyValue, TransactionAnswer

T = TypeVar("T")


class ClientCommands(ABC):
    """The commands of `raftdb.client.sync_client.Client`."""

    @abstractmethod
    def _run(self, method: Method[T]) -> T:
        """Make one call, from beginning to end."""

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

    def _pages(self, prefix: Text, page: int, *, values: bool, consistency: str) -> Iterator[KeyValue]:
        after: bytes | None = None
        while True:
            found = self.key_page(prefix, after=after, limit=page, values=values, consistency=consistency)
            yield from found.keys
            after = found.next_after
            if after is None:
                return
