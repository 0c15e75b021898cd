"""Logging in on the pages of a cluster with users, and out again."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.e2e.cluster import Cluster, Node
from tests.e2e.credentials import ADMIN, ADMIN_PASSWORD, WITH_ADMIN
from tests.web.chrome import Browser, Tab
from tests.web.support import IN_BROWSER

pytestmark = IN_BROWSER


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("login"), ["n1", "n2", "n3"])
    for node in cluster:
        node.environment = {**WITH_ADMIN, "RAFTDB_DASHBOARD": "write", "RAFTDB_ELECTION_TIMEOUT_MS": "1000"}
        node.headers = ADMIN
    try:
        yield cluster.start()
    finally:
        cluster.close()


@pytest_asyncio.fixture(loop_scope="module")
async def tab(browser: Browser) -> AsyncIterator[Tab]:
    async with browser.tab() as tab:
        yield tab


async def filled_in(tab: Tab, user: str, password: str) -> None:
    await tab.wait("document.querySelector('.login') !== null")
    for name, value in (("username", user), ("password", password)):
        await tab.run(f"document.querySelector('.login input[name={name}]').value = {value!r}")
    await tab.run("document.querySelector('.login').requestSubmit()")


async def opened(tab: Tab, node: Node, path: str) -> None:
    await tab.open(f"http://{node.address}{path}")


@pytest.mark.parametrize("at_leader", [True, False], ids=["leader", "follower"])
async def test_a_page_asks_who_it_is_and_goes_on_where_it_was(
    tab: Tab, cluster: Cluster, at_leader: bool, tmp_path: Path
) -> None:
    leader = cluster.wait_agreed()
    node = leader if at_leader else cluster.others(leader)[0]
    await opened(tab, node, "/log")
    await filled_in(tab, "admin", "wrong-password")
    await tab.wait("document.querySelector('.login .bad')?.innerText.includes('no such user')")
    assert await tab.run("sessionStorage.length") == 0
    await filled_in(tab, "admin", ADMIN_PASSWORD)
    await tab.wait("document.querySelector('table.log tr[data-index] .applied') !== null")
    await tab.wait("document.querySelector('table.log').innerText.includes('put_user')")
    assert await tab.run("document.getElementById('user').innerText") == "Log out admin"
    kept = await tab.run("Object.values(sessionStorage).join()")
    assert ADMIN_PASSWORD not in kept
    # What was opened before goes on after it is loaded anew, and nodes let the page act.
    await opened(tab, node, "/")
    everybody = "globalThis.raftdbCluster?.list().filter(one => one.isHeard).length === 3"
    await tab.wait(everybody)
    await tab.run("document.getElementById('user').click()")
    await tab.wait("document.querySelector('.login') !== null")
    assert await tab.run("sessionStorage.length") == 0


async def test_a_page_of_a_user_may_act_and_other_pages_may_not(tab: Tab, cluster: Cluster) -> None:
    leader = cluster.wait_agreed()
    await opened(tab, leader, "/keys")
    await filled_in(tab, "admin", ADMIN_PASSWORD)
    await tab.wait("[...document.querySelectorAll('button')].some(one => one.textContent === 'New key…')")
    body = """{method: 'POST', body: JSON.stringify({command: 'set', args: ['k', 'v']}), headers: %s}"""
    with_token = body % "{Authorization: 'Bearer ' + sessionStorage.getItem('raftdb-token')}"
    assert await tab.run(f"fetch('/v1/execute', {with_token}).then(one => one.status)") == 200
    assert await tab.run(f"fetch('/v1/execute', {body % '{}'}).then(one => one.status)") == 401
