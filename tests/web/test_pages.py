"""The pages in a real browser, on a real cluster: one of each for all tests of this file."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from raftdb.web import PAGES
from tests.e2e.cluster import Cluster, Node
from tests.web.chrome import WAIT_S, Browser, Tab
from tests.web.support import ACTING, IN_BROWSER, TOKEN

pytestmark = IN_BROWSER

FIRST_BYTES_MAX = 150_000


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Any:
    cluster = Cluster(tmp_path_factory.mktemp("pages"), ["n1", "n2", "n3"])
    for node in cluster:
        # A browser keeps all processors busy when it starts, and no test here is about a leader that loses its office.
        node.environment = {**ACTING, "RAFTDB_ELECTION_TIMEOUT_MS": "1000"}
    try:
        yield cluster.start()
    finally:
        cluster.close()


@pytest_asyncio.fixture(loop_scope="module")
async def tab(browser: Browser, cluster: Cluster) -> AsyncIterator[Tab]:
    """A page that has failed nothing when the test is over; all nodes run before it."""
    cluster.start()
    async with browser.tab() as tab:
        yield tab
        assert tab.errors == []


async def opened(tab: Tab, node: Node, path: str = "/", *, token: str | None = TOKEN) -> None:
    await tab.open(f"http://{node.address}{path}" + (f"#token={token}" if token else ""))
    await tab.wait("document.querySelector('main .page') !== null")


async def headline(tab: Tab, words: str) -> None:
    """Wait until the sentence under the headline says this."""
    await tab.wait(f"document.querySelector('.banner')?.innerText.includes({json.dumps(words)})")


async def press(tab: Tab, card: str, button: str) -> None:
    """Press a button of a node's card once it is there."""
    found = (
        f"[...document.querySelectorAll('[data-node=\"{card}\"] button')]"
        f".find(one => one.textContent === {json.dumps(button)} && !one.hidden)"
    )
    await tab.wait(f"{found} !== undefined")
    await tab.run(f"{found}.click()")


async def test_the_first_page_says_who_leads_and_what_may_fail(tab: Tab, cluster: Cluster) -> None:
    node = cluster["n1"]
    await opened(tab, node)
    leader = cluster.leader()
    await headline(
        tab, f"{leader.name} leads term {leader.status()['term']}, all 3 nodes are up, one more may fail"
    )
    assert await tab.run("location.hash") == ""
    loaded = await tab.run(
        "performance.getEntriesByType('resource').reduce((sum, one) => sum + one.encodedBodySize, 0)"
    )
    assert 0 < loaded < FIRST_BYTES_MAX
    hosts = {f"http://{one.address}" for one in cluster}
    assert all(any(url.startswith(host) for host in hosts) for url in tab.requests)


async def test_a_leader_that_is_killed_is_followed_by_the_next_without_a_reload(
    tab: Tab, cluster: Cluster
) -> None:
    """The page comes from the node that dies: it goes on with what the others say."""
    leader = cluster.leader()
    await opened(tab, leader)
    await headline(tab, "Healthy")
    await tab.run("window.isTheSame = true")
    leader.kill9()
    await headline(tab, "2 of 3 nodes are up, no other may fail")
    new = cluster.leader()
    await headline(tab, f"{leader.name} is down\n\n{new.name} leads term")
    await tab.wait(f"document.querySelector('[data-node={leader.name}]').innerText.includes('last heard')")
    await tab.wait(f"document.querySelector('.story').innerText.includes('{new.name} leads now')")
    (other,) = cluster.others(leader, new)
    other.kill9()
    await headline(tab, "Only 1 of 3 nodes is up, and 2 must agree")
    other.start()
    await headline(tab, "2 of 3 nodes are up")
    leader.start()
    await headline(tab, "all 3 nodes are up, one more may fail")
    assert await tab.run("window.isTheSame")


async def test_another_node_is_let_lead(tab: Tab, cluster: Cluster) -> None:
    leader = cluster.leader()
    other = cluster.others(leader)[0]
    # The page is that of a follower, so what it asks for goes to another origin.
    await opened(tab, other)
    await headline(tab, f"{leader.name} leads")
    await press(tab, other.name, "Let it lead…")
    await tab.wait("document.activeElement.name === 'typed'")
    await tab.type(other.name)
    await tab.press("Enter")
    await headline(tab, f"{other.name} leads")


async def test_a_removal_needs_the_name_and_shows_the_arithmetic(tab: Tab, cluster: Cluster) -> None:
    leader = cluster.leader()
    other = cluster.others(leader)[0]
    await opened(tab, leader)
    await headline(tab, "Healthy")
    await press(tab, other.name, "Remove…")
    text = await tab.wait("document.querySelector('dialog[open]')?.innerText")
    assert "Before: 3 nodes vote, 2 are a majority, 3 are up: 1 node may fail." in text
    assert "After: 2 nodes vote, 2 are a majority, 2 are up: none may fail." in text
    # By keyboard: the name is typed, the button is not ready before, and Escape leaves all as it is.
    assert await tab.run("document.activeElement.name") == "typed"
    await tab.type("n9")
    assert await tab.run("document.querySelector('dialog button[type=submit]').disabled")
    await tab.press("Enter")
    await tab.press("Escape")
    await tab.wait("document.querySelector('dialog') === null")
    assert len(leader.status()["members"]) == 3


async def test_a_page_is_used_by_keyboard_alone(tab: Tab, cluster: Cluster) -> None:
    await opened(tab, cluster["n1"])
    await headline(tab, "Healthy")
    focused = "document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent"
    seen: list[str] = []
    while not any(name.startswith("n1: ") for name in seen):
        await tab.press("Tab")
        seen.append(await tab.run(focused))
        assert len(seen) < 20, seen
    assert seen[0] == "To the page"
    assert {"Cluster", "Timeline", "Log"} <= set(seen)
    # A node of the picture leads to its card.
    await tab.press("Enter")
    await tab.wait("document.activeElement.dataset.node === 'n1'")
    await tab.run("document.querySelector('nav a[href=\"/timeline\"]').focus()")
    await tab.press("Enter")
    await tab.wait("location.pathname === '/timeline' && document.querySelector('.timeline') !== null")
    assert await tab.run("document.activeElement.id") == "page"


async def test_without_the_token_a_page_only_looks(tab: Tab, cluster: Cluster) -> None:
    node = cluster["n1"]
    await opened(tab, node, token=None)
    await headline(tab, "Healthy")
    assert await tab.run("[...document.querySelectorAll('.node-card button')].every(one => one.hidden)")
    assert "To act, open the address" in await tab.text()
    answer = await tab.run(
        "fetch('/v1/leader/transfer', {method: 'POST', body: '{}'}).then(answer => answer.status)"
    )
    assert answer == 403


@pytest.mark.parametrize("page", [page.path for page in PAGES])
@pytest.mark.parametrize("dark", [False, True])
async def test_each_page_fits_wide_and_narrow_windows(
    tab: Tab, cluster: Cluster, page: str, dark: bool, tmp_path: Path
) -> None:
    for width in (1280, 360):
        await tab.size(width, 800, dark=dark)
        await opened(tab, cluster["n1"], page)
        await tab.wait("document.querySelector('main .page').childElementCount > 0")
        await tab.wait(f"document.documentElement.scrollWidth <= {width}")
        background = await tab.run("getComputedStyle(document.body).backgroundColor")
        assert (background == "rgb(18, 22, 28)") == dark
        await tab.photograph(tmp_path / f"{width}.png")


async def test_a_hidden_page_has_no_stream_open(browser: Browser, tab: Tab, cluster: Cluster) -> None:
    await opened(tab, cluster["n1"])
    await headline(tab, "Healthy")
    await tab.run(
        "Object.defineProperty(document, 'hidden', {get: () => window.isHidden, configurable: true});"
        "window.isHidden = true; document.dispatchEvent(new Event('visibilitychange'))"
    )
    await tab.wait("raftdbCluster.list().every(one => one.stream.ending === null)")
    before = len(tab.requests)
    await tab.run("window.isHidden = false; document.dispatchEvent(new Event('visibilitychange'))")
    while len(tab.requests) == before:
        await asyncio.sleep(0.02)
    await headline(tab, "Healthy")


async def test_the_timeline_tells_an_election_over_all_nodes(tab: Tab, cluster: Cluster) -> None:
    leader = cluster.leader()
    await opened(tab, cluster["n1"], "/timeline")
    await tab.wait(f"document.querySelector('.timeline').innerText.includes('{leader.name} leads now')")
    lanes = await tab.run("[...document.querySelectorAll('.bands .lane')].map(one => one.textContent)")
    assert lanes == ["n1", "n2", "n3"]
    assert await tab.run("document.querySelectorAll('.bands .leader').length") >= 1
    # What is left out of the list is left out at once.
    await tab.run("document.querySelector('.pick input').click()")
    assert "leads now" not in await tab.run("document.querySelector('.timeline').innerText")


async def test_the_log_shows_every_node_and_what_an_entry_says(tab: Tab, cluster: Cluster) -> None:
    leader = cluster.leader()
    body = json.dumps({"command": "set", "args": ["greeting", "halo dunia"]}).encode()
    index = leader.ask("POST", "/v1/execute", body).json["index"]
    await opened(tab, cluster["n2"], "/log")
    row = f"document.querySelector('table.log tr[data-index=\"{index}\"]')"
    await tab.wait(f"{row}?.innerText.includes('set greeting \"halo dunia\"')")
    await tab.wait(f"[...{row}.querySelectorAll('.cell')].every(one => one.classList.contains('applied'))")
    assert await tab.run(f"{row}.querySelectorAll('.cell').length") == 3
    await tab.run(f"{row}.querySelector('button').click()")
    await tab.wait("document.querySelector('.entry').innerText.includes('halo dunia')")


async def test_an_index_to_go_to_stays_in_sight_while_the_log_grows(tab: Tab, cluster: Cluster) -> None:
    """Also one that is not there yet, as all are to a page that has heard of no log."""
    leader = cluster.leader()
    await opened(tab, cluster["n2"], "/log")
    wanted = leader.status()["last_index"] + 2
    await tab.run(f"document.querySelector('input.index').value = {wanted}")
    await tab.run("document.querySelector('.filters form').requestSubmit()")
    body = json.dumps({"command": "set", "args": ["greeting", "halo"]}).encode()
    last = [leader.ask("POST", "/v1/execute", body).json["index"] for _ in range(60)][-1]
    await tab.wait(f"raftdbCluster.leader?.log?.applied_index >= {last}")
    await tab.wait(f"document.querySelector('table.log tr[data-index=\"{wanted}\"] .applied') !== null")
    assert await tab.run("document.querySelector('.primary') === null"), "the end is not followed"


async def test_the_log_shows_conflicts_and_what_is_compacted(tab: Tab, cluster: Cluster) -> None:
    await opened(tab, cluster["n1"], "/log")
    await tab.run("document.querySelector('input.index').value = 1")
    await tab.run("document.querySelector('.filters form').requestSubmit()")
    await tab.wait("document.querySelector('table.log tr[data-index=\"1\"] .applied') !== null")
    # As if a node had lost its beginning to a checkpoint, and had an entry of a leader that committed nothing. This is
    # one step, so that nothing which nodes tell comes in between.
    seen = await tab.wait(
        """(() => {
            const nodes = raftdbCluster.list();
            const place = nodes.findIndex(node => node !== raftdbCluster.leader);
            if (raftdbCluster.leader?.log == null || nodes[place].log === null) return null;
            const ends = {first_index: 2, checkpoint_index: 1, applied_index: 1, commit_index: 1};
            nodes[place].log = {...nodes[place].log, ...ends, terms: [[2, 999]]};
            raftdbCluster.dispatchEvent(new Event('change'));
            const cell = index =>
                document.querySelector(`table.log tr[data-index="${index}"]`).children[1 + place].firstChild;
            return [cell(1).className, cell(2).className, cell(2).title];
        })()"""
    )
    assert "compacted" in seen[0]
    assert "other" in seen[1]
    assert "never committed" in seen[2]


async def test_a_leader_that_the_page_cannot_reach_leads_all_the_same(tab: Tab, cluster: Cluster) -> None:
    """As under a name that is no member's, where the browser lets the page hear its own node alone."""
    leader = cluster.leader()
    other = cluster.others(leader)[0]
    await opened(tab, other)
    await tab.wait(f"raftdbCluster.leader?.id === '{leader.name}'")
    await tab.run(
        f"(node => {{ node.stream.stop(); node.isOpen = false; node.heardAt = null }})"
        f"(raftdbCluster.nodes.get('{leader.name}'))"
    )
    await headline(tab, f"{leader.name} leads term {leader.status()['term']}, says {other.name}")
    await headline(tab, "all 3 nodes are up, one more may fail")


async def test_nothing_that_is_shown_runs_or_breaks_a_page(tab: Tab, cluster: Cluster) -> None:
    """Markup, control characters and other directions in what clients write and in what a node tells."""
    hostile = (
        '</td><img src=x onerror="window.bad=1"><script>window.bad=1</script>\u202e\x00\x1b[2J\'"`${bad}'
    )
    leader = cluster.leader()
    index = 0
    for value in (hostile, "x" * (1 << 20)):
        body = json.dumps({"command": "set", "args": [hostile, value]}).encode()
        index = leader.ask("POST", "/v1/execute", body).json["index"]
    await opened(tab, leader, "/log")
    row = f"document.querySelector('table.log tr[data-index=\"{index - 1}\"]')"
    await tab.wait(f"{row}?.innerText.includes('onerror')")
    await tab.run(f"{row}.querySelector('button').click()")
    await tab.wait("document.querySelector('.entry').innerText.includes('onerror')")
    text = await tab.text()
    assert not {"\u202e", "\x00", "\x1b"} & set(text)
    assert r"\u202e" in text
    # The same in all that nodes tell: as if one had sent it.
    told = json.dumps(
        [
            {
                "number": number,
                "time_ms": 1,
                "what": what,
                "level": "info",
                "details": {"peer": hostile, "why": hostile},
            }
            for number, what in enumerate((hostile, "peer up", "vote refused", "configuration in force"))
        ]
    )
    for path in ("/", "/timeline"):
        await tab.run(f"history.pushState(null, '', {path!r}); dispatchEvent(new PopStateEvent('popstate'))")
        await tab.wait("document.querySelector('.story') !== null")
        await tab.run(
            f"raftdbCluster.happened.push(...{told}.map(one => "
            "({...one, time_ms: Date.now(), from: {id: " + json.dumps(hostile) + "}})));"
            "raftdbCluster.dispatchEvent(new CustomEvent('happened', {detail: []}))"
        )
        await tab.run("document.querySelectorAll('.pick input:not(:checked)').forEach(one => one.click())")
        await tab.wait("document.querySelector('.story').innerText.includes('onerror')")
    assert await tab.run("window.bad === undefined && document.querySelector('img[src=x]') === null")


async def test_windows_of_one_browser_share_their_streams(
    browser: Browser, tab: Tab, cluster: Cluster
) -> None:
    """A browser opens six connections to a host, and a stream keeps its own."""

    def streams(one: Tab) -> int:
        return sum("/v1/events" in url for url in one.requests)

    has_streams = "raftdbCluster.sharing?.hasStreams"
    async with browser.tab(beside=tab) as first:
        await opened(first, cluster["n1"])
        await headline(first, "Healthy")
        await opened(tab, cluster["n1"], "/timeline")
        await tab.wait("document.querySelector('.timeline').innerText.includes('leads now')")
        # One of the two has the streams, whichever it is, and both see the same.
        both = [first, tab]
        while [await one.run(has_streams) for one in both].count(True) != 1:
            await asyncio.sleep(0.02)
        await tab.wait("raftdbCluster.list().length === 3 && raftdbCluster.list().every(one => one.isHeard)")
        await first.wait("raftdbCluster.list().every(one => one.isHeard)")
        idle = tab if await first.run(has_streams) else first
        before = streams(idle)
        at = "raftdbCluster.leader.heardAt"
        heard = await idle.run(at)
        await idle.wait(f"{at} > {heard} + 1000")
        assert streams(idle) == before
    # The window that is left goes on by itself.
    await tab.wait(has_streams)
    await tab.wait("raftdbCluster.list().every(one => one.isHeard)")
    assert streams(tab) >= 3


GARBAGE: tuple[tuple[str, Any], ...] = (
    ("status", {"snapshot": None}),
    ("status", {"snapshot": {"id": "n3", "role": "leader", "term": 10**9, "members": "all"}}),
    ("base", {"snapshot": "http://elsewhere.example"}),
    ("__proto__", {"snapshot": {"isHeard": True}}),
    ("raft", {"snapshot": {"events": [{"time_ms": "now"}]}}),
    ("metrics", {"snapshot": {"fsync_s": {"counts": "none"}}}),
    ("log", []),
    ("status", 7),
)
"""What no node says on a stream of events."""


async def test_another_program_at_the_address_of_a_node_is_not_taken_for_it(
    tab: Tab, cluster: Cluster
) -> None:
    """It says what no node says, or what a node of another cluster does: that it leads a later term, alone."""
    gone, page = cluster["n3"], cluster["n1"]
    posing = {**gone.status(), "role": "leader", "term": 10**9, "cluster_id": "0" * 16}
    posing["members"] = [one for one in posing["members"] if one["id"] == "n3"]
    said = [
        *GARBAGE,
        ("status", {"snapshot": posing}),
        ("status", {"snapshot": {**posing, "id": "n7"}}),
    ]
    asked: list[int] = []

    async def pose(request: web.BaseRequest) -> web.Response:
        headers = {
            "Access-Control-Allow-Origin": f"http://{page.address}",
            "Content-Type": "text/event-stream",
        }
        event, value = said[len(asked) % len(said)]
        if request.path == "/v1/events":
            asked.append(1)
        data = json.dumps(value)
        return web.Response(text=f"event: {event}\ndata: {data}\n\n", headers=headers)

    gone.stop()
    leader = cluster.leader()
    runner = web.ServerRunner(web.Server(pose))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", int(gone.address.rpartition(":")[2])).start()
        await opened(tab, page)
        await headline(tab, f"{leader.name} leads term")
        async with asyncio.timeout(WAIT_S):
            while len(asked) < len(said):
                await asyncio.sleep(0.05)
        await headline(tab, f"{leader.name} leads term")
        await headline(tab, "2 of 3 nodes are up")
        assert await tab.run("[...raftdbCluster.nodes.keys()].sort().join()") == "n1,n2,n3"
        found = "raftdbCluster.nodes.get('n3')"
        assert await tab.run(f"[{found}.status, {found}.log, {found}.metrics, {found}.place].join()") == ",,,"
        assert await tab.run(f"{found}.base") == f"http://{gone.address}"
        await tab.run("history.pushState({}, '', '/nodes/n3'); dispatchEvent(new PopStateEvent('popstate'))")
        await tab.wait("document.querySelector('main h1')?.innerText === 'n3'")
        await tab.wait("document.querySelector('.lead').innerText.includes('silent')")
    finally:
        await runner.cleanup()
