"""An interpreter to which lines are typed, without a terminal."""

import io
from collections.abc import Sequence

from cli.admin.network import FaultyNetwork
from cli.console.output import Output
from cli.line.lexer import split
from cli.run.interpreter import Interpreter
from cli.run.transactions import State
from raftdb.client.sync_client import Client


class Prompt:
    """An interpreter to which lines are typed, and what it prints."""

    def __init__(self, client: Client, form: str = "table") -> None:
        self._stream = io.StringIO()
        output = Output(form, stream=self._stream, errors=self._stream)
        self.interpreter = Interpreter(client, output)

    def type(self, text: str) -> list[str]:
        """Run the commands of a text; the lines they print. Raises what they raise."""
        self._stream.seek(0)
        self._stream.truncate()
        for words in split(text):
            self.interpreter.run(words)
        return self.lines

    @property
    def lines(self) -> list[str]:
        """What the last text printed."""
        return self._stream.getvalue().splitlines()

    @property
    def state(self) -> State:
        return self.interpreter.transactions.state


class FakeControl:
    """The nodes of `up`, noted instead of signalled."""

    def __init__(self, running: Sequence[str] = ("n1", "n2", "n3")) -> None:
        self.node_ids: Sequence[str] = ("n1", "n2", "n3")
        self.running_ids = running
        self.network = FaultyNetwork({"n1": "127.0.0.1:1", "n2": "127.0.0.1:1", "n3": "127.0.0.1:1"})
        self.killed: list[str] = []

    @property
    def dashboard_url(self) -> str | None:
        return "http://127.0.0.1:8001/#token=abc"

    def add(self, node_id: str | None = None) -> str:
        return node_id or "n4"

    def retire(self, node_id: str) -> str:
        return f"{node_id} was stopped"

    def kill(self, node_id: str) -> str:
        self.killed.append(node_id)
        return f"{node_id} killed"

    def restart(self, node_id: str) -> str:
        return f"{node_id} is up"

    def pause(self, node_id: str) -> str:
        return f"{node_id} paused"

    def resume(self, node_id: str) -> str:
        return f"{node_id} goes on"
