"""raftdb on a disk that dies when it is told to: `python -m tests.e2e.failing_fsync FIFO serve ...`.

Runs raftdb as `python -m raftdb` would, and when somebody opens FIFO for writing installs a seccomp filter in all
threads: from then on the kernel answers EIO to fsync, fdatasync and pwrite, without doing them. That is what a dying
disk looks like from inside: other writes go into the page cache and succeed, the sync fails. What goes to a file with
O_DSYNC, which is written and synced in one, goes there by pwrite.

`--check` instead of FIFO: exit code 0 if this kernel can do it, 77 if not.
"""

import ctypes
import errno
import os
import platform
import runpy
import struct
import sys
import tempfile
import threading
from pathlib import Path

EXIT_NOT_POSSIBLE = 77
PR_SET_NO_NEW_PRIVS = 38
SECCOMP_SET_MODE_FILTER = 1
SECCOMP_FILTER_FLAG_TSYNC = 1

BPF_LOAD_WORD = 0x20
BPF_JUMP_EQUAL = 0x15
BPF_RETURN = 0x06
ALLOW = 0x7FFF0000
FAIL = 0x00050000 | errno.EIO

NUMBERS = {"x86_64": (74, 75, 18, 317), "aarch64": (82, 83, 68, 277)}
"""System call numbers of fsync, fdatasync, pwrite64 and seccomp."""


def instruction(code: int, if_true: int, if_false: int, operand: int) -> bytes:
    """One instruction of the kernel's filter language."""
    return struct.pack("=HBBI", code, if_true, if_false, operand)


def fail_every_sync() -> bool:
    """Install the filter in all threads of this process, for good; False if this machine has none."""
    numbers = NUMBERS.get(platform.machine())
    if numbers is None or sys.platform != "linux":
        return False
    fsync, fdatasync, pwrite, seccomp = numbers
    program = b"".join(
        [
            instruction(BPF_LOAD_WORD, 0, 0, 0),  # the number of the system call
            instruction(BPF_JUMP_EQUAL, 3, 0, fsync),
            instruction(BPF_JUMP_EQUAL, 2, 0, fdatasync),
            instruction(BPF_JUMP_EQUAL, 1, 0, pwrite),
            instruction(BPF_RETURN, 0, 0, ALLOW),
            instruction(BPF_RETURN, 0, 0, FAIL),
        ]
    )
    buffer = ctypes.create_string_buffer(program, len(program))
    header = ctypes.create_string_buffer(struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    taken: int = libc.syscall(seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, header)
    return taken == 0


def is_possible() -> bool:
    """Whether a sync fails once the filter is there. Cannot be undone: for a process of its own."""
    with tempfile.TemporaryFile() as file:
        os.fsync(file.fileno())
        if not fail_every_sync():
            return False
        try:
            os.fsync(file.fileno())
        except OSError as error:
            return error.errno == errno.EIO
    return False


def wait_for_word(fifo: Path) -> None:
    """Block until the FIFO is opened for writing, then let the disk die."""
    with fifo.open():
        if not fail_every_sync():
            os._exit(EXIT_NOT_POSSIBLE)


if __name__ == "__main__":
    if sys.argv[1] == "--check":
        sys.exit(0 if is_possible() else EXIT_NOT_POSSIBLE)
    threading.Thread(target=wait_for_word, args=(Path(sys.argv[1]),), daemon=True).start()
    del sys.argv[1]
    runpy.run_module("raftdb", run_name="__main__", alter_sys=True)
