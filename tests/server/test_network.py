"""Whom a node dials, and where: the configuration, what peers say of themselves, and who dials."""

from raftdb.server.network import AddressBook

MEMBERS = {"n2": "10.0.0.2:1", "n3": "10.0.0.3:1"}


def book(members: dict[str, str] | None = None) -> AddressBook:
    made = AddressBook()
    made.members = MEMBERS if members is None else members
    return made


def test_members_are_dialled_where_the_configuration_says() -> None:
    assert book().wanted(frozenset({"n2"})) == MEMBERS
    assert book().of("n9") is None


def test_who_says_that_it_has_moved_is_dialled_there() -> None:
    addresses = book()
    addresses.announced("n2", "10.0.0.9:1")
    assert addresses.wanted(frozenset({"n2"})) == {**MEMBERS, "n2": "10.0.0.9:1"}
    addresses.announced("n2", "10.0.0.8:1")
    assert addresses.of("n2") == "10.0.0.8:1"
    assert addresses.wanted(frozenset()) == {**MEMBERS, "n2": "10.0.0.8:1"}, "also while its link is down"


def test_what_the_configuration_says_later_counts() -> None:
    addresses = book()
    addresses.announced("n2", "10.0.0.9:1")
    addresses.members = {**MEMBERS, "n2": "10.0.0.9:1"}
    assert addresses.of("n2") == "10.0.0.9:1"
    addresses.members = {**MEMBERS, "n2": "10.0.0.7:1"}
    assert addresses.of("n2") == "10.0.0.7:1"


def test_who_dials_a_node_that_does_not_know_it_is_dialled_back() -> None:
    """A node that joins knows nobody, or only members of long ago, until it has the log of its unknown leader."""
    for members in ({}, MEMBERS):
        addresses = book(members)
        addresses.announced("n7", "10.0.0.7:1")
        assert addresses.wanted(frozenset({"n7"})) == {**members, "n7": "10.0.0.7:1"}
        assert addresses.wanted(frozenset()) == members, "not for longer than it dials"
        assert addresses.of("n7") == "10.0.0.7:1"


def test_who_has_said_nothing_cannot_be_dialled_back() -> None:
    assert book().wanted(frozenset({"n7"})) == MEMBERS


def test_a_leader_that_is_being_removed_still_gets_its_answers() -> None:
    """Who has the entry that removes it must acknowledge it, or it is never committed."""
    addresses = book()
    addresses.announced("n2", MEMBERS["n2"])
    addresses.members = {"n3": MEMBERS["n3"]}
    assert addresses.wanted(frozenset({"n2", "n3"})) == MEMBERS
    assert addresses.wanted(frozenset({"n3"})) == {"n3": MEMBERS["n3"]}
