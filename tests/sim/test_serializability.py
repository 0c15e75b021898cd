"""The checker of list-append transactions passes what a serial order explains, and finds what none does."""

import random

import pytest

from raftdb.simulation.serializability import Appended, Observed, Outcome, Seen, check_serializable

X, Y = b"x", b"y"


def ok(name: str, invoked: int, returned: int, *steps: Appended | Seen) -> Observed:
    return Observed(name, invoked, returned, Outcome.OK, steps)


def lost(name: str, invoked: int, *steps: Appended) -> Observed:
    return Observed(name, invoked, 0, Outcome.UNKNOWN, steps)


def refused(name: str, invoked: int, *steps: Appended) -> Observed:
    return Observed(name, invoked, 0, Outcome.NOT_EXECUTED, steps)


def a(key: bytes, element: bytes) -> Appended:
    return Appended(key, element)


def r(key: bytes, *elements: bytes) -> Seen:
    return Seen(key, elements)


def serial_history(seed: int, *, transactions: int = 300) -> list[Observed]:
    """Transactions that ran one after another at a point between their begin and their end; some answers are lost."""
    source = random.Random(seed)
    lists: dict[bytes, tuple[bytes, ...]] = {}
    history = []
    for number in range(transactions):
        steps: list[Appended | Seen] = []
        view = dict(lists)
        for place in range(source.randint(1, 4)):
            key = source.choice((X, Y, b"z"))
            if source.random() < 0.5:
                step = a(key, b"%d.%d" % (number, place))
                view[key] = (*view.get(key, ()), step.element)
                steps.append(step)
            else:
                steps.append(r(key, *view.get(key, ())))
        begin, end = 10 * number - source.randint(0, 40), 10 * number + source.randint(0, 40)
        fate = source.random()
        appends = tuple(step for step in steps if isinstance(step, Appended))
        if fate < 0.05:
            history.append(refused(f"t{number}", begin, *appends))
            continue
        if fate < 0.10:
            history.append(lost(f"t{number}", begin, *appends))
            if source.random() < 0.5:
                continue
        else:
            history.append(ok(f"t{number}", begin, end, *steps))
        lists = view
    source.shuffle(history)
    return history


@pytest.mark.parametrize("seed", range(30))
def test_what_a_serial_order_explains_passes(seed: int) -> None:
    assert check_serializable(serial_history(seed)) == []


def test_an_empty_history_passes() -> None:
    assert check_serializable([]) == []


GOOD = (
    ok("t1", 0, 10, a(X, b"1")),
    ok("t2", 20, 30, r(X, b"1"), a(X, b"2"), r(X, b"1", b"2")),
    ok("t3", 40, 50, r(X, b"1", b"2")),
)


@pytest.mark.parametrize(
    ("planted", "words"),
    [
        pytest.param([ok("bad", 60, 70, r(X, b"1"))], "no serial order", id="a stale read"),
        pytest.param([ok("bad", 60, 70, r(X))], "no serial order", id="an empty read"),
        pytest.param([ok("bad", 60, 70, r(X, b"2", b"1"))], "no beginning", id="another order"),
        pytest.param([ok("bad", 60, 70, r(X, b"1", b"2", b"2"))], "twice", id="an element twice"),
        pytest.param([ok("bad", 60, 70, r(X, b"1", b"2", b"9"))], "nobody", id="an element of nobody"),
        pytest.param([ok("bad", 60, 70, a(X, b"3"), r(X, b"1", b"2"))], "its own", id="own appends unseen"),
        pytest.param(
            [refused("no", 55, a(X, b"3")), ok("bad", 60, 70, r(X, b"1", b"2", b"3"))],
            "did not happen",
            id="an aborted append is seen (G1a)",
        ),
        pytest.param(
            [ok("two", 51, 54, a(X, b"3"), a(X, b"4")), ok("bad", 55, 70, r(X, b"1", b"2", b"3")),
             ok("later", 80, 90, r(X, b"1", b"2", b"3", b"4"))],
            "a part of",
            id="half of a transaction is seen (G1b)",
        ),
        pytest.param(
            [ok("w", 51, 54, a(X, b"3")), ok("last", 55, 70, r(X, b"1", b"2"))],
            "no serial order",
            id="an acknowledged append is lost",
        ),
        pytest.param(
            [ok("p", 51, 99, r(Y), a(X, b"3")), ok("q", 51, 99, r(X, b"1", b"2"), a(Y, b"8")),
             ok("end", 100, 110, r(X, b"1", b"2", b"3"), r(Y, b"8"))],
            "no serial order",
            id="write skew (G2)",
        ),
        pytest.param(
            [ok("p", 51, 99, a(X, b"3"), a(Y, b"8")), ok("q", 51, 99, a(X, b"4"), a(Y, b"9")),
             ok("end", 100, 110, r(X, b"1", b"2", b"3", b"4"), r(Y, b"9", b"8"))],
            "no serial order",
            id="two lists in two orders (G0)",
        ),
        pytest.param(
            [ok("p", 51, 99, a(X, b"3"), a(Y, b"8")), ok("q", 51, 99, r(X, b"1", b"2", b"3"), r(Y)),
             ok("end", 100, 110, r(Y, b"8"))],
            "no serial order",
            id="one list before and the other after (G1c, G-single)",
        ),
    ],
)  # fmt: skip
def test_what_no_order_explains_is_found(planted: list[Observed], words: str) -> None:
    problems = check_serializable([*GOOD, *planted])
    assert problems
    assert words in problems[0]


@pytest.mark.parametrize(
    "allowed",
    [
        pytest.param([lost("maybe", 55, a(X, b"3")), ok("t", 60, 70, r(X, b"1", b"2"))], id="unknown, not yet"),
        pytest.param([lost("maybe", 55, a(X, b"3")), ok("t", 60, 70, r(X, b"1", b"2", b"3"))], id="unknown, seen"),
        pytest.param([ok("w", 51, 99, a(X, b"3")), ok("t", 60, 70, r(X, b"1", b"2"))], id="at the same time"),
        pytest.param([refused("no", 55, a(X, b"3")), ok("t", 60, 70, r(X, b"1", b"2"))], id="refused, unseen"),
    ],
)  # fmt: skip
def test_what_may_be_is_no_problem(allowed: list[Observed]) -> None:
    assert check_serializable([*GOOD, *allowed]) == []


@pytest.mark.parametrize("seed", range(20))
def test_a_read_moved_into_the_past_is_found(seed: int) -> None:
    """In a history that is serial, some late read of a list that has grown is answered as it was long before."""
    history = serial_history(seed)
    reads = [
        (number, place, step)
        for number, transaction in enumerate(history)
        if transaction.outcome is Outcome.OK and not any(True for _ in transaction.appends)
        for place, step in enumerate(transaction.steps)
        if isinstance(step, Seen) and len(step.elements) > 40
    ]
    number, place, step = random.Random(seed).choice(reads)
    steps = list(history[number].steps)
    steps[place] = Seen(step.key, step.elements[:-30])
    old = history[number]
    history[number] = Observed(old.name, old.invoked, old.returned, old.outcome, tuple(steps))
    assert check_serializable(history)
