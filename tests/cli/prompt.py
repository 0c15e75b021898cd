"""An interpreter to which lines are typed, without a terminal."""

import io

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
