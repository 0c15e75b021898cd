"""What a transaction at the prompt lets one do when: the table, and what waits."""

import pytest

from cli.line.words import TRANSACTIONS, WORDS
from cli.run.transactions import (
    QUEUE_BYTES_MAX,
    TABLE,
    Action,
    Input,
    OutOfPlace,
    State,
    Transactions,
)
from raftdb.client.sync_client import Client
from raftdb.errors import Conflict, OutcomeUnknown, ReplyError, RequestRefused, Unavailable, required
from raftdb.limits import VALUE_BYTES_CEILING


def opened(state: State) -> Transactions:
    """Transactions in a state, as a person comes there."""
    transactions = Transactions()
    if state is not State.IDLE:
        type_(transactions, "begin" if state is State.BEGIN else "multi")
    if state is State.DOOMED:
        with pytest.raises(RequestRefused):
            transactions.step("nonsense", [])
    assert transactions.state is state
    return transactions


def type_(transactions: Transactions, line: str) -> Action:
    """Type a line that is carried out."""
    name, *arguments = line.encode().split()
    action = transactions.step(name.decode(), arguments)
    if action is Action.BEGIN:
        transactions.begun = Client("127.0.0.1:1").transaction()
    elif action is Action.BUFFER:
        required(transactions.begun, "transaction").execute(name.decode(), arguments)
    transactions.done(action)
    return action


def refused(transactions: Transactions, line: str) -> RequestRefused:
    with pytest.raises(RequestRefused) as caught:
        type_(transactions, line)
    return caught.value


def test_the_table_is_total() -> None:
    assert set(TABLE) == set(State)
    for state in State:
        assert set(TABLE[state]) == set(Input), state


def test_every_word_about_transactions_is_an_input() -> None:
    words = {word.name for word in WORDS.values() if word.heading == TRANSACTIONS}
    assert words == {given.value for given in Input if " " not in given.value}


def test_every_line_out_of_place_is_told_what_to_do() -> None:
    steps = {step for row in TABLE.values() for step in row.values() if isinstance(step, OutOfPlace)}
    assert len(steps) >= 8
    assert all(step.message and step.hint for step in steps)


@pytest.mark.parametrize(
    ("state", "line", "action"),
    [
        (State.IDLE, "get a", Action.RUN),
        (State.IDLE, "SET a 1", Action.RUN),
        (State.IDLE, "watch a", Action.WATCH),
        (State.BEGIN, "get a", Action.READ),
        (State.BEGIN, "mget a b", Action.READ),
        (State.BEGIN, "ping", Action.RUN),
        (State.IDLE, "receive mail COUNT 2 WAIT 5", Action.RUN),
        (State.IDLE, "lock gate OWNER ana WAIT 0.5", Action.RUN),
        (State.BEGIN, "set a 1", Action.BUFFER),
        (State.BEGIN, "Commit", Action.COMMIT),
        (State.BEGIN, "rollback", Action.ROLLBACK),
        (State.MULTI, "get a", Action.QUEUE),
        (State.MULTI, "ping", Action.QUEUE),
        (State.MULTI, "exec", Action.EXEC),
        (State.DOOMED, "get a", Action.PASS),
        (State.DOOMED, "exec", Action.ABORT),
        (State.DOOMED, "discard", Action.DISCARD),
    ],
)
def test_what_lines_mean(state: State, line: str, action: Action) -> None:
    assert type_(opened(state), line) is action


@pytest.mark.parametrize(
    ("state", "line", "why"),
    [
        (State.IDLE, "commit", "no transaction is open"),
        (State.IDLE, "exec", "there was no multi"),
        (State.IDLE, "discard", "there was no multi"),
        (State.BEGIN, "begin", "open already"),
        (State.BEGIN, "multi", "open already"),
        (State.BEGIN, "watch a", "begin watches what it reads"),
        (State.MULTI, "multi", "cannot be nested"),
        (State.MULTI, "watch a", "not allowed"),
        (State.MULTI, "commit", "being queued"),
        (State.DOOMED, "multi", "cannot be nested"),
        (State.BEGIN, "dequeue mail WAIT 5", "cannot wait in a transaction"),
    ],
)
def test_errors_in_words_end_nothing(state: State, line: str, why: str) -> None:
    transactions = opened(state)
    assert why in refused(transactions, line).message
    assert transactions.state is state


class TestBegin:
    def test_writes_wait_and_reads_do_not(self) -> None:
        transactions = opened(State.BEGIN)
        type_(transactions, "set a 1")
        type_(transactions, "get a")
        type_(transactions, "INCR b")
        assert transactions.waiting == (("set", (b"a", b"1")), ("incr", (b"b",)))

    def test_a_malformed_command_is_refused_and_ends_nothing(self) -> None:
        transactions = opened(State.BEGIN)
        type_(transactions, "set a 1")
        assert refused(transactions, "set a").code == "wrong_arity"
        assert refused(transactions, "nonsense").code == "unknown_command"
        assert transactions.state is State.BEGIN
        assert len(transactions.waiting) == 1

    def test_a_write_that_is_not_taken_does_not_wait(self) -> None:
        transactions = opened(State.BEGIN)
        type_(transactions, "set a 1")
        action = transactions.step("incr", [b"a"])
        transactions.failed(action, ReplyError("no"))
        assert transactions.waiting == (("set", (b"a", b"1")),)

    @pytest.mark.parametrize(
        ("error", "state"),
        [
            (Unavailable("no_leader", "no"), State.BEGIN),
            (RequestRefused("too_large", "no"), State.IDLE),
            (Conflict("no", keys=(b"a",)), State.IDLE),
            (ReplyError("no"), State.IDLE),
            (OutcomeUnknown("no"), State.IDLE),
            (KeyboardInterrupt(), State.IDLE),
        ],
    )
    def test_a_commit_that_surely_did_not_happen_may_be_tried_again_and_no_other(
        self, error: BaseException, state: State
    ) -> None:
        transactions = opened(State.BEGIN)
        type_(transactions, "set a 1")
        transactions.failed(transactions.step("commit", []), error)
        assert transactions.state is state
        assert bool(transactions.waiting) is (state is State.BEGIN)

    def test_keys_that_are_watched_for_a_multi_are_not_forgotten_by_a_begin(self) -> None:
        transactions = Transactions(watched={b"a": 3})
        assert "watched for a multi" in refused(transactions, "begin").message
        type_(transactions, "unwatch")
        type_(transactions, "begin")
        assert transactions.state is State.BEGIN


class TestMulti:
    @pytest.mark.parametrize("line", ["nonsense", "set a", "incrby a x", "receive mail WAIT 5"])
    def test_a_command_that_cannot_be_queued_dooms_it(self, line: str) -> None:
        transactions = opened(State.MULTI)
        type_(transactions, "set a 1")
        refused(transactions, line)
        assert transactions.state is State.DOOMED
        type_(transactions, "set a 2")
        assert len(transactions.waiting) == 1
        assert type_(transactions, "exec") is Action.ABORT
        assert transactions == Transactions()

    @pytest.mark.parametrize("end", ["exec", "discard"])
    def test_its_end_clears_queue_and_watches(self, end: str) -> None:
        transactions = Transactions(watched={b"a": 3})
        type_(transactions, "multi")
        type_(transactions, "set a 1")
        type_(transactions, end)
        assert transactions == Transactions()

    @pytest.mark.parametrize("error", [Unavailable("no_leader", "no"), Conflict("no"), OutcomeUnknown("no")])
    def test_so_does_an_exec_that_failed(self, error: Exception) -> None:
        transactions = Transactions(watched={b"a": 3})
        type_(transactions, "multi")
        transactions.failed(transactions.step("exec", []), error)
        assert transactions == Transactions()

    def test_it_may_be_atomic(self) -> None:
        transactions = Transactions()
        assert "atomic" in refused(transactions, "multi maybe").message
        type_(transactions, "multi ATOMIC")
        assert transactions.is_atomic
        type_(transactions, "discard")
        type_(transactions, "multi")
        assert not transactions.is_atomic

    def test_words_take_what_their_syntax_says(self) -> None:
        transactions = opened(State.MULTI)
        error = refused(transactions, "exec now")
        assert (error.code, error.hint) == ("wrong_arity", "the syntax is: exec")
        assert transactions.state is State.MULTI

    def test_what_waits_is_bounded(self) -> None:
        transactions = opened(State.MULTI)
        value = b"x" * VALUE_BYTES_CEILING
        transactions.step("set", [b"a", value])
        with pytest.raises(RequestRefused) as caught:
            transactions.step("set", [b"b", value])
        assert caught.value.code == "too_large"
        assert transactions.state is State.DOOMED
        assert transactions.queued_bytes <= QUEUE_BYTES_MAX
