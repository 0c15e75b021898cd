"""The limits and times of peer links, in one place. Times are in seconds."""

from dataclasses import dataclass

from raftdb.wire.peer import ENTRIES_PER_FRAME_MAX, MESSAGES_PER_FRAME_MAX

FIRST_SEQUENCE = 1
"""Number of the first frame of a link; the next are counted up from it."""

PEER_PATH = "/v1/peer"
"""The route on which a node is dialled by its peers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkLimits:
    """What one link may hold and how long it may take.

    `queue_bytes_max`: messages that wait to be sent, as `message_bytes_max` estimates them; a single message always
    fits an empty queue. `frame_bytes_target`: a frame is closed once the next message would bring it above this.
    Waits with a `_min_s` and a `_max_s` are so many trips as `trips` says, within these. `answer`: to a ping, which is
    sent `ping_s` after the last answer; who is silent for longer is gone. `send`: until the socket has taken a frame,
    and until the kernel has its data acknowledged. `dial`: connection and handshake, of which the connection alone
    takes `connect_timeout_s` at most: the kernel asks again by itself, but rarer and rarer. `hello_timeout_s`: for the
    first word of who has connected, of whom nothing is known. `strangers_max`: links of nodes that are no members, more
    than join at once, and `strangers_share` what their frames may take of the loop's time together.
    `backoff_min_s` doubles up to `backoff_max_s` while dialling fails.
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
