"""The checker itself: what it accepts is explained by some order, what it rejects by none (brute force agrees)."""

import random
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raftdb.machine.batches import Exists, MultiGet, MultiSet
from raftdb.machine.connection import Ping
from raftdb.machine.counters import IncrementBy
from raftdb.machine.editing import Append
from raftdb.machine.service import Command
from raftdb.machine.strings import Delete, Get, Set, Strlen
from raftdb.simulation.linearizability import (
    Failed,
    Finding,
    Operation,
    Value,
    Verdict,
    check_history,
    replay,
    verdict_of,
)

KEY = b"kunci"
NOT_A_NUMBER = Failed("value is not an integer or out of range")


def verdict(*operations: Operation, steps_max: int = 100_000) -> Verdict:
    return verdict_of(check_history(operations, steps_max=steps_max))


def by_brute_force(operations: list[Operation]) -> bool:
    """Try every subset of the unknown operations in every order that respects time."""
    known = [operation for operation in operations if operation.returned is not None]
    unknown = [operation for operation in operations if operation.returned is None]
    for mask in range(1 << len(unknown)):
        chosen = known + [operation for bit, operation in enumerate(unknown) if mask >> bit & 1]
        for order in permutations(chosen):
            if respects_time(order) and explains(order):
                return True
    return False


def respects_time(order: tuple[Operation, ...]) -> bool:
    return all(
        later.returned is None or earlier.invoked <= later.returned
        for position, earlier in enumerate(order)
        for later in order[position:]
    )


def explains(order: tuple[Operation, ...]) -> bool:
    value: Value = None
    for operation in order:
        value, answer = replay(value, operation.command)
        if operation.returned is not None and answer != operation.result:
            return False
    return True


COMMANDS: list[Command] = [
    Get(KEY),
    Set(KEY, b"1"),
    Set(KEY, b"x"),
    Append(KEY, b"2"),
    Delete(KEY),
    IncrementBy(KEY, 1),
    Strlen(KEY),
    Exists((KEY,)),
]
ANSWERS: list[object] = ["OK", b"", b"1", b"x", b"12", b"x2", b"2", 0, 1, 2, 3, 13, NOT_A_NUMBER]


@st.composite
def tiny_histories(draw: st.DrawFn) -> list[Operation]:
    """Up to five operations; answers are mostly those of a real order, so that both verdicts are common."""
    count = draw(st.integers(1, 5))
    invoked = draw(st.lists(st.integers(0, 12), min_size=count, max_size=count))
    lengths = draw(st.lists(st.integers(0, 6), min_size=count, max_size=count))
    commands = draw(st.lists(st.sampled_from(COMMANDS), min_size=count, max_size=count))
    value: Value = None
    answers: list[object] = []
    for command in commands:
        value, answer = replay(value, command)
        answers.append(answer)
    operations = []
    for number, command in enumerate(commands):
        answer = answers[number] if draw(st.integers(0, 9)) else draw(st.sampled_from(ANSWERS))
        returned = invoked[number] + lengths[number] if draw(st.integers(0, 4)) else None
        operations.append(Operation("c", command, invoked[number], returned, answer))
    return operations


@settings(max_examples=600, deadline=None)
@given(tiny_histories())
def test_the_search_agrees_with_brute_force(operations: list[Operation]) -> None:
    expected = Verdict.LINEARIZABLE if by_brute_force(operations) else Verdict.VIOLATION
    assert verdict(*operations) is expected


def test_brute_force_and_search_see_both_verdicts_often() -> None:
    """The comparison above would prove little if nearly all histories were of one kind."""
    rng = random.Random(11)
    verdicts = []
    for _ in range(300):
        operations = []
        for number in range(4):
            command: Command = rng.choice(COMMANDS)
            invoked = rng.randrange(8)
            answer = replay(rng.choice([None, b"1", b"x"]), command)[1]
            operations.append(Operation(str(number), command, invoked, invoked + rng.randrange(8), answer))
        verdicts.append(verdict(*operations))
        assert (verdicts[-1] is Verdict.LINEARIZABLE) == by_brute_force(operations)
    assert 60 < verdicts.count(Verdict.VIOLATION) < 240


def test_a_stale_read_is_rejected_and_named() -> None:
    stale = Operation("b", Get(KEY), 40, 50, b"1")
    findings = check_history(
        [Operation("a", Set(KEY, b"1"), 0, 10, "OK"), Operation("a", Set(KEY, b"2"), 20, 30, "OK"), stale]
    )
    assert [(finding.verdict, finding.unexplained) for finding in findings] == [(Verdict.VIOLATION, stale)]


def test_a_read_beside_a_write_may_see_it_or_not() -> None:
    writes = [Operation("a", Set(KEY, b"1"), 0, 10, "OK"), Operation("a", Set(KEY, b"2"), 20, 60, "OK")]
    for seen in (b"1", b"2"):
        assert verdict(*writes, Operation("b", Get(KEY), 30, 40, seen)) is Verdict.LINEARIZABLE
    back = [Operation("b", Get(KEY), 30, 40, b"2"), Operation("b", Get(KEY), 45, 50, b"1")]
    assert verdict(*writes, *back) is Verdict.VIOLATION


def test_an_unknown_write_may_take_effect_late_or_never_but_only_once() -> None:
    unknown = Operation("a", IncrementBy(KEY, 1), 0, None)
    reads = [Operation("b", Get(KEY), time, time + 1, value) for time, value in ((10, b""), (20, b"1"))]
    assert verdict(unknown) is Verdict.LINEARIZABLE
    assert verdict(unknown, *reads[:1]) is Verdict.LINEARIZABLE
    assert verdict(unknown, *reads) is Verdict.LINEARIZABLE
    assert verdict(unknown, *reads, Operation("b", Get(KEY), 30, 31, b"2")) is Verdict.VIOLATION


def test_a_lost_and_a_doubled_append_are_rejected() -> None:
    appends = [Operation("a", Append(KEY, bytes([65 + n])), 10 * n, 10 * n + 5, "OK") for n in range(3)]
    for seen, expected in (
        (b"ABC", Verdict.LINEARIZABLE),
        (b"AC", Verdict.VIOLATION),
        (b"ABBC", Verdict.VIOLATION),
    ):
        assert verdict(*appends, Operation("b", Get(KEY), 90, 91, seen)) is expected


def test_out_of_budget_is_unknown_and_never_a_pass() -> None:
    concurrent = [Operation(str(n), Append(KEY, bytes([n])), 0, 10, "OK") for n in range(14)]
    impossible = Operation("b", Strlen(KEY), 20, 21, 13)
    assert verdict(*concurrent, impossible, steps_max=500) is Verdict.UNKNOWN
    findings = [
        Finding(b"", Verdict.LINEARIZABLE, 1, 1),
        Finding(b"", Verdict.UNKNOWN, 1, 1),
        Finding(b"", Verdict.VIOLATION, 1, 1),
    ]
    assert verdict_of(findings[:1]) is Verdict.LINEARIZABLE
    assert verdict_of(findings[:2]) is Verdict.UNKNOWN
    assert verdict_of(findings) is Verdict.VIOLATION


def test_a_command_over_several_keys_is_judged_key_by_key() -> None:
    both = MultiSet(((b"a", b"1"), (b"b", b"1"), (b"a", b"2")))
    write = Operation("a", both, 0, 10, "OK")
    right = Operation("b", MultiGet((b"a", b"b", b"c")), 20, 30, [b"2", b"1", None])
    assert verdict(write, right, Operation("b", Ping(), 0, 1, "PONG")) is Verdict.LINEARIZABLE
    wrong = Operation("b", MultiGet((b"a", b"b", b"c")), 20, 30, [b"1", b"1", b""])
    findings = check_history([write, wrong])
    assert [finding.verdict for finding in findings] == [
        Verdict.VIOLATION,
        Verdict.LINEARIZABLE,
        Verdict.VIOLATION,
    ]


@pytest.mark.parametrize(
    ("value", "command", "after", "answer"),
    [
        (None, Get(KEY), None, b""),
        (b"7", IncrementBy(KEY, -9), b"-2", -2),
        (b"07", IncrementBy(KEY, 1), b"07", NOT_A_NUMBER),
        (b"9223372036854775807", IncrementBy(KEY, 1), b"9223372036854775807",
         Failed("increment or decrement would overflow")),
        (b"ab", Delete(KEY), None, b"ab"),
        (b"ab", Strlen(KEY), b"ab", 2),
        (b"ab", Exists((KEY,)), b"ab", 1),
    ],
)  # fmt: skip
def test_the_rules_of_commands(value: Value, command: Command, after: Value, answer: object) -> None:
    assert replay(value, command) == (after, answer)


def test_a_thousand_operations_of_ten_clients_take_a_moment() -> None:
    """A real history: each operation takes effect somewhere within its time."""
    rng = random.Random(3)
    moments = sorted(rng.sample(range(100_000), 1000))
    value: Value = None
    operations = []
    for number, moment in enumerate(moments):
        choices: list[Command] = [Get(KEY), Set(KEY, b"%d" % number), Append(KEY, b"."), IncrementBy(KEY, 1)]
        command = rng.choice(choices)
        value, answer = replay(value, command)
        invoked, returned = moment - rng.randrange(500), moment + rng.randrange(500)
        operations.append(Operation(f"c{number % 10}", command, invoked, returned, answer))
    findings = check_history(operations)
    assert findings[0].verdict is Verdict.LINEARIZABLE
    assert findings[0].steps < 1_000_000
