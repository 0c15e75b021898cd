"""What is replicated has the same bytes, and ends in the same state, whatever the hash seed (hazard B66)."""

import os
import subprocess
import sys

CODE = """
import random
from raftdb.endpoint import NO_REDIS, RedisAddresses
from raftdb.machine.operations import Expire, Mode, SessionOperation, TransactionOperation as Several
from raftdb.machine.sessions import RegisterSession
from raftdb.commands.spec import COMMANDS, parse
from raftdb.core.membership import Configuration
from raftdb.core.model import Member, StartId
from raftdb.errors import RaftdbError, RequestRefused
from raftdb.machine.machine import Machine
from raftdb.machine.layer import Layer
from raftdb.wire import cbor
from raftdb.wire.configuration import encode_configuration
from raftdb.wire.handshake import Hello, encode_handshake
from raftdb.machine.entries import encode, stamp
from tests.addresses import at

class Empty:
    def get(self, key): return None
    def head(self, key, length): return None
    def scan(self, first, end, *, limit, length=None): return []

chance = random.Random(1)
machine, layer = Machine(), Layer(Empty())

def command():
    while True:
        name = chance.choice(sorted(COMMANDS))
        words = [b"a", b"b", b"c", b"1", b"-5", b"EX", b"NX", b"\\x00"]
        try:
            return parse(name, [chance.choice(words) for _ in range(chance.randrange(5))])
        except RequestRefused:
            continue

def operation():
    several = tuple(command() for _ in range(chance.randrange(4)))
    watched = tuple((key, chance.randrange(3)) for key in (b"a", b"\\xc3\\xa9", b"\\xff") if chance.random() < 0.2)
    one = chance.choice([command(), Several(several, watched, chance.choice(list(Mode)))])
    sequence = chance.randrange(1, 9)
    in_session = SessionOperation(b"s" * 16, sequence, chance.randrange(1, sequence + 1), one)
    return chance.choice([one, one, in_session, RegisterSession(b"s" * 16), Expire()])

def shown(reply):
    if isinstance(reply, RaftdbError):
        return vars(reply)
    if isinstance(reply, list | tuple):
        return [shown(part) for part in reply]
    return reply

for index in range(1, 2000):
    data = stamp(encode(operation()), 500 * index)
    print(data.hex(), shown(machine.apply(index, 1, data, layer)))
print([(key, layer.changes[key]) for key in layer.changes])
members = (Member("n1", at("h:1")), Member("n2", at("h:2"), RedisAddresses(at("h:3")), False))
print(encode_configuration(Configuration(members, ("n0",))).hex())
hello = Hello(1, "c", "n1", "n2", "u", StartId(1, "a"), None, False, None, 1, 1, None, "secret", at("h:1"), NO_REDIS)
print(encode_handshake(hello).hex())
print(cbor.encode({name: {"z": 1, b"y": 2, "x": 3} for name in COMMANDS}).hex())
"""


def test_two_hash_seeds_give_the_same_bytes_and_the_same_state() -> None:
    outputs = []
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(
            [sys.executable, "-c", CODE],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        outputs.append(done.stdout)
    assert outputs[0] == outputs[1]
    assert len(outputs[0]) > 10_000
