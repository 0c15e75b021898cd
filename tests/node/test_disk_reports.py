"""Whom the log's thread wakes, and that nothing it tells is passed over."""

import asyncio
import threading

from raftdb.node.disk_reports import DiskReports
from tests.node.bench import Bench, set_entry


def on_a_thread(reports: DiskReports, sequence: int) -> None:
    thread = threading.Thread(target=reports.reached, args=(sequence,))
    thread.start()
    thread.join()


async def test_an_awaited_report_wakes_the_loop_and_another_is_taken_in_by_the_next_turn() -> None:
    taken: list[int] = []
    reports = DiskReports(asyncio.get_running_loop(), taken.append)
    on_a_thread(reports, 1)
    await asyncio.sleep(0)
    assert taken == [1]
    reports.wait(False)
    on_a_thread(reports, 2)
    on_a_thread(reports, 3)
    await asyncio.sleep(0)
    assert taken == [1]
    reports.take()
    reports.take()
    assert taken == [1, 3]


async def test_a_report_that_was_there_before_it_was_awaited_is_taken_in_at_once() -> None:
    taken: list[int] = []
    reports = DiskReports(asyncio.get_running_loop(), taken.append)
    reports.wait(False)
    on_a_thread(reports, 5)
    reports.wait(True)
    await asyncio.sleep(0)
    assert taken == [5]


def test_a_leader_awaits_its_disk_once_a_majority_has_an_entry_with_it() -> None:
    bench = Bench(nodes=3)
    bench.lead()
    bench.acknowledge("n2", bench.core.log.last_index)
    bench.log_is_held = True
    bench.write(b"v")
    last = bench.core.log.last_index
    awaited = [bench.replica.awaits_disk]
    for peer in ("n2", "n3"):
        bench.acknowledge(peer, last)
        awaited.append(bench.replica.awaits_disk)
    assert awaited == [False, True, False]
    assert bench.core.commit_index == last


def test_a_node_alone_and_a_follower_always_await_their_disks() -> None:
    alone = Bench()
    alone.lead()
    alone.log_is_held = True
    alone.write(b"v")
    assert alone.replica.awaits_disk
    follower = Bench(nodes=3)
    follower.log_is_held = True
    follower.follow(2, [set_entry(2, 2)], 1)
    assert follower.replica.awaits_disk


def test_a_vote_for_itself_is_awaited() -> None:
    """What a candidate asks for leaves once its own term and vote are on the disk."""
    bench = Bench(nodes=3)
    bench.log_is_held = True
    bench.turn(ticks=100)
    assert bench.replica.awaits_disk
