"""The bounds of one connection of a Redis client, and of all together.

Reading is paused while requests have arrived that are not begun, so these are at most those of one read of the socket;
but a connection that is blocked reads on up to `BLOCKED_BYTES_MAX`, because only that shows that its client has gone.

At most `REPLIES_MAX` requests of one connection are begun and not answered; fewer of one whose last replies were long,
so that whoever does not read has little under way. While the transport's buffer is full, because the client does not
read, none is begun.

At most `RedisLimits.in_flight_max` of all connections are begun and not answered. Others wait in a line, in which each
begins `QUANTUM` and goes to the end, so that who asks for little waits for a part only of what others ask for. What has
waited for `RedisLimits.line_s`, while others were begun, is refused: that costs little, so what is taken is answered in
time.

Requests that wait or are queued, and replies, take memory from the node's account; without room for requests a
connection ends. A client that reads nothing is cut off (`unread`), earlier if others find no memory.
"""

from raftdb.errors import Unavailable
from raftdb.limits import MIB

REPLIES_MAX = 1024
"""Most requests of one connection that are begun, and whose replies are not written."""
OUT_BYTES_MAX = 4 * MIB
"""Most bytes of replies of one connection that are expected at once: others wait while long values are read for it."""
REFUSED_AT_ONCE = 1024
"""Requests of one client that are refused at once, because it has waited for too long."""
BEGUN_PER_LOOK = 15
"""Requests that are begun in the time in which as many empty lines are passed over as are taken apart at once."""
QUANTUM = 16
"""Requests that a connection begins before others have their turn, if others wait."""
LINE_TOO_LONG = Unavailable("busy", "too many requests wait", hint="send fewer at once")
OUT_AT_FIRST = 16
"""Requests of a new connection that are begun before it is known how long the replies are."""
COUNTED_BYTES_MIN = 1024
"""Shorter replies are not counted; as many as may be in flight take 4 MiB."""

BLOCKED_BYTES_MAX = 64 * 1024
"""How many bytes of requests may arrive on a connection that is blocked before it reads no more."""
