"""The queue: messages that are put by some clients and worked off by others, some of which are late, or give up.

Each message whose put was acknowledged has to be delivered, and to be acknowledged once; nobody gets one that was
acknowledged before, or that nobody put; and of a group each comes after the one before it was acknowledged.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

from cli.torture.recorder import Attempt, Ending, Recorder
from cli.torture.workload import PART_SHOWN_MAX, Checked, Line, Problem, Worker, Workload
from raftdb.client.sync_client import Client
from raftdb.client.sync_jobs import Job
from raftdb.errors import RaftdbError

PUTTERS = 2
"""As many clients put; the others receive."""
GROUPED = 0.5
"""Share of the messages that are put into the group of their client."""
VISIBILITY_S = 2.0
WAIT_S = 1.0
BATCH_MAX = 3
FORGOTTEN = 0.1
"""Share of the deliveries that are never ended, so that they come back."""
GIVEN_BACK = 0.1
AHEAD_MAX = 200
"""Messages that may wait before the clients that put rest a little."""


@dataclass(slots=True)
class Delivered:
    """One delivery of a message, and the attempt to acknowledge it, if there was one."""

    client: str
    id: str
    invoked: int
    returned: int
    count: int
    ack: Attempt | None = None

    @property
    def is_acked(self) -> bool:
        """Whether it was acknowledged, and the client knows."""
        return self.ack is not None and self.ack.ending is Ending.OK and self.ack.value is True

    @property
    def may_be_acked(self) -> bool:
        """Whether it was acknowledged, for all that the client knows."""
        return self.ack is not None and (self.is_acked or self.ack.ending is Ending.UNKNOWN)


@dataclass(slots=True)
class Message:
    """A message by its value, which no other has: how it was put, and all its deliveries."""

    value: str
    client: str
    group: str | None
    put: Attempt
    deliveries: list[Delivered] = field(default_factory=list)


class Queues(Workload):
    """See the module."""

    name = "queue"
    clients = 4

    def __init__(self, number: int, seed: str, recorder: Recorder) -> None:
        super().__init__(number, seed, recorder)
        self.messages: dict[str, Message] = {}
        self.strange: list[str] = []
        """Values that were delivered before anybody had put them."""
        self._ended = 0

    def prepare(self, client: Client[bytes]) -> None:
        """Let no message be given up."""
        client.queue(self._queue).put("begin")
        self.certain(lambda: client.queue(self._queue).configure(max_failures=0))
        self.certain(lambda: client.queue(self._queue).purge())

    def step(self, client: Client[bytes], worker: Worker) -> None:
        """Put a message, or receive some."""
        worker.steps += 1
        if int(worker.name.rpartition("-")[2]) <= PUTTERS:
            if len(self.messages) - self._ended < AHEAD_MAX:
                self._put(client, worker)
        else:
            self._receive(client, worker)

    def finish(self, client: Client[bytes]) -> None:
        """Work off what is left, including what is in flight."""
        queue = client.queue(self._queue)
        while any(self._left(queue.info())):
            attempt = self.certain(lambda: queue.receive(100, visibility=VISIBILITY_S, wait=WAIT_S))
            for job in attempt.value:
                self._end(self._deliver("last", job, attempt), job)

    def check(self) -> Checked:
        """See the module."""
        problems = [
            Problem(f"a message was delivered that nobody had put: {value}") for value in self.strange
        ]
        for message in self.messages.values():
            problems += [Problem(text, [line_of(message)]) for text in _wrong_with(message)]
        groups: dict[tuple[str, str], list[Message]] = {}
        for message in self.messages.values():
            if message.group is not None and message.put.ending is Ending.OK:
                groups.setdefault((message.client, message.group), []).append(message)
        for group in groups.values():
            problems += _out_of_order(group)
        return Checked(problems)

    def history(self) -> Iterator[Line]:
        """All messages, with their deliveries."""
        return map(line_of, self.messages.values())

    @property
    def _queue(self) -> str:
        return f"q{self.number}"

    @staticmethod
    def _left(info: dict[str, int | str]) -> list[int]:
        return [int(info[state]) for state in ("visible", "delayed", "in_flight", "dead")]

    def _put(self, client: Client[bytes], worker: Worker) -> None:
        value = f"{worker.name}-{worker.steps}"
        group = worker.name if worker.chance.random() < GROUPED else None
        # Whoever receives it may do so before the answer to the put is here.
        message = Message(value, worker.name, group, Attempt(0, 0, Ending.UNKNOWN))
        with self.lock:
            self.messages[value] = message
        message.put = self.attempt(lambda: client.queue(self._queue).put(value, group=group), writes=True)

    def _receive(self, client: Client[bytes], worker: Worker) -> None:
        chance = worker.chance
        queue, count = client.queue(self._queue), chance.randint(1, BATCH_MAX)
        attempt = self.attempt(
            lambda: queue.receive(count, visibility=VISIBILITY_S, wait=WAIT_S), writes=False
        )
        if attempt.ending is not Ending.OK:
            return
        for job in attempt.value:
            delivered = self._deliver(worker.name, job, attempt)
            fate = chance.random()
            if fate < GIVEN_BACK:
                self.attempt(partial(job.nack, delay=0), writes=False)
            elif fate > GIVEN_BACK + FORGOTTEN:
                self._end(delivered, job)

    def _deliver(self, name: str, job: "Job[bytes]", attempt: Attempt) -> Delivered:
        delivered = Delivered(name, job.id, attempt.invoked, attempt.returned, job.deliveries)
        value = job.value.decode()
        with self.lock:
            message = self.messages.get(value)
            if message is None:
                self.strange.append(value)
            else:
                message.deliveries.append(delivered)
        return delivered

    def _end(self, delivered: Delivered, job: "Job[bytes]") -> None:
        delivered.ack = self.attempt(job.ack, writes=True)
        if delivered.is_acked:
            with self.lock:
                self._ended += 1


def _wrong_with(message: Message) -> Iterator[str]:
    """What must not be, of one message."""
    name = message.value
    if message.put.ending is Ending.OK and not any(one.may_be_acked for one in message.deliveries):
        seen = f"was delivered {len(message.deliveries)} times" if message.deliveries else "never came"
        yield f"{name} was put, {seen}, and is gone without an acknowledgement"
    if message.put.ending in (Ending.REFUSED, Ending.FAILED) and message.deliveries:
        yield f"{name} was delivered, but its put was surely not executed"
    if len({one.id for one in message.deliveries}) > 1:
        yield f"{name} was put once, and is there twice"
    acked = [one for one in message.deliveries if one.is_acked]
    if len(acked) > 1:
        yield f"{name} was acknowledged twice"
    for one in acked:
        end = one.ack.returned if one.ack is not None else 0
        if any(other.invoked > end for other in message.deliveries):
            yield f"{name} was delivered again after it was acknowledged"


def _out_of_order(group: Sequence[Message]) -> Iterator[Problem]:
    """What must not be, of the messages of one group, in the order in which one client has put them."""
    for before, after in pairwise(group):
        if not after.deliveries:
            continue
        first = min(one.returned for one in after.deliveries)
        begun = [one.ack.invoked for one in before.deliveries if one.ack is not None and one.may_be_acked]
        if begun and first < min(begun):
            text = f"{after.value} of the group {after.group} came before {before.value} was acknowledged"
            yield Problem(text, [line_of(before), line_of(after)])


def line_of(message: Message) -> Line:
    """A message as it is written to a file."""
    return {
        "message": message.value,
        "group": message.group,
        "put": str(message.put.ending),
        "invoked_ns": message.put.invoked,
        "returned_ns": message.put.returned,
        "deliveries": [
            {
                "client": one.client,
                "id": one.id,
                "delivery": one.count,
                "invoked_ns": one.invoked,
                "returned_ns": one.returned,
                **({} if one.ack is None else _line_of_ack(one.ack)),
            }
            for one in message.deliveries[:PART_SHOWN_MAX]
        ],
    }


def _line_of_ack(ack: Attempt) -> Line:
    return {
        "ack": str(ack.ending),
        "was_acked": ack.value,
        "ack_invoked_ns": ack.invoked,
        "ack_returned_ns": ack.returned,
        **({"error": ack.error.message} if isinstance(ack.error, RaftdbError) else {}),
    }
