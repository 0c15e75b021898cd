"""The client needs nothing but this distribution, as `pip install --no-deps` brings it: no other package is seen."""

import subprocess
import sys
from hashlib import sha256
from pathlib import Path

from raftdb.client.backup import MARK
from tests.client.fake_node import FakeCluster

ROOT = Path(__file__).resolve().parent.parent.parent

ALONE = """
import asyncio, sys
root, addresses, folder = sys.argv[1:]
sys.path.insert(0, root)
import raftdb

for name in raftdb.__all__:
    getattr(raftdb, name)
with raftdb.Client(addresses) as client:
    client.set("k", "v")
    with client.transaction() as transaction:
        transaction.append("k", "w")
    client.backup(folder + "/blocking")

async def main():
    async with raftdb.AsyncClient(addresses) as client:
        print(await client.get("k"))
        await client.backup(folder + "/asynchronous")

asyncio.run(main())
print(sorted({name.partition(".")[0] for name in sys.modules} - sys.stdlib_module_names))
"""


def test_both_clients_work_without_any_other_package(cluster: FakeCluster, tmp_path: Path) -> None:
    cluster.backup = MARK + sha256(MARK).digest()
    # Isolated, and without `site`: there are no folders of packages at all.
    command = [sys.executable, "-I", "-S", "-c", ALONE, str(ROOT), cluster.addresses, str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.stdout, ended.stderr) == ("b'vw'\n['__main__', 'raftdb']\n", "")
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {
        "blocking": cluster.backup,
        "asynchronous": cluster.backup,
    }
