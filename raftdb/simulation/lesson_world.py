"""The world of a lesson: nothing goes wrong but what its script says, and what a broken rule lets happen."""

from collections.abc import Sequence

from raftdb.core.model import Entry, NodeId
from raftdb.simulation.lesson_script import Lesson
from raftdb.simulation.options import Faults, Options
from raftdb.simulation.oracle import Oracle
from raftdb.simulation.recording import RecordedSimulation
from raftdb.simulation.safety import Onlooker, Violation
from raftdb.simulation.scheduler import MILLISECOND, SECOND
from raftdb.simulation.timeline import Timeline

TICK_MS = 5


class LessonWorld(RecordedSimulation):
    """A recorded simulation. Where a rule is broken, what breaks is recorded, and ends nothing."""

    def __init__(self, lesson: Lesson) -> None:
        oracle = self._onlooker if lesson.broken else Oracle
        super().__init__(lesson.seed, nodes=lesson.nodes, options=options_of(lesson), oracle=oracle)

    def breaks(self, violation: Violation) -> None:
        """Record that a promise does not hold."""
        self.recorder.breaks(
            {
                "name": violation.name,
                "text": violation.text,
                "nodes": list(violation.nodes),
                "places": [list(place) for place in violation.places],
            }
        )

    def _onlooker(self, nodes: Sequence[NodeId], first: Entry, timeline: Timeline) -> Oracle:
        return Onlooker(nodes, first, timeline, on_violation=self.breaks)


def options_of(lesson: Lesson) -> Options:
    """A world without faults and without clients, at the speeds of the lesson."""
    speeds = lesson.speeds
    return Options(
        nodes=lesson.nodes,
        steps=0,
        faults=Faults(),
        election_timeout_ticks=max(2, speeds["election"] // TICK_MS),
        heartbeat_ticks=max(1, speeds["heartbeat"] // TICK_MS),
        tick_us=TICK_MS * MILLISECOND,
        delay_us=speeds["frame"] * MILLISECOND,
        slow_way_us=0,
        sync_us=speeds["sync"] * MILLISECOND,
        clients=0,
        turn_us=20,
        think_us=SECOND,
        client_timeout_us=60 * SECOND,
        patience_ticks=60_000 // TICK_MS,
        read_share=0.0,
        batch_bytes_max=lesson.batch_bytes_max,
        in_flight_bytes_max=1 << 20,
        cache_bytes_max=1 << 20,
        clock_drift=0.0,
        session_share=0.0,
        transactors=0,
        expires=False,
        reads_anywhere=False,
        workers=0,
        lockers=0,
        keepers=0,
        waiters=0,
        observers=0,
        history_bytes_max=1 << 20,
        flushes=False,
        checkpoint_us=0,
        checkpoint_entries=1_000,
        tail_bytes=0,
        retained_bytes_max=0,
        changes_bytes_max=1 << 30,
        transfer_us=5 * speeds["frame"] * MILLISECOND,
        idle_hours=False,
    )
