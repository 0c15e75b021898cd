"""Lessons and their recordings: chapters come to their ends with every promise kept; what is recorded is what was."""

import json
from typing import Any

import pytest

from raftdb.simulation.broken_rules import RULES
from raftdb.simulation.cluster import Simulation
from raftdb.simulation.lesson_script import LessonError, read_lesson
from raftdb.simulation.lessons import play
from raftdb.simulation.recording import FORMAT, RecordedSimulation
from raftdb.simulation.safety import PROPERTIES
from raftdb.web import chapters


def states_at_end(recording: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What each node is after the last step, put together from what changed in each."""
    nodes: dict[str, dict[str, Any]] = {}
    for step in recording["steps"]:
        for node, changes in step["nodes"].items():
            state = nodes.setdefault(node, {"entries": {}})
            first, entries = changes.pop("log", (None, []))
            if first is not None:
                state["entries"] = {index: e for index, e in state["entries"].items() if index < first}
                state["entries"].update(enumerate(entries, first))
            state.update(changes)
            state["entries"] = {index: e for index, e in state["entries"].items() if index > state["base"]}
    return nodes


@pytest.mark.parametrize("name", sorted(chapters()))
def test_every_chapter_comes_to_its_end(name: str) -> None:
    recording = play(read_lesson(chapters()[name]))
    assert (recording["format"], recording["verdict"], recording["is_cut"]) == (FORMAT, None, False)
    kinds = [mark["kind"] for mark in recording["marks"]]
    assert {"say", "ask", "do"} <= set(kinds)
    assert "broken" not in kinds
    steps = [mark["step"] for mark in recording["marks"]]
    assert steps == sorted(steps)
    for mark in recording["marks"]:
        if mark["kind"] == "ask":
            assert len(mark["choices"]) >= 2, mark
            assert mark["why"], mark
    assert json.dumps(recording) == json.dumps(play(read_lesson(chapters()[name])))
    nodes = states_at_end(recording).values()
    here = [node for node in nodes if node["up"] and not node["paused"] and node["out"] is None]
    logs = {json.dumps([[i, e] for i, e in node["entries"].items() if i > 9]) for node in here}
    assert len(logs) == 1
    assert len({node["commit"] for node in here if node["leader"]}) == 1


def test_a_recording_is_what_the_nodes_were() -> None:
    simulation = RecordedSimulation(11, nodes=3, steps=1_500)
    simulation.run()
    nodes = states_at_end(simulation.recorder.recording())
    assert set(nodes) == {node for node, host in simulation.hosts.items() if host.epoch}
    for node, state in nodes.items():
        core = simulation.hosts[node].replica.raft.state
        assert (state["term"], state["voted_for"], state["commit"]) == (
            core.term,
            core.voted_for,
            core.commit_index,
        )
        terms = {
            index: core.log.term_at(index)
            for index in range(core.log.base.index + 1, core.log.last_index + 1)
        }
        assert {index: term for index, (term, _) in state["entries"].items()} == terms


def test_a_recorded_run_is_the_same_as_one_that_nobody_looks_at() -> None:
    told: list[tuple[int, str, str]] = []
    seen = RecordedSimulation(3, nodes=3, steps=800, listener=lambda *line: told.append(line)).run()
    unseen_told: list[tuple[int, str, str]] = []
    unseen = Simulation(3, nodes=3, steps=800, listener=lambda *line: unseen_told.append(line)).run()
    assert (seen.fingerprint, told) == (unseen.fingerprint, unseen_told)


def test_frames_arrive_after_they_were_sent_and_lost_ones_never() -> None:
    lesson = read_lesson("nodes 3\nseed 2\nrun until settled\ncut leader follower,follower2\nrun 400\n")
    recording = play(lesson)
    cut_us = next(step["us"] for step in recording["steps"] if step.get("blocked"))
    assert any(arrived is not None for _, _, _, arrived, _ in recording["flights"])
    for source, target, sent_us, arrived_us, messages in recording["flights"]:
        assert messages
        assert source != target
        assert arrived_us is None or arrived_us > sent_us
        if sent_us > cut_us and [source, target] in recording["steps"][-1].get("blocked", []):
            assert arrived_us is None


@pytest.mark.parametrize("rule", sorted(RULES))
def test_what_a_broken_rule_is_good_for_is_said(rule: str) -> None:
    broken = RULES[rule]
    assert all((broken.title, broken.section, broken.promise))
    assert broken.patches()


@pytest.mark.parametrize("rule", sorted(RULES))
def test_a_broken_rule_does_harm_in_its_chapter_and_the_lesson_goes_on(rule: str) -> None:
    recording = play(read_lesson(chapters()[RULES[rule].chapter])._replace(broken=rule))
    assert (recording["broken"]["name"], recording["verdict"]) == (rule, None)
    broken = {mark["name"]: mark for mark in recording["marks"] if mark["kind"] == "broken"}
    assert RULES[rule].promise in broken
    assert set(broken) <= {*PROPERTIES, "linearizable reads"}
    for mark in broken.values():
        assert mark["nodes"]
        assert all(node in mark["text"] for node in mark["nodes"][:2])
        assert all(node in mark["nodes"] for node, _ in mark["places"])


def test_two_leaders_of_a_term_are_seen_with_different_entries_of_one_name() -> None:
    lesson = read_lesson(chapters()["restart"])
    kept = play(lesson)
    recording = play(lesson._replace(broken="vote_not_stored"))
    assert play(lesson) == kept, "the bug was taken out again"
    leaders: dict[int, set[str]] = {}
    nodes: dict[str, dict[str, Any]] = {}
    words: set[tuple[int, int, str]] = set()
    for step in recording["steps"]:
        for node, changes in step["nodes"].items():
            state = nodes.setdefault(node, {})
            state.update(changes)
            if state["role"] == "leader":
                leaders.setdefault(state["term"], set()).add(node)
            first, entries = changes.get("log", (0, ()))
            words.update((index, term, text) for index, (term, text) in enumerate(entries, first))
    (term,) = (term for term, who in leaders.items() if len(who) == 2)
    assert {(3, term, "set x 1"), (3, term, "set x 2")} <= words


def test_an_entry_of_an_old_term_on_a_majority_is_overwritten() -> None:
    """Figure 3.7 of the thesis: with the rule it was never committed; without it, it was, and a client was told so."""
    lesson = read_lesson(chapters()["commitment"])

    def told(recording: dict[str, Any]) -> list[str]:
        return [text for step in recording["steps"] for who, text, _, _ in step["said"] if who == "client"]

    for seed in (lesson.seed, 1):
        recording = play(lesson._replace(seed=seed))
        logs: dict[str, dict[int, str]] = {}
        holders = overwritten = 0
        for step in recording["steps"]:
            for node, changes in step["nodes"].items():
                first, entries = changes.get("log", (0, ()))
                log = logs.setdefault(node, {})
                overwritten += first <= 3 and log.get(3) == "set y old" and bool(entries)
                log.update({index: text for index, (_, text) in enumerate(entries, first)})
            holders = max(holders, sum(log.get(3) == "set y old" for log in logs.values()))
        assert (holders, overwritten) == (3, 3)
        assert not any("is answered: set y old" in line for line in told(recording))


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("dance n1", "line 1: no instruction is called 'dance'"),
        ("nodes 99", "line 1: '99' is not a number from 1 to 9"),
        ("nodes 3\n\nbreak everything", "line 3: no rule is called 'everything'"),
        ("  run 3", "line 1: nothing is there"),
        ("speeds frame", "line 1: speeds are pairs"),
        ("kill leader", "line 1: there is no node 'leader'"),
        ("run until leader\ncut n1", "line 2: a cut is between two groups"),
        ("run until leader\nwrite a b c", "line 2: write ... at WHO"),
        ("nodes 1\nrun until n1 nonsense happens", "line 2: this does not happen"),
        ("run until", "line 1: a lesson runs"),
        ("run 99999999", "line 1: '99999999' is not a number"),
        ("run until leader\nkill {X}", "line 2: no node was called 'X'"),
        ("run until leader\ncall 1 leader", "line 2: call NAME WHO"),
        ("batch 0", "line 1: '0' is not a number"),
        ("run until leader\nadd ../../x", "line 2: '../../x' is no name"),
        ("say x\n" * 201, "line 201: a lesson has at most 200 instructions"),
    ],
)
def test_a_script_that_makes_no_sense_is_refused_with_its_line(script: str, words: str) -> None:
    with pytest.raises(LessonError, match=words.replace("(", r"\(").replace(".", r"\.")):
        play(read_lesson(script))
