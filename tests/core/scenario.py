"""Stories of the core as text files: commands, and the trace they must leave.

A scenario is a file `scenarios/<a sentence that is true>.txt`. It begins with comments, of which one starts with
`# Goal:` and one with `# Source:` (thesis section, hazard). Then come blocks, with an empty line between them:

    # What happens now, and why, if the commands do not say it.
    timeout n1
    deliver
    ----
    n1 -> n2 request_pre_vote term=2 last=1@1
      n2: pre-vote granted to=n1 term=2

Above `----` stand commands, one a line, below it what they print. A line `n1 -> n2 ...` is a message that arrives,
`n1 -x n2 ...` one that is lost; an indented line is what a node did or thought about it. `3@2` names the entry at
index 3 of term 2. The last command is `check`. `pytest tests/core --rewrite` writes what is printed now in place of
what is expected: read the diff, and commit only what you understand.

`COMMANDS` at the end of this file is the whole language; each command's docstring is its documentation. Where a
command takes a SELECTION of messages in flight, it is any of: `first` or `last` (one message), a number (so many,
oldest first), `from NODE`, `to NODE`, and a kind: `request_pre_vote`, `pre_vote`, `request_vote`, `vote`,
`append_entries`, `append_ok`, `append_rejected`, `heartbeat`, `heartbeat_ok`, `install_snapshot`, `timeout_now`. No
word selects everything.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from typing import Any

from raftdb.core import timing
from raftdb.core.events import (
    AddMember,
    Change,
    ConfigurationChangeAsked,
    NewAddress,
    PromoteMember,
    Proposed,
    ReadRequested,
    RemoveMember,
    TransferAsked,
    TripMeasured,
    UpdateAddresses,
)
from raftdb.core.messages import (
    AppendEntries,
    AppendEntriesReply,
    Heartbeat,
    HeartbeatReply,
    InstallSnapshot,
    Message,
    ReadIndex,
    ReadIndexReply,
    RequestPreVote,
    RequestPreVoteReply,
    RequestVote,
    RequestVoteReply,
    TimeoutNow,
)
from raftdb.core.model import Entry, EntryKind, HardState, Index, Member, NodeId, Role
from raftdb.core.progress import Pace
from raftdb.core.state import RaftSettings, RaftState
from tests.addresses import at
from tests.core.cluster import Cluster, Disk
from tests.core.words import describe_entry, describe_message

SEPARATOR = "----"
TICKS_MAX = 1_000
"""A node that has not stood for election after so many ticks never will."""

LOST_TOLD_MAX = 6

KINDS: dict[str, Callable[[Message], bool]] = {
    "request_pre_vote": lambda message: isinstance(message, RequestPreVote),
    "pre_vote": lambda message: isinstance(message, RequestPreVoteReply),
    "request_vote": lambda message: isinstance(message, RequestVote),
    "vote": lambda message: isinstance(message, RequestVoteReply),
    "append_entries": lambda message: isinstance(message, AppendEntries),
    "append_ok": lambda message: isinstance(message, AppendEntriesReply) and message.success,
    "append_rejected": lambda message: isinstance(message, AppendEntriesReply) and not message.success,
    "heartbeat": lambda message: isinstance(message, Heartbeat),
    "heartbeat_ok": lambda message: isinstance(message, HeartbeatReply),
    "timeout_now": lambda message: isinstance(message, TimeoutNow),
    "read_index": lambda message: isinstance(message, ReadIndex),
    "read_index_ok": lambda message: isinstance(message, ReadIndexReply),
    "install_snapshot": lambda message: isinstance(message, InstallSnapshot),
}


class ScenarioError(Exception):
    """The scenario itself is wrong: an unknown command, a missing word, no goal."""


@dataclass
class Block:
    """Commands with the comments and empty lines before them, and what they are expected to print."""

    text: list[str] = field(default_factory=list)
    commands: list[tuple[int, str]] = field(default_factory=list)
    """(line number in the file, command)."""
    expected: list[str] = field(default_factory=list)


def parse(text: str) -> list[Block]:
    """The blocks of a scenario file. Raises ScenarioError if it is not one."""
    for wanted in ("# Goal:", "# Source:"):
        if not re.search(f"^{wanted} .", text, re.MULTILINE):
            raise ScenarioError(f"the header has no line {wanted!r}")
    blocks: list[Block] = []
    block = Block()
    is_output = False
    for number, line in enumerate(text.splitlines(), start=1):
        if is_output and line:
            block.expected.append(line)
        elif is_output:
            blocks.append(block)
            block, is_output = Block(), False
        elif line == SEPARATOR:
            is_output = True
        else:
            block.text.append(line)
            if line and not line.startswith("#"):
                block.commands.append((number, line))
    if block.text or block.commands:
        blocks.append(block)
    commands = [command for block in blocks for _, command in block.commands]
    if not commands or commands[-1] != "check":
        raise ScenarioError("the last command must be `check`")
    return blocks


def render(blocks: list[Block], outputs: list[list[str]]) -> str:
    """The file again, with these outputs for its blocks."""
    parts = [
        "\n".join([*block.text, SEPARATOR, *output]) for block, output in zip(blocks, outputs, strict=True)
    ]
    return "\n\n".join(parts) + "\n"


class Scenario:
    """One run of one story. `run` takes it block by block."""

    def __init__(self) -> None:
        self._output: list[str] = []
        self._cluster: Cluster | None = None

    def run(self, block: Block) -> list[str]:
        """Carry out the commands of a block; returns the lines that they print."""
        self._output = []
        for number, line in block.commands:
            name, *words = line.split()
            command = COMMANDS.get(name)
            if command is None:
                raise ScenarioError(f"line {number}: unknown command {name!r}; known: {', '.join(COMMANDS)}")
            try:
                command(self, words)
            except (ScenarioError, IndexError, ValueError, KeyError) as error:
                usage = " ".join((command.__doc__ or "").split())
                raise ScenarioError(f"line {number}: {line!r}: {error!r}. {usage}") from error
        return self._output or ["nothing happens"]

    @property
    def cluster(self) -> Cluster:
        """The cluster, once the story has made one."""
        if self._cluster is None:
            raise ScenarioError("no cluster yet")
        return self._cluster

    def tell(self, line: str) -> None:
        """Print one line."""
        self._output.append(line)

    def nodes(self, word: str) -> Iterator[NodeId]:
        """The nodes that a word names: one, or `all`."""
        if word != "all" and word not in self.cluster.nodes:
            raise ScenarioError(f"no node {word}")
        yield from self.cluster.ids if word == "all" else (word,)

    def node(self, word: str) -> NodeId:
        """The one node that a word names."""
        (node,) = self.nodes(word)
        return node

    def select(self, words: list[str]) -> list[Message]:
        """The messages in flight that a SELECTION names, oldest first."""
        found = list(self.cluster.in_flight)
        rest = iter(words)
        cut: Callable[[list[Message]], list[Message]] = list
        for word in rest:
            if word == "from":
                source = self.node(next(rest, ""))
                found = [message for message in found if message.source == source]
            elif word == "to":
                target = self.node(next(rest, ""))
                found = [message for message in found if message.target == target]
            elif word in KINDS:
                found = [message for message in found if KINDS[word](message)]
            elif word == "first" or word.isdecimal():
                count = 1 if word == "first" else int(word)
                cut = lambda messages, count=count: messages[:count]  # type: ignore[misc]  # noqa: E731
            elif word == "last":
                cut = lambda messages: messages[-1:]  # noqa: E731
            else:
                raise ScenarioError(f"{word!r} selects nothing")
        chosen = cut(found)
        if not chosen:
            raise ScenarioError("no such message is in flight")
        return chosen


def cluster(scenario: Scenario, words: list[str]) -> None:
    """`cluster N [learners=NODE,..] [SETTING=NUMBER ...]`: nodes n1..nN, stopped clocks, empty network. Those in
    `learners` do not vote. The settings are those of `raftdb.core.state.RaftSettings`; heartbeats are due every 2
    ticks, elections after 10, unless said otherwise."""
    ids = [f"n{number}" for number in range(1, int(words[0]) + 1)]
    learners: list[NodeId] = []
    settings: dict[str, Any] = {"election_timeout_ticks": 10, "heartbeat_ticks": 2}
    for word in words[1:]:
        name, _, value = word.partition("=")
        if name == "learners":
            learners = value.split(",")
        elif name in {known.name for known in fields(RaftSettings)}:
            settings[name] = int(value)
        else:
            raise ScenarioError(f"no setting {name}")
    voters = [node for node in ids if node not in learners]
    scenario._cluster = Cluster(
        voters, learners=learners, settings=RaftSettings(**settings), tell=scenario.tell
    )
    learning = f" (learners: {','.join(learners)})" if learners else ""
    scenario.tell(f"a cluster of {len(ids)} nodes{learning}, each with 1@1 configuration")


def disk(scenario: Scenario, words: list[str]) -> None:
    """`disk NODE term=TERM [vote=NODE] log=TERM,TERM,..`: start the node anew from a disk with this content, one
    term per entry. The first entry is always the configuration, of term 1; the others are called `old`."""
    node = scenario.node(words[0])
    options = dict(word.split("=", 1) for word in words[1:])
    terms = [int(term) for term in options.pop("log").split(",")]
    entries = [scenario.cluster.first_entry]
    if terms[0] != entries[0].term:
        raise ScenarioError("the first entry is of term 1")
    entries += [
        Entry(index, term, EntryKind.COMMAND, b"old") for index, term in enumerate(terms[1:], start=2)
    ]
    hard_state = HardState(int(options.pop("term")), options.pop("vote", None))
    if options:
        raise ScenarioError(f"unknown: {options}")
    scenario.cluster.install(node, Disk(hard_state, entries))
    show(scenario, ["log", node])


def tick(scenario: Scenario, words: list[str]) -> None:
    """`tick NODE|all [TIMES]`: the clock of a node, or of all in turn, goes on by a tick, or by so many."""
    for _ in range(int(words[1]) if len(words) > 1 else 1):
        for node in scenario.nodes(words[0]):
            scenario.cluster.tick(node)


def timeout(scenario: Scenario, words: list[str]) -> None:
    """`timeout NODE`: the clock of this node alone goes on until its election timeout has passed."""
    node = scenario.node(words[0])
    state = scenario.cluster.nodes[node].raft.state
    if state.role is Role.LEADER:
        raise ScenarioError("a leader has no election timeout")
    for _ in range(state.election_deadline_ticks - state.election_elapsed_ticks):
        scenario.cluster.tick(node)


def elect(scenario: Scenario, words: list[str]) -> None:
    """`elect NODE`: its timeout passes, everything is delivered, and it must lead then. Prints only the outcome:
    for stories that begin after an election."""
    node = scenario.node(words[0])
    kept = len(scenario._output)
    timeout(scenario, words)
    scenario.cluster.settle()
    del scenario._output[kept:]
    if scenario.cluster.nodes[node].raft.state.role is not Role.LEADER:
        raise ScenarioError("it was not elected")
    show(scenario, ["all"])


def propose(scenario: Scenario, words: list[str]) -> None:
    """`propose NODE PAYLOAD ...`: clients hand these payloads to a node, together. `WORD*TIMES` is a word that is
    repeated: a large payload."""
    payloads = []
    for word in words[1:]:
        text, _, times = word.partition("*")
        payloads.append(text.encode() * int(times or 1))
    accept(scenario, words[0], Proposed(tuple(payloads)))


def accept(scenario: Scenario, word: str, event: Proposed) -> None:
    """Hand a proposal to a node and tell what it says."""
    node = scenario.node(word)
    update = scenario.cluster.step(node, event)
    if update is None or update.accepted is None:
        scenario.tell(f"  {node}: refuses the proposal")


def join(scenario: Scenario, words: list[str]) -> None:
    """`join NODE`: a new server starts, with an empty disk. It is no member before somebody adds it."""
    scenario.cluster.join(words[0])
    scenario.tell(f"{words[0]} is a new node with an empty disk")


def change(scenario: Scenario, words: list[str]) -> None:
    """`change NODE add|remove|promote NODE [learner] [force]`, `change NODE move NODE ADDRESS`: ask a node for other
    members. With `learner` the new one stays one."""
    node, verb, subject, *rest = words
    change = CHANGES[verb](subject, rest)
    if set(rest) - {"learner", "force"} and verb != "move":
        raise ScenarioError(f"unknown: {rest}")
    update = scenario.cluster.step(scenario.node(node), ConfigurationChangeAsked(change, "force" in rest))
    if update is not None and update.refusal is not None:
        scenario.tell(f"  {node}: refuses the change ({update.refusal.code}): {update.refusal.reason}")


CHANGES: dict[str, Callable[[NodeId, list[str]], Change]] = {
    "add": lambda node, rest: AddMember(Member(node, at(node)), stay_learner="learner" in rest),
    "remove": lambda node, rest: RemoveMember(node),
    "promote": lambda node, rest: PromoteMember(node),
    "move": lambda node, rest: UpdateAddresses((NewAddress(node, at(rest[0])),)),
}


def transfer(scenario: Scenario, words: list[str]) -> None:
    """`transfer NUMBER NODE -> NODE|anyone`: ask a node, under this number, that the other one leads."""
    number, node, arrow, target = words
    if arrow != "->":
        raise ScenarioError("want an arrow")
    scenario.cluster.step(
        scenario.node(node), TransferAsked(int(number), None if target == "anyone" else target)
    )


def read(scenario: Scenario, words: list[str]) -> None:
    """`read NODE NUMBER ... [anywhere]`: clients ask a node for reads of these numbers, together; and it may serve them
    though another node leads."""
    node = scenario.node(words[0])
    numbers = tuple(int(word) for word in words[1:] if word != "anywhere")
    scenario.cluster.step(node, ReadRequested(numbers, anywhere="anywhere" in words))


def trip(scenario: Scenario, words: list[str]) -> None:
    """`trip NODE NODE MILLISECONDS`: the link from the first node to the second was measured: so long there and
    back."""
    node, peer, milliseconds = words
    scenario.cluster.step(scenario.node(node), TripMeasured(scenario.node(peer), int(milliseconds)))


def deliver(scenario: Scenario, words: list[str]) -> None:
    """`deliver [SELECTION]`: the selected messages arrive, oldest first; what they cause stays in flight."""
    for message in scenario.select(words):
        scenario.cluster.deliver(message)


def settle(scenario: Scenario, words: list[str]) -> None:
    """`settle`: all messages arrive, and all that they cause, until nothing is in flight."""
    if words:
        raise ScenarioError("takes no words")
    scenario.cluster.settle()


def drop(scenario: Scenario, words: list[str]) -> None:
    """`drop [SELECTION]`: the selected messages are lost. If they are many, only their number is told."""
    lost = scenario.select(words)
    for message in lost:
        scenario.cluster.in_flight.remove(message)
        if len(lost) <= LOST_TOLD_MAX:
            scenario.tell(describe_message(message).replace(" -> ", " -x ", 1))
    if len(lost) > LOST_TOLD_MAX:
        scenario.tell(f"{len(lost)} messages are lost")


def duplicate(scenario: Scenario, words: list[str]) -> None:
    """`duplicate [SELECTION]`: of each selected message a second copy is in flight, younger than all others."""
    for message in scenario.select(words):
        scenario.cluster.in_flight.append(message)
        scenario.tell(f"twice: {describe_message(message)}")


def cut(scenario: Scenario, words: list[str]) -> None:
    """`cut NODE -> NODE`: from now on messages that go this way are lost; the way back stays open."""
    source, arrow, target = words
    if arrow != "->":
        raise ScenarioError("want an arrow")
    scenario.cluster.cuts.add((scenario.node(source), scenario.node(target)))
    scenario.tell(f"cut: {source} -x {target}")


def partition(scenario: Scenario, words: list[str]) -> None:
    """`partition NODE ... | NODE ...`: messages between the two sides are lost, both ways."""
    bar = words.index("|")
    for here in words[:bar]:
        for there in words[bar + 1 :]:
            scenario.cluster.cuts |= {
                (scenario.node(here), scenario.node(there)),
                (there, here),
            }
    scenario.tell(f"cut: {' '.join(words)}")


def heal(scenario: Scenario, words: list[str]) -> None:
    """`heal`: all cuts and partitions end."""
    scenario.cluster.cuts.clear()
    scenario.tell("all ways are open")


def hold(scenario: Scenario, words: list[str]) -> None:
    """`hold disk|loads NODE`: from now on its writes wait for `persist` (or what it reads from disk for followers
    waits for `load`)."""
    what, node = words[0], scenario.cluster.nodes[scenario.node(words[1])]
    if what not in ("disk", "loads"):
        raise ScenarioError("want `disk` or `loads`")
    if what == "disk":
        node.disk_is_held = True
    else:
        node.loads_are_held = True
    scenario.tell(f"held: {what} of {words[1]}")


def persist(scenario: Scenario, words: list[str]) -> None:
    """`persist NODE [WRITES]`: the oldest so many writes that wait are done (all of them, without a number)."""
    node = scenario.node(words[0])
    scenario.tell(f"the disk of {node} writes")
    if scenario.cluster.persist(node, int(words[1]) if len(words) > 1 else None) == 0:
        raise ScenarioError("no write waits")


def load(scenario: Scenario, words: list[str]) -> None:
    """`load NODE`: what the node has read from disk for followers reaches the core."""
    scenario.tell(f"{words[0]} has what it read from its disk")
    if scenario.cluster.give_loads(scenario.node(words[0])) == 0:
        raise ScenarioError("nothing was read")


def release(scenario: Scenario, words: list[str]) -> None:
    """`release NODE`: its disk is quick again, and does all that waits."""
    node = scenario.node(words[0])
    scenario.cluster.nodes[node].disk_is_held = False
    scenario.cluster.nodes[node].loads_are_held = False
    scenario.tell(f"the disk of {node} is quick again")
    scenario.cluster.persist(node)
    scenario.cluster.give_loads(node)


def compact(scenario: Scenario, words: list[str]) -> None:
    """`compact NODE INDEX`: the state of the node is durable up to there, and its log begins behind it."""
    node = scenario.node(words[0])
    base = scenario.cluster.compact(node, int(words[1]))
    if base.index != int(words[1]):
        raise ScenarioError(f"the log begins behind {base.index}")


def snapshot(scenario: Scenario, words: list[str]) -> None:
    """`snapshot made|failed NODE -> NODE`: the first node has made a snapshot for the second, or cannot. It is of the
    state behind which the log of the first node begins. `snapshot fetched NODE`: what the node was offered is there."""
    outcome, *ends = words
    if outcome == "fetched" and len(ends) == 1:
        offer = scenario.cluster.nodes[scenario.node(ends[0])].snapshot_offered
        if offer is None:
            raise ScenarioError(f"{ends[0]} was offered no snapshot")
        scenario.tell(f"{ends[0]} <= {offer.source} the snapshot up to {offer.last_index}@{offer.last_term}")
        scenario.cluster.fetch_snapshot(ends[0])
        return
    if outcome not in ("made", "failed") or ends[1:2] != ["->"] or len(ends) != 3:
        raise ScenarioError("want `made` or `failed`, and an arrow; or `fetched`, and a node")
    source, _, target = ends
    here = scenario.cluster.nodes[scenario.node(source)]
    if target not in here.snapshots_wanted:
        raise ScenarioError(f"{source} makes no snapshot for {target}")
    end = here.disk.base
    made = "makes" if outcome == "made" else "cannot make"
    scenario.tell(f"{source} {made} a snapshot up to {end.index}@{end.term} for {target}")
    scenario.cluster.make_snapshot(source, target, fails=outcome == "failed")


def crash(scenario: Scenario, words: list[str]) -> None:
    """`crash NODE ...`: the nodes are gone, with what is not on their disks. What they sent stays in flight."""
    for word in words:
        scenario.cluster.crash(scenario.node(word))
        scenario.tell(f"{word} is down")


def restart(scenario: Scenario, words: list[str]) -> None:
    """`restart NODE ...`: the nodes start again from their disks, which are quick again (and crash first, if
    they run)."""
    for word in words:
        scenario.cluster.restart(scenario.node(word))
        show(scenario, [word])


def copy(scenario: Scenario, words: list[str]) -> None:
    """`copy NODE ...`: somebody copies what is on the disks of these nodes. All others have met them by now."""
    for word in words:
        scenario.cluster.keep(scenario.node(word))
        scenario.tell(f"a copy is made of the disk of {word}")


def put_back(scenario: Scenario, words: list[str]) -> None:
    """`put_back NODE ...`: the nodes start again, on the copies that were made of their disks. Who had met them since
    finds out with the next message that passes between them, and so do they."""
    for word in words:
        scenario.cluster.put_back(scenario.node(word))
        scenario.tell(f"the disk of {word} is put back to the copy")
        show(scenario, [word])


def show(scenario: Scenario, words: list[str]) -> None:
    """`show NODE|all`, `show log NODE|all`, `show members NODE|all`, `show progress NODE`, `show timing NODE|all`,
    `show network`: a node's state; its log, with what is not on its disk yet behind a bar, and before it the state, if
    the log begins later; the configuration that it goes by; what a leader knows of its followers; how many ticks it
    waits for what; the messages in flight."""
    what = words[0]
    if what == "network":
        for message in scenario.cluster.in_flight:
            scenario.tell(f"in flight: {describe_message(message)}")
    elif what == "log":
        for node in scenario.nodes(words[1]):
            scenario.tell(describe_log(scenario.cluster, node))
    elif what == "members":
        for node in scenario.nodes(words[1]):
            scenario.tell(describe_members(scenario.cluster, node))
    elif what == "timing":
        for node in scenario.nodes(words[1]):
            scenario.tell(describe_timing(scenario.cluster.nodes[node].raft.state))
    elif what == "progress":
        for line in describe_progress(scenario.cluster, scenario.node(words[1])):
            scenario.tell(line)
    else:
        for node in scenario.nodes(what):
            scenario.tell(describe_node(scenario.cluster, node))


def describe_node(cluster: Cluster, node: NodeId) -> str:
    """One node's consensus state on one line."""
    if not cluster.nodes[node].is_up:
        return f"{node} is down"
    state = cluster.nodes[node].raft.state
    return (
        f"{node} {state.role.value} term={state.term} vote={state.voted_for or 'nobody'} "
        f"leader={state.leader_id or 'unknown'} commit={state.commit_index} "
        f"last={state.log.last_index}@{state.log.last_term}"
    )


def describe_log(cluster: Cluster, node: NodeId) -> str:
    """One node's log on one line; behind the bar is what a crash would take."""
    here = cluster.nodes[node]
    memory = here.memory if here.is_up else here.disk
    safe = common_length(memory.entries, here.disk.entries)
    words = [describe_entry(entry) for entry in memory.entries[memory.base.index :]]
    safe = max(0, safe - memory.base.index)
    if memory.base.index:
        words[:0] = [f"state up to {memory.base.index}@{memory.base.term}"]
        safe += here.disk.base.index >= memory.base.index
    if safe < len(words):
        words[safe:safe] = ["|"]
    return f"{node} log: {', '.join(words).replace('|, ', '| ').replace(', |', ' |')}"


def describe_members(cluster: Cluster, node: NodeId) -> str:
    """The configuration that a node goes by, on one line."""
    state = cluster.nodes[node].raft.state
    configuration = state.configurations.latest
    line = f"{node} members:"
    for member in configuration.members:
        line += f" {member.id}"
        line += f" at {member.http}" if member.http != at(member.id) else ""
        line += "" if member.voter else " (joining)" if member.joining else " (learner)"
        line += "" if member is configuration.members[-1] else ","
    line += f"; removed: {', '.join(configuration.removed)}" if configuration.removed else ""
    line += "" if state.configurations.latest_index <= state.commit_index else " (not committed here)"
    return line + (" - and knows that it is removed" if state.is_removed else "")


def describe_timing(state: RaftState) -> str:
    """How many ticks a node waits for what, on one line."""
    line = f"{state.id} election_timeout={timing.election_timeout_ticks(state)}"
    leadership = state.leadership
    if leadership is None:
        return f"{line} leader_alive_for={timing.stickiness_ticks(state)}"
    patience_ticks = timing.patience_ticks(state, leadership)
    return f"{line} heartbeat={timing.heartbeat_ticks(state, leadership)} patience={patience_ticks}"


def common_length(log: list[Entry], other: list[Entry]) -> Index:
    """How many entries two logs have in common from the start."""
    length = 0
    while length < min(len(log), len(other)) and log[length] == other[length]:
        length += 1
    return length


def describe_progress(cluster: Cluster, node: NodeId) -> Iterator[str]:
    """What a leader knows of each follower, a line each."""
    leadership = cluster.nodes[node].raft.state.leadership
    if leadership is None:
        raise ScenarioError("does not lead")
    for follower, progress in leadership.progress.items():
        line = f"{follower} {progress.pace.value} match={progress.match_index} next={progress.next_index}"
        if progress.pace is Pace.REPLICATE:
            line += f" in_flight={len(progress.in_flight)}"
        elif progress.probe_in_flight:
            line += " (waits for an answer)"
        yield line


def check(scenario: Scenario, words: list[str]) -> None:
    """`check`: ends every story. The invariants hold, as after each step, and no message is left whose fate the
    story does not tell."""
    scenario.cluster.check()
    left = [describe_message(message) for message in scenario.cluster.in_flight]
    if left:
        raise ScenarioError(f"still in flight: {left}")
    leaders = ", ".join(f"{leader} in {term}" for term, leader in sorted(scenario.cluster.leaders.items()))
    scenario.tell(
        f"all is well: committed up to {len(scenario.cluster.committed)}, leaders: {leaders or 'none'}"
    )


COMMANDS: dict[str, Callable[[Scenario, list[str]], None]] = {
    "cluster": cluster,
    "disk": disk,
    "tick": tick,
    "timeout": timeout,
    "elect": elect,
    "propose": propose,
    "join": join,
    "change": change,
    "transfer": transfer,
    "read": read,
    "trip": trip,
    "deliver": deliver,
    "settle": settle,
    "drop": drop,
    "duplicate": duplicate,
    "cut": cut,
    "partition": partition,
    "heal": heal,
    "hold": hold,
    "persist": persist,
    "load": load,
    "release": release,
    "compact": compact,
    "snapshot": snapshot,
    "crash": crash,
    "restart": restart,
    "copy": copy,
    "put_back": put_back,
    "show": show,
    "check": check,
}
"""Every command of the scenario language."""
