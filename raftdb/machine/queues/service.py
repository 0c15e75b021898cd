"""The service of queues: its commands and its ends."""

from raftdb.budgets import SWEEP_QUEUE_KEYS_MAX, SWEEP_QUEUES_MAX
from raftdb.machine.keyspace import (
    BODY_PREFIX,
    DEDUP_PREFIX,
    EVENT_PREFIX,
    GROUP_HEAD_PREFIX,
    GROUP_MEMBER_PREFIX,
    LINE_PREFIX,
    MESSAGE_PREFIX,
    QUEUE_END_PREFIX,
    QUEUE_NUMBER_KEY,
    QUEUE_PREFIX,
    QUEUE_SWEPT_KEY,
    UNIQUE_FIRST_PREFIX,
    UNIQUE_MEMBER_PREFIX,
)
from raftdb.machine.layer import Layer
from raftdb.machine.queues.deliveries import DELIVERIES
from raftdb.machine.queues.ends import ALARM, DEDUP, ENDS, REDRIVE
from raftdb.machine.queues.events import ring
from raftdb.machine.queues.inventory import take_inventory
from raftdb.machine.queues.levels import ReadQueueLevels, read_queue_levels
from raftdb.machine.queues.looking import LOOKING
from raftdb.machine.queues.managing import MANAGING
from raftdb.machine.queues.putting import PUTTING
from raftdb.machine.queues.redriving import REDRIVING, move_step
from raftdb.machine.queues.repetitions import forget
from raftdb.machine.queues.taking import TAKING
from raftdb.machine.service import Ending, Service

_END = {
    ALARM: ring,
    DEDUP: lambda layer, time_ms, name, index: forget(layer, time_ms, name),
    REDRIVE: move_step,
}
"""What is done at an end, by its kind."""


def _end(layer: Layer, time_ms: int, name: bytes, index: int) -> int:
    return _END[name[:1]](layer, time_ms, name[1:], index)


QUEUES = Service(
    heading="queues",
    prefixes=b"".join(
        (
            GROUP_MEMBER_PREFIX,
            GROUP_HEAD_PREFIX,
            UNIQUE_FIRST_PREFIX,
            UNIQUE_MEMBER_PREFIX,
            DEDUP_PREFIX,
            QUEUE_NUMBER_KEY,
            QUEUE_END_PREFIX,
            QUEUE_SWEPT_KEY,
            QUEUE_PREFIX,
            BODY_PREFIX,
            MESSAGE_PREFIX,
            LINE_PREFIX,
            EVENT_PREFIX,
        )
    ),
    commands=(*PUTTING, *TAKING, *DELIVERIES, *LOOKING, *MANAGING, *REDRIVING),
    queries={ReadQueueLevels: read_queue_levels},
    ending=Ending(index=ENDS, end=_end, count_max=SWEEP_QUEUES_MAX, cost_max=SWEEP_QUEUE_KEYS_MAX),
    inventory=take_inventory,
)
