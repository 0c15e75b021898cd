"""The options of a run, which are drawn from its seed: the speeds of the world, and the rates of faults.

Swarm testing (Groce and others, 2012): every class of faults is off in half of the seeds, and the rates of the others
are drawn anew. A run with all faults hides bugs that show only without some of them; many different runs find more than
many of one kind.
"""

from dataclasses import dataclass, fields, replace

from raftdb.core.state import RaftSettings
from raftdb.simulation.scheduler import MILLISECOND, SECOND, Chance


@dataclass(frozen=True, slots=True)
class Faults:
    """Rates of the faults; 0 is off. Probabilities are per frame or per sync, rates per second of the whole cluster."""

    loss: float = 0.0
    """Probability that a frame is lost."""
    duplication: float = 0.0
    """Probability that a frame arrives twice."""
    late: float = 0.0
    """Probability that a frame is overtaken by many others."""
    replay: float = 0.0
    """Probability that an old frame arrives once more, long after."""
    misdelivery: float = 0.0
    """Probability that a frame reaches another node than the one it was meant for, or its sender."""
    damage: float = 0.0
    """Probability that a frame arrives with a bit flipped."""
    partition: float = 0.0
    """Partitions per second: splits, one node alone, one way only, two halves with a bridge."""
    half_open: float = 0.0
    """Links per second that pass nothing in one direction, without either end noticing."""
    crash: float = 0.0
    """Crashes of one node per second."""
    blackout: float = 0.0
    """Power cuts of all nodes per second."""
    pause: float = 0.0
    """Pauses of one node per second, as by SIGSTOP."""
    sleep: float = 0.0
    """Leaders per second that pause after they have sent messages, until another one has taken over."""
    slow_sync: float = 0.0
    """Probability that a sync takes ten to a hundred times as long."""
    stall: float = 0.0
    """Disks per second that do not answer for up to seconds."""
    sync_error: float = 0.0
    """Failed syncs per second."""
    disk_full: float = 0.0
    """Disks per second that run full for a while."""
    bit_flip: float = 0.0
    """Flipped bits in logs per second; at most a minority of the nodes is ever lost to those."""
    wipe: float = 0.0
    """Data folders emptied per second; they count towards the same minority."""
    put_back: float = 0.0
    """Folders per second that are copied, or put back to an older copy."""
    night: float = 0.0
    """Nights per second: a long time in which nothing happens, but every clock goes on."""
    client_loss: float = 0.0
    """Probability that a request, or its answer, is lost between client and node."""
    change: float = 0.0
    """Changes of the members per second, which are no faults, but as likely to show bugs."""
    transfer: float = 0.0
    """Transfers of the leadership per second."""


HIGHEST = Faults(
    loss=0.25,
    duplication=0.25,
    late=0.15,
    replay=0.15,
    misdelivery=0.02,
    damage=0.05,
    partition=6.0,
    half_open=2.0,
    crash=6.0,
    blackout=0.8,
    pause=4.0,
    sleep=10.0,
    slow_sync=0.25,
    stall=1.0,
    sync_error=1.5,
    disk_full=1.0,
    bit_flip=0.4,
    wipe=0.4,
    put_back=12.0,
    night=0.6,
    client_loss=0.1,
    change=30.0,
    transfer=12.0,
)
"""The highest rates that a seed may draw."""


DRAWN_APART = {"change": "operators", "transfer": "operators", "put_back": "folders", "sleep": "sleep"}
"""Faults with random streams of their own, so that the rest of a seed does not depend on them."""

IDLE_HOURS_SHARE = 0.125
"""The share of seeds that end with idle hours, which take as many turns as half of a run."""

READS_ANYWHERE_SHARE = 0.3
"""The share of seeds in which every node serves linearizable reads."""
FLUSHING_SHARE = 0.2
"""The share of seeds in which all keys are removed now and then, of those without transactions on lists."""
QUEUES_SHARE = 0.25
"""The share of seeds in which clients use queues."""
LOCKS_SHARE = 0.25
"""The share of seeds in which clients use locks."""
WATCHES_SHARE = 0.3
"""The share of seeds in which clients follow changes."""
BINDING_SHARE = 0.1
"""The share of seeds in which clients bind keys to their sessions, of those in which nobody removes all keys."""
WAITING_SHARE = 0.15
"""The share of seeds in which the leader holds requests until they can be served, of those without a slow network."""
SLOW_SHARE = 0.03
"""The share of seeds with a slow network."""
SLOW_WAYS_MS = (50, 100, 300, 1_000)
SLOW_CLIENT_TIMEOUT_US = 60 * SECOND
"""How long clients and nodes wait for a request on a slow network."""
NEVER_BYTES = 1 << 40
"""More bytes than any run writes."""


@dataclass(frozen=True, slots=True)
class Options:
    """The options of one run. Times are in microseconds, sizes in bytes."""

    nodes: int
    steps: int
    """Turns of replicas until the faults stop; the run then goes on until the cluster has converged."""
    faults: Faults
    election_timeout_ticks: int
    heartbeat_ticks: int
    tick_us: int
    delay_us: int
    """Mean delay of a frame."""
    slow_way_us: int
    """If not 0, frames between two nodes arrive in order, about this long after they were sent, and a lost one holds up
    the later ones until it was sent again, as TCP does over a slow network that loses packets."""
    sync_us: int
    """Mean time of a sync."""
    clients: int
    turn_us: int
    """A node gathers inputs for up to this long before it takes a turn."""
    think_us: int
    """Mean time between two requests of a client."""
    client_timeout_us: int
    """How long a client waits for the answer to one request, in all its attempts together."""
    patience_ticks: int
    """How long a node lets a request wait before it gives it up."""
    read_share: float
    """The share of requests that only read."""
    batch_bytes_max: int
    in_flight_bytes_max: int
    cache_bytes_max: int
    clock_drift: float
    """Clocks run up to this fraction fast or slow."""
    session_share: float
    """The share of clients with sessions, which repeat requests of unknown outcome."""
    transactors: int
    """The number of clients of transactions, beside the others."""
    expires: bool
    """Whether clients use keys that expire."""
    reads_anywhere: bool
    """Whether nodes that do not lead serve linearizable reads, too."""
    workers: int
    """The number of clients of queues, beside the others."""
    lockers: int
    """The number of clients of locks, beside the others."""
    observers: int
    """The number of clients that follow changes, beside the others. They only look."""
    history_bytes_max: int
    """Memory for the changes that a node keeps for them; in some seeds it is so small that they miss some."""
    keepers: int
    """The number of clients that bind keys to their sessions, beside the others."""
    waiters: int
    """The number of clients whose requests the leader holds, beside the others."""
    flushes: bool
    """Whether clients now and then remove all keys. Nobody keeps lists in transactions then."""
    checkpoint_us: int
    """Mean time between two checkpoints that are asked of one node; 0: none are."""
    checkpoint_entries: int
    tail_bytes: int
    retained_bytes_max: int
    """See `raftdb.node.compaction`. In half of the seeds the tail is so long that no log is ever compacted."""
    changes_bytes_max: int
    """Memory for changes that are not yet durable; in some seeds it is so small that entries wait for a checkpoint."""
    transfer_us: int
    """Mean time that a snapshot takes to be fetched."""
    idle_hours: bool
    """Whether the run ends with idle hours, in which leaders change while a key is to expire."""

    def on_slow_network(self, way_us: int, *, faults: Faults | None = None) -> "Options":
        """These options with a delay of `way_us` between any two nodes, with timeouts that are long enough for it, and
        with other `faults` if given. Batches are large, because one entry for each trip would be too slow, and there
        are no idle hours, which would take days."""
        return replace(
            self,
            slow_way_us=way_us,
            client_timeout_us=SLOW_CLIENT_TIMEOUT_US,
            patience_ticks=SLOW_CLIENT_TIMEOUT_US // self.tick_us,
            batch_bytes_max=1 << 20,
            in_flight_bytes_max=1 << 20,
            idle_hours=False,
            waiters=0,
            faults=self.faults if faults is None else faults,
        )

    def core_settings(self) -> RaftSettings:
        """The settings of every node's core in this world."""
        return RaftSettings(
            election_timeout_ticks=self.election_timeout_ticks,
            heartbeat_ticks=self.heartbeat_ticks,
            tick_ms=self.tick_us // MILLISECOND,
            batch_bytes_max=self.batch_bytes_max,
            in_flight_bytes_max=self.in_flight_bytes_max,
            cache_bytes_max=self.cache_bytes_max,
            reads_anywhere=self.reads_anywhere,
        )


def draw_options(chance: Chance, *, nodes: int, steps: int) -> Options:
    """Draw the options of a seed."""
    rates = {}
    intensity = chance.choose([0.1, 0.3, 1.0])
    apart = {name: chance.branch(name) for name in DRAWN_APART.values()}
    for field in fields(Faults):
        highest = getattr(HIGHEST, field.name)
        source = apart[DRAWN_APART[field.name]] if field.name in DRAWN_APART else chance
        is_on, rate = source.happens(0.5), highest * source.fraction() * intensity
        rates[field.name] = round(rate, 4) if is_on else 0.0
    compacts = chance.happens(0.5)
    timeout, heartbeat, tick_ms = chance.choose(
        [(12, 3, 10), (10, 3, 10), (6, 2, 20), (4, 1, 25), (6, 2, 10), (4, 2, 10)]
    )
    slow = chance.branch("slow network")
    options = Options(
        nodes=nodes,
        steps=steps,
        faults=Faults(**rates),
        election_timeout_ticks=timeout,
        heartbeat_ticks=heartbeat,
        tick_us=tick_ms * MILLISECOND,
        delay_us=chance.choose([300, 1_000, 3_000, 10_000]),
        slow_way_us=0,
        sync_us=chance.choose([200, 1_000, 4_000, 15_000]),
        clients=chance.between(3, 13),
        turn_us=chance.choose([20, 20, 1_000, 10_000]),
        think_us=chance.choose([3_000, 20_000, 60_000]),
        client_timeout_us=chance.choose([100, 300, 1_000]) * MILLISECOND,
        patience_ticks=chance.choose([15, 50, 200]),
        read_share=chance.choose([0.2, 0.5, 0.8]),
        batch_bytes_max=chance.choose([1, 100, 1_000, 1 << 20]),
        in_flight_bytes_max=chance.choose([100, 1_000, 1 << 20]),
        cache_bytes_max=chance.choose([1, 500, 4_000, 20_000]),
        clock_drift=chance.choose([0.0, 0.05, 0.2]),
        session_share=chance.choose([0.0, 0.5, 1.0]),
        transactors=chance.choose([0, 0, 2, 5]),
        expires=chance.happens(0.5),
        reads_anywhere=chance.branch("reads anywhere").happens(READS_ANYWHERE_SHARE),
        workers=0,
        lockers=0,
        observers=0,
        history_bytes_max=1 << 20,
        keepers=0,
        waiters=0,
        flushes=False,
        checkpoint_us=chance.choose([0, 500, 3_000]) * MILLISECOND if compacts else 0,
        checkpoint_entries=chance.choose([3, 20, 100] if compacts else [50, 1_000]),
        changes_bytes_max=chance.choose([1 << 30, 1 << 30, 4_000]),
        tail_bytes=chance.choose([0, 200, 2_000]) if compacts else NEVER_BYTES,
        retained_bytes_max=chance.choose([0, 1_000, NEVER_BYTES]),
        transfer_us=chance.choose([1, 20, 200]) * MILLISECOND,
        idle_hours=chance.branch("idle hours").happens(IDLE_HOURS_SHARE),
    )
    if options.transactors == 0 and chance.branch("flushes").happens(FLUSHING_SHARE):
        options = replace(options, flushes=True)
    options = _with_more_clients(options, chance)
    if not slow.happens(SLOW_SHARE):
        return options
    return options.on_slow_network(slow.choose(SLOW_WAYS_MS) * MILLISECOND)


def _with_more_clients(options: Options, chance: Chance) -> Options:
    """The options with clients of queues and of locks, some that follow changes, bind keys or wait, each in a share of
    the seeds, and from a stream of chance of its own."""
    queues = chance.branch("queues")
    if queues.happens(QUEUES_SHARE):
        options = replace(options, workers=queues.between(2, 6))
    locks = chance.branch("locks")
    if locks.happens(LOCKS_SHARE):
        options = replace(options, lockers=locks.between(2, 6))
    watches = chance.branch("following")
    if watches.happens(WATCHES_SHARE):
        history_bytes_max = watches.choose([3_000, 10_000, 1 << 20])
        options = replace(options, observers=watches.between(2, 6), history_bytes_max=history_bytes_max)
    binding = chance.branch("bound keys")
    if not options.flushes and binding.happens(BINDING_SHARE):
        options = replace(options, keepers=binding.between(2, 4))
    waiting = chance.branch("waiting")
    if waiting.happens(WAITING_SHARE):
        options = replace(options, waiters=waiting.between(2, 6))
    return options
