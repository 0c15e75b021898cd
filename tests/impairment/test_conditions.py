"""The words of conditions, both ways, and what is refused with what to say instead."""

import pytest

from raftdb.impairment.conditions import (
    NO_CONDITIONS,
    WORDS_CHARACTERS_MAX,
    BadConditions,
    Conditions,
    parse_conditions,
)

WORDS: dict[str, Conditions] = {
    "none": NO_CONDITIONS,
    "delay 100ms": Conditions(delay_ms=100),
    "delay 100ms 50ms": Conditions(delay_ms=100, jitter_ms=50),
    "delay 100ms 50ms distribution normal": Conditions(delay_ms=100, jitter_ms=50, distribution="normal"),
    "loss 0.3%": Conditions(loss_percent=0.3),
    "rate 1mbit": Conditions(rate_bits_per_s=1_000_000),
    "rate 1500kbit": Conditions(rate_bits_per_s=1_500_000),
    "rate 9bit limit 5": Conditions(rate_bits_per_s=9, limit_messages=5),
    "delay 100ms 50ms loss 5% duplicate 2% corrupt 5% reorder 8%": Conditions(
        delay_ms=100,
        jitter_ms=50,
        loss_percent=5,
        duplicate_percent=2,
        corrupt_percent=5,
        reorder_percent=8,
    ),
}


@pytest.mark.parametrize("words", WORDS)
def test_words_are_a_value_and_a_value_is_words(words: str) -> None:
    assert parse_conditions(words) == WORDS[words]
    assert str(WORDS[words]) == words


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ("DELAY 1.5s  50us", "delay 1500ms 0.05ms"),
        ("delay 100ms 50ms distribution uniform", "delay 100ms 50ms"),
        ("loss random 5%", "loss 5%"),
        ("loss 0%", "none"),
        ("limit 1000", "none"),
        ("corrupt 1% delay 1msec", "delay 1ms corrupt 1%"),
        ("rate 100kbps", "rate 800kbit"),
        ("rate 1gbit", "rate 1gbit"),
    ],
)
def test_there_are_other_words_for_the_same(other: str, words: str) -> None:
    assert str(parse_conditions(other)) == words


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        ("", "missing", "none"),
        ("latency 5ms", "'latency' is no condition", "delay"),
        ("gap 5", "'gap' is no condition", "raftdb has: delay"),
        ("none loss 5%", "'none' is no condition", "delay"),
        ("delay", "one time, or two", "delay 100ms"),
        ("delay 100", "'100' is no time", "100ms"),
        ("delay -1ms", "'-1ms' is no time", "100ms"),
        ("delay 61s", "60s at most", "delay 1s"),
        ("delay 100ms 50ms 25%", "do not depend on each other", "delay 100ms 50ms"),
        ("delay 100ms distribution normal", "without variation", "50ms"),
        ("delay 100ms 50ms distribution pareto", "'pareto' is no distribution", "uniform or normal"),
        ("delay 100ms 50ms distribution", "'' is no distribution", "uniform or normal"),
        ("loss 5", "a share", "loss 5%"),
        ("loss 101%", "from 0% to 100%", "loss 5%"),
        ("loss 5% 25%", "a share", "does not depend on the ones before"),
        ("loss 5% loss 6%", "said twice", "for example"),
        ("reorder 8%", "reorder lets messages overtake", "delay 10ms reorder 25%"),
        ("rate 1", "a number with its unit", "rate 1mbit"),
        ("rate 0mbit", "a number with its unit", "rate 1mbit"),
        ("limit 0", "from 1 to 100,000", "limit 1000"),
        ("limit 1e3", "from 1 to 100,000", "limit 1000"),
        ("delay 1ms " + "x" * WORDS_CHARACTERS_MAX, "characters at most", "for example"),
    ],
)
def test_what_is_no_condition_is_refused_with_what_to_say_instead(
    words: str, message: str, hint: str
) -> None:
    with pytest.raises(BadConditions) as refused:
        parse_conditions(words)
    assert message in refused.value.message
    assert hint in refused.value.hint


def test_only_a_link_under_conditions_is_true() -> None:
    assert not NO_CONDITIONS
    assert Conditions(limit_messages=5)
