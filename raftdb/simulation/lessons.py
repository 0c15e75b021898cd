"""Lessons: scripts that let a simulated cluster show one thing, step by step, as a recording.

The nodes are those of production, in a world without faults of its own: what goes wrong is what the script says
(`raftdb.simulation.lesson_script`). With the same seed a lesson is the same, to the byte.
"""

import argparse
import json
import os
import re
import sys
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from raftdb.commands.answers import shown
from raftdb.core.events import AddMember, RemoveMember
from raftdb.core.model import Index, Member, NodeId
from raftdb.endpoint import Endpoint
from raftdb.errors import RaftdbError
from raftdb.machine import entries
from raftdb.machine.strings import Get, Set
from raftdb.node.pending import ReadRequest
from raftdb.node.turn import Answer
from raftdb.simulation.broken_rules import RULES
from raftdb.simulation.host import Host
from raftdb.simulation.lesson_script import DONE, Instruction, Lesson, LessonError, number_in, read_lesson
from raftdb.simulation.lesson_world import LessonWorld
from raftdb.simulation.planting import planted
from raftdb.simulation.safety import PROPERTIES, Violation
from raftdb.simulation.scheduler import MILLISECOND, SECOND

RUN_MS_MAX = 60_000
"""Longest `run N`."""
WAIT_US = 30 * SECOND
"""A `run until` that takes longer than this, of virtual time, is an error of the lesson."""
CALLS_MAX = 40_000
"""Calls of the scheduler in one lesson: a few seconds of processor time."""
BROKEN_WAIT_US = 4 * SECOND
"""With a broken rule, what does not happen by then is not waited for any longer."""


def play(lesson: Lesson) -> dict[str, Any]:
    """The recording of a lesson; its `marks` have what is said, asked and done, each with the number of the step that
    it stands before, and with a broken rule what breaks. `properties` are the safety properties in words. Raises
    LessonError if it does not come to its end; with a broken rule, it ends where it cannot go on."""
    if lesson.broken and lesson.broken not in RULES:
        raise LessonError(0, f"no rule is called {lesson.broken!r}")
    with planted(RULES[lesson.broken].patches()) if lesson.broken else nullcontext():
        player = _Player(lesson)
        player.play()
    broken = RULES.get(lesson.broken)
    return {
        "title": lesson.title,
        "properties": PROPERTIES,
        "broken": None if broken is None else {**broken._asdict(), "name": lesson.broken, "patches": None},
        **player.recorder.recording(),
    }


class _Player:
    """One lesson while it is played."""

    def __init__(self, lesson: Lesson) -> None:
        self.lesson = lesson
        self.world = LessonWorld(lesson)
        self.recorder = self.world.recorder
        self.calls = 0
        self.leader: NodeId = ""
        self.old: NodeId = ""
        self.cuts: list[int] = []
        self.asked: list[NodeId] = []
        """The nodes that have a request to answer."""
        self.called: dict[str, NodeId] = {}
        """The nodes that have a name in this lesson."""
        self.written: dict[str, Index] = {}
        """The index of the last write of each key that its client was told of."""

    def play(self) -> None:
        """Carry all instructions out, until a check fails."""
        try:
            self.world.begin()
            for written in self.lesson.instructions:
                instruction = written._replace(rest=self._with_names(written))
                self._mark(instruction)
                if instruction.verb in VERBS:
                    VERBS[instruction.verb](self, instruction)
                    self.recorder.look()
        except LessonError:
            # The script was written for servers that keep all rules.
            if not self.lesson.broken:
                raise
        except RaftdbError as error:
            self.recorder.verdict = str(error)

    def _mark(self, instruction: Instruction) -> None:
        mark: dict[str, Any] = {"step": len(self.recorder.steps), "kind": instruction.verb}
        if instruction.verb == "say":
            mark["text"] = instruction.rest
        elif instruction.verb == "ask":
            question, _, why = instruction.rest.partition(" > ")
            mark["text"], *mark["choices"] = re.split(r"\s+\|\s+", question)
            mark["why"] = why
        elif instruction.verb in ("run", "call"):
            return
        else:
            mark["kind"] = "do"
            mark["text"] = f"{instruction.verb} {self._named(instruction)}".strip()
        self.recorder.marks.append(mark)

    def _with_names(self, instruction: Instruction) -> str:
        """The rest of an instruction, with ids in place of the names that nodes were given."""

        def named(match: re.Match[str]) -> str:
            if match[1] not in self.called:
                raise LessonError(instruction.line, f"no node was called {match[1]!r}")
            return self.called[match[1]]

        return re.sub(r"\{(\w*)\}", named, instruction.rest)

    def _named(self, instruction: Instruction) -> str:
        """The rest of an instruction with the ids of the nodes in place of the words for them."""
        if instruction.verb in ("write", "read"):
            what, _, who = instruction.rest.partition(" at ")
            return f"{what} at {self._name(instruction.line, who or 'leader')}"
        words = re.split(r"([ ,])", instruction.rest)
        return "".join(
            self._name(instruction.line, word)
            if re.fullmatch(r"leader|old|(follower|other)[2-9]?", word)
            else word
            for word in words
        )

    # Time

    def run(self, instruction: Instruction) -> None:
        """Let time pass, or wait for something."""
        line, _, rest = instruction
        words = rest.split()
        if words[:1] != ["until"]:
            end_us = self.world.scheduler.now_us + number_in(line, rest, 1, RUN_MS_MAX) * MILLISECOND
            self._run_until(line, lambda: self.world.scheduler.now_us >= end_us)
        elif words == ["until", "leader"]:
            before = self._leaders()
            self._run_until(line, lambda: bool(self._leaders() - before))
        elif words == ["until", "settled"]:
            self._run_until(line, self._is_settled)
        elif len(words) > 2:
            who, event = self._host(line, words[1]).id, " ".join(words[2:])
            first = len(self.recorder.steps)
            self._run_until(line, lambda: self.recorder.was_said(who, event, since=first))
        else:
            raise LessonError(
                line, "a lesson runs for some milliseconds, or until leader, settled, or WHO EVENT"
            )

    def _run_until(self, line: int, condition: Callable[[], bool]) -> None:
        began_us, limit_us = self.world.scheduler.now_us, max(WAIT_US, RUN_MS_MAX * MILLISECOND)
        while not condition():
            self.calls += 1
            waited_us = self.world.scheduler.now_us - began_us
            if self.lesson.broken and waited_us > BROKEN_WAIT_US:
                return
            if self.calls > CALLS_MAX or waited_us > limit_us:
                raise LessonError(line, "this does not happen")
            self.world.scheduler.run_next()

    def _leaders(self) -> set[tuple[int, NodeId]]:
        return {(host.term, host.id) for host in self.world.hosts.values() if host.is_leader}

    def _is_settled(self) -> bool:
        """True if those who can be reached by the leader, and no fewer than a majority, have all that it has."""
        leaders = self._leaders()
        if not leaders:
            return False
        term, name = max(leaders)
        if name in self.asked:
            return False
        leader = self.world.hosts[name].replica.raft.state
        blocked = self.world.network.blocked
        reached = [
            host
            for host in self.world.hosts.values()
            if host.is_up
            and not host.is_paused
            and host.id in leader.configurations.ids
            and (host.id, name) not in blocked
            and (name, host.id) not in blocked
        ]
        return len(reached) * 2 > len(leader.configurations.voters) and all(
            (host.term, host.replica.raft.state.leader_id) == (term, name)
            and host.replica.applied_index == leader.log.last_index
            for host in reached
        )

    # Nodes

    def _name(self, line: int, word: str) -> NodeId:
        """The id that a word stands for."""
        if word in self.world.hosts:
            return word
        leaders = self._leaders()
        if leaders and max(leaders)[1] != self.leader:
            self.old, self.leader = self.leader, max(leaders)[1]
        if word == "leader" and self.leader:
            return self.leader
        if word == "old" and self.old:
            return self.old
        if match := re.fullmatch(r"(follower|other)([2-9]?)", word):
            left_out = [self.leader] if match[1] == "follower" else self.called.values()
            others = [node for node in sorted(self.world.hosts) if node not in left_out]
            place = int(match[2] or 1) - 1
            if place < len(others):
                return others[place]
        raise LessonError(line, f"there is no node {word!r}")

    def call(self, instruction: Instruction) -> None:
        """Give a node a name."""
        name, _, who = instruction.rest.partition(" ")
        if not name.isidentifier():
            raise LessonError(instruction.line, "call NAME WHO")
        self.called[name] = self._name(instruction.line, who)

    def _host(self, line: int, word: str) -> Host:
        return self.world.hosts[self._name(line, word)]

    def kill(self, instruction: Instruction) -> None:
        """End a process, as by kill -9."""
        self._host(instruction.line, instruction.rest).crash("it is killed", restarts=False)

    def start(self, instruction: Instruction) -> None:
        """Start a process again."""
        host = self._host(instruction.line, instruction.rest)
        if not host.is_up:
            host.start()

    def pause(self, instruction: Instruction) -> None:
        """Stop a process, as by SIGSTOP."""
        self._host(instruction.line, instruction.rest).pause()

    def resume(self, instruction: Instruction) -> None:
        """Let a process go on."""
        self._host(instruction.line, instruction.rest).resume()

    # The network

    def cut(self, instruction: Instruction) -> None:
        """Cut two groups off from each other."""
        groups = instruction.rest.split()
        if len(groups) != 2:
            raise LessonError(instruction.line, "a cut is between two groups")
        left, right = ([self._name(instruction.line, word) for word in group.split(",")] for group in groups)
        pairs = {pair for one in left for other in right for pair in ((one, other), (other, one))}
        self._cut(frozenset(pairs), f"{', '.join(left)} and {', '.join(right)} are apart")

    def silence(self, instruction: Instruction) -> None:
        """Let nothing pass in one direction."""
        words = instruction.rest.split()
        if len(words) != 2:
            raise LessonError(instruction.line, "one node is not heard by one other")
        source, target = (self._name(instruction.line, word) for word in words)
        self._cut(frozenset({(source, target)}), f"{target} does not hear {source}")

    def _cut(self, pairs: frozenset[tuple[NodeId, NodeId]], words: str) -> None:
        self.cuts.append(self.world.network.cut(pairs, drains=False))
        self.recorder.blocked(sorted(self.world.network.blocked))
        self.world.tell("network", words)

    def heal(self, _instruction: Instruction) -> None:
        """Undo all cuts."""
        for number in self.cuts:
            self.world.network.heal(number)
        self.cuts.clear()
        self.recorder.blocked([])
        self.world.tell("network", "everything passes again")

    # Clients

    def write(self, instruction: Instruction) -> None:
        """Send a write to a node."""
        words = instruction.rest.split()
        key, value, *at = words if len(words) > 1 else ("", "")
        host = self._asked(instruction, at)
        command = Set(key.encode(), value.encode())
        host.submit_write(entries.encode(command), self._hear(host.id, f"set {key} {value}", command))

    def read(self, instruction: Instruction) -> None:
        """Send a read to a node."""
        key, *at = instruction.rest.split() or ("",)
        host = self._asked(instruction, at)
        command = Get(key.encode())
        host.submit_read(
            lambda number: ReadRequest(number, command), self._hear(host.id, f"get {key}", command)
        )

    def _asked(self, instruction: Instruction, at: list[str]) -> Host:
        """The node that a request goes to."""
        if at and (len(at) != 2 or at[0] != "at"):
            raise LessonError(instruction.line, f"{instruction.verb} ... at WHO")
        host = self._host(instruction.line, at[1] if at else "leader")
        command = {"write": "set", "read": "get"}[instruction.verb]
        self.world.tell("client", f"asks {host.id}: {command} {instruction.rest.partition(' at ')[0]}")
        return host

    def _hear(
        self, node: NodeId, what: str, command: Any = None
    ) -> Callable[[Answer | RaftdbError | None], None]:
        """Note that `node` is asked, and tell what it answers."""
        self.asked.append(node)
        key = command.key.decode() if isinstance(command, Get | Set) else ""
        known = self.written.get(key, 0)

        def on_answer(answer: Answer | RaftdbError | None) -> None:
            self.asked.remove(node)
            if not isinstance(answer, Answer):
                self.world.tell("client", f"is not answered: {what}: {answer or 'the node has gone'}")
            elif command is None:
                self.world.tell("client", f"is answered: {what}: done")
            else:
                value = shown(command, answer)
                said = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
                self.world.tell("client", f"is answered: {what}: {said}, at index {answer.index}")
                if isinstance(command, Set):
                    self.written[key] = max(answer.index, self.written.get(key, 0))
                elif answer.index < known:
                    self.world.breaks(_old_data(node, what, said, answer.index, known))

        return on_answer

    # Members

    def add(self, instruction: Instruction) -> None:
        """Start a node with an empty folder, and ask the leader to take it in."""
        node = instruction.rest
        if not re.fullmatch(r"n[0-9]{1,2}", node) or node in self.world.hosts:
            raise LessonError(instruction.line, f"{node!r} is no name for a new node")
        leader = self._host(instruction.line, "leader")
        self.world.start_host(node)
        leader.submit_change(AddMember(Member(node, Endpoint(node, 1))), self._hear(leader.id, f"add {node}"))

    def remove(self, instruction: Instruction) -> None:
        """Ask the leader to remove a node."""
        node = self._name(instruction.line, instruction.rest)
        leader = self._host(instruction.line, "leader")
        leader.submit_change(RemoveMember(node), self._hear(leader.id, f"remove {node}"))

    def transfer(self, instruction: Instruction) -> None:
        """Ask the leader to hand the leadership over."""
        target = self._name(instruction.line, instruction.rest) if instruction.rest else None
        leader = self._host(instruction.line, "leader")
        leader.submit_transfer(target, self._hear(leader.id, f"transfer {target or ''}".strip()))

    def checkpoint(self, instruction: Instruction) -> None:
        """Let a node make its state durable, so that it may compact its log."""
        self._host(instruction.line, instruction.rest).checkpoint()


def _old_data(node: NodeId, what: str, said: str, index: Index, known: Index) -> Violation:
    text = (
        f"a client asked {node} after the write of index {known} was done, and got what was there before: "
        f"{what} is answered {said}, from index {index}"
    )
    return Violation("linearizable reads", text, (node,), ((node, index),))


VERBS: dict[str, Callable[[_Player, Instruction], None]] = {name: getattr(_Player, name) for name in DONE}
"""What a lesson can do, by the first word of the instruction."""


def main() -> int:
    """Play the script on standard input, and write its recording as JSON."""
    # It is a process of its own: a rule that is broken is broken in all of a process. It stands back for others.
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--nodes", type=int)
    parser.add_argument("--break", dest="broken", metavar="RULE")
    given = parser.parse_args()
    os.nice(10)
    try:
        lesson = read_lesson(sys.stdin.read())
        changes = {name: value for name, value in vars(given).items() if value is not None}
        recording = play(lesson._replace(**changes))
    except LessonError as error:
        print(error, file=sys.stderr)
        return 1
    json.dump(recording, sys.stdout, separators=(",", ":"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
