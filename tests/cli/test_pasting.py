"""What is pasted arrives as a few key presses, and is the same text."""

from hypothesis import given
from hypothesis import strategies as st
from prompt_toolkit.key_binding import KeyPress
from prompt_toolkit.keys import Keys

from cli.prompt.pasting import RUN_MIN, joined

ENTER, ESCAPE = KeyPress(Keys.ControlM, "\r"), KeyPress(Keys.Escape, "\x1b")


def typed(text: str) -> list[KeyPress]:
    return [KeyPress(character) for character in text]


@given(st.lists(st.one_of(st.characters().map(KeyPress), st.sampled_from([ENTER, ESCAPE])), max_size=60))
def test_nothing_is_lost_and_keys_stay_in_their_places(keys: list[KeyPress]) -> None:
    pressed = joined(keys)
    assert "".join(key.data for key in pressed) == "".join(key.data for key in keys)
    assert [key for key in pressed if key in (ENTER, ESCAPE)] == [
        key for key in keys if key in (ENTER, ESCAPE)
    ]


def test_a_long_run_is_one_key_press_behind_its_first_character() -> None:
    line = "set kunci " + "x" * 20_000
    assert joined([*typed(line), ENTER, *typed(line)]) == [
        KeyPress("s"),
        KeyPress(Keys.BracketedPaste, line[1:]),
        ENTER,
        KeyPress("s"),
        KeyPress(Keys.BracketedPaste, line[1:]),
    ]


def test_a_few_characters_are_keys() -> None:
    keys = [ESCAPE, *typed("x" * RUN_MIN), ENTER]
    assert joined(keys) == keys
    keys = typed("x\t" * 100)
    assert joined(keys) == keys
