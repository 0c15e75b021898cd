"""The metrics of one node, from its parts to the text that a scraper gets.

A scrape walks through queues and locks, a page in a turn; then reads all other values in one turn; then the text is
made of them on a thread. Scrapes take their turns, so that ten scrapers cost no more at once than one.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from raftdb.node.aside import Aside
from raftdb.server.exposition import Exposition
from raftdb.server.levels import LevelsReader
from raftdb.server.measures import Measured, families_of


class NodeMetrics:
    """See the module. Everything is called on the event loop."""

    def __init__(self, node: Measured) -> None:
        self._node = node
        self._levels = LevelsReader(node.driver.execute)
        self._exposition = Exposition()
        self._aside = Aside()
        self._scraping = asyncio.Lock()

    async def render(self, accept: str, sees: Callable[[bytes], bool]) -> tuple[bytes, str]:
        """The metrics of now, in the format that an `Accept` header asks for, and its type. Queues that their reader
        does not see are counted with the others, and not named."""
        async with self._scraping:
            levels = await self._levels.read()
            listed = {name: level for name, level in levels.listed.items() if sees(name)}
            levels = replace(levels, listed=listed)
            families = families_of(self._node, levels)
            return await self._aside.run(self._exposition.render, families, accept)
