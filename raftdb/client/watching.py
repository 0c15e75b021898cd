"""Following the changes of keys, over connections that end: what is asked of a node, and what its events mean. No I/O.

Each change is told once, in order, whatever happens to nodes and connections. What holds that up:

* A node marks the last change of each entry with a *place* (`id`). The changes of an entry are given out once its place
  has come, so a connection that ends within an entry has told nothing of it, and the next node tells it whole.
* Any node can go on from any place: one that is behind waits until it has got there.
* A node that is silent for `SILENCE_MS` is given up, as one whose connection breaks: nodes say something every 10 s.
* A node that no longer has what comes after a place says so. With a snapshot the present state is told again, after a
  `reset`; without one the caller gets `Compacted`.
"""

from collections import deque
from collections.abc import Sequence
from random import Random
from typing import Generic, cast
from urllib.parse import quote_from_bytes

from raftdb.client.given import Form, Text, V, to_bytes, whole
from raftdb.client.http1 import LENGTH, Response, ResponseParser
from raftdb.client.json_body import bytes_of, integer, object_of, optional_integer, parse_json
from raftdb.client.model import Change, ChangeKind, Json
from raftdb.client.refusals import error_of
from raftdb.endpoint import Endpoint
from raftdb.errors import Compacted, RaftdbError, RemoteProtocolError, RequestRefused, Unavailable

SILENCE_MS = 25_000
"""A node that says nothing for so long is given up."""
PAUSE_MS_MIN = 20.0
PAUSE_MS_MAX = 1_000.0
"""After all known nodes have failed once more it is waited twice as long as before, between these."""
BLOCK_BYTES_MAX = 64 << 20
"""Longest event that is taken: an entry has 16 MiB of values at most, and JSON makes them longer."""


class Following(Generic[V]):
    """What one watch has got, and where it goes on. It is a `Sink`, for the body of a stream."""

    def __init__(
        self,
        prefix: Text,
        *,
        after: int | None,
        previous: bool,
        snapshot: bool,
        form: Form[V],
        addresses: Sequence[Endpoint],
        random: Random,
    ) -> None:
        self._prefix = to_bytes(prefix)
        self.position = None if after is None else whole(after, "the revision")
        if self.position is not None and self.position < 0:
            raise RequestRefused("bad_request", f"a revision is 0 or above, not {after}")
        if self.position is not None and snapshot:
            raise RequestRefused("bad_request", "a snapshot is of now: leave `after` out")
        self._previous = previous
        self._snapshot = snapshot
        self._form = form
        self._place: str | None = None
        self._known = list(dict.fromkeys(addresses))
        self._random = random
        self._left: list[Endpoint] = []
        self._sweeps = 0
        self._buffer = bytearray()
        self._entry: list[Change[V]] = []
        """Changes of an entry whose place has not come yet."""
        self._ready: deque[tuple[Change[V], int | None]] = deque()
        """What may be given out, each with the position that the watch has then."""
        self._in_snapshot = self._snapshot_began = False
        """Whether this connection tells the present state now, and whether it has begun to."""
        self._has_told = False
        self.has_begun = False
        """Whether a node has said from where on it tells changes."""
        self.lost: RaftdbError | None = None
        """Why this connection is of no use any more."""

    @property
    def has_ready(self) -> bool:
        """Whether something may be given out."""
        return bool(self._ready)

    def request(self) -> tuple[str, list[str]]:
        """The target and the further headers of the next request."""
        query = f"prefix={quote_from_bytes(self._prefix, safe='')}"
        if self._previous:
            query += "&prev=true"
        if self._snapshot:
            query += "&snapshot=true"
        if self._place is not None:
            return f"/v1/watch?{query}", [f"Last-Event-ID: {self._place}"]
        if self.position is not None and not self._snapshot:
            query += f"&after={self.position}"
        return f"/v1/watch?{query}", []

    def learn(self, addresses: Sequence[Endpoint]) -> None:
        """The cluster has nodes at these addresses."""
        self._known = list(dict.fromkeys([*self._known, *addresses]))

    def next_address(self) -> tuple[Endpoint, float]:
        """Which node is asked next, and how long to wait before, in milliseconds."""
        pause_ms = 0.0
        if not self._left:
            self._left = self._random.sample(self._known, len(self._known))
            if self._sweeps:
                longest_ms = min(PAUSE_MS_MAX, PAUSE_MS_MIN * 2 ** (self._sweeps - 1))
                pause_ms = longest_ms * self._random.uniform(0.5, 1.0)
            self._sweeps = min(self._sweeps + 1, 20)
        return self._left.pop(), pause_ms

    def connected(self) -> ResponseParser:
        """A request was sent on a new connection; returns what its answer goes to."""
        self._buffer.clear()
        self._entry.clear()
        self._in_snapshot = self._snapshot_began = False
        self.lost = None
        return ResponseParser(sink=self)

    def refused(self, response: Response) -> None:
        """Take an answer that is no stream. Raises its error, unless another node may answer."""
        error = error_of(response)
        if not isinstance(error, Unavailable) and response.status < 500:
            if error.code in ("compacted", "reset"):
                raise Compacted(_begin(response), code=error.code)
            raise error
        self.lost = error

    def take(self) -> Change[V] | None:
        """The next change that may be given out, if there is one. Raises `Compacted`, once all before it was taken."""
        if not self._ready:
            if isinstance(self.lost, Compacted):
                raise self.lost
            return None
        change, position = self._ready.popleft()
        if position is not None:
            self.position = position
        return change

    def begin(self, head: Response) -> None:
        """See `Sink`."""
        if "text/event-stream" not in head.headers.get("content-type", ""):
            raise RemoteProtocolError(
                "the answer is no stream of events", hint="is that address a raftdb node?"
            )

    def write(self, piece: bytes) -> None:
        """See `Sink`."""
        # No event ends before this place: a long one in many pieces is looked through once.
        begin = max(0, len(self._buffer) - 1)
        self._buffer += piece
        while (end := self._buffer.find(b"\n\n", begin)) >= 0:
            begin = 0
            block = bytes(self._buffer[:end])
            del self._buffer[: end + 2]
            if self.lost is None:
                self._take_block(block)
        if len(self._buffer) > BLOCK_BYTES_MAX:
            raise RemoteProtocolError(f"an event of more than {BLOCK_BYTES_MAX} bytes")

    def _take_block(self, block: bytes) -> None:
        fields = dict(_field(line) for line in block.split(b"\n") if line and not line.startswith(b":"))
        place = fields.get("id")
        event = fields.get("event")
        body = _object(fields.get("data", "")) if event is not None else {}
        if event in ("compacted", "reset"):
            if self._snapshot:
                self._place = self.position = None
                self.lost = Unavailable("busy", "the history of the node begins later")
            else:
                self.lost = Compacted(integer(body, "begin"), code=event)
            return
        if event in ("stalled", "slow"):
            self.lost = Unavailable("no_leader", f"the node has ended the stream ({event})")
            return
        if event == "snapshot":
            self._enter_snapshot()
            self._tell(self._change("snapshot", body))
        elif event == "change":
            change = self._change(cast(ChangeKind, body.get("kind")), body)
            if self._in_snapshot:
                self._tell(change)
            else:
                self._entry.append(change)
        elif event == "snapshot_end":
            self._enter_snapshot()
            self._in_snapshot = False
            self._entry = [self._marker("snapshot_end", integer(body, "revision"))]
        if place is not None:
            self._reached(place)

    def _enter_snapshot(self) -> None:
        """The node tells the present state. If anything was told before, that is over."""
        if not self._snapshot_began:
            self._snapshot_began = self._in_snapshot = True
            self._place = self.position = None
            if self._has_told:
                self._tell(self._marker("reset", 0))

    def _reached(self, place: str) -> None:
        """All up to this place has come."""
        revision = place.rpartition("-")[2]
        if LENGTH.fullmatch(revision) is None:
            raise RemoteProtocolError("a place in a stream has no revision")
        self._place, self.has_begun, self._sweeps = place, True, 0
        if self._entry:
            *others, last = self._entry
            self._ready.extend((change, None) for change in others)
            self._ready.append((last, int(revision)))
            self._entry = []
            self._has_told = True
        elif self._ready:
            self._ready.append((self._ready.pop()[0], int(revision)))
        else:
            self.position = int(revision)

    def _tell(self, change: Change[V]) -> None:
        self._ready.append((change, None))
        self._has_told = change.kind != "reset"

    def _marker(self, kind: ChangeKind, revision: int) -> Change[V]:
        return Change(kind=kind, key=self._form(b""), value=None, revision=revision)

    def _change(self, kind: ChangeKind, body: Json) -> Change[V]:
        form, previous = self._form, body.get("prev")
        session = body.get("session")
        return Change(
            kind=kind,
            key=form(bytes_of(body.get("key"))),
            value=form(bytes_of(body["value"])) if "value" in body else None,
            revision=integer(body, "revision"),
            place=optional_integer(body, "place") or 0,
            previous=form(bytes_of(previous["value"]))
            if isinstance(previous, dict) and "value" in previous
            else None,
            expires_at_ms=optional_integer(body, "expires_at"),
            session=session if isinstance(session, str) else None,
            body=body,
        )


def _field(line: bytes) -> tuple[str, str]:
    name, _, value = line.decode("utf-8", "replace").partition(": ")
    return name, value


def _object(text: str) -> Json:
    try:
        content = parse_json(text)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise RemoteProtocolError("an event has no JSON object")
    return content


def _begin(response: Response) -> int:
    try:
        return integer(object_of(response), "begin")
    except RemoteProtocolError:
        return 0
