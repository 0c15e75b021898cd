"""The shared note in a real browser: two people on two nodes, at once, and over the death of the leader."""

import json
from typing import Any

import pytest

from tests.e2e.cluster import Cluster, Node
from tests.web.chrome import Browser, Tab
from tests.web.support import ACTING, IN_BROWSER, TOKEN

pytestmark = IN_BROWSER
TEXT = "document.querySelector('.note-text')?.value"
STATUS = "document.querySelector('.note-foot')?.innerText"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Any:
    cluster = Cluster(tmp_path_factory.mktemp("note"), ["n1", "n2", "n3"])
    for node in cluster:
        node.environment = ACTING
    try:
        yield cluster.start()
    finally:
        cluster.close()


async def opened(tab: Tab, node: Node, name: str) -> None:
    await tab.open(f"http://{node.address}/note/{name}#token={TOKEN}")
    await tab.wait("document.querySelector('.note-text')?.disabled === false")


async def write(tab: Tab, text: str) -> None:
    """Have this text in the page, as if it was typed."""
    await tab.run(
        f"{TEXT.replace('?', '')} = {json.dumps(text)};"
        "document.querySelector('.note-text').dispatchEvent(new Event('input'))"
    )


async def reads(tab: Tab, text: str) -> None:
    await tab.wait(f"{TEXT} === {json.dumps(text)} && {STATUS}.includes('Saved')")


async def test_two_people_on_two_nodes_write_one_note(browser: Browser, cluster: Cluster) -> None:
    async with browser.tab() as one, browser.tab() as two:
        await opened(one, cluster["n1"], "shared")
        await opened(two, cluster["n2"], "shared")
        await write(one, "first\nmiddle\nlast")
        await reads(two, "first\nmiddle\nlast")
        await one.wait(f"{STATUS}.includes('somebody is here, too')")
        # Both at once, before either can have heard of the other.
        await write(one, "FIRST\nmiddle\nlast")
        await write(two, "first\nmiddle\nLAST")
        await reads(one, "FIRST\nmiddle\nLAST")
        await reads(two, "FIRST\nmiddle\nLAST")
        await write(one, "FIRST\none\nLAST")
        await write(two, "FIRST\ntwo\nLAST")
        both = "FIRST\\n(one\\ntwo|two\\none)\\nLAST"
        for tab in (one, two):
            await tab.wait(f"/^{both}$/.test({TEXT}) && {STATUS}.includes('Saved')")
        assert await one.run(TEXT) == await two.run(TEXT)
        shown = [await tab.run("document.querySelector('.conflict')?.innerText ?? ''") for tab in (one, two)]
        assert any("Both are kept" in words for words in shown), shown
        assert one.errors == two.errors == []


async def test_a_note_outlives_the_leader_and_markup_stays_text(browser: Browser, cluster: Cluster) -> None:
    text = (
        "<img src=x onerror=alert(1)>\n</textarea><script>window.isBad = true</script>\u202e\u0000 ünïcödé 🙂"
    )
    leader = cluster.leader()
    (follower, _) = cluster.others(leader)
    async with browser.tab() as tab:
        await opened(tab, follower, "lasting")
        await write(tab, "before")
        await reads(tab, "before")
        leader.kill9()
        await write(tab, text)
        await reads(tab, text)
        await tab.run("document.querySelector('.page-note details').open = true")
        await tab.wait("document.querySelectorAll('.versions li').length === 2")
        await tab.run("[...document.querySelectorAll('.versions button')].at(-1).click()")
        await reads(tab, "before")
        assert await tab.run("window.isBad") is None
        assert tab.errors == []
    leader.start()


async def test_who_may_not_act_reads(browser: Browser, cluster: Cluster) -> None:
    async with browser.tab() as tab:
        await tab.open(f"http://{cluster['n1'].address}/note/lasting")
        await tab.wait(f"{TEXT} === 'before'")
        assert await tab.run("document.querySelector('.note-text').readOnly")
