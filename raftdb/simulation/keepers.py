"""Simulated clients that bind keys to their sessions, and end these; and what is promised of such keys.

A bound key is gone once its session is, and stays as long as the session does, unless somebody changes it. That is
looked at entry by entry in the state of the machine, without the model.
"""

from collections.abc import Callable, Sequence

from raftdb.core.model import Entry, EntryKind
from raftdb.errors import InvariantBroken, ReplyError
from raftdb.machine import entries
from raftdb.machine.expiry import TimeToLive
from raftdb.machine.layer import Layer
from raftdb.machine.machine import Machine
from raftdb.machine.operations import SessionOperation
from raftdb.machine.service import Command
from raftdb.machine.session_records import registered_at
from raftdb.machine.strings import Binding, Delete, Get, Set
from raftdb.simulation.caller import AnswerToCheck, CallOutcome, World
from raftdb.simulation.paced import PacedClient
from storage import MemoryStateStore

KEYS = (b"bound-1", b"bound-2", b"bound-3", b"bound-4")
CLOSE_SHARE = 0.15


class Keeper(PacedClient):
    """One client with a session, which sets bound keys, looks at those of others, and closes its session."""

    def __init__(self, world: World, name: str, told: list[AnswerToCheck]) -> None:
        super().__init__(world, name, told, with_session=True)
        self._values = 0

    def _proceed(self) -> None:
        chance = self._world.chance
        if chance.happens(CLOSE_SHARE):
            timeout_us = self._world.options.client_timeout_us
            self._caller.close_session(self._closed, timeout_us=timeout_us)
            return
        key = chance.choose(KEYS)
        self._values += 1
        value = b"%s-%d" % (self.name.encode(), self._values)
        makers: tuple[Callable[[], Command], ...] = (
            lambda: Set(key, value, binding=Binding.SESSION),
            lambda: Set(key, value, binding=Binding.SESSION),
            lambda: Set(key, value),
            lambda: Delete(key),
            lambda: Get(key),
            lambda: TimeToLive(key),
        )
        maker: Callable[[], Command] = chance.choose(makers)
        self._ask(maker())

    def _closed(self, ending: CallOutcome) -> None:
        self._pause()


class BindingWitness:
    """Goes through the committed log, and knows of each key what it was last set to, and in which session."""

    def __init__(self) -> None:
        self.bound = self.ended = 0
        """How often a key was bound, and how often one ended with its session."""
        self._state = MemoryStateStore()
        self._machine = Machine()
        self._bound: dict[bytes, tuple[bytes, bytes, int]] = {}
        """By key that is bound: its value, the session, and the index of its registration."""

    def follow(self, log: Sequence[Entry]) -> None:
        """Raise `InvariantBroken` at the first entry after which a key is there without its session, or is gone though
        nobody has changed it."""
        for entry in log:
            if entry.kind is EntryKind.COMMAND:
                self._apply(entry)

    def _apply(self, entry: Entry) -> None:
        operation = entries.decode(entry.data)[1]
        layer = Layer(self._state)
        reply = self._machine.apply(entry.index, entry.term, entry.data, layer).reply
        if isinstance(operation, SessionOperation) and not isinstance(reply, ReplyError):
            self._set(operation, layer)
        self._check(layer, f"at entry {entry.index}, {operation}")
        self._state.write(layer.changes, index=entry.index, term=entry.term)

    def _set(self, operation: SessionOperation, layer: Layer) -> None:
        """Note what the operation did to a key; it may be one that was done before."""
        command = operation.operation
        if not isinstance(command, Set | Delete) or command.key not in KEYS:
            return
        key = command.key
        present, before = self._read(layer, key), self._read(Layer(self._state), key)
        if present == before:
            return
        self._bound.pop(key, None)
        if isinstance(command, Set) and command.binding and present == command.value:
            self._bound[key] = (
                command.value,
                operation.session,
                registered_at(layer, operation.session) or 0,
            )
            self.bound += 1

    def _check(self, layer: Layer, where: str) -> None:
        for key, (value, session, index) in list(self._bound.items()):
            is_there = self._read(layer, key) == value
            if registered_at(layer, session) == index:
                if not is_there:
                    raise InvariantBroken(f"{key!r} is gone, and its session is not, {where}")
            elif is_there:
                raise InvariantBroken(f"{key!r} is there, and its session is not, {where}")
            else:
                del self._bound[key]
                self.ended += 1

    def _read(self, layer: Layer, key: bytes) -> object:
        reply = self._machine.read(Get(key), layer)
        return None if isinstance(reply, ReplyError) else reply.value
