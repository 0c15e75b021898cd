"""The pages of nodes, keys, queues and locks in a real browser: what they show and do, and data that breaks pages."""

import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import quote

import pytest
import pytest_asyncio

from tests.e2e.cluster import Cluster, Node
from tests.web.chrome import Browser, Tab
from tests.web.support import ACTING, IN_BROWSER, TOKEN

pytestmark = IN_BROWSER
EVIL = "<img src=x onerror='window.isBad=1'></script><b>\u202e\u0007&amp;'\"`${1}"
DETAIL = "document.querySelector('.detail')?.innerText"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """One node, which leads, and has much that pages could break on."""
    cluster = Cluster(tmp_path_factory.mktemp("keys"), ["n1"])
    for each in cluster:
        each.environment = ACTING
    try:
        yield cluster.start().wait_serving()
    finally:
        cluster.close()


def execute(node: Node, *words: Any) -> Any:
    """The answer to a command."""
    body = json.dumps({"command": words[0], "args": list(words[1:])}).encode()
    answer = node.ask("POST", "/v1/execute", body)
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


@pytest_asyncio.fixture(loop_scope="module")
async def tab(browser: Browser) -> AsyncIterator[Tab]:
    async with browser.tab() as tab:
        yield tab
        assert tab.errors == []
        assert await tab.run("window.isBad") is None


async def opened(tab: Tab, node: Node, path: str) -> None:
    await tab.open(f"http://{node.address}{path}#token={TOKEN}")
    await tab.wait("document.querySelector('main .page h1') !== null")


async def press(tab: Tab, words: str, within: str = "main") -> None:
    """Press the button with these words once it is there."""
    buttons = f"[...document.querySelectorAll({json.dumps(within + ' button')})]"
    button = f"{buttons}.find(one => one.textContent.includes({json.dumps(words)}))"
    await tab.wait(f"{button}?.disabled === false")
    await tab.run(f"{button}.click()")


async def test_a_tree_of_many_keys_is_shown_a_part_at_a_time(tab: Tab, node: Node) -> None:
    for first in range(0, 10_000, 500):
        pairs = [word for number in range(first, first + 500) for word in (f"many:{number:05}", "x")]
        execute(node, "mset", *pairs)
    execute(node, "set", "other", "y")
    await opened(tab, node, "/keys")
    rows = "[...document.querySelectorAll('.tree button')].map(one => one.textContent)"
    await tab.wait(f"{rows}.length === 2")
    assert await tab.run(rows) == ["▸ many:", "other"]
    await press(tab, "many:", ".tree")
    await tab.wait(f"{rows}.length >= 200")
    before = await tab.run(f"{rows}.length")
    await press(tab, "More")
    await tab.wait(f"{rows}.length > {before}")
    assert (await tab.run(rows))[:2] == ["00000", "00001"]


async def test_a_value_is_changed_only_if_nobody_was_quicker(tab: Tab, node: Node) -> None:
    execute(node, "set", "greeting", "hello", "ex", 1000)
    await opened(tab, node, "/keys?key=greeting")
    await tab.wait(f"{DETAIL}.includes('gone in')")
    area = "document.querySelector('.detail textarea')"
    change = f"{area}.dispatchEvent(new Event('input'))"
    await tab.run(f"{area}.value = 'good evening'; {change}")
    # The page does not take the text away that somebody is writing.
    revision = execute(node, "set", "greeting", "quicker", "keepttl")["index"]
    await press(tab, "Save", ".detail")
    await tab.wait(f"{DETAIL}.includes('Somebody has changed it')")
    assert execute(node, "get", "greeting")["result"] == "quicker"
    await opened(tab, node, "/keys?key=greeting")
    await tab.wait(f"{area}?.value === 'quicker'")
    await tab.run(f"{area}.value = 'good evening'; {change}")
    await press(tab, "Save", ".detail")
    await tab.wait(f"!{DETAIL}.includes('revision {revision:,}') && {area}?.value === 'good evening'")
    assert execute(node, "get", "greeting")["result"] == "good evening"
    assert execute(node, "ttl", "greeting")["result"] > 0
    await opened(tab, node, f"/keys?key=greeting&revision={revision}")
    await tab.wait(f"{DETAIL}.includes('quicker')")
    await tab.wait("document.querySelector('main').innerText.includes('What has changed here since')")


async def test_nothing_that_keys_and_values_hold_breaks_the_page(tab: Tab, node: Node) -> None:
    execute(node, "set", EVIL, EVIL)
    execute(node, "set", "long", "ä" * (1 << 19))
    execute(node, "set", {"base64": "/wD+"}, {"base64": "gIGC"})
    for key in (EVIL, "long"):
        await opened(tab, node, f"/keys?key={quote(key)}")
        await tab.wait(f"{DETAIL}.includes('revision')")
    await opened(tab, node, "/keys")
    await tab.wait("document.querySelectorAll('.tree button').length >= 3")
    await press(tab, "\\ufffd", ".tree")
    await tab.wait(f"{DETAIL}.includes('3 B')")
    await press(tab, "hex", ".detail")
    await tab.wait(f"{DETAIL}.includes('80 81 82')")


async def test_queues_are_seen_put_into_and_paused(tab: Tab, node: Node) -> None:
    for value in ("one", EVIL):
        execute(node, "enqueue", "mail", value)
    execute(node, "enqueue", EVIL, EVIL)
    await opened(tab, node, "/work")
    await press(tab, "mail")
    await tab.wait(f"{DETAIL}.includes('2 messages put') && {DETAIL}.includes('one')")
    await press(tab, "Put a message", ".detail")
    await tab.wait("document.querySelector('dialog input') !== null")
    await tab.run(
        "document.querySelector('dialog input').value = 'three';"
        "document.querySelector('dialog form').dispatchEvent(new Event('input'));"
        "document.querySelector('dialog button[type=submit]').click()"
    )
    await tab.wait(f"{DETAIL}.includes('three') && document.querySelector('dialog') === null")
    await press(tab, "Pause", ".detail")
    await tab.wait("document.querySelector('dialog button[type=submit]') !== null")
    await tab.run("document.querySelector('dialog button[type=submit]').click()")
    await tab.wait(f"{DETAIL}.includes('Let it go on')")
    assert execute(node, "receive", "mail")["result"] == []


async def test_a_lock_is_released_by_who_types_its_name(tab: Tab, node: Node) -> None:
    execute(node, "lock", "deploy", "OWNER", "ana")
    execute(node, "lock", EVIL, "OWNER", EVIL)
    await opened(tab, node, "/work")
    await press(tab, "deploy")
    await tab.wait(f"{DETAIL}.includes('ana')")
    assert " d ago" not in await tab.run(DETAIL)
    await press(tab, "Release now", ".detail")
    await tab.wait("document.querySelector('dialog [name=typed]') !== null")
    await tab.run("document.querySelector('dialog [name=typed]').focus()")
    await tab.type("deploy")
    await tab.press("Enter")
    await tab.wait(f"!{DETAIL}.includes('ana')")
    assert execute(node, "lockinfo", "deploy")["result"] is None


async def test_who_waits_for_whom_is_drawn(tab: Tab, node: Node) -> None:
    """Chains over several locks, with names that would be markup."""
    for owner, lock in (("ana", "door"), ("budi", "gate"), (EVIL, "wall")):
        execute(node, "lock", lock, "OWNER", owner, "TTL", "600")
    host, _, port = node.address.rpartition(":")
    with ExitStack() as stack:
        for owner, lock in (("budi", "door"), ("citra", "gate"), ("dewi", "gate"), ("ana", "wall")):
            body = json.dumps({"owner": owner, "wait_ms": 50_000, "ttl_ms": 600_000}).encode()
            head = f"POST /v1/locks/{lock} HTTP/1.1\r\nHost: {node.address}\r\nContent-Length: {len(body)}\r\n\r\n"
            waiter = stack.enter_context(socket.create_connection((host, int(port))))
            waiter.sendall(head.encode() + body)
        await opened(tab, node, "/work")
        drawn = "document.querySelector('.waits')"
        await tab.wait(f"{drawn}?.querySelectorAll('line').length === 4")
        said = await tab.run(f"{drawn}.getAttribute('aria-label')")
        assert "budi waits for door, which ana holds" in said
        assert "citra waits for gate, which budi holds" in said
        places = await tab.run(
            f"Object.fromEntries([...{drawn}.querySelectorAll('rect')]"
            ".map(one => [one.previousSibling.textContent, +one.getAttribute('x')]))"
        )
        assert places["dewi"] == places["citra"] < places["budi"] < places["ana"] < max(places.values())
        for width, dark in ((1280, True), (360, False)):
            await tab.size(width, 900, dark=dark)
            assert await tab.run("document.documentElement.scrollWidth <= innerWidth")
    await tab.wait(f"{drawn} === null || {drawn}.closest('section').hidden")
    for lock in ("door", "gate", "wall"):
        for holder in execute(node, "lockinfo", lock)["result"][7]:
            execute(node, "unlock", lock, str(holder[2]))


async def test_a_node_tells_all_that_it_knows_of_itself(tab: Tab, node: Node) -> None:
    await opened(tab, node, "/nodes")
    await tab.wait("document.querySelector('tbody')?.innerText.includes('leader')")
    await tab.run("document.querySelector('tbody a').click()")
    await tab.wait("document.querySelectorAll('.facts dd').length > 20")
    assert await tab.run("location.pathname") == "/nodes/n1"
    # Its files over time, as lines with the newest value beside them.
    await tab.wait("document.querySelectorAll('.spark polyline[points]').length === 9")
    await tab.wait(
        "[...document.querySelectorAll('.facts dt')].find(one => one.innerText === 'File of the state')"
        "?.nextSibling.innerText.trim().endsWith('iB')"
    )
    assert " at most " in await tab.run("[...document.querySelectorAll('.spark')].at(-1).ariaLabel")
    for page in ("/nodes", "/nodes/n1"):
        await opened(tab, node, page)
        await tab.wait("document.querySelector('main').innerText.includes('0.1.0')")
        assert not {"NaN", "undefined", "[object"} & set((await tab.text()).split())
