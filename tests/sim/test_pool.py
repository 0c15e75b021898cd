"""Processes of a pool end with the one that made them."""

import subprocess
import sys
from pathlib import Path

from tests.e2e.waiting import wait_for

ROOT = Path(__file__).resolve().parent.parent.parent
PARENT = """
import os, time
from tests.sim.pool import pool

if __name__ == "__main__":
    processes = pool()
    print(processes.submit(os.getpid).result(), flush=True)
    processes.submit(time.sleep, 600)
    time.sleep(600)
"""


def test_a_pool_ends_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    program = tmp_path / "parent.py"
    program.write_text(f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{PARENT}")
    with subprocess.Popen([sys.executable, str(program)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert Path(f"/proc/{child}").exists()
        parent.kill()
    wait_for(lambda: is_gone(child), "the process of the pool to end")


def is_gone(process: int) -> bool:
    """It may stay a zombie where nobody waits for orphans."""
    try:
        return ") Z " in Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return True
