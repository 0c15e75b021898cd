"""How long a client waits for one node, and for a call: in proportion to its deadline, and to how fast nodes answer.

Before anything was measured a silent node may be far or dead, and nobody can tell: it is waited for a share of the
whole time. Once it has answered it is expected to be about as fast again. No I/O.
"""

NODE_MS_MIN = 1_000
"""Least wait for one connection, and for a node to say what it knows by itself, such as who leads."""
NODE_MS_MAX = 10_000
"""Longest such wait: a host that is down does not answer at all."""
NODE_SHARE = 1 / 3
"""How much of a call's time one connection may take while nothing is measured."""
ANSWERS_WAITED = 4
"""A node is waited for so many times as long as the answers before took: packets get lost, and are sent again."""
ANSWERS_PER_CALL = 10
"""A call takes connections, redirects, and the leader's own ways to a majority: its time, unless somebody has named it,
is at least so many answers."""
CALL_MS_MAX = 60_000
"""What is measured makes no call longer than this."""
ANSWER_FADES = 0.5
"""An answer that took long counts for this share of it at the next."""
NODES_REMEMBERED_MAX = 256
"""Nodes of which it is remembered how fast they answer; of more, the one that was heard longest ago is forgotten."""
SLOW_MS = 500
"""Answers that take longer than this are those of a slow network, and people are told."""


class Pace:
    """What one client has measured of each node: one may be on this machine, the next on another continent. Shared by
    the client's calls; times in ms."""

    def __init__(self) -> None:
        self._answers_ms: dict[str, float] = {}

    def answered(self, address: str, duration_ms: float) -> None:
        """The node at `address` has answered after so long, with the connection if that was new."""
        before_ms = self._answers_ms.pop(address, 0.0)
        self._answers_ms[address] = max(duration_ms, ANSWER_FADES * before_ms)
        if len(self._answers_ms) > NODES_REMEMBERED_MAX:
            del self._answers_ms[next(iter(self._answers_ms))]

    def was_silent(self, address: str) -> None:
        """It has not answered in time: what was measured of it no longer holds."""
        self._answers_ms.pop(address, None)

    @property
    def answer_ms(self) -> float:
        """How long the slowest of the nodes took lately; 0: nothing is measured."""
        return max(self._answers_ms.values(), default=0.0)

    @property
    def is_slow(self) -> bool:
        """The network is so slow that people would notice."""
        return self.answer_ms >= SLOW_MS

    def node_ms(self, address: str, *, call_ms: float) -> float:
        """How long to wait for a connection to the node, in a call that may take `call_ms`."""
        measured_ms = self._answers_ms.get(address)
        expected_ms = NODE_SHARE * call_ms if measured_ms is None else ANSWERS_WAITED * measured_ms
        return min(max(NODE_MS_MIN, expected_ms), NODE_MS_MAX)

    def call_ms(self, timeout_ms: float, *, stretches: bool) -> float:
        """How long a call may take. `stretches`: nobody has named `timeout_ms`, it is what usually is enough."""
        if not stretches:
            return timeout_ms
        return max(timeout_ms, min(ANSWERS_PER_CALL * self.answer_ms, CALL_MS_MAX))


def answer_deadline_ms(
    answer_by_ms: float, *, now_ms: float, dialled_ms: float, prompt_ms: float | None, stretches: bool
) -> float:
    """By when the answer must be here, of a node that was just connected to, or was before: `dialled_ms` is what that
    took. `prompt_ms`: from now on the node is given so long, or some such trips if that is more; None: all the time
    there is. `stretches`: there is more of that, too, if connecting shows a slow network."""
    if stretches:
        answer_by_ms = max(answer_by_ms, now_ms + min(ANSWERS_PER_CALL * dialled_ms, CALL_MS_MAX))
    if prompt_ms is None:
        return answer_by_ms
    return min(answer_by_ms, now_ms + max(prompt_ms, ANSWERS_WAITED * dialled_ms))
