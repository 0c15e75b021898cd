"""A whole run: nodes, observer and nemesis from the beginning to the end, and round after round of clients."""

import signal
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from cli.console.stop_signals import is_ignored
from cli.torture.agreement import NotRecovered, digests, wait_agreed
from cli.torture.bank import Bank
from cli.torture.crowd import Crowd
from cli.torture.evidence import Evidence
from cli.torture.faults import Faults
from cli.torture.journal import Journal
from cli.torture.links import UNTOUCHED, Links
from cli.torture.lists import Lists
from cli.torture.locks import Locks
from cli.torture.nemesis import Nemesis
from cli.torture.nodes import Nodes
from cli.torture.observer import Observer
from cli.torture.progress import Progress
from cli.torture.queues import Queues
from cli.torture.recorder import Ending, Recorder
from cli.torture.registers import Registers
from cli.torture.verdict import Verdict, duration, share
from cli.torture.workload import Problem, Workload
from raftdb.client.sync_client import Client
from raftdb.errors import RaftdbError

ROUND_S = 60.0
"""How long faults strike before all is healed and checked: histories are kept in memory for so long."""
PERIOD_S = 0.1
SILENCE_SHOWN_S = 1.0
FINISH_TIMEOUT_MS = 30_000.0
"""Longest time of a call to healed nodes."""
WORKLOADS: tuple[type[Workload], ...] = (Registers, Lists, Bank, Queues, Locks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run is to be: its length, all that follows from its seed, and where it goes."""

    seed: int
    nodes: int
    seconds: float
    parent: Path
    keep: bool = False
    round_s: float = ROUND_S
    faults: bool = True
    """Without them the clients are as they are, and so are the checks, and nothing is done to the nodes."""
    network: str = UNTOUCHED
    """The conditions of the links while no fault changes them, in the words of `tc netem`."""

    @property
    def settings(self) -> dict[str, str]:
        """Settings of the nodes that differ from seed to seed."""
        settings = {"reads": "any" if self.seed % 2 else "leader"}
        if self.network != UNTOUCHED:
            settings |= {"network": self.network, "network_seed": str(self.seed)}
        return settings


class Run:
    """See the module. `carry_out` is called once."""

    def __init__(self, plan: Plan, progress: Progress) -> None:
        self._plan = plan
        self._progress = progress
        self._stop = threading.Event()
        self._evidence = Evidence(plan.parent, plan.seed)
        self._journal = Journal(self._evidence.nemesis_log)
        self._nodes = Nodes(self._evidence.nodes, plan.nodes, plan.settings, self._journal)
        self._observer = Observer(lambda: self._nodes.places)
        self._recorder = Recorder()
        self._links = Links(self._nodes, self._journal, normal=plan.network)
        faults = Faults(self._nodes, self._observer, self._connect).table()
        self._nemesis = Nemesis(
            (*faults, *self._links.table()),
            str(plan.seed),
            self._journal,
            harmed_max=lambda: (len(self._nodes.ids) - 1) // 2,
            coming_up=lambda: self._nodes.coming_up(self._observer.heard_ns),
            silence_s=lambda: self._recorder.silence_ns() / 1e9,
            look=self._nodes.look,
        )
        self.verdict = Verdict(seed=plan.seed, nodes=plan.nodes, folder=self._evidence.path)
        self._began_s = time.monotonic()

    def carry_out(self) -> Verdict:
        """Torture the nodes until the time is over, a promise was broken, or somebody interrupts. Raises
        `CommandError` if the nodes cannot be started."""
        plan = self._plan
        self._evidence.describe(
            {"seed": plan.seed, "nodes": plan.nodes, "seconds": plan.seconds, "settings": plan.settings}
        )
        self._progress.say(
            f"torturing {plan.nodes} nodes on this machine for {duration(plan.seconds)}, seed {plan.seed}; "
            f"Ctrl-C ends it earlier\n{len(WORKLOADS)} workloads; log, data and verdict: {self._evidence.path}"
        )
        try:
            with self._interruptible(), self._journal.taking_log("raftdb.client"):
                self._nodes.start()
                self._began_s = time.monotonic()
                self._observer.start()
                self._all_rounds()
                self._conclude()
        finally:
            self._observer.stop()
            self._nodes.close()
            self._journal.close()
        self._evidence.conclude(self.verdict)
        if self.verdict.is_clean and not plan.keep:
            self._evidence.remove()
        return self.verdict

    def _all_rounds(self) -> None:
        end_s = self._began_s + self._plan.seconds
        while self.verdict.is_clean and not self._stop.is_set() and time.monotonic() < end_s:
            self.verdict.rounds += 1
            workloads = [
                kind(self.verdict.rounds, str(self._plan.seed), self._recorder) for kind in WORKLOADS
            ]
            try:
                self._round(workloads, min(end_s, time.monotonic() + self._plan.round_s))
            except NotRecovered as failure:
                self._problem(str(failure))
            except RaftdbError as failure:
                self._problem(f"nodes that were healed refused what they must do: {failure}")
            if self.verdict.problems:
                self._evidence.keep_histories(self.verdict.rounds, workloads)

    def _round(self, workloads: list[Workload], end_s: float) -> None:
        """Clients and faults until `end_s`, then peace, and all checks."""
        with self._connect(FINISH_TIMEOUT_MS) as client:
            for workload in workloads:
                workload.prepare(client)
        crowd = Crowd(workloads, lambda: self._nodes.addresses)
        self._journal.note(f"round {self.verdict.rounds}")
        written = self._recorder.written
        self._recorder.watch_writes(on=True)
        crowd.start()
        if self._plan.faults:
            self._nemesis.begin()
        while time.monotonic() < end_s and not self._stop.wait(PERIOD_S) and not self._nemesis.failures:
            self._progress.show(self._line)
        self._nemesis.end()
        healed_s = time.monotonic()
        self._journal.note("all is healed")
        crowd.stop()
        self._recorder.watch_writes(on=False)
        if self._recorder.written == written and not self._stop.is_set():
            self._problem("in a whole round no write was acknowledged")
        wait_agreed(lambda: self._nodes.places, self._settle)
        self.verdict.longest_recovery_s = max(self.verdict.longest_recovery_s, time.monotonic() - healed_s)
        self._progress.show(self._line)
        with self._connect(FINISH_TIMEOUT_MS) as client:
            for workload in workloads:
                workload.finish(client)
        self.verdict.problems += crowd.problems
        for workload in workloads:
            self.verdict.take(workload.name, workload.check())
        if self._nemesis.failures:
            raise self._nemesis.failures[0]
        self._take_problems()

    def _take_problems(self) -> None:
        """Those that are no workload's."""
        for text in [*self._nodes.problems, *self._observer.problems]:
            self._problem(text)

    def _problem(self, text: str) -> None:
        self.verdict.problems.append(Problem(text))

    def _conclude(self) -> None:
        """Compare what all nodes have on their disks, after a last SIGKILL, and sum up."""
        verdict = self.verdict
        try:
            verdict.agreed_index = wait_agreed(lambda: self._nodes.places, self._settle)
        except NotRecovered as failure:
            if verdict.is_clean:
                self._problem(str(failure))
        else:
            for node_id in self._nodes.ids:
                self._nodes.kill(node_id)
            folders = {node_id: self._nodes.path / node_id for node_id in self._nodes.ids}
            verdict.digests = digests(folders, verdict.agreed_index)
            if len(set(verdict.digests.values())) > 1:
                self._problem(f"the states differ at index {verdict.agreed_index}: {dict(verdict.digests)}")
        verdict.elapsed_s = time.monotonic() - self._began_s
        verdict.is_interrupted = self._stop.is_set()
        verdict.faults = self._nemesis.counts
        verdict.operations = self._recorder.counts
        verdict.longest_silence_s = self._recorder.longest_silence_ns / 1e9
        verdict.elections = len(self._observer.leaders)

    def _settle(self, members: Collection[str] | None) -> None:
        self._nodes.look()
        self._links.heal()
        if members is not None:
            self._nodes.settle(members)
        self._progress.show(self._line)

    def _line(self) -> str:
        total = self._recorder.total()
        count = sum(total.values())
        words = [
            f"{duration(time.monotonic() - self._began_s)} of {duration(self._plan.seconds)}: {count} operations",
            f"{share(total[Ending.UNKNOWN], count)} unknown",
            f"{sum(self._nemesis.counts.values())} faults",
        ]
        silence_s = self._recorder.silence_ns() / 1e9
        if silence_s >= SILENCE_SHOWN_S:
            words.append(f"no write for {silence_s:.0f} s")
        return ", ".join(words) + (f"; {self._nemesis.now}" if self._nemesis.now else "")

    def _connect(self, timeout_ms: float | None = None) -> "Client[bytes]":
        return Client(self._nodes.addresses, timeout_ms=timeout_ms)

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Let the first SIGINT, SIGTERM or SIGHUP end the run in order; the next one raises `KeyboardInterrupt`."""

        def interrupt(_number: int, _frame: FrameType | None) -> None:
            if self._stop.is_set():
                raise KeyboardInterrupt
            self._stop.set()
            self._progress.say("ending: what there is is healed and checked; once more ends it at once")

        numbers = [
            number for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if not is_ignored(number)
        ]
        before = {number: signal.signal(number, interrupt) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
