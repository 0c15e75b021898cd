"""The Charts page in a real browser: the last minutes of each node, and the library only where it is used."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.cluster import Cluster
from tests.web.chrome import Browser, Tab
from tests.web.support import IN_BROWSER

pytestmark = IN_BROWSER

CHARTS = 10


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Any:
    cluster = Cluster(tmp_path_factory.mktemp("charts"), ["n1", "n2"])
    try:
        yield cluster.start()
    finally:
        cluster.close()


@pytest_asyncio.fixture(loop_scope="module")
async def tab(browser: Browser) -> AsyncIterator[Tab]:
    async with browser.tab() as tab:
        yield tab
        assert tab.errors == []


async def test_the_charts_show_each_node_and_go_on(tab: Tab, cluster: Cluster) -> None:
    leader = cluster.wait_serving()
    address = f"http://{leader.address}"
    body = b'{"command": "set", "args": ["k", "v"]}'
    assert leader.ask("POST", "/v1/execute", body).status == 200
    await tab.open(f"{address}/charts")
    await tab.wait(f"document.querySelectorAll('.charts canvas').length === {CHARTS}")
    await tab.wait("document.querySelector('.charts').innerText.includes('writes')")
    (first,) = [url for url in tab.requests if "/v1/charts" in url and "after" not in url][:1]
    # It asks again for what is new, and no more.
    await tab.wait(
        "performance.getEntriesByType('resource').filter(one => one.name.includes('after=')).length > 1"
    )
    assert first.endswith("/v1/charts")
    for width, is_dark in ((360, False), (1280, True)):
        await tab.size(width, 900, dark=is_dark)
        await tab.wait("document.documentElement.scrollWidth <= innerWidth")
        await tab.wait(
            f"[...document.querySelectorAll('.charts canvas')].length === {CHARTS} && "
            "[...document.querySelectorAll('.charts .plot')].every(one => one.firstChild.clientWidth <= innerWidth)"
        )
    other = cluster.others(leader)[0].name
    await tab.run(
        f"(() => {{ const one = document.querySelector('select'); one.value = '{other}'; "
        "one.dispatchEvent(new Event('change')) })()"
    )
    await tab.wait(f"document.querySelector('select').value === '{other}'")
    await tab.wait(f"document.querySelectorAll('.charts canvas').length === {CHARTS}")


async def test_the_library_is_loaded_by_no_other_page(tab: Tab, cluster: Cluster) -> None:
    await tab.open(f"http://{cluster['n1'].address}/")
    await tab.wait("document.querySelector('.banner') !== null")
    assert [url for url in tab.requests if "vendored" in url] == []
