"""What happens on this node, for people who watch it: a ring of what was told, and the messages that flow just now.

The core tells what it does anyway (`raftdb.core.update.Trace`), and the other parts log it; both come here, and nothing
is computed for it. What is rare (elections, votes, members, conflicts, snapshots, peers that come and go) is kept, the
last 10,000 of it, so that a person who opens a page afterwards can read what happened. What goes on all the time
(entries and heartbeats) is counted only while somebody watches, and forgotten with each look: without a watcher it
costs a look-up for each trace, and a comparison for all messages of a turn to a peer.

What users did stands apart, in `AuditTrail`: it is for administrators.
"""

import secrets
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import chain, count, islice
from typing import Any, NamedTuple

from raftdb.core.messages import MESSAGE_TYPES, AppendEntries, Message
from raftdb.core.model import NodeId
from raftdb.core.update import Trace

KEPT_MAX = 10_000
"""How much of what happened is kept."""
AUDITED_MAX = 10_000
"""How much there is in the audit trail."""
AUDITED_OF_ONE_MAX = 1_000
"""How much of one kind and one user."""
LOGIN_REFUSED = "login refused"
"""The kind of which anybody can make many, under any name."""
FREQUENT = frozenset({"appended", "committed", "applied", "heartbeat sent", "heartbeat received"})
"""What the core tells all the time, of which only the last of each kind counts, and only while somebody watches."""
NAMES = {
    kind: "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in kind.__name__)[1:]
    for kind in MESSAGE_TYPES
}
"""The kinds of messages as people write them: `append_entries`."""


class Happening(NamedTuple):
    """One thing that happened: its number, when (milliseconds since 1970), what, its details, and how grave it is."""

    number: int
    time_ms: int
    what: str
    details: dict[str, Any]
    level: str


class AuditTrail:
    """Who logged in on one node, was refused, and changed what: the newest of each kind and user, so that nobody pushes
    out what others did; refused logins count as one user's. Who has most makes room. Any thread may call it."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], deque[Happening]] = {}
        self._count = 0
        self._numbers = count(1)
        self._noting = threading.Lock()

    def note(self, time_s: float, what: str, details: dict[str, Any], level: str) -> None:
        """Keep that something happened. Kinds (`what`) are few: they are texts of this program."""
        whose = "" if what == LOGIN_REFUSED else str(details.get("by") or details.get("user") or "")
        with self._noting:
            kept = self._kept.setdefault((what, whose), deque())
            kept.append(
                Happening(next(self._numbers), int(time_s * 1000), what, _plain_details(details), level)
            )
            self._count += 1
            if len(kept) > AUDITED_OF_ONE_MAX:
                self._drop((what, whose))
            if self._count > AUDITED_MAX:
                self._drop(max(self._kept, key=lambda place: len(self._kept[place])))

    def _drop(self, place: tuple[str, str]) -> None:
        self._kept[place].popleft()
        self._count -= 1
        if not self._kept[place]:
            del self._kept[place]

    def newest(self, limit: int) -> list[Happening]:
        """The newest `limit` things, in order."""
        with self._noting:
            everything = sorted(chain.from_iterable(self._kept.values()))
        return everything[-limit:] if limit > 0 else []


class Flow:
    """Messages of one kind to one node since the last look."""

    __slots__ = ("entries", "entry_bytes", "messages", "refusals")

    def __init__(self) -> None:
        self.messages = 0
        self.entries = 0
        self.entry_bytes = 0
        self.refusals = 0


class Chronicle:
    """What happened on one node. `note` may be called by any thread, all else on the event loop's."""

    def __init__(self) -> None:
        self.start = secrets.token_hex(4)
        """Tells the numbers of this start of the node from those of others."""
        self.audit = AuditTrail()
        self.is_watched = False
        """Whether what is frequent counts."""
        self._kept: deque[Happening] = deque(maxlen=KEPT_MAX)
        self._numbers = count(1)
        self._noting = threading.Lock()
        """Held from the number of a happening to its place in the ring, so that numbers ascend there."""
        self._flows: dict[tuple[NodeId, str], Flow] = {}
        self._latest: dict[str, Trace] = {}

    @property
    def last_number(self) -> int:
        """The number of the last happening; 0 if there was none."""
        return self._kept[-1].number if self._kept else 0

    def tell(self, traces: Iterable[Trace]) -> None:
        """Take in what the core has told."""
        for trace in traces:
            if trace.event not in FREQUENT:
                self.note(time.time(), trace.event, dict(trace.details), trace.level)
            elif self.is_watched:
                self._latest[trace.event] = trace

    def note(self, time_s: float, what: str, details: dict[str, Any], level: str) -> None:
        """Keep that something happened. Details are made plain: texts, numbers, and lists of these."""
        plain = _plain_details(details)
        with self._noting:
            self._kept.append(Happening(next(self._numbers), int(time_s * 1000), what, plain, level))

    def sent(self, target: NodeId, messages: Sequence[Message]) -> None:
        """Count messages that leave; called only while somebody watches."""
        for message in messages:
            key = (target, NAMES[type(message)])
            flow = self._flows.get(key)
            if flow is None:
                flow = self._flows[key] = Flow()
            flow.messages += 1
            if isinstance(message, AppendEntries):
                flow.entries += message.entry_count
                flow.entry_bytes += sum(block.size_bytes for block in message.blocks)
            elif getattr(message, "granted", True) is False or getattr(message, "success", True) is False:
                flow.refusals += 1

    def after(self, number: int, limit: int) -> list[Happening]:
        """The newest `limit` happenings after the one with this number, in order."""
        wanted = min(limit, self.last_number - number, len(self._kept))
        return list(islice(self._kept, len(self._kept) - wanted, None)) if wanted > 0 else []

    def take_flows(self) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
        """The messages since the last look, and the last of each frequent thing that was told."""
        flows, self._flows = self._flows, {}
        latest, self._latest = self._latest, {}
        sent = [
            {
                "to": target,
                "kind": kind,
                "messages": flow.messages,
                "entries": flow.entries,
                "bytes": flow.entry_bytes,
                "refusals": flow.refusals,
            }
            for (target, kind), flow in sorted(flows.items())
        ]
        told: list[dict[str, object]] = [
            {"what": what, **{name: _plain(value) for name, value in trace.details}}
            for what, trace in sorted(latest.items())
        ]
        return sent, told


def _plain_details(details: dict[str, Any]) -> dict[str, Any]:
    return {name: _plain(value) for name, value in details.items() if value is not None}


def _plain(value: object) -> object:
    if value is None or isinstance(value, str | int | float):
        return value if type(value) in (str, int, float, bool, type(None)) else str(value)
    if isinstance(value, tuple | list | set | frozenset):
        return [_plain(item) for item in value]
    return str(value)
