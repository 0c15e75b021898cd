"""Real nodes on the page that teaches: a leader is killed and started, and a link is cut, from a browser."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from cli.local.cluster import LocalCluster
from cli.local.control import PageControl
from cli.local.folder import PORTS_FIRST, LocalFolder
from cli.local.process import NodeState
from tests.e2e.cluster import free_ports
from tests.web.chrome import Browser, Tab
from tests.web.support import IN_BROWSER

pytestmark = IN_BROWSER
ROW = "[...document.querySelectorAll('.deeds tr')].find(row => row.firstChild.textContent === '%s')"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    ports_first = dict(zip(PORTS_FIRST, free_ports(len(PORTS_FIRST)), strict=True))
    folder = LocalFolder(tmp_path_factory.mktemp("live") / "data", ports_first=ports_first)
    folder.lock()
    cluster = LocalCluster(folder, folder.create(3), logs_to_files=True)
    control = PageControl(cluster)
    try:
        control.start()
        cluster.start()
        yield cluster
    finally:
        control.close()
        cluster.stop()
        folder.unlock()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tab(browser: Browser, cluster: LocalCluster) -> AsyncIterator[Tab]:
    async with browser.tab() as tab:
        await tab.open((cluster.dashboard_url or "").replace("/#", "/learn/live#"))
        await tab.wait("globalThis.raftdbCluster?.leader?.id")
        yield tab


async def press(tab: Tab, node: str, words: str) -> None:
    buttons = f"[...({ROW % node}?.querySelectorAll('button') ?? [])]"
    button = f"{buttons}.find(one => one.textContent === '{words}' && !one.hidden)"
    await tab.wait(f"{button} && !{button}.disabled")
    await tab.run(f"{button}.click()")


async def test_a_leader_is_killed_and_started_from_the_page(tab: Tab, cluster: LocalCluster) -> None:
    leader = await tab.wait("globalThis.raftdbCluster?.leader?.id")
    await press(tab, leader, "Kill")
    await tab.wait(f"raftdbCluster.leader && raftdbCluster.leader.id !== '{leader}'")
    assert cluster.state(leader) is NodeState.STOPPED
    await tab.wait(
        "[...document.querySelectorAll('.ring .below')].some(one => one.textContent === 'is down')"
    )
    await press(tab, leader, "Start")
    await tab.wait(f"raftdbCluster.nodes.get('{leader}').isHeard")
    await press(tab, leader, "Pause")
    await tab.wait(f"{ROW % leader}.innerText.includes('is paused')")
    assert cluster.state(leader) is NodeState.PAUSED
    await press(tab, leader, "Go on")
    await tab.wait(f"!{ROW % leader}.innerText.includes('is paused')")
    assert cluster.state(leader) is NodeState.RUNNING
    await tab.wait("[...raftdbCluster.nodes.values()].every(node => node.isHeard)")


async def test_a_link_is_cut_and_healed_and_the_picture_says_so(tab: Tab, cluster: LocalCluster) -> None:
    def button(words: str) -> str:
        return f"[...document.querySelectorAll('.links button')].find(one => one.textContent === '{words}')"

    await tab.wait(f"!{button('Cut')}.disabled")
    await tab.run("document.querySelectorAll('.links select')[1].value = 'n2'")
    await tab.run(f"{button('Cut')}.click()")
    await tab.wait("document.querySelector('.links').innerText.includes('cut: n1 to n2 and n2 to n1')")
    await tab.wait("document.querySelectorAll('.ring line.cut').length === 1")
    await tab.run(f"{button('Heal all')}.click()")
    await tab.wait("document.querySelector('.links').innerText.includes('All links are whole.')")


async def test_a_server_is_dragged_out_of_the_ring_and_back(tab: Tab, cluster: LocalCluster) -> None:
    """It is cut off from the others, which go on to hear each other; what it was cut off from hears it again."""
    await tab.wait("document.querySelector('.ring.grips') !== null")
    box = "[...document.querySelectorAll('.ring .node')][%d].querySelector('circle').getBoundingClientRect()"

    async def at(number: int) -> tuple[float, float]:
        await tab.run("document.querySelector('.ring').scrollIntoView({block: 'center'})")
        x, y = await tab.run(
            f"(() => {{ const one = {box % number}; return [one.x + one.width / 2, one.y + one.height / 2] }})()"
        )
        return x, y

    async def drag(start: tuple[float, float], end: tuple[float, float]) -> None:
        for kind, (x, y) in (("mousePressed", start), ("mouseMoved", end), ("mouseReleased", end)):
            await tab.call(
                "Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1
            )

    place, others = await at(1), await at(2)
    outside = (place[0] + 60.0, place[1] - 160.0)
    words = "document.querySelector('.links').innerText"
    await drag(place, outside)
    await tab.wait(f"{words}.includes('cut: n1 to n2, n2 to n1, n2 to n3 and n3 to n2')")
    await tab.wait("document.querySelectorAll('.ring line.cut').length === 2")
    assert await at(2) == others
    moved = await at(1)
    assert moved == pytest.approx(outside, abs=1)
    await drag(moved, place)
    await tab.wait(f"{words}.includes('All links are whole')")
    assert await at(1) == pytest.approx(place, abs=1)
    await tab.wait("raftdbCluster.list().every(one => one.isHeard) && raftdbCluster.leader !== null")


async def test_the_picture_is_stopped_and_moved_back_and_real_nodes_are_not(tab: Tab) -> None:
    assert "Real nodes cannot be taken back" in await tab.run("document.querySelector('.lead').innerText")
    slider = "document.querySelector('.transport input')"
    await tab.wait(
        f"{slider}.value = {slider}.min, {slider}.dispatchEvent(new Event('input')), "
        "document.querySelector('.clock').textContent.includes('ago')"
    )
    assert await tab.run("document.querySelectorAll('.ring .node').length") == 3
    await tab.run("document.querySelector('.transport button').click()")
    assert await tab.run("document.querySelector('.clock').textContent") == "now"


async def test_the_first_page_shows_the_links_and_sets_them(browser: Browser, cluster: LocalCluster) -> None:
    async with browser.tab() as first:
        await first.open(cluster.dashboard_url or "")
        cell = "document.querySelectorAll('.links-table tbody tr')[%d]?.children[%d]"
        await first.wait(f"{cell % (0, 2)}?.innerText === 'whole'")
        form = "document.querySelector('.links-form')"
        await first.run(f"{form}.querySelectorAll('select')[0].value = 'n1'")
        await first.run(f"{form}.querySelectorAll('select')[1].value = 'n2'")
        await first.run(f"{form}.querySelector('input').value = 'delay 20ms'")
        press = f"[...{form}.querySelectorAll('button')].find(one => one.textContent === '%s').click()"
        await first.run(press % "Set")
        await first.wait(
            f"{cell % (0, 2)}.innerText === 'delay 20ms' && {cell % (1, 1)}.innerText === 'delay 20ms'"
        )
        assert await first.run(f"{cell % (0, 3)}.innerText") == "whole"
        await first.run(f"{form}.querySelector('input[type=checkbox]').checked = false")
        await first.run(press % "Cut")
        await first.wait(f"{cell % (0, 2)}.innerText === 'cut' && {cell % (1, 1)}.innerText === 'delay 20ms'")
        await first.run(f"{form}.querySelectorAll('select')[0].value = ''")
        await first.run(f"{form}.querySelectorAll('select')[1].value = ''")
        await first.run(press % "Heal")
        await first.wait(f"{cell % (0, 2)}.innerText === 'delay 20ms'")
        await first.run(f"{form}.querySelector('input').value = ''")
        await first.run(press % "Set")
        await first.wait(
            "![...document.querySelectorAll('.links-table td')].some(one => one.innerText.match(/cut|delay/))"
        )
        assert first.errors == []


async def test_who_is_cut_off_is_not_called_healthy(browser: Browser, cluster: LocalCluster) -> None:
    async with browser.tab() as first:
        await first.open(cluster.dashboard_url or "")
        headline = "document.querySelector('.banner').innerText"
        await first.wait(f"document.querySelector('.links-form') && {headline}.includes('Healthy')")
        follower = await first.wait(
            "raftdbCluster.list().find(one => one.status?.role === 'follower' && one.isHeard)?.id"
        )
        form = "document.querySelector('.links-form')"
        await first.wait(f"{form}.querySelectorAll('option').length === 8")
        await first.run(f"{form}.querySelectorAll('select')[0].value = '{follower}'")
        press = f"[...{form}.querySelectorAll('button')].find(one => one.textContent === '%s').click()"
        await first.run(press % "Cut")
        await first.wait(f"{headline}.includes('{follower} is cut off')")
        assert "2 of 3 nodes are up and in touch, no other may fail" in await first.run(headline)
        await first.wait("document.querySelectorAll('.ring line.cut:not(.half)').length === 2")
        await first.run(f"{form}.querySelectorAll('select')[0].value = ''")
        await first.run(press % "Cut")
        await first.wait(f"{headline}.startsWith('No leader')")
        assert "links between them are cut" in await first.run(headline)
        await first.run(press % "Heal")
        await first.wait(f"{headline}.includes('all 3 nodes are up, one more may fail')")
        await first.wait("document.querySelectorAll('.ring line.cut').length === 0")
        assert first.errors == []


async def test_without_the_token_the_page_only_looks(browser: Browser, cluster: LocalCluster) -> None:
    address = (cluster.dashboard_url or "").partition("#")[0]
    async with browser.tab() as stranger:
        await stranger.size(360, 900, dark=True)
        await stranger.open(f"{address}learn/live")
        await stranger.wait("document.querySelectorAll('.deeds tr').length === 3")
        assert "raftdb up printed" in await stranger.run("document.querySelector('.notice.warn').innerText")
        assert await stranger.run("document.querySelectorAll('.deeds button:enabled').length") == 0
        await stranger.wait("document.documentElement.scrollWidth <= 360")
        assert cluster.state("n1") is NodeState.RUNNING
