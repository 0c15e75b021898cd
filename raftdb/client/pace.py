"""How long a client waits for one node and for a call, from the deadline and from how fast nodes have answered. No I/O.

Before a node has answered, a silent one may be far away or dead: the client waits for a share of the whole time. A node
that has answered is expected to be about as fast again.
"""

from raftdb.endpoint import Endpoint

NODE_MS_MIN = 1_000
"""Shortest wait for a connection, and for an answer that a node gives by itself, such as which node leads."""
NODE_MS_MAX = 10_000
"""Longest such wait, because a host that is down does not answer at all."""
NODE_SHARE = 1 / 3
"""The share of a call's time that one connection may take while nothing is measured."""
ANSWERS_WAITED = 4
"""The wait for a node in multiples of its earlier answers, because packets get lost and are sent again."""
ANSWERS_PER_CALL = 10
"""A call whose timeout the caller did not set may take at least this many answers: it needs connections, redirects, and
the leader's own round trips to a majority."""
CALL_MS_MAX = 60_000
"""Longest time of a call that measurements can lead to."""
ANSWER_FADES = 0.5
"""The share of its time that an earlier, slower answer still counts for at the next one."""
NODES_REMEMBERED_MAX = 256
"""The number of nodes whose answers are remembered; of more, the one that was heard longest ago is forgotten."""
SLOW_MS = 500
"""A network is slow if answers take this long, which messages mention then."""


class Pace:
    """What one client has measured of each node, for all of its calls: one may be on this machine, the next on another
    continent. Times are in milliseconds."""

    def __init__(self) -> None:
        self._answers_ms: dict[Endpoint, float] = {}

    def answered(self, address: Endpoint, duration_ms: float) -> None:
        """Note that the node at `address` has answered in this time, connecting included if the connection was new."""
        before_ms = self._answers_ms.pop(address, 0.0)
        self._answers_ms[address] = max(duration_ms, ANSWER_FADES * before_ms)
        if len(self._answers_ms) > NODES_REMEMBERED_MAX:
            del self._answers_ms[next(iter(self._answers_ms))]

    def was_silent(self, address: Endpoint) -> None:
        """Forget the measurements of a node that has not answered in time."""
        self._answers_ms.pop(address, None)

    @property
    def answer_ms(self) -> float:
        """How long the slowest of the nodes took lately; 0 if nothing is measured."""
        return max(self._answers_ms.values(), default=0.0)

    @property
    def is_slow(self) -> bool:
        """True if the network is so slow that people notice."""
        return self.answer_ms >= SLOW_MS

    def node_ms(self, address: Endpoint, *, call_ms: float) -> float:
        """How long to wait for a connection to the node in a call that may take `call_ms`."""
        measured_ms = self._answers_ms.get(address)
        expected_ms = NODE_SHARE * call_ms if measured_ms is None else ANSWERS_WAITED * measured_ms
        return min(max(NODE_MS_MIN, expected_ms), NODE_MS_MAX)

    def call_ms(self, timeout_ms: float, *, stretches: bool) -> float:
        """How long a call may take. With `stretches` the timeout is the default, and longer on a slow network."""
        if not stretches:
            return timeout_ms
        return max(timeout_ms, min(ANSWERS_PER_CALL * self.answer_ms, CALL_MS_MAX))


def answer_deadline_ms(
    answer_by_ms: float, *, now_ms: float, dialled_ms: float, prompt_ms: float | None, stretches: bool
) -> float:
    """The time by which a connected node must have answered. `dialled_ms` is how long connecting took. `prompt_ms` is
    how long the node may take from now on, or some times `dialled_ms` if that is more; with None it may take until
    `answer_by_ms`. With `stretches`, `answer_by_ms` is later if connecting shows a slow network."""
    if stretches:
        answer_by_ms = max(answer_by_ms, now_ms + min(ANSWERS_PER_CALL * dialled_ms, CALL_MS_MAX))
    if prompt_ms is None:
        return answer_by_ms
    return min(answer_by_ms, now_ms + max(prompt_ms, ANSWERS_WAITED * dialled_ms))
