"""One run: a cluster, its clients and its nemesis in a world that follows from one seed, and the report on it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from zlib import crc32

from raftdb.core.describe import describe_trace
from raftdb.core.membership import Configuration
from raftdb.core.model import Entry, EntryKind, Member, NodeId, Term
from raftdb.core.update import Trace
from raftdb.endpoint import Endpoint
from raftdb.errors import InvariantBroken
from raftdb.node.stored import BOOTSTRAP_TERM
from raftdb.simulation.crowd import Crowd
from raftdb.simulation.host import Host
from raftdb.simulation.idleness import IdleHours
from raftdb.simulation.linearizability import Finding, Verdict, verdict_of
from raftdb.simulation.links import Links
from raftdb.simulation.nemesis import Nemesis
from raftdb.simulation.network import Envelope, Network, damaged
from raftdb.simulation.operators import Operators
from raftdb.simulation.options import Options, draw_options
from raftdb.simulation.oracle import Oracle
from raftdb.simulation.scheduler import MILLISECOND, SECOND, Chance, Scheduler
from raftdb.simulation.timeline import Timeline
from raftdb.wire.configuration import encode_configuration
from raftdb.wire.handshake import Hello, Welcome

SETTLE_US = 60 * SECOND
"""Virtual time for the cluster to converge once all faults are over, enough for dozens of elections."""
SETTLE_WAYS = 240
"""On a slow network it may take longer by this many times the delay of a frame."""
SETTLE_STEPS_MAX = 40_000
"""Steps that a cluster without faults may take before it has settled: eight times the most of any healthy run. A
cluster that never stops working would otherwise take minutes of real time."""
NO_GOAL = (0, 0)
PROBE_ROUNDS = 3
"""In one of this many rounds all probes must be answered. A node with a short patience may give one up for a late
sync."""


@dataclass(slots=True)
class Report:
    """The result of a run. `violation` is None if every check held."""

    seed: int
    options: Options
    violation: str | None = None
    steps: int = 0
    virtual_us: int = 0
    terms: int = 0
    leaders: int = 0
    committed: int = 0
    reads: int = 0
    writes: int = 0
    unknown: int = 0
    refused: int = 0
    frames: int = 0
    compactions: int = 0
    """How often a log on a disk was trimmed."""
    installs: int = 0
    """Snapshots that were installed."""
    transactions: int = 0
    conflicts: int = 0
    messages: dict[str, int] = field(default_factory=dict)
    """How the messages of queues left, or the state in which they are, if there are clients of queues."""
    locks: dict[str, int] = field(default_factory=dict)
    """What clients of locks did, if there are any: grants, refusals and writes under a fence."""
    changes_told: int = 0
    """Changes that were told to those who follow them, if there are any."""
    bound: int = 0
    """How often a key was bound to a session."""
    ended: int = 0
    """How many of these ended with it."""
    served: int = 0
    """Requests that a leader held, or might have, and that got something."""
    in_vain: int = 0
    """Those that were held until their time was over."""
    faults: dict[str, int] = field(default_factory=dict)
    operations: dict[str, int] = field(default_factory=dict)
    """Changes and transfers that the operators asked for and were told are done."""
    findings: list[Finding] = field(default_factory=list)
    lost_nodes: dict[NodeId, str] = field(default_factory=dict)
    settled_us: int = 0
    """Virtual time from the end of the faults to convergence."""
    idle_changes: int = 0
    """Changes of the leader in idle hours."""
    fingerprint: int = 0
    """A checksum over every received frame, and over every line of the trace if there is a listener. Equal runs have
    equal ones."""

    @property
    def linearizable(self) -> Verdict:
        """The verdict on the clients' histories."""
        return verdict_of(self.findings)

    @property
    def passed(self) -> bool:
        """True if every check held. A search without a verdict is not a violation."""
        return self.violation is None


NewOracle = Callable[[Sequence[NodeId], Entry, Timeline], Oracle]


class Simulation:
    """One run. The lines of `tell` go to `listener(now_us, who, text)`, if there is one."""

    def __init__(
        self,
        seed: int,
        *,
        nodes: int = 5,
        steps: int = 4_000,
        listener: Callable[[int, str, str], None] | None = None,
        options: Options | None = None,
        oracle: NewOracle = Oracle,
    ) -> None:
        """`options` replaces the world that would be drawn from the seed, `oracle` makes who looks on."""
        self.seed = seed
        self.chance = Chance(seed)
        self.scheduler = Scheduler()
        drawn = draw_options(self.chance, nodes=nodes, steps=steps)
        self.options = drawn if options is None else options
        self._listener = listener
        self.steps = 0
        self._goal = NO_GOAL
        """The term of the leader that all members should follow, and the last index of its log when it was first
        seen."""
        self.uuids: dict[NodeId, str] = {}
        self._fingerprint = 0
        ids = self.first_members = tuple(f"n{number}" for number in range(1, nodes + 1))
        configuration = Configuration(tuple(Member(node, Endpoint(node, 1)) for node in sorted(ids)))
        data = encode_configuration(configuration)
        timeline = Timeline(self.scheduler, fastest=1 / (1 - self.options.clock_drift))
        self.oracle = oracle(ids, Entry(1, BOOTSTRAP_TERM, EntryKind.CONFIGURATION, data), timeline)
        self.network = Network(self.scheduler, self.chance, self.options, ids, self._deliver)
        self.hosts: dict[NodeId, Host] = {node: Host(self, node, configuration) for node in configuration.ids}
        self.links = Links(self, self.hosts)
        self.operators = Operators(self)
        self.nemesis = Nemesis(self)
        self.crowd = Crowd(self)

    def run(self) -> Report:
        """Run to the end, or to the first broken property."""
        report = Report(self.seed, self.options)
        try:
            self._run_faults()
            report.settled_us = self._settle()
            if self.options.idle_hours:
                idle = IdleHours(self)
                idle.run()
                report.idle_changes = idle.changes
            self._check_end(report)
        except Exception as error:  # noqa: BLE001 # any error that stops a replica is a finding
            report.violation = f"{type(error).__name__}: {error}"
        report.steps, report.virtual_us = self.steps, self.scheduler.now_us
        report.terms = max((host.term for host in self.hosts.values() if host.epoch), default=0)
        report.leaders = len(self.oracle.leaders)
        report.committed = self.oracle.commit_index
        history = self.crowd.history
        report.reads, report.writes = history.reads, history.acknowledged_writes
        report.unknown, report.refused = history.unknown, history.refused
        report.compactions, report.installs = self.oracle.trims, self.oracle.installs
        report.frames, report.faults = self.network.frames_sent, dict(sorted(self.nemesis.counts.items()))
        report.operations = dict(sorted(self.operators.counts.items()))
        report.lost_nodes = {node: host.out for node, host in self.hosts.items() if host.out is not None}
        report.fingerprint = self._fingerprint
        return report

    def terms_over(self, form_us: int, quiet_us: int) -> set[Term]:
        """Run for `form_us`, in which the cluster forms, then for `quiet_us`; returns the terms that any node was in
        during the latter."""
        self.begin()
        while self.scheduler.now_us < form_us:
            self.scheduler.run_next()
        terms: set[Term] = set()
        while self.scheduler.now_us < form_us + quiet_us:
            self.scheduler.run_next()
            terms.update(host.term for host in self.hosts.values())
        return terms

    def tell(self, node: NodeId, text: str) -> None:
        """Add a line to the trace."""
        if self._listener is not None:
            self.digest(f"{self.scheduler.now_us} {node} {text}".encode())
            self._listener(self.scheduler.now_us, node, text)

    def tell_traces(self, node: NodeId, traces: Sequence[Trace]) -> None:
        """Add the traces of a replica to the trace of the run."""
        if self._listener is not None:
            for trace in traces:
                self.tell(node, describe_trace(trace))

    def digest(self, data: bytes) -> None:
        """Add `data` to the fingerprint of the run."""
        self._fingerprint = crc32(data, self._fingerprint)

    def fetch(self, node: NodeId, source: NodeId, digest: bytes) -> bytes | None:
        """The bytes that `node` gets if it asks `source` for the snapshot with this digest; None if it does not get all
        of it."""
        here, there, blocked = self.hosts[node], self.hosts[source], self.network.blocked
        if (source, node) in blocked or (node, source) in blocked or not there.is_up or there.is_paused:
            return None
        if there.peers.why_not(here.peers.introduction(Hello, source)) is not None:
            return None
        if here.peers.why_not(there.peers.introduction(Welcome, node)) is not None:
            return None
        data, faults = there.courier.file(digest), self.network.faults
        if data is None or self.chance.happens(faults.loss):
            return None
        return damaged(data, self.chance) if self.chance.happens(faults.damage) else data

    def start_host(self, node: NodeId) -> None:
        """Start a new node, with an empty folder."""
        self.hosts[node] = host = Host(self, node, None)
        self.oracle.joins(node)
        self._start(host)
        self.links.begin_for(node)

    def _start(self, host: Host) -> None:
        host.start()
        if self.options.checkpoint_us:
            self._checkpoint_later(host)

    def _deliver(self, target: NodeId, envelope: Envelope) -> None:
        self.hosts[target].receive(envelope)

    def _run_faults(self) -> None:
        """The first part of a run, with faults."""
        self.begin()
        while self.steps < self.options.steps:
            self.scheduler.run_next()

    def begin(self) -> None:
        """Start the hosts, the links, the nemesis, the operators and the clients."""
        for host in self.hosts.values():
            self._start(host)
        self.links.begin()
        self.nemesis.begin()
        self.operators.begin()
        self.crowd.begin()

    def _checkpoint(self, host: Host) -> None:
        host.checkpoint()
        self._checkpoint_later(host)

    def _checkpoint_later(self, host: Host) -> None:
        self.scheduler.after(self.chance.around(self.options.checkpoint_us), self._checkpoint, host)

    def _settle(self) -> int:
        """The second part of a run, without faults: the cluster has to settle and to answer requests. Returns how long
        that took, in microseconds."""
        self.nemesis.stop()
        self.operators.stop()
        self.tell("network", "all faults are over")
        began_us = self.scheduler.now_us
        self.crowd.stop()
        self._run_until(self._is_settled, "no leader with everybody behind it")
        if not any(self._probes_are_answered() for _ in range(PROBE_ROUNDS)):
            raise InvariantBroken("requests to a healthy cluster were not answered")
        self._run_until(self._is_settled, "not of one mind at the end")
        return self.scheduler.now_us - began_us

    def settle(self, otherwise: str) -> Host:
        """Run until there is one leader that all members follow, and return it. Raises `InvariantBroken` with
        `otherwise` if that takes too long."""
        self._run_until(self._is_settled, otherwise)
        return next(host for host in self.hosts.values() if host.is_leader)

    def run_for(self, duration_us: int) -> None:
        """Let `duration_us` pass."""
        end_us = self.scheduler.now_us + duration_us
        while self.scheduler.now_us < end_us:
            self.scheduler.run_next()

    def _probes_are_answered(self) -> bool:
        """Send reads and writes at the same time; True if each gets an answer."""
        wanted = self.crowd.probe()
        self._run_until(lambda: self.crowd.is_idle, "requests are not answered")
        return self.crowd.answered == wanted

    def _run_until(self, condition: Callable[[], bool], otherwise: str) -> None:
        began_us, steps, self._goal = self.scheduler.now_us, 0, NO_GOAL
        # A client whose request or answer was lost stays open until it gives up.
        patience_us = SETTLE_WAYS * self.options.slow_way_us + self.options.client_timeout_us
        settle_us = SETTLE_US + patience_us
        steps_max = SETTLE_STEPS_MAX * settle_us // SETTLE_US
        while not condition():
            next_look_us = self.scheduler.now_us + 20 * MILLISECOND
            while self.scheduler.now_us < next_look_us:
                self.scheduler.run_next()
                steps += 1
            passed_us = self.scheduler.now_us - began_us
            if passed_us > settle_us or steps > steps_max:
                raise InvariantBroken(
                    f"not live: {otherwise} {passed_us / SECOND:.1f} s after the faults, in {steps} steps"
                )

    def _is_settled(self) -> bool:
        """True if there is one leader, every member that takes part follows it and has applied its entries, every
        removed node knows it, and no request is open. Only the entries of `_goal` have to be applied, because a leader
        keeps adding entries while values are due to expire."""
        hosts = [host for host in self.hosts.values() if host.out is None]
        is_idle = self.operators.is_idle and self.crowd.is_idle
        if not is_idle or not all(host.is_up for host in hosts):
            return False
        leaders = [host.replica.raft.state for host in hosts if host.is_leader]
        if len(leaders) != 1:
            return False
        leader = leaders[0]
        if self._goal[0] != leader.term:
            self._goal = (leader.term, leader.log.last_index)
        configuration = self.oracle.configuration[1]
        if leader.configurations.latest != configuration:
            return False
        for host in hosts:
            state, member = host.replica.raft.state, configuration.find(host.id)
            is_behind_it = (state.term, state.leader_id) == (leader.term, leader.id)
            has_all = host.replica.applied_index >= self._goal[1]
            if member is not None and (
                not is_behind_it or not has_all or member.joining or host.id in state.doubts
            ):
                return False
            if member is None and not self._may_be_ignorant(host):
                return False
        return True

    def _may_be_ignorant(self, host: Host) -> bool:
        """True for a node outside the configuration that was not removed, knows that it was, or knows no member that
        could tell it."""
        configuration = self.oracle.configuration[1]
        if host.id not in configuration.removed or host.replica.is_removed:
            return True
        peers = [self.hosts[peer] for peer in host.replica.raft.peers() if peer in self.hosts]
        return not any(peer.out is None and peer.id in configuration.ids for peer in peers)

    def _check_end(self, report: Report) -> None:
        """The checks on the whole run."""
        for host in self.hosts.values():
            if host.out is None:
                host.check_state()
        log = [Entry(index, *self.oracle.entry(index)) for index in range(1, self.oracle.commit_index + 1)]
        report.findings = self.crowd.check(log)
        report.transactions = len(self.crowd.transactions.observed)
        report.conflicts = self.crowd.transactions.conflicts
        report.messages = dict(sorted(self.crowd.ledger.fates.items()))
        report.locks = self.crowd.locks_counted()
        report.changes_told = self.crowd.watch_witness.told
        report.bound, report.ended = self.crowd.binding_witness.bound, self.crowd.binding_witness.ended
        report.served = sum(waiter.served for waiter in self.crowd.waiters)
        report.in_vain = sum(waiter.in_vain for waiter in self.crowd.waiters)
