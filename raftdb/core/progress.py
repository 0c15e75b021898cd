"""What a leader knows of one follower, and how it paces it (thesis 3.5, 10.2.1).

```
            success                        rejected, or nothing heard of what was sent
  PROBE  ------------>  REPLICATE          REPLICATE  ------------>  PROBE

         compacted                         success
  PROBE  ------------>  SNAPSHOT           SNAPSHOT   ------------>  REPLICATE
```
In PROBE the leader looks for the place where the logs agree: one message at a time. In REPLICATE it sends
ahead of the acknowledgements (pipelining), within a window of bytes and messages; `next_index` is then optimistic.
In SNAPSHOT the follower needs entries that are compacted: it is told of a snapshot, and gets no entries meanwhile.
"""

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum

from raftdb.core.model import Index


class Pace(StrEnum):
    """How entries are sent to a follower."""

    PROBE = "probe"
    REPLICATE = "replicate"
    SNAPSHOT = "snapshot"


@dataclass(slots=True)
class Progress:
    """One follower, seen from the leader of a term. Volatile: it starts anew with each leadership."""

    next_index: Index
    """The next entry to send; `match_index < next_index` always."""
    match_index: Index = 0
    """The follower holds the leader's log up to here, on disk. Never goes back within a term (hazard B13)."""
    pace: Pace = Pace.PROBE
    probe_in_flight: bool = False
    """In PROBE: the message that looks for the place was sent. In SNAPSHOT: the follower was told of one."""
    probe_round: int = 0
    """The heartbeat round that had begun when the probe was sent."""
    in_flight: deque[tuple[Index, int, int]] = field(default_factory=deque)
    """Messages sent ahead: (last index, bytes, the heartbeat round that had begun), oldest first."""
    in_flight_bytes: int = 0
    silent_ticks: int = 0
    """Ticks since anything was heard from it in this term; since the leadership began, if nothing was."""
    has_answered: bool = False
    """Something was heard from it in this term."""
    acknowledged_round: int = 0
    """The latest heartbeat round it has answered."""
    election_timeout_ms: int = 0
    """How long it waits for a leader at least, as it said last; 0: it has not said."""
    unmoved_ticks: int = 0
    """Ticks in which it lacked entries and acknowledged none: what was sent may be lost."""
    loading: bool = False
    """Bodies are being read from disk for it; nothing is sent until they are here."""
    catch_up_goal: Index = 0
    """Where the log ended when the present round of catching up began (thesis 4.2.1)."""
    catch_up_ticks: int = 0
    """How long that round has taken."""
    is_caught_up: bool = False
    """The last round took less than an election timeout, and so far the present one has, too."""

    def heard(self) -> None:
        """The follower has sent something in this term."""
        self.silent_ticks = 0
        self.has_answered = True

    def is_alive(self, within_ticks: int) -> bool:
        """True if the follower sent something in the last `within_ticks` ticks and in this term: a follower that was
        never heard in this term may be dead, even if the term is too young to tell by its silence."""
        return self.has_answered and self.silent_ticks < within_ticks

    def tick(self, *, last_index: Index, round_ticks_max: int) -> None:
        """A tick has passed, and the leader's log ends at `last_index` now.

        A follower catches up in rounds, each to where the log ended when the round began (thesis 4.2.1): what was
        appended meanwhile is the next round's. A round shorter than `round_ticks_max`, an election timeout, shows that
        an entry that needs this follower will not wait for long, however fast entries come.
        """
        self.silent_ticks += 1
        self.unmoved_ticks += self.match_index < last_index
        self.catch_up_ticks += 1
        if self.catch_up_ticks >= round_ticks_max:
            self.is_caught_up = False
        if self.has_answered and self.match_index >= self.catch_up_goal:
            self.is_caught_up = self.catch_up_goal > 0 and self.catch_up_ticks < round_ticks_max
            self.catch_up_goal, self.catch_up_ticks = last_index, 0

    def is_paused(self, *, in_flight_bytes_max: int, in_flight_messages_max: int) -> bool:
        """True if nothing more may be sent before an answer (or, while loading, before the disk's)."""
        if self.loading or self.pace is Pace.SNAPSHOT:
            return True
        if self.pace is Pace.PROBE:
            return self.probe_in_flight
        return self.in_flight_bytes >= in_flight_bytes_max or len(self.in_flight) >= in_flight_messages_max

    @property
    def answer_is_due(self) -> bool:
        """True if the first message that is not acknowledged has arrived or is lost: a heartbeat sent after it was
        answered, and links keep the order. So nothing is sent twice only because the way is long."""
        if self.pace is not Pace.REPLICATE:
            return not self.probe_in_flight or self.probe_round < self.acknowledged_round
        return not self.in_flight or self.in_flight[0][2] < self.acknowledged_round

    def sent(self, last_index: Index, size_bytes: int, *, round_: int) -> None:
        """Note a message that ends at `last_index`; the latest heartbeat was that of `round_`."""
        if self.pace is Pace.PROBE:
            self.await_answer(round_=round_)
            return
        self.next_index = last_index + 1
        if size_bytes:
            self.in_flight.append((last_index, size_bytes, round_))
            self.in_flight_bytes += size_bytes

    def await_answer(self, *, round_: int) -> None:
        """The probe, or the offer of a snapshot, was sent: send nothing more before an answer. The latest heartbeat was
        that of `round_`."""
        self.probe_in_flight = True
        self.probe_round = round_

    def acknowledged(self, match_index: Index) -> bool:
        """The follower holds everything up to `match_index`; True if that is news. Goes to REPLICATE."""
        while self.in_flight and self.in_flight[0][0] <= match_index:
            self.in_flight_bytes -= self.in_flight.popleft()[1]
        news = match_index > self.match_index
        if news:
            self.unmoved_ticks = 0
        self.match_index = max(self.match_index, match_index)
        self.next_index = max(self.next_index, self.match_index + 1)
        if self.pace is not Pace.REPLICATE:
            self.pace = Pace.REPLICATE
            self.next_index = self.match_index + 1
            self.probe_in_flight = False
        return news

    def rejected(self, previous_index: Index, agree_at_most: Index) -> bool:
        """A message at `previous_index` did not fit; False if that is old news and changes nothing.

        `agree_at_most` is the highest index at which the logs may agree. Goes (back) to PROBE there. In SNAPSHOT every
        refusal is old news, because what the follower needs is known already.
        """
        if self.pace is Pace.SNAPSHOT:
            return False
        if self.pace is Pace.REPLICATE:
            stale = previous_index <= self.match_index
        else:
            stale = previous_index != self.next_index - 1
        if stale:
            return False
        self.probe_from(max(self.match_index, min(agree_at_most, previous_index - 1)) + 1)
        return True

    def wait_for_snapshot(self) -> None:
        """Send no entries until the follower has a snapshot; offer it one once there is one."""
        self.probe_from(self.next_index)
        self.pace = Pace.SNAPSHOT

    def probe_from(self, next_index: Index) -> None:
        """Send one message at a time again, from `next_index`; what was sent ahead is given up."""
        self.pace = Pace.PROBE
        self.next_index = next_index
        self.probe_in_flight = False
        self.in_flight.clear()
        self.in_flight_bytes = 0
