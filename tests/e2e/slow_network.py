"""A slow and lossy network on one machine, without special kernels: a network namespace per node, joined by a relay.

Each namespace has one TUN device, and no other way out. This process holds the other end of all of them, and carries IP
packets between them late, out of order, damaged, twice or not at all, as netem would. The namespaces have no names:
they end with the processes in them. It takes root, `ip`, `nsenter` and /dev/net/tun (`why_not`).
"""

import ctypes
import fcntl
import heapq
import os
import random
import select
import shutil
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_CLONE_NEWNET = 0x40000000
_TUNSETIFF = 0x400454CA
_IFF_TUN_WITHOUT_HEADER = 0x0001 | 0x1000
PACKET_BYTES_MAX = 2048
DEVICE = "raft0"

_libc = ctypes.CDLL(None, use_errno=True)


def why_not() -> str | None:
    """Why there can be no such network here; None: there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [tool for tool in ("ip", "nsenter") if shutil.which(tool) is None]
    if missing or not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return f"there is no {', '.join(missing) or '/dev/net/tun'}"
    found: list[str | None] = []

    def look() -> None:
        found.append("no network namespace can be made" if _libc.unshare(_CLONE_NEWNET) else None)

    _in_thread(look)
    return found[0]


@dataclass(frozen=True, slots=True)
class Weather:
    """What befalls packets in each direction. Delays are uniform; shares are independent of each other."""

    delay_s: float
    jitter_s: float = 0.0
    loss: float = 0.0
    corruption: float = 0.0
    """Share of packets with a bit flipped: checksums find it."""
    duplication: float = 0.0
    reordering: float = 0.0
    """Share of packets that are not delayed at all, and overtake the others."""


class SlowNetwork:
    """Namespaces 0 to `count` - 1, of which number i has the address `address(i)`. `close` ends the relay."""

    def __init__(self, count: int, weather: Weather, *, seed: int = 1) -> None:
        self.weather = weather
        self.cut: set[int] = set()
        """Namespaces that nothing leaves or reaches."""
        self._random = random.Random(seed)
        self._namespaces: list[int] = []
        self._devices: list[int] = []
        for index in range(count):
            _in_thread(self._make, index)
        self._wake, self._waker = os.pipe()
        self._relay = threading.Thread(target=self._carry_all, name="relay", daemon=True)
        self._relay.start()

    def address(self, index: int) -> str:
        """Where a process in this namespace is reached from the others."""
        return f"10.77.0.{index + 1}"

    def command(self, index: int) -> list[str]:
        """What runs the command behind it in this namespace, under the same pid."""
        return ["nsenter", f"--net=/proc/{os.getpid()}/fd/{self._namespaces[index]}"]

    @contextmanager
    def entered(self, index: int) -> Iterator[None]:
        """Sockets that this thread makes meanwhile belong to the namespace."""
        here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            _require(_libc.setns(self._namespaces[index], _CLONE_NEWNET))
            yield
        finally:
            _require(_libc.setns(here, _CLONE_NEWNET))
            os.close(here)

    def close(self) -> None:
        """End the relay, and let the namespaces go."""
        os.close(self._waker)
        self._relay.join()
        for descriptor in (*self._devices, *self._namespaces, self._wake):
            os.close(descriptor)

    def _make(self, index: int) -> None:
        """In a thread of its own, which is the first to live in the new namespace."""
        _require(_libc.unshare(_CLONE_NEWNET))
        self._namespaces.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY))
        device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH", DEVICE.encode(), _IFF_TUN_WITHOUT_HEADER))
        self._devices.append(device)
        for arguments in (
            ["link", "set", "lo", "up"],
            ["address", "add", f"{self.address(index)}/24", "dev", DEVICE],
            ["link", "set", DEVICE, "up"],
        ):
            subprocess.run(["ip", *arguments], check=True, capture_output=True)

    def _carry_all(self) -> None:
        """The relay: take packets in, and hand on those that are due, until `close`."""
        waiting: list[tuple[float, int, int, bytes]] = []
        count = 0
        poll = select.poll()
        for descriptor in (*self._devices, self._wake):
            poll.register(descriptor, select.POLLIN)
        sources = {device: index for index, device in enumerate(self._devices)}
        while True:
            timeout_ms = max(0.0, (waiting[0][0] - time.monotonic()) * 1000) if waiting else None
            ready = [descriptor for descriptor, _ in poll.poll(timeout_ms)]
            if self._wake in ready:
                return
            for descriptor in ready:
                packet = os.read(descriptor, PACKET_BYTES_MAX)
                for due_s in self._fate(sources[descriptor], packet):
                    count += 1
                    packet = self._maybe_damaged(packet)
                    heapq.heappush(waiting, (due_s, count, packet[19] - 1, packet))
            while waiting and waiting[0][0] <= time.monotonic():
                _, _, target, packet = heapq.heappop(waiting)
                if 0 <= target < len(self._devices) and target not in self.cut:
                    with_room(self._devices[target], packet)

    def _fate(self, source: int, packet: bytes) -> Iterator[float]:
        """When copies of the packet arrive: usually one. IPv4 alone is carried."""
        weather, chance = self.weather, self._random.random
        if source in self.cut or len(packet) < 20 or packet[0] >> 4 != 4 or chance() < weather.loss:
            return
        for _ in range(2 if chance() < weather.duplication else 1):
            delay_s = weather.delay_s + self._random.uniform(-weather.jitter_s, weather.jitter_s)
            yield time.monotonic() + (0.0 if chance() < weather.reordering else delay_s)

    def _maybe_damaged(self, packet: bytes) -> bytes:
        if self._random.random() >= self.weather.corruption:
            return packet
        damaged = bytearray(packet)
        damaged[self._random.randrange(len(damaged))] ^= 1 << self._random.randrange(8)
        return bytes(damaged)


def with_room(device: int, packet: bytes) -> None:
    """Hand a packet to a device; one that has no room for it, or does not take it, loses it."""
    try:
        os.write(device, packet)
    except OSError:
        return


def _in_thread(target: object, *arguments: object) -> None:
    thread = threading.Thread(target=target, args=arguments)  # type: ignore[arg-type]  # a callable
    thread.start()
    thread.join()


def _require(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
