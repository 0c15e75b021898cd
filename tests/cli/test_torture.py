"""What `raftdb torture` notes, does, checks and says, without a node."""

import io
import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from cli.main import run
from cli.torture.agreement import agreed_index
from cli.torture.bank import Bank
from cli.torture.evidence import Evidence
from cli.torture.journal import Journal
from cli.torture.links import Links
from cli.torture.lists import Lists
from cli.torture.locks import Grant, Locks, Write
from cli.torture.nemesis import Fault, Nemesis, Strike
from cli.torture.observer import Observer
from cli.torture.progress import Progress
from cli.torture.queues import Delivered, Message, Queues
from cli.torture.recorder import Attempt, Ending, Recorder
from cli.torture.registers import Registers, smallest
from cli.torture.registers import check as check_registers
from cli.torture.verdict import Verdict
from cli.torture.workload import Checked, Problem
from raftdb.client.leases import LockTimeout
from raftdb.client.model import Member, NodeStatus
from raftdb.endpoint import parse_endpoint
from raftdb.errors import (
    Conflict,
    LeaderHint,
    OutcomeUnknown,
    RaftdbError,
    RemoteProtocolError,
    SessionExpired,
    Unavailable,
)
from raftdb.machine.strings import Get, Set
from raftdb.simulation.linearizability import Finding, Operation
from raftdb.simulation.linearizability import Verdict as Found
from raftdb.simulation.serializability import Appended, Observed, Outcome, Seen
from tests.e2e.waiting import wait_for


def attempt(invoked: int, returned: int, ending: Ending = Ending.OK, value: object = None) -> Attempt:
    return Attempt(invoked, returned, ending, value)


class TestRecorder:
    @pytest.mark.parametrize(
        ("error", "ending"),
        [
            (OutcomeUnknown("lost"), Ending.UNKNOWN),
            (SessionExpired("gone"), Ending.UNKNOWN),
            (Unavailable("no_leader", "nobody leads"), Ending.REFUSED),
            (LockTimeout("not free"), Ending.REFUSED),
            (Conflict("changed"), Ending.FAILED),
        ],
    )
    def test_an_error_says_whether_it_may_have_been_executed(
        self, error: RaftdbError, ending: Ending
    ) -> None:
        recorder = Recorder()
        found = recorder.attempt("bank", _raising(error), writes=True)
        assert (found.ending, found.error) == (ending, error)
        assert recorder.counts == {"bank": {ending: 1}}
        assert recorder.written == 0

    def test_what_no_client_should_meet_is_raised(self) -> None:
        with pytest.raises(RemoteProtocolError):
            Recorder().attempt("bank", _raising(RemoteProtocolError("nonsense")), writes=False)

    def test_the_longest_time_without_a_write_is_measured_while_it_is_watched(self) -> None:
        times = iter(range(0, 1000, 10))
        recorder = Recorder(clock=lambda: next(times))
        recorder.attempt("a", lambda: None, writes=True)
        assert recorder.silence_ns() == 0
        recorder.watch_writes(on=True)
        recorder.attempt("a", lambda: None, writes=True)
        one_write_ns = recorder.longest_silence_ns
        for _ in range(5):
            recorder.attempt("a", lambda: None, writes=False)
        recorder.watch_writes(on=False)
        assert recorder.longest_silence_ns > 100 > one_write_ns > 0
        assert recorder.written == 2
        assert recorder.total() == {Ending.OK: 7}


def _raising(error: Exception) -> Callable[[], Any]:
    def call() -> None:
        raise error

    return call


KEY = b"r1-text-1"


def operation(command: Any, invoked: int, returned: int | None, result: object = None) -> Operation:
    return Operation("1", command, invoked, returned, result)


STALE = [
    operation(Set(KEY, b"x"), 0, 10, "OK"),
    operation(Get(KEY), 11, 12, b"x"),
    operation(Set(KEY, b"y"), 20, 30, "OK"),
    operation(Get(KEY), 31, 32, b"y"),
    operation(Get(KEY), 40, 41, b"x"),
    operation(Set(KEY, b"z"), 50, 60, "OK"),
]


class TestRegisters:
    def test_a_stale_read_is_found_and_shown_with_few_operations(self) -> None:
        (finding,), (problem,) = check_registers(STALE)
        assert finding.verdict is Found.VIOLATION
        assert "r1-text-1: not linearizable" in problem.text
        assert [line["command"] for line in problem.part] == [
            "set r1-text-1 x",
            "set r1-text-1 y",
            "get r1-text-1",
        ]

    def test_what_a_pending_write_explains_stays_explained_in_fewer_operations(self) -> None:
        operations = [operation(Set(KEY, b"x"), 0, None), operation(Get(KEY), 11, 12, b"x")]
        finding = Finding(KEY, Found.VIOLATION, 2, 1, operations[1])
        assert smallest(finding, operations) == operations

    def test_what_was_refused_leaves_no_trace(self) -> None:
        registers = Registers(1, "seed", Recorder())
        worker = registers.worker(1)
        refusing: Any = _Client(Unavailable("no_leader", "nobody leads"))
        unknown: Any = _Client(OutcomeUnknown("lost"))
        registers.step(refusing, worker)
        assert registers.operations == []
        registers.step(unknown, worker)
        assert [one.returned for one in registers.operations] == [None]
        assert [line["returned_ns"] for line in registers.history()] == [None]


class _Client:
    """A client whose every command ends in this error."""

    def __init__(self, error: RaftdbError) -> None:
        self._error = error

    def execute(self, *_: object) -> object:
        raise self._error


class TestLists:
    def test_a_read_that_no_order_explains_is_shown_with_its_transactions(self) -> None:
        lists = Lists(1, "seed", Recorder())
        lists.observed = [
            Observed("a", 0, 10, Outcome.OK, (Appended(b"k", b"1"),)),
            Observed("b", 20, 30, Outcome.OK, (Seen(b"k", ()), Appended(b"other", b"2"))),
            Observed("c", 40, 50, Outcome.OK, (Seen(b"k", (b"1",)),)),
            Observed("d", 0, 50, Outcome.UNKNOWN, (Appended(b"k", b"3"),)),
        ]
        (problem,) = lists.check().problems
        assert {line["transaction"] for line in problem.part} == {"a", "b"}
        lists.observed = lists.observed[2:]
        assert "nobody appended" in lists.check().problems[0].text


class TestBank:
    def test_lost_money_and_a_debt_are_found(self) -> None:
        for money in ([100] * 7 + [99], [100] * 6 + [201, -1]):
            bank = Bank(1, "seed", Recorder())
            bank.lines = [{"client": "a", "money": [100] * 8}]
            assert bank.check().problems == []
            bank.lines.append({"client": "a", "money": money})
            (problem,) = bank.check().problems
            assert str(money) in problem.text
            assert problem.part == bank.lines


def message(put: Ending = Ending.OK, *deliveries: Delivered, name: str = "m", group: str = "") -> Message:
    return Message(name, "putter", group or None, attempt(0, 10, put), list(deliveries))


def delivered(begin: int, ack: Attempt | None, id: str = "1") -> Delivered:
    return Delivered("taker", id, begin, begin + 5, 1, ack)


def acked(begin: int, ending: Ending = Ending.OK) -> Delivered:
    return delivered(begin, attempt(begin + 6, begin + 8, ending, True if ending is Ending.OK else None))


class TestQueues:
    @pytest.mark.parametrize(
        ("messages", "words"),
        [
            ([message()], "is gone"),
            ([message(Ending.OK, delivered(20, None))], "is gone"),
            ([message(Ending.OK, acked(20), acked(24))], "acknowledged twice"),
            ([message(Ending.OK, acked(20), delivered(40, None))], "delivered again"),
            ([message(Ending.REFUSED, acked(20))], "surely not executed"),
            ([message(Ending.UNKNOWN, delivered(20, None, "1"), acked(20))], ""),
            (
                [message(Ending.OK, delivered(20, None, "1"), delivered(30, acked(30).ack, "2"))],
                "there twice",
            ),
            (
                [
                    message(Ending.OK, acked(50), name="first", group="g"),
                    message(Ending.OK, acked(20), name="second", group="g"),
                ],
                "second of the group g came before first was acknowledged",
            ),
        ],
    )
    def test_what_must_not_become_of_a_message_is_found(self, messages: list[Message], words: str) -> None:
        queues = Queues(1, "seed", Recorder())
        queues.messages = {one.value: one for one in messages}
        problems = queues.check().problems
        assert [problem for problem in problems if words and words in problem.text] == list(problems)
        assert bool(problems) == bool(words)

    def test_what_may_become_of_a_message_is_no_problem(self) -> None:
        queues = Queues(1, "seed", Recorder())
        queues.messages = {
            one.value: one
            for one in (
                message(Ending.OK, delivered(20, None), acked(30), name="late", group="g"),
                message(Ending.OK, acked(40, Ending.UNKNOWN), name="next", group="g"),
                message(Ending.UNKNOWN, name="never"),
            )
        }
        assert queues.check().problems == []
        assert len([json.dumps(line) for line in queues.history()]) == 3


class TestLocks:
    def locks(self, grants: list[Grant], writes: list[Write], found: list[str]) -> Checked:
        locks = Locks(1, "seed", Recorder())
        locks.grants, locks.writes, locks.found = grants, writes, {0: found}
        return locks.check()

    def test_tokens_that_go_back_and_are_given_to_two_are_found(self) -> None:
        before, after = Grant(0, 5, "a", 0, attempt(0, 10)), Grant(0, 4, "b", 20, attempt(20, 30))
        assert "asked for when 5" in self.locks([before, after], [], []).problems[0].text
        both = Grant(0, 5, "b", 20, attempt(20, 30))
        assert "given to two" in self.locks([before, both], [], []).problems[0].text
        again = Grant(0, 5, "a", 40, attempt(40, 50))
        other = Grant(1, 6, "b", 20, attempt(20, 30))
        assert self.locks([before, other, again], [], []).problems == []
        in_vain_before = Grant(0, 4, "b", 5, attempt(20, 30))
        assert self.locks([before, in_vain_before], [], []).problems == []

    def test_a_write_behind_a_later_token_and_lost_and_refused_ones_are_found(self) -> None:
        one, two = Write(0, 4, "4.a", attempt(0, 10)), Write(0, 5, "5.b", attempt(20, 30))
        refused = Write(0, 5, "5.c", attempt(40, 50, Ending.FAILED))
        assert self.locks([], [one, two, refused], ["4.a", "5.b"]).problems == []
        for found, words in (
            (["5.b", "4.a"], "4.a was written when the token 5 had written already"),
            (["4.a"], "lost: ['5.b']"),
            (["4.a", "5.b", "5.b"], "twice"),
            (["4.a", "5.b", "5.c"], "5.c stands there"),
            (["4.a", "5.b", "9.z"], "nobody wrote ['9.z']"),
        ):
            assert words in self.locks([], [one, two, refused], found).problems[0].text


class TestNemesis:
    def test_each_fault_is_undone_and_a_seed_repeats_them(self, tmp_path: Path) -> None:
        runs = []
        for number in range(2):
            journal = Journal(tmp_path / f"{number}.log")
            struck: list[float] = []
            healed: list[float] = []
            nemesis = self.nemesis(journal, struck, healed)
            nemesis.begin()
            wait_for(lambda struck=struck: len(struck) >= 2, "two faults")  # type: ignore[misc]
            nemesis.end()
            journal.close()
            assert sorted(healed) == sorted(struck)
            assert nemesis.counts == {"pinch": len(struck)}
            assert (nemesis.now, nemesis.harmed, nemesis.failures) == ("", set(), [])
            runs.append(struck[:2])
        assert runs[0] == runs[1]
        assert "pinch: n1 is pinched for" in (tmp_path / "0.log").read_text()

    @staticmethod
    def nemesis(
        journal: Journal,
        struck: list[float],
        healed: list[float],
        silence_s: float = 0.0,
        harmed_max: int = 9,
    ) -> Nemesis:
        def strike(chance: random.Random, duration_s: float) -> Strike:
            struck.append(duration_s)
            return Strike("n1 is pinched", ("n1",), lambda: healed.append(duration_s))

        return Nemesis(
            (Fault("pinch", 1, strike),),
            "seed",
            journal,
            harmed_max=lambda: harmed_max,
            coming_up=set,
            silence_s=lambda: silence_s,
            look=lambda: None,
        )

    def test_there_is_a_truce_while_nothing_can_be_written(self, tmp_path: Path) -> None:
        struck = self.strikes(tmp_path, silence_s=60.0, harmed_max=9)
        assert struck == 0

    def test_mostly_no_more_are_harmed_than_may_be(self, tmp_path: Path) -> None:
        assert 0 < self.strikes(tmp_path, silence_s=0.0, harmed_max=0) < 100

    def strikes(self, tmp_path: Path, *, silence_s: float, harmed_max: int) -> int:
        """How often it strikes in 200 attempts."""
        journal = Journal(tmp_path / "log")
        struck: list[float] = []
        nemesis = self.nemesis(journal, struck, [], silence_s, harmed_max)
        for _ in range(200):
            nemesis._strike()
        journal.close()
        return len(struck)


def status(node: str, role: str = "follower", **more: Any) -> NodeStatus:
    members = tuple(
        Member(id=one, http=f"h:{one[1:]}", redis=None, voter=True, match_index=None, alive=None)
        for one in ("n1", "n2")
    )
    given = {
        "term": 3,
        "leader": LeaderHint("n1", parse_endpoint("h:1")),
        "first_index": 1,
        "last_index": 9,
        "commit_index": 9,
        "applied_index": 9,
        "checkpoint_index": 0,
        "members": members,
        "uptime_seconds": 1.0,
        **more,
    }
    return NodeStatus(id=node, cluster_id="c", version="0", role=role, **given)


class TestAgreement:
    def test_all_nodes_have_the_same_leader_members_and_index(self) -> None:
        good: dict[str, NodeStatus | None] = {"n1": status("n1", "leader"), "n2": status("n2")}
        assert agreed_index(good) == 9
        for other in (
            None,
            status("n2", applied_index=8),
            status("n2", term=4),
            status("n2", leader=None),
            status("n2", members=()),
        ):
            assert agreed_index({**good, "n2": other}) is None
        assert agreed_index({"n1": good["n1"]}) is None, "a member is missing here"


class TestObserver:
    def test_two_leaders_of_a_term_and_a_term_that_goes_back_are_problems(self) -> None:
        observer = Observer(list)
        for seen in (status("n1", "leader"), status("n2"), status("n2", "leader", term=4)):
            observer.note(seen)
        assert (observer.leaders, observer.leader, observer.problems) == ({3: "n1", 4: "n2"}, "n2", [])
        observer.note(status("n1", "leader", term=4))
        observer.note(status("n2", term=3))
        assert observer.problems == ["n2 and n1 both led in term 4", "the term of n2 went back from 4 to 3"]


class TestVerdict:
    def verdict(self, folder: Path) -> Verdict:
        verdict = Verdict(seed=7, nodes=3, folder=folder, rounds=2, elapsed_s=125.0)
        verdict.operations = {"bank": Counter({Ending.OK: 3, Ending.UNKNOWN: 1})}
        verdict.digests = {"n1": "aa", "n2": "aa"}
        verdict.take("registers", Checked((), 40, 1))
        return verdict

    def test_a_clean_one_says_so_and_what_is_not_known(self, tmp_path: Path) -> None:
        lines = "\n".join(self.verdict(tmp_path).lines())
        assert lines.startswith("seed 7, 3 nodes, 2:05 in 2 rounds")
        assert "1  25.0 %  of unknown outcome" in lines
        assert "of 1 of 40 keys nothing is known" in lines
        assert "the same" in lines
        assert lines.endswith("verdict: no promise was broken")

    def test_problems_of_all_kinds_are_shown_before_more_of_one(self, tmp_path: Path) -> None:
        verdict = self.verdict(tmp_path)
        verdict.take("lists", Checked([Problem(f"number {number} {'x' * 400}") for number in range(20)]))
        verdict.take("bank", Checked([Problem("money is lost")]))
        lines = [line for line in verdict.lines() if line.startswith("  - ")]
        assert [line[:17] for line in lines[:2]] == ["  - lists: number", "  - bank: money i"]
        assert len(lines) == 11
        assert max(map(len, lines)) < 320
        assert lines[-1] == "  - and 11 more, see problems.txt"

    def test_a_problem_is_told_and_kept_with_its_part(self, tmp_path: Path) -> None:
        evidence = Evidence(tmp_path, 7)
        verdict = self.verdict(evidence.path)
        verdict.take("bank", Checked([Problem("money is lost", [{"money": [1]}])]))
        evidence.conclude(verdict)
        told = (evidence.path / "verdict.txt").read_text()
        assert "verdict: 1 problem found\n  - bank: money is lost\n" in told
        assert told.endswith(f"is in {evidence.path}\n")
        part = json.loads((evidence.path / "violations.jsonl").read_text())
        assert part == {"problem": "bank: money is lost", "operations": [{"money": [1]}]}
        evidence.remove()
        assert not evidence.path.exists()


class TestProgress:
    def test_elsewhere_than_on_a_terminal_a_line_comes_now_and_then(self) -> None:
        times = iter([0.0, 1.0, 2.0, 11.5])
        stream = io.StringIO()
        progress = Progress(stream, clock=lambda: next(times))
        for number in range(3):
            progress.show(lambda number=number: f"line {number}")  # type: ignore[misc]
        progress.say("done")
        assert stream.getvalue() == "line 0\nline 2\ndone\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--nodes", "10"], "from 1 to 9 nodes"),
        (["--minutes", "0"], "minutes are more than 0"),
        (["--minutes", "x"], "'x' is not a number of minutes"),
        (["--seed", "x"], "'x' is not a whole number"),
    ],
)
def test_what_makes_no_sense_is_refused(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["torture", *arguments]) == 2
    assert words in capsys.readouterr().err


class _Network:
    """The network of nodes of which n3 does not answer while `is_deaf`; notes what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []
        self.is_deaf = False

    def __getattr__(self, name: str) -> Callable[..., None]:
        def tell(*arguments: object) -> None:
            self.told.append((name, *arguments))
            if self.is_deaf:
                raise Unavailable("no_leader", "n3: no answer")

        return tell


class _Nodes:
    def __init__(self) -> None:
        self.ids = ("n1", "n2", "n3")
        self.network = _Network()

    @property
    def cluster(self) -> "_Nodes":
        return self

    def runs(self, node_id: str) -> bool:
        return node_id != "n2"


class TestLinks:
    def links(self, tmp_path: Path) -> tuple[Links, _Network, dict[str, Fault], Journal]:
        nodes, journal = _Nodes(), Journal(tmp_path / "log")
        links = Links(cast(Any, nodes), journal)
        return links, nodes.network, {fault.name: fault for fault in links.table()}, journal

    def test_cuts_are_between_nodes_that_run_and_are_healed(self, tmp_path: Path) -> None:
        _, network, faults, journal = self.links(tmp_path)
        for seed in range(20):
            strike = faults["cut"].strike(random.Random(seed), 1.0)
            assert strike is not None
            assert strike.heal is not None
            strike.heal()
            (cut, *directions), *healing = network.told
            assert cut == "cut"
            assert {end for direction in cast(Any, directions) for end in direction} == {"n1", "n3"}
            assert healing == [("heal",), ("set", "none"), ("set_clients", "none")]
            network.told.clear()
        journal.close()

    def test_what_could_not_be_healed_is_tried_again_before_the_next_fault(self, tmp_path: Path) -> None:
        links, network, faults, journal = self.links(tmp_path)
        network.is_deaf = True
        strike = faults["bad network"].strike(random.Random(1), 1.0)
        assert strike is not None, "the others were told"
        assert strike.harms == ()
        links.heal()
        assert faults["cut"].strike(random.Random(1), 1.0) is None
        network.is_deaf = False
        network.told.clear()
        links.heal()
        links.heal()
        assert [told[0] for told in network.told] == ["heal", "set", "set_clients"]
        journal.close()
