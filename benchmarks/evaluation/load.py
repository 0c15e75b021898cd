"""Clients that write as fast as they are answered, in a process of their own:

    python -m benchmarks.evaluation.load ADDRESSES CLIENTS SECONDS VALUE_BYTES FILE

They find the leader by themselves, as an application's do, and go on over its changes. FILE gets three numbers of 64
bits for each write: when it began on the monotonic clock, how long it took, both in seconds, and 1 if it was answered.
"""

import asyncio
import subprocess
import sys
import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.common import ROOT
from raftdb import AsyncClient
from raftdb.errors import RaftdbError

KEYS = 1_000


class Sample(NamedTuple):
    """One write: when it began, on the monotonic clock, how long it took, and whether it was answered."""

    began_s: float
    seconds: float
    is_answered: bool


async def write(addresses: str, clients: int, seconds: float, value_bytes: int) -> "array[float]":
    """Have the clients write; returns the numbers of all samples."""
    found = array("d")
    end_s = time.monotonic() + seconds
    value = b"v" * value_bytes

    async with AsyncClient(addresses.split(",")) as client:

        async def one(number: int) -> None:
            count = number
            while (began_s := time.monotonic()) < end_s:
                count += clients
                try:
                    await client.set(f"load-{count % KEYS}", value)
                except RaftdbError:
                    is_answered = 0.0
                    await asyncio.sleep(0.01)
                else:
                    is_answered = 1.0
                found.extend((began_s, time.monotonic() - began_s, is_answered))

        await asyncio.gather(*(one(number) for number in range(clients)))
    return found


class Load:
    """The load as a process; `samples` waits for its end."""

    def __init__(self, process: "subprocess.Popen[bytes]", file: Path) -> None:
        self._process = process
        self._file = file

    def samples(self) -> list[Sample]:
        """All writes, in the order in which they began."""
        code = self._process.wait()
        if code != 0:
            raise RuntimeError(f"the load has ended with {code}")
        numbers = array("d", self._file.read_bytes())
        triples = zip(numbers[0::3], numbers[1::3], numbers[2::3], strict=True)
        return sorted(Sample(began_s, seconds, bool(answered)) for began_s, seconds, answered in triples)


@contextmanager
def loading(
    addresses: list[str], *, clients: int, seconds: float, value_bytes: int, file: Path
) -> Iterator[Load]:
    """A load that begins now, and is ended when the `with` block is left."""
    arguments = [",".join(addresses), str(clients), str(seconds), str(value_bytes), str(file)]
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.evaluation.load", *arguments], cwd=ROOT)
    try:
        yield Load(process, file)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def main() -> None:
    addresses, clients, seconds, value_bytes, file = sys.argv[1:]
    numbers = asyncio.run(write(addresses, int(clients), float(seconds), int(value_bytes)))
    Path(file).write_bytes(numbers.tobytes())


if __name__ == "__main__":
    main()
