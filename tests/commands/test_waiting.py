"""The option WAIT: where it stands among the others, what it may say, and where it is refused."""

from collections.abc import Iterator

import pytest

from raftdb.commands.transactions import build_transaction
from raftdb.commands.waiting import check_wait, parse_waiting, split_wait, wait_ms_of
from raftdb.errors import RequestRefused
from raftdb.machine.strings import Get
from tests.machine.toys import Take, toys


@pytest.fixture(autouse=True)
def with_toys() -> Iterator[None]:
    with toys():
        yield


def test_the_option_is_no_part_of_the_command() -> None:
    assert parse_waiting("take", [b"b", b"COUNT", b"3", b"WAIT", b"0.25"]) == (Take(b"b", 3), 250)
    assert parse_waiting("take", [b"b", b"wait", b"20", b"COUNT", b"3"]) == (Take(b"b", 3), 20_000)
    assert parse_waiting("TAKE", [b"b"]) == (Take(b"b"), None)
    assert split_wait("take", [b"wait", b"COUNT", b"WAIT"])[1] is None, "a name and a value are no options"
    assert split_wait("get", [b"k", b"WAIT", b"1"]) == ([b"k", b"WAIT", b"1"], None)


@pytest.mark.parametrize(
    ("text", "milliseconds"), [(b"0", 0), (b"50", 50_000), (b"0.001", 1), (b"1.5", 1_500)]
)
def test_seconds_with_up_to_three_decimals(text: bytes, milliseconds: int) -> None:
    assert wait_ms_of(text) == milliseconds


@pytest.mark.parametrize(
    "text",
    [
        *(b"", b"-1", b"50.001", b"0.0001", b"x", b"nan", b"1e99", b"\xff", b"inf"),
        *(b"1E999990", b"1E999999", b"9" * 100_000, b"1_0", b" 5", b"+5", b"-0", b"5."),
    ],
)
def test_other_waits_are_refused(text: bytes) -> None:
    """At once, and not after a million digits were reckoned."""
    with pytest.raises(RequestRefused, match="WAIT takes seconds from 0 to 50") as refused:
        parse_waiting("take", [b"b", b"WAIT", text])
    assert refused.value.code == "bad_request"


def test_an_option_without_a_value_is_refused() -> None:
    with pytest.raises(RequestRefused, match="WAIT takes seconds"):
        split_wait("take", [b"b", b"WAIT"])


def test_who_cannot_wait_may_not() -> None:
    check_wait(Take(b"b"), 50_000)
    check_wait(Get(b"k"), 0)
    with pytest.raises(RequestRefused, match="waits for nothing"):
        check_wait(Get(b"k"), 1)
    with pytest.raises(RequestRefused, match="WAIT takes seconds"):
        check_wait(Take(b"b"), 50_001)


def test_a_transaction_does_not_wait() -> None:
    with pytest.raises(RequestRefused, match="command 2: 'take' cannot wait in a transaction") as refused:
        build_transaction([("get", [b"k"]), ("take", [b"b", b"WAIT", b"0"])])
    assert refused.value.code == "bad_request"
