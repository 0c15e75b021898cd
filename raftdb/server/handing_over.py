"""Letting another node lead before this one stops: the others would wait for their election timeouts (hazard B105)."""

import asyncio
import logging

from raftdb.errors import RaftdbError
from raftdb.node.driver import Driver
from raftdb.node.view import NodeView

logger = logging.getLogger("raftdb.server")

HAND_OVER_SECONDS_MIN = 1.0
HAND_OVER_SECONDS_MAX = 8.0
"""How long another node may take to lead when the leader is told to stop: an election timeout, within these bounds."""


async def hand_over(driver: Driver, view: NodeView) -> None:
    """Let another node lead, if this one does."""
    if not view.is_leader or len(view.configuration.voters) == 1:
        return
    wait_s = min(max(HAND_OVER_SECONDS_MIN, view.election_timeout_s), HAND_OVER_SECONDS_MAX)
    try:
        async with asyncio.timeout(wait_s):
            leader = (await driver.transfer()).value
    except TimeoutError:
        logger.warning("no other node took the leadership over in time")
    except RaftdbError as error:
        logger.warning("the leadership is not handed over", extra={"fields": {"why": error.message}})
    else:
        logger.info("leadership handed over", extra={"fields": {"to": leader.id}})
