"""Carrying out commands of the database and those about transactions, with the client library.

`cli.run.transactions` decides the action of a line; here it is carried out and its answer printed.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from cli.console import render
from cli.console.failures import Interrupted
from cli.console.output import Output
from cli.run import answers
from cli.run.transactions import Action, State, Transactions
from raftdb.client.protocol import Consistency, Mode
from raftdb.client.sync_client import Client
from raftdb.commands.spec import Access, lookup
from raftdb.errors import CommandFailed, Conflict, required

if TYPE_CHECKING:
    from raftdb.client.sync_transaction import Transaction


class Executor:
    """Runs lines that are not dot-commands, in order. `transactions` is the open transaction between them.

    `consistency` is that of reads outside transactions.
    """

    def __init__(self, client: Client, *, consistency: Consistency = "linearizable") -> None:
        self.transactions = Transactions()
        self._client = client
        self._consistency: Consistency = consistency
        self._actions: dict[Action, Callable[[str, Sequence[bytes], Output], None]] = {
            Action.RUN: self._run,
            Action.BEGIN: self._begin,
            Action.READ: self._in_transaction,
            Action.BUFFER: self._in_transaction,
            Action.COMMIT: self._commit,
            Action.ROLLBACK: _say_ok,
            Action.MULTI: _say_ok,
            Action.QUEUE: _say_queued,
            Action.PASS: _say_queued,
            Action.EXEC: self._exec,
            Action.ABORT: _abort,
            Action.DISCARD: _say_ok,
            Action.WATCH: self._watch,
            Action.UNWATCH: _say_ok,
            Action.SHOW: self._show,
        }

    def run(self, name: str, arguments: Sequence[bytes], output: Output) -> None:
        """Carry out one line and print its answer. Raises `RaftdbError`, and `Interrupted` for Ctrl-C."""
        action = self.transactions.step(name, arguments)
        try:
            self._actions[action](name, arguments, output)
        except BaseException as error:
            self.transactions.failed(action, error)
            if isinstance(error, KeyboardInterrupt):
                raise Interrupted(may_have_changed=_sends_writes(action, name)) from None
            raise
        self.transactions.done(action)

    def _run(self, name: str, arguments: Sequence[bytes], output: Output) -> None:
        answer = self._client.execute(name, arguments, consistency=self._consistency)
        answers.show_answer(answer, name, output)

    def _begin(self, name: str, arguments: Sequence[bytes], output: Output) -> None:
        self.transactions.begun = self._client.transaction()
        answers.show_result("OK", output)

    def _in_transaction(self, name: str, arguments: Sequence[bytes], output: Output) -> None:
        answers.show_result(self._opened().execute(name, arguments), output)

    def _commit(self, name: str, arguments: Sequence[bytes], output: Output) -> None:
        try:
            index = self._opened().commit()
        except Conflict as conflict:
            word = " ".join(["CONFLICT", *map(render.word, conflict.keys)])
            answers.show_conflict(conflict.keys, word, output)
            raise _explained(conflict, "read", "begin again: what it reads is then new") from None
        answers.show_commit(index, output)

    def _exec(self, name: str, arguments: Sequence[bytes], output: Output) -> None:
        mode: Mode = "atomic" if self.transactions.is_atomic else "redis"
        commands = self.transactions.waiting
        try:
            answer = self._client.transact(
                commands,
                watch=self.transactions.watched,
                watched_at=self.transactions.watched_at,
                mode=mode,
            )
        except Conflict as conflict:
            answers.show_conflict(conflict.keys, "(nil)" if output.format == "table" else "", output)
            raise _explained(conflict, "watched", "watch again, and read again") from None
        answers.show_results(answer, output)

    def _watch(self, name: str, keys: Sequence[bytes], output: Output) -> None:
        # If a read fails no key is watched. If a key is watched twice the first revision counts.
        seen = {key: self._client.execute("get", [key]) for key in keys}
        revisions = {key: answer.revision or 0 for key, answer in seen.items()}
        transactions = self.transactions
        indexes = [answer.index for answer in seen.values()]
        transactions.watched_at = min([*indexes, *filter(None, [transactions.watched_at])])
        transactions.watched = {**revisions, **transactions.watched}
        answers.show_result("OK", output)

    def _show(self, name: str, arguments: Sequence[bytes], output: Output) -> None:
        transactions = self.transactions
        kinds = ("read", "write") if transactions.state is State.BEGIN else ("watched", "queued")
        answers.show_transaction(transactions.seen, transactions.waiting, kinds, output)

    def _opened(self) -> "Transaction[bytes]":
        return required(self.transactions.begun, "open transaction")


def _sends_writes(action: Action, name: str) -> bool:
    """Whether the action of a line sends a write."""
    if action is Action.RUN:
        spec = lookup(name)
        return spec is not None and spec.access is Access.WRITE
    return action in (Action.COMMIT, Action.EXEC)


def _say_ok(name: str, arguments: Sequence[bytes], output: Output) -> None:
    answers.show_result("OK", output)


def _say_queued(name: str, arguments: Sequence[bytes], output: Output) -> None:
    answers.show_result("QUEUED", output)


def _abort(name: str, arguments: Sequence[bytes], output: Output) -> None:
    raise CommandFailed(
        "EXECABORT: a command could not be queued, so none of them was executed",
        hint="multi begins a new queue",
    )


def _explained(conflict: Conflict, how: str, hint: str) -> Conflict:
    """A conflict, with a message for the prompt."""
    keys = len(conflict.keys)
    verb = "a key has" if keys == 1 else f"{keys} keys have" if keys else "a key has"
    return Conflict(f"nothing was changed: {verb} changed since it was {how}", keys=conflict.keys, hint=hint)
