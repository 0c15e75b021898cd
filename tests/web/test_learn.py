"""The page that teaches, in a real browser: a chapter is gone through by keyboard, back, and with a rule broken."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from raftdb.web import chapters
from tests.e2e.cluster import Cluster
from tests.web.chrome import Browser, Tab
from tests.web.support import IN_BROWSER

pytestmark = IN_BROWSER
STEPS_MAX = 60


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Any:
    cluster = Cluster(tmp_path_factory.mktemp("learn"), ["n1"])
    try:
        cluster.start()
        yield f"http://{cluster['n1'].address}"
    finally:
        cluster.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tab(browser: Browser) -> AsyncIterator[Tab]:
    async with browser.tab() as tab:
        yield tab
        assert tab.errors == []


WORDS = "document.querySelector('.words')?.innerText"
KEY = "document.dispatchEvent(new KeyboardEvent('keydown', {key: '%s'}))"


async def opened(tab: Tab, url: str) -> str:
    await tab.open(url)
    return str(await tab.wait(WORDS))


async def answer(tab: Tab) -> None:
    """If there is a question that waits for an answer, give the first one that is there."""
    await tab.run("document.querySelector('.choice:enabled')?.click()")


async def test_a_chapter_goes_to_its_end_and_back(tab: Tab, address: str) -> None:
    first = await opened(tab, f"{address}/learn/election")
    assert "Three servers" in first
    places = [await tab.run("location.search")]
    for _ in range(STEPS_MAX):
        await answer(tab)
        await tab.run(KEY % "ArrowRight")
        if await tab.run("document.querySelector('.controls .primary').textContent") == "Skip":
            await tab.run(KEY % "ArrowRight")
        places.append(await tab.run("location.search"))
        if "That was this chapter." in await tab.run(WORDS):
            break
    assert "That was this chapter." in await tab.run(WORDS)
    # What is shown follows from the place: two servers are up to date with the leader at the end, in one term.
    terms = "[...document.querySelectorAll('.ring .role')].map(one => one.textContent)"
    assert len(set(await tab.run(terms))) == 1
    for _ in places:
        await tab.run(KEY % "ArrowLeft")
    assert await tab.run(WORDS) == first
    assert "at=0" in await tab.run("location.search")


async def test_a_lesson_is_a_link(tab: Tab, address: str) -> None:
    await opened(tab, f"{address}/learn/repair?at=5&seed=23")
    words = await tab.run(WORDS)
    link = await tab.run("location.pathname + location.search")
    assert "at=5" in link
    assert "seed=23" in link
    await tab.open(address + "/learn")
    await tab.wait("document.querySelectorAll('.chapter').length > 0")
    assert await opened(tab, address + link) == words
    assert "b=lost" in await tab.run("document.querySelector('.logs').innerText")


async def test_a_question_shows_nothing_before_it_is_answered(tab: Tab, address: str) -> None:
    await opened(tab, f"{address}/learn/election?at=1")
    assert "Any two majorities" not in await tab.run(WORDS)
    assert await tab.run("document.querySelector('.controls .primary').disabled")
    await answer(tab)
    assert "Any two majorities" in await tab.run(WORDS)
    assert not await tab.run("document.querySelector('.controls .primary').disabled")


async def test_a_broken_rule_lights_its_lamp_and_points_at_what_shows_it(tab: Tab, address: str) -> None:
    lamps = "[...document.querySelectorAll('.lamp.broken')].map(one => one.innerText)"
    pointed = "document.querySelectorAll('.entry.pointed').length"
    await opened(tab, f"{address}/learn/commitment?break=old_terms_counted")
    assert await tab.run("document.querySelectorAll('.lamp').length") == 5
    assert (await tab.run(lamps), await tab.run(pointed)) == ([], 0)
    for _ in range(STEPS_MAX):
        await answer(tab)
        await tab.run(KEY % "ArrowRight")
        await tab.run(KEY % "ArrowRight")
        if await tab.run(f"{lamps}.length") == 2:
            break
    (complete, safe) = sorted(await tab.run(lamps))
    assert "Leader completeness is broken" in complete
    assert "“set y old” (index 3, term 2)" in complete
    assert "State machine safety is broken" in safe
    assert "A promise is broken" in await tab.run(WORDS)
    assert await tab.run(pointed) >= 1
    assert await tab.run("document.querySelectorAll('.node.pointed').length") >= 2
    # The lamp says where it was seen, and the lesson goes on to its end.
    await tab.run("document.querySelector('.lamp.broken button').click()")
    assert (
        await tab.run("document.querySelector('.lamp.broken button').getAttribute('aria-pressed')") == "true"
    )
    for _ in range(STEPS_MAX):
        await answer(tab)
        await tab.run(KEY % "ArrowRight")
        await tab.run(KEY % "ArrowRight")
        if "nothing prevented that" in await tab.run(WORDS):
            break
    assert "entries of old terms are committed by counting" in await tab.run(WORDS)


@pytest.mark.parametrize("width", [1280, 360])
async def test_chapters_fit_wide_and_narrow_windows(
    tab: Tab, address: str, width: int, tmp_path: Path
) -> None:
    await tab.size(width, 900, dark=width == 360)
    for name in sorted(chapters()):
        await opened(tab, f"{address}/learn/{name}?at=4")
        await tab.wait(f"document.documentElement.scrollWidth <= {width}")
        await tab.photograph(tmp_path / f"{name}.png")
