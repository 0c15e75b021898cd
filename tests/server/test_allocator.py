"""Memory that was held for a moment goes back to the system."""

import ctypes
import subprocess
import sys

import pytest

PROGRAM = """
import sys
from pathlib import Path
from raftdb.server import allocator

def own_mib():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) // 1024

if "settled" in sys.argv:
    assert allocator.settle()
# The library is given back something long.
bytearray(b"x") * (16 << 20)
kept, held = [], []
before = own_mib()
for _ in range(100):
    held.append(bytearray(b"x") * (1 << 20))
    # Small things that stay, between the long ones that go.
    kept.append([bytearray(b"x") * size for size in range(2000, 2010)])
held.clear()
print(own_mib() - before)
"""


def left_mib(*arguments: str) -> int:
    """What is left in another process of 100 MiB that were held and let go."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], capture_output=True, check=True, text=True
    )
    return int(done.stdout)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library is not the GNU one")
def test_what_was_held_for_a_moment_goes_back_to_the_system() -> None:
    assert left_mib() > 50, "the library has learnt to do it by itself"
    assert left_mib("settled") < 20
