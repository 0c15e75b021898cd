"""The Python clients and their examples on real nodes that are killed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest

from raftdb import AsyncClient, AsyncTransaction, Client, Conflict
from tests.client.readme_examples import readme_program
from tests.e2e.conftest import NewCluster
from tests.e2e.waiting import wait_for
from tests.streams import stream_server


def test_the_examples_of_the_readme_do_what_they_say(new_cluster: NewCluster) -> None:
    cluster = new_cluster(1).start()
    program = readme_program(",".join(cluster.addresses))
    assert program.promises >= 7
    exec(compile(program.text, "README.md", "exec"), {"__name__": "readme"})


def test_a_transaction_outlives_its_leader_and_is_committed_once(new_cluster: NewCluster) -> None:
    cluster = new_cluster(3).start()
    with Client(cluster.addresses, timeout_ms=30_000) as client:
        client.set("a", "1")
        with client.transaction() as transaction:
            assert transaction.get("a") == b"1"
            transaction.append("a", "2")
            cluster.leader().kill9()
        assert client.get("a") == b"12"
        transaction = client.transaction()
        transaction.append("a", transaction.get("a") or b"")
        client.append("a", "3")
        with pytest.raises(Conflict) as caught:
            transaction.commit()
        assert caught.value.keys == (b"a",)
        assert client.get("a") == b"123"


class LossyProxy:
    """Passes everything on to a node, but cuts a connection now and then: before a request, or before its reply."""

    def __init__(self, node: str, *, seed: int, share: float) -> None:
        self.cut = 0
        self._host, _, self._port = node.rpartition(":")
        self._random = Random(seed)
        self._share = share

    @asynccontextmanager
    async def served(self) -> AsyncIterator[str]:
        """Its address, for as long as the block lasts."""
        async with stream_server(self._serve) as port:
            yield f"127.0.0.1:{port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        node_reader, node_writer = await asyncio.open_connection(self._host, int(self._port))
        try:
            await asyncio.gather(self._pump(reader, node_writer), self._pump(node_reader, writer))
        except ConnectionError:
            pass
        finally:
            for one in (writer, node_writer):
                one.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            if self._random.random() < self._share:
                self.cut += 1
                raise ConnectionResetError("cut on purpose")
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError("closed")


async def test_lost_replies_cost_no_increment_and_make_none(new_cluster: NewCluster) -> None:
    """Hazard B53: the counters end at the number of increments that were acknowledged."""
    cluster = await asyncio.to_thread(new_cluster(1).start)
    proxy = LossyProxy(cluster.addresses[0], seed=1, share=0.2)
    async with proxy.served() as address:
        async with AsyncClient(address, timeout_ms=60_000) as client:
            results = await asyncio.gather(*[client.incr("a") for _ in range(300)])
            assert sorted(results) == list(range(1, 301))

        def count_blocking() -> list[int]:
            with Client(address, timeout_ms=60_000) as client:
                return [client.incr("b") for _ in range(30)]

        assert await asyncio.to_thread(count_blocking) == list(range(1, 31))
    assert proxy.cut > 50
    async with AsyncClient(cluster.addresses) as client:
        assert await client.mget(["a", "b"]) == [b"300", b"30"]


async def test_money_is_neither_made_nor_lost_while_leaders_are_killed(new_cluster: NewCluster) -> None:
    """Every move that was acknowledged happened once: the accounts say what the tasks have counted."""
    cluster = await asyncio.to_thread(new_cluster(3).start)
    accounts = [f"account {number}" for number in range(5)]
    counted = dict.fromkeys(accounts, 100)
    finished = asyncio.Event()
    done = 0

    async def wait_for_more(count: int) -> None:
        goal = done + count
        await asyncio.to_thread(wait_for, lambda: done >= goal, f"{count} more moves")

    async def fail_over() -> None:
        for _ in range(3):
            await wait_for_more(30)
            leader = await asyncio.to_thread(cluster.leader)
            await asyncio.to_thread(leader.kill9)
            await wait_for_more(10)
            await asyncio.to_thread(leader.start)
        finished.set()

    async with AsyncClient(cluster.addresses, timeout_ms=30_000) as client:
        await client.mset(dict.fromkeys(accounts, "100"))

        @client.transactional(max_attempts=1_000, timeout_ms=60_000)
        async def move(transaction: AsyncTransaction, source: str, target: str, amount: int) -> None:
            await transaction.incr(source, -amount)
            await transaction.incr(target, amount)

        @client.transactional(max_attempts=1_000, timeout_ms=60_000)
        async def total(transaction: AsyncTransaction) -> int:
            return sum(int(value or 0) for value in await transaction.mget(accounts))

        async def work(number: int) -> None:
            nonlocal done
            moves = 0
            while not finished.is_set():
                source, target = accounts[(number + moves) % 5], accounts[(number + 2 * moves + 1) % 5]
                moves += 1
                if source != target:
                    await move(source, target, 1 + moves % 7)
                    counted[source] -= 1 + moves % 7
                    counted[target] += 1 + moves % 7
                    done += 1
                elif number == 0:
                    assert await total() == 500

        async with asyncio.TaskGroup() as group:
            group.create_task(fail_over())
            for number in range(6):
                group.create_task(work(number))
        values = await client.mget(accounts)
    assert {name: int(value or 0) for name, value in zip(accounts, values, strict=True)} == counted
    assert done >= 3 * (30 + 10)
