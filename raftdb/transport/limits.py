"""The limits and times of peer links, in one place. Times are in seconds."""

from dataclasses import dataclass

from raftdb.wire.peer import ENTRIES_PER_FRAME_MAX, MESSAGES_PER_FRAME_MAX

FIRST_SEQUENCE = 1
"""Number of the first frame of a link; later frames are numbered on from it."""

PEER_PATH = "/v1/peer"
"""The route on which a node is dialled by its peers."""

FORWARD_PATH = PEER_PATH + "/forward"
"""The route on which a leader is dialled by nodes that pass requests on to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkLimits:
    """How much one link may hold, and how long it may wait.

    `queue_bytes_max`: messages that wait to be sent, as `message_bytes_max` estimates them; a single message always
    fits an empty queue. `frame_bytes_target`: a frame is closed when the next message would make it longer. A wait with
    a `_min_s` and a `_max_s` is `trips.TRIPS_WAITED` trips, within these bounds. `answer`: the wait for the answer to a
    ping; the next ping is sent `ping_s` after it. `send`: the wait until the socket has taken a frame, and until the
    peer's kernel has acknowledged its data. `dial`: the wait for connection and handshake; the connection alone takes
    `connect_timeout_s` at most, because the kernel repeats its try less and less often. `hello_timeout_s`: the wait for
    the hello on an accepted connection. `close_timeout_s`: how long the other end may take to close after this one. The
    pause between dials doubles from `backoff_min_s` up to `backoff_max_s` while dialling fails.
    `handshakes_pending_max`: accepted connections without a link. `strangers_max`: links of nodes that are no members,
    more than join at once; `strangers_share`: the share of the loop's time that all their frames may take together.
    """

    queue_bytes_max: int = 16 * 1024 * 1024
    frame_bytes_target: int = 1024 * 1024
    frame_messages_max: int = MESSAGES_PER_FRAME_MAX
    frame_entries_max: int = ENTRIES_PER_FRAME_MAX
    ping_s: float = 4.0
    answer_min_s: float = 3.0
    answer_max_s: float = 60.0
    send_min_s: float = 10.0
    send_max_s: float = 60.0
    dial_min_s: float = 3.0
    dial_max_s: float = 30.0
    connect_timeout_s: float = 10.0
    hello_timeout_s: float = 10.0
    close_timeout_s: float = 1.0
    backoff_min_s: float = 0.05
    backoff_max_s: float = 1.0
    handshakes_pending_max: int = 16
    strangers_max: int = 64
    strangers_share: float = 0.2
