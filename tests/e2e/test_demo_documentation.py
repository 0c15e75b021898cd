"""docs/demos.md tells of the demonstrations as they are."""

import re

import pytest

from cli.demo.plays import DEMOS
from cli.demo.steps import Demo
from tests.e2e.demo_documentation import HEAD, page_of, sentence_pattern

MAKE = "run python -m tests.e2e.demo_documentation"


def test_the_page_has_all_demonstrations_in_order() -> None:
    page = page_of()
    assert page.startswith(HEAD), MAKE
    assert re.findall(r"^## (\w+)$", page, re.MULTILINE) == list(DEMOS), MAKE


@pytest.mark.parametrize("demo", DEMOS.values(), ids=lambda demo: demo.name)
def test_the_page_tells_each_step_as_it_is_played(demo: Demo) -> None:
    text = page_of().partition(f"\n## {demo.name}\n")[2].partition("\n## ")[0]
    place = 0
    for number, step in enumerate(demo.steps, start=1):
        for words in (f"{number} {step.says}", f"expected: {step.expects.words}"):
            found = re.compile(sentence_pattern(words)).search(text, place)
            assert found is not None, (MAKE, number, words)
            place = found.end()
    assert f"{demo.name}: all {len(demo.steps)} steps were as expected" in text, MAKE
