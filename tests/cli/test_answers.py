"""How the answers of some commands are laid out for people."""

from cli.run.answers import TABLES
from raftdb.client.model import Value


def test_pairs_are_two_columns() -> None:
    assert TABLES["scan"]([b"a", b"1", b"long", None]) == 'key     value\n"a"     "1"\n"long"  (nil)'


def test_deliveries_are_rows_whose_receipts_can_be_typed_again() -> None:
    assert TABLES["receive"]([[b"7-0", b"7-0-1", 1, b"to Ana"], [b"12-0", b"12-0-3", 3, b""]]) == (
        'id    receipt  deliveries  value\n7-0   7-0-1             1  "to Ana"\n12-0  12-0-3            3  ""'
    )


def test_names_stand_before_their_values_and_lists_beside_them() -> None:
    holders: list[Value] = [[b"ana", b"exclusive", 65536, 10, 29990]]
    info: list[Value] = [b"limit", 0, b"held", 1, b"holders", holders, b"line", []]
    assert TABLES["lockinfo"](info) == (
        "limit    0\n"
        "held     1\n"
        "holders  owner  mode       token  since_ms  left_ms\n"
        "         ana    exclusive  65536        10    29990\n"
        "line     (empty list)"
    )


def test_messages_are_apart() -> None:
    messages: list[Value] = [[b"id", b"7-0", b"until_ms", None], [b"id", b"8-0", b"until_ms", 5]]
    assert TABLES["peek"](messages) == 'id        "7-0"\nuntil_ms  (nil)\n\nid        "8-0"\nuntil_ms  5'


def test_locks_are_rows() -> None:
    assert TABLES["locks"]([[b"two words", b"shared", 2, 1]]) == (
        'name         mode    holders  waiting\n"two words"  shared        2        1'
    )


def test_what_others_have_named_does_no_harm_to_the_terminal() -> None:
    assert "\x1b" not in TABLES["locks"]([[b"\x1b[2J", b"shared", 2, 1]])
    assert "\x1b" not in TABLES["lockinfo"]([b"line", [[b"\x1b[2J", b"shared", 5]]])
