"""What is set for the links of one node."""

from raftdb.impairment import network as networks
from raftdb.impairment.conditions import NO_CONDITIONS, parse_conditions
from raftdb.impairment.network import ImpairedNetwork, NetworkChange

SLOW = parse_conditions("delay 1s")
LOSSY = parse_conditions("loss 5%")


def test_a_link_has_conditions_of_its_own_or_the_default() -> None:
    network = ImpairedNetwork("n1", 1, LOSSY)
    assert network.lane("n2").conditions == LOSSY
    network.change(NetworkChange(links={"n2": SLOW}))
    assert (network.lane("n2").conditions, network.lane("n3").conditions) == (SLOW, LOSSY)
    network.change(NetworkChange(links={}, default=NO_CONDITIONS))
    assert network.lane("n2").conditions == NO_CONDITIONS


def test_what_is_left_out_stays() -> None:
    network = ImpairedNetwork("n1", 1, LOSSY)
    network.change(NetworkChange(cut=frozenset({"n2"}), cut_clients=True))
    network.change(NetworkChange(clients=SLOW))
    assert network.lane("n2").is_cut
    assert (network.lane("n2").conditions, network.clients.conditions) == (LOSSY, SLOW)
    assert network.clients.is_cut


def test_a_change_says_which_peers_are_cut_no_longer() -> None:
    network = ImpairedNetwork("n1", 1)
    assert network.change(NetworkChange(cut=frozenset({"n2", "n3"}))) == frozenset()
    assert network.change(NetworkChange(default=SLOW)) == frozenset()
    assert network.change(NetworkChange(cut=frozenset({"n3", "n4"}))) == {"n2"}


def test_each_direction_has_a_chance_of_its_own_which_the_seed_decides() -> None:
    def fates(source: str, target: str, seed: int) -> list[float | None]:
        lane = ImpairedNetwork(source, seed, parse_conditions("delay 100ms 50ms")).lane(target)
        return [lane.arrival_s(100, 0.0) for _ in range(5)]

    assert fates("n1", "n2", 1) == fates("n1", "n2", 1)
    others = [fates("n2", "n1", 1), fates("n1", "n3", 1), fates("n1", "n2", 2)]
    assert fates("n1", "n2", 1) not in others


def test_another_seed_is_for_the_directions_that_there_are_and_for_new_ones() -> None:
    network = ImpairedNetwork("n1", 1, parse_conditions("delay 100ms 50ms"))
    before = network.lane("n2")
    network.change(NetworkChange(seed=2))
    again = ImpairedNetwork("n1", 2, network.default)
    assert before.arrival_s(1, 0.0) == again.lane("n2").arrival_s(1, 0.0)
    assert network.lane("n3").arrival_s(1, 0.0) == again.lane("n3").arrival_s(1, 0.0)


def test_directions_are_bounded() -> None:
    network = ImpairedNetwork("n1", 1)
    for number in range(networks.LINKS_MAX + 5):
        network.lane(f"x{number}")
    assert len(network.described()["links"]) == networks.LINKS_MAX


def test_it_is_described_in_words() -> None:
    network = ImpairedNetwork("n1", 7, LOSSY)
    network.change(NetworkChange(links={"n2": SLOW}, cut=frozenset({"n3"})))
    network.lane("n3").put("message", 10, 0.0)
    described = network.described()
    assert (described["id"], described["seed"], described["default"]) == ("n1", 7, "loss 5%")
    assert {
        peer: (link["own"], link["conditions"], link["is_cut"]) for peer, link in described["links"].items()
    } == {
        "n2": (True, "delay 1000ms", False),
        "n3": (False, "loss 5%", True),
    }
    assert described["links"]["n3"]["counts"]["cut"] == 1
    assert described["clients"]["conditions"] == "none"
    assert network.said() == {"seed": "7", "default": "loss 5%", "links": "n2 delay 1000ms", "cut": "n3"}
