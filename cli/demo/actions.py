"""What a step does, and the command that is shown for it."""

import http.client
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from cli.console.failures import CommandError
from cli.console.render import url_of
from cli.demo.elections import PATH, blocks
from cli.demo.results import Result
from cli.demo.stage import Clients, Stage
from raftdb.client.sync_client import Client
from raftdb.endpoint import parse_endpoint
from raftdb.errors import RaftdbError

UP = "up> "
"""The prompt of the shell of `raftdb up`, in which nodes are started and stopped."""
REDIRECTS_MAX = 20


@dataclass(frozen=True, slots=True)
class Typed:
    """Commands typed into the shell of a person at a node, or without a node into that of `raftdb up`.

    `timeout_s` is how long it may take, None as long as a condition; `is_stale`: reads are answered from what the node
    has; `who` tells the shells of several people at one node apart.
    """

    text: str
    at: str | None = None
    timeout_s: float | None = None
    is_stale: bool = False
    who: str = ""

    def shown(self, stage: Stage) -> Sequence[str]:
        """The prompt and the line, or the one-shot command if that has options."""
        text = stage.fill(self.text)
        if self.at is None:
            return [UP + text]
        if self.timeout_s is not None or self.is_stale:
            options = f"--connect {stage.address(self.at)}"
            options += f" --timeout {self.timeout_s:g}" if self.timeout_s is not None else ""
            options += " --consistency stale" if self.is_stale else ""
            return [f"$ raftdb {options} {text}"]
        return [f"{self.who + '@' if self.who else ''}{stage.node(self.at)}> {text}"]

    def run(self, stage: Stage) -> Result:
        """Type it."""
        shell = stage.shell(self.at, timeout_s=self.timeout_s, is_stale=self.is_stale, who=self.who)
        try:
            return shell.type(stage.fill(self.text))
        finally:
            if self.at is None:
                shell.close()


@dataclass(frozen=True, slots=True)
class Curl:
    """A request by plain HTTP. `body` is JSON, `form` the fields of a form; `follows`: as `curl -L` does."""

    at: str
    path: str
    method: str = "GET"
    body: dict[str, object] | None = None
    form: tuple[str, str] | None = None
    follows: bool = False

    def shown(self, stage: Stage) -> Sequence[str]:
        """The command line of curl."""
        words = ["$ curl -s"]
        words += ["-L"] if self.follows else []
        if self.body is not None:
            words.append(f"-d '{stage.fill(json.dumps(self.body, ensure_ascii=False))}'")
        elif self.form is not None:
            name, text = self.form
            escaped = text.replace("\n", "\\n")
            words.append(f"--data-urlencode {name}={chr(36) if escaped != text else ''}'{escaped}'")
        elif self.method != "GET":
            words.append(f"-X {self.method}")
        url = f"{url_of(stage.address(self.at)).rstrip('/')}{stage.fill(self.path)}"
        words.append(f"'{url}'" if "?" in url else url)
        return [" ".join(words)]

    def run(self, stage: Stage) -> Result:
        """Send it; the status line if it is not 200, and the body."""
        body, kind = b"", "application/json"
        if self.body is not None:
            body = stage.fill(json.dumps(self.body)).encode()
        elif self.form is not None:
            body, kind = f"{self.form[0]}={quote(self.form[1])}".encode(), "application/x-www-form-urlencoded"
        method = "POST" if body else self.method
        address, path = stage.address(self.at), stage.fill(self.path)
        try:
            return self._answer(address, method, path, body, kind, stage.patience_s)
        except (OSError, http.client.HTTPException) as error:
            return Result((f"curl: {error}",), failed=True)

    def _answer(
        self, address: str, method: str, path: str, body: bytes, kind: str, timeout_s: float
    ) -> Result:
        redirects = 0
        while True:
            endpoint = parse_endpoint(address)
            connection = http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=timeout_s)
            try:
                connection.request(method, path, body, {"Content-Type": kind} if body else {})
                response = connection.getresponse()
                text = response.read().decode("utf-8", "replace")
            finally:
                connection.close()
            location = response.headers.get("Location")
            if location is None or not self.follows or redirects == REDIRECTS_MAX:
                break
            redirects += 1
            address = location.partition("//")[2].partition("/")[0]
        lines = text.splitlines()
        if response.status != http.client.OK:
            lines = [f"{response.status} {response.reason}", *lines]
        return Result(tuple(lines), failed=response.status >= http.client.BAD_REQUEST)


@dataclass(frozen=True, slots=True)
class Pages:
    """Many values of some length, written one after the other."""

    count: int
    size: int

    def shown(self, stage: Stage) -> Sequence[str]:
        """A loop of a shell."""
        text = f"$(head -c {self.size} /dev/zero | tr '\\0' x)"
        return [f"$ for i in $(seq {self.count}); do raftdb set page:$i {text}; done"]

    def run(self, stage: Stage) -> Result:
        """Write them."""
        with Client(tuple(stage.addresses.values()), timeout_ms=1000 * stage.patience_s) as client:
            try:
                for number in range(1, self.count + 1):
                    client.set(f"page:{number}", b"x" * self.size)
            except RaftdbError as error:
                return Result((error.message,), failed=True)
        return Result((f"OK, {self.count} times",))


@dataclass(frozen=True, slots=True)
class AtOnce:
    """Several things at the same time; the results of all, in order."""

    parts: tuple[Typed | Curl, ...]

    def shown(self, stage: Stage) -> Sequence[str]:
        """Their commands, one below the other."""
        return [line for part in self.parts for line in part.shown(stage)]

    def run(self, stage: Stage) -> Result:
        """Do all of it."""
        results = [each.result() for each in [stage.submit(_doing(part, stage)) for part in self.parts]]
        lines = tuple(line for result in results for line in result.lines)
        return Result(lines, failed=any(result.failed for result in results))


@dataclass(frozen=True, slots=True)
class Beside:
    """Something that goes on beside the next steps, until `Ends` waits for it under its name."""

    name: str
    does: Typed

    def shown(self, stage: Stage) -> Sequence[str]:
        """Its command."""
        return self.does.shown(stage)

    def run(self, stage: Stage) -> Result:
        """Begin it, and wait until the cluster holds the request."""
        held = stage.status_of_leader().body.get("waiting")
        stage.beside[self.name] = stage.submit(_doing(self.does, stage))
        stage.wait(lambda: stage.status_of_leader().body.get("waiting") != held, "the request to be held")
        return Result(("(waits)",))


@dataclass(frozen=True, slots=True)
class Ends:
    """The result of what went on beside the steps."""

    name: str

    def shown(self, stage: Stage) -> Sequence[str]:
        """What it is."""
        return [f"# the answer that {self.name} has waited for"]

    def run(self, stage: Stage) -> Result:
        """Wait for it."""
        return stage.beside.pop(self.name).result(stage.patience_s)


@dataclass(frozen=True, slots=True)
class Until:
    """Wait until something is so. `check` answers in a sentence once it is, and None before."""

    words: str
    check: Callable[[Stage], str | None]

    def shown(self, stage: Stage) -> Sequence[str]:
        """What is waited for."""
        return [f"# until {stage.fill(self.words)}"]

    def run(self, stage: Stage) -> Result:
        """Wait."""
        began_s = time.monotonic()
        try:
            said = stage.wait(lambda: self.check(stage), stage.fill(self.words))
        except CommandError as error:
            return Result((error.message,), failed=True)
        return Result((f"{said}, after {time.monotonic() - began_s:.2f} s",))


@dataclass(frozen=True, slots=True)
class Begin:
    """Clients that go on beside the next steps."""

    name: str
    make: Callable[[Stage], Clients]
    words: str

    def shown(self, stage: Stage) -> Sequence[str]:
        """What they do, as a loop of a shell."""
        return [stage.fill(self.words)]

    def run(self, stage: Stage) -> Result:
        """Begin, and wait for the first answers."""
        clients = stage.clients[self.name] = self.make(stage)
        clients.start()
        stage.wait(lambda: clients.answered > 0, "the first answer")
        return Result(("(goes on)",))


@dataclass(frozen=True, slots=True)
class Finish:
    """The end of clients that went on beside the steps, and what they say then."""

    name: str

    def shown(self, stage: Stage) -> Sequence[str]:
        """What it is."""
        return [f"# the {self.name} stop"]

    def run(self, stage: Stage) -> Result:
        """Stop them, and let them judge their history."""
        clients = stage.clients.pop(self.name)
        clients.stop()
        return clients.verdict()


@dataclass(frozen=True, slots=True)
class Heartbeats:
    """The messages by which the leader says that it is there, as it tells them itself."""

    def shown(self, stage: Stage) -> Sequence[str]:
        """The stream of events."""
        return [f"$ curl -sN '{url_of(stage.address('leader')).rstrip('/')}{PATH}'"]

    def run(self, stage: Stage) -> Result:
        """Read until each of the others was sent some."""
        others = set(stage.addresses) - {stage.node("leader")}
        sent: Counter[str] = Counter()
        deadline = time.monotonic() + stage.patience_s
        try:
            for _, block in blocks(stage.address("leader")):
                for each in block.get("changes", {}).get("sent", ()):
                    sent[each["to"]] += each["messages"] if each["kind"] == "heartbeat" else 0
                if all(sent[node] for node in others) or time.monotonic() > deadline:
                    break
        except (OSError, http.client.HTTPException, ValueError) as error:
            return Result((f"curl: {error}",), failed=True)
        told = ", ".join(f"{sent[node]} to {node}" for node in sorted(others))
        return Result((f"heartbeats sent: {told}",), failed=not all(sent[node] for node in others))


def _doing(part: Typed | Curl, stage: Stage) -> Callable[[], Result]:
    return lambda: part.run(stage)
