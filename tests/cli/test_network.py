"""What is typed about the network between nodes: what is cut and set, and what is said."""

import json
from typing import Any

import pytest

from cli.admin.network import FaultyNetwork
from cli.admin.network_words import parse_cut, parse_setting
from raftdb.client.sync_client import Client
from raftdb.errors import RaftdbError, RequestRefused, Unavailable
from raftdb.frontend.http_network import read_change
from raftdb.impairment import ImpairedNetwork
from tests.cli.prompt import FakeControl, Prompt

NODES = ("n1", "n2", "n3")


class Wires:
    """The nodes behind a `FaultyNetwork`, without processes: what each was told, or why it does not answer."""

    def __init__(self) -> None:
        self.nodes = {f"127.0.0.1:{port}": ImpairedNetwork(f"n{port}", port) for port in (1, 2, 3)}
        self.silent: set[str] = set()

    def network(self, address: str) -> dict[str, Any]:
        if address in self.silent:
            raise Unavailable("no_leader", f"no node answers at {address}")
        return self.nodes[address].described()

    def change(self, address: str, change: dict[str, Any]) -> dict[str, Any]:
        self.nodes[address].change(read_change(json.dumps(change).encode()))
        return self.network(address)

    def cut(self) -> set[str]:
        """All directions that are cut."""
        found = set()
        for node in self.nodes.values():
            found |= {f"{node.source}>{peer}" for peer in node.cut}
            found |= {f"{node.source}>clients"} if node.clients.is_cut else set()
        return found

    def set(self) -> set[str]:
        """What is set, with the conditions."""
        found = set()
        for node in self.nodes.values():
            found |= {f"{node.source}>{peer} {words}" for peer, words in node.links.items()}
            found |= {f"{node.source} {node.default}"} if node.default else set()
            found |= (
                {f"{node.source}>clients {node.clients.conditions}"} if node.clients.conditions else set()
            )
        return found


@pytest.fixture
def wires(monkeypatch: pytest.MonkeyPatch) -> Wires:
    made = Wires()
    monkeypatch.setattr(Client, "network", lambda self, address: made.network(address))
    monkeypatch.setattr(Client, "change_network", lambda self, address, change: made.change(address, change))
    return made


@pytest.fixture
def prompt(wires: Wires) -> Prompt:
    control = FakeControl()
    control.network = FaultyNetwork({f"n{port}": f"127.0.0.1:{port}" for port in (1, 2, 3)})
    made = Prompt(Client("127.0.0.1:1"))
    made.interpreter.cluster = control
    return made


ALONE = {"n1>n2", "n1>n3", "n2>n1", "n3>n1"}


@pytest.mark.parametrize(
    ("line", "directions", "said"),
    [
        (".cut n1", ALONE, "cut: n1 from n2 and n3; clients are reached as before"),
        (".cut n1 clients", {*ALONE, "n1>clients"}, "cut: n1 from n2 and n3, and from its clients"),
        (".cut n1 n2", {"n1>n2", "n2>n1"}, "cut: n1 and n2, both ways"),
        (".cut n1 > n2", {"n1>n2"}, "cut: nothing passes from n1 to n2; the other way is as before"),
        (".cut n1>n2,n3", {"n1>n2", "n1>n3"}, "cut: nothing passes from n1 to n2 and n3; the other way"),
        (".cut n1 | n2, n3", ALONE, "cut: n1 | n2 and n3; nothing passes between these groups"),
        (".cut n2,n3", ALONE, "cut: n2 and n3 from n1"),
        (".cut n1|n2|n3", {*ALONE, "n2>n3", "n3>n2"}, "cut: n1 | n2 | n3"),
    ],
)
def test_a_cut_is_of_the_directions_that_are_named(
    prompt: Prompt, wires: Wires, line: str, directions: set[str], said: str
) -> None:
    (answer,) = prompt.type(line)
    assert wires.cut() == directions
    assert answer.startswith(said)
    assert answer.endswith("; .heal ends it")
    assert prompt.type(".heal") == ["all cuts are over"]
    assert wires.cut() == set()


def test_a_cut_comes_on_top_of_those_that_there_are(prompt: Prompt, wires: Wires) -> None:
    prompt.type(".cut n1 n2")
    prompt.type(".cut n1 > n3")
    assert wires.cut() == {"n1>n2", "n2>n1", "n1>n3"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("n9", "there is no node 'n9'"),
        ("n1 n9", "there is no node 'n9'"),
        ("clients", "there is no node 'clients'"),
        ("n1 n1", "n1 is named twice"),
        ("n1 | n1", "n1 is named twice"),
        ("n1 n2 n3", "three nodes are no link"),
        ("n1 | n2 > n3", "not both"),
        ("n1 > n2 > n3", "one side to the other"),
        ("n1 >", "a side has no nodes"),
        ("n1,n2 n3", "between groups stands a |"),
    ],
)
def test_what_is_no_cut_is_refused(words: str, message: str) -> None:
    with pytest.raises(RequestRefused) as refused:
        parse_cut(words.split(), NODES)
    assert message in refused.value.message
    assert refused.value.hint


@pytest.mark.parametrize(
    ("line", "conditions", "said"),
    [
        (
            ".network Delay 0.1s 50ms",
            {f"{node} delay 100ms 50ms" for node in NODES},
            "on all links: delay 100ms",
        ),
        (".network n1 n2 loss 5%", {"n1>n2 loss 5%", "n2>n1 loss 5%"}, "between n1 and n2: loss 5%"),
        (".network n1 > n2 loss 5%", {"n1>n2 loss 5%"}, "from n1 to n2: loss 5%"),
        (".network n1 clients delay 5ms", {"n1>clients delay 5ms"}, "between n1 and its clients: delay 5ms"),
        (
            ".network clients delay 5ms",
            {f"{node}>clients delay 5ms" for node in NODES},
            "between all nodes and their clients: delay 5ms",
        ),
    ],
)
def test_conditions_are_set_where_it_is_said(
    prompt: Prompt, wires: Wires, line: str, conditions: set[str], said: str
) -> None:
    (answer,) = prompt.type(line)
    assert wires.set() == conditions
    assert answer.startswith(said)


def test_none_ends_what_was_set_for_single_links_too(prompt: Prompt, wires: Wires) -> None:
    prompt.type(".network n1 n2 loss 5%")
    assert prompt.type(".network none") == ["on all links: nothing is done to messages any more"]
    assert wires.set() == set()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("n1", "between two nodes"),
        ("n1 loss 5%", "between two nodes"),
        ("n1 n1 loss 5%", "between two nodes"),
    ],
)
def test_a_setting_for_half_a_link_is_refused(words: str, message: str) -> None:
    with pytest.raises(RequestRefused, match=message):
        parse_setting(words.split(), NODES)


def test_wrong_words_are_refused_before_any_node_is_told(prompt: Prompt, wires: Wires) -> None:
    with pytest.raises(RequestRefused) as refused:
        prompt.type(".network n1 n2 loss 5")
    assert refused.value.hint is not None
    assert "loss 5%" in refused.value.hint
    assert wires.set() == set()


def test_the_network_is_a_table_of_directions(prompt: Prompt, wires: Wires) -> None:
    prompt.type(".network n1 n2 loss 5%")
    prompt.type(".cut n2 > n3")
    for node in wires.nodes.values():
        for peer in NODES:
            if peer != node.source:
                node.lane(peer)
    wires.nodes["127.0.0.1:2"].lane("n3").put("message", 1, 0.0)
    wires.silent = {"127.0.0.1:3"}
    lines = [line.split() for line in prompt.type(".network")]
    assert lines[0][:4] == ["from", "to", "network", "passed"]
    assert ["n1", "n2", "loss", "5%", *"0000000"] in lines
    assert ["n1", "n3", "none", *"0000000"] in lines
    assert ["n2", "n3", "cut", *"0000001"] in lines
    assert not any("clients" in line for line in lines), "they have a line only if something is done to them"
    assert ["n3", "-", "no", "node"] in [line[:4] for line in lines]


def test_healing_says_what_stays(prompt: Prompt, wires: Wires) -> None:
    prompt.type(".network loss 5%")
    for node in wires.nodes.values():
        node.lane("n1")
    assert prompt.type(".heal") == ["all cuts are over; loss 5% stays, .network none ends it"]


def test_nodes_that_do_not_answer_are_named_after_the_others_were_told(prompt: Prompt, wires: Wires) -> None:
    wires.silent = {"127.0.0.1:3"}
    with pytest.raises(RaftdbError, match="n3: no node answers") as failed:
        prompt.type(".cut n1")
    assert failed.value.hint is not None
    assert "the other nodes were told" in failed.value.hint
    assert wires.cut() == {"n1>n2", "n1>n3", "n2>n1"}


def test_a_node_that_is_started_again_is_told_again(wires: Wires) -> None:
    network = FaultyNetwork({f"n{port}": f"127.0.0.1:{port}" for port in (1, 2, 3)})
    network.set("loss 5%")
    network.cut(("n1", "n2"), clients=["n1"])
    wires.nodes["127.0.0.1:1"] = ImpairedNetwork("n1", 9)
    network.restore("n1")
    again = wires.nodes["127.0.0.1:1"]
    assert (str(again.default), again.clients.is_cut) == ("loss 5%", True)
    assert again.cut == {"n2"}
    network.nodes["n4"] = "127.0.0.1:4"
    wires.nodes["127.0.0.1:4"] = ImpairedNetwork("n4", 9)
    network.restore("n4")
    assert str(wires.nodes["127.0.0.1:4"].default) == "loss 5%", (
        "one that was added is told what all were told"
    )
