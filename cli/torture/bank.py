"""The bank: money that transactions move between accounts. Who looks at all of them sees the same sum, and no debt."""

from collections.abc import Iterator

from cli.torture.recorder import Ending, Recorder
from cli.torture.workload import PART_SHOWN_MAX, Checked, Line, Problem, Worker, Workload
from raftdb.client.sync_client import Client

ACCOUNTS = 8
MONEY = 100
"""What each account begins with."""
AMOUNT_MAX = 60
LOOKS = 0.3
"""Share of the steps that look at all accounts."""


class Bank(Workload):
    """See the module."""

    name = "bank"
    clients = 2

    def __init__(self, number: int, seed: str, recorder: Recorder) -> None:
        super().__init__(number, seed, recorder)
        self.lines: list[Line] = []

    def prepare(self, client: Client[bytes]) -> None:
        """Give each account its money."""
        self.certain(lambda: client.mset(dict.fromkeys(self._accounts, str(MONEY))))

    def step(self, client: Client[bytes], worker: Worker) -> None:
        """Move some money, or look at all accounts."""
        if worker.chance.random() < LOOKS:
            self._look(client, worker.name)
            return
        source, target = worker.chance.sample(self._accounts, 2)
        amount = worker.chance.randint(1, AMOUNT_MAX)
        attempt = self.attempt(lambda: _transfer(client, source, target, amount), writes=True)
        self._note(
            client=worker.name,
            transfer=[source, target, amount],
            invoked_ns=attempt.invoked,
            returned_ns=attempt.returned,
            outcome=str(attempt.ending),
            moved=attempt.value,
        )

    def finish(self, client: Client[bytes]) -> None:
        """Look at all accounts."""
        self._note_look("last", self.certain(lambda: client.mget(self._accounts)).value)

    def check(self) -> Checked:
        """Every look found all the money, and nobody in debt."""
        problems = []
        for place, line in enumerate(self.lines):
            money = line.get("money")
            if money is None:
                continue
            if sum(money) != ACCOUNTS * MONEY or min(money) < 0:
                text = (
                    f"the accounts had {money}, in sum {sum(money)}, and not {ACCOUNTS * MONEY} without debts"
                )
                problems.append(Problem(text, self.lines[max(place + 1 - PART_SHOWN_MAX, 0) : place + 1]))
                break  # what comes after it is wrong for the same reason
        return Checked(problems)

    def history(self) -> Iterator[Line]:
        """All transfers and looks."""
        return iter(self.lines)

    @property
    def _accounts(self) -> list[str]:
        return [f"b{self.number}-{account}" for account in range(ACCOUNTS)]

    def _look(self, client: Client[bytes], name: str) -> None:
        attempt = self.attempt(lambda: client.mget(self._accounts), writes=False)
        if attempt.ending is Ending.OK:
            self._note_look(name, attempt.value)

    def _note_look(self, name: str, values: list[bytes | None]) -> None:
        self._note(client=name, money=[int(value or b"0") for value in values])

    def _note(self, **line: object) -> None:
        with self.lock:
            self.lines.append(line)


def _transfer(client: Client[bytes], source: str, target: str, amount: int) -> bool:
    """Move the amount, if the source has it."""
    with client.transaction() as transaction:
        money = int(transaction.get(source) or b"0")
        if money < amount:
            return False
        transaction.set(source, str(money - amount))
        transaction.incr(target, amount)
    return True
