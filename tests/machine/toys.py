"""Two toy services whose commands can wait: a bowl of sweets that are taken, and seats that are passed on."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from raftdb.commands import spec
from raftdb.errors import ReplyError
from raftdb.machine import forms, services
from raftdb.machine.keyspace import pack_number, read_number
from raftdb.machine.layer import KeyValueView, Layer
from raftdb.machine.reply import Result
from raftdb.machine.service import Access, Arity, Command, CommandSpec, CommandType, ReplyKind
from raftdb.machine.waiting import Asker, PlaceWaiting, TurnWaiting

BOWL, SEAT = b"\x01", b"\x02"
"""Prefixes of their keys."""
STICKY = b"sticky"
"""A bowl of which a command gets less than it might."""


@dataclass(frozen=True, slots=True)
class Fill(Command):
    """Put so many sweets into a bowl."""

    bowl: bytes
    count: int


@dataclass(frozen=True, slots=True)
class Take(Command):
    """Take up to so many sweets out of a bowl: a list with their number, empty if there was none. Those of a `STICKY`
    bowl come one by one."""

    bowl: bytes
    count: int = 1


def left(view: KeyValueView, bowl: bytes) -> int:
    """How many sweets are in a bowl."""
    return read_number(view.get(BOWL + bowl))


def fill(layer: Layer, command: Fill, index: int) -> Result:
    layer.put(BOWL + command.bowl, pack_number(left(layer, command.bowl) + command.count))
    layer.note_change(BOWL + command.bowl)
    return Result(None, None)


def take(layer: Layer, command: Take, index: int) -> Result:
    count = min(command.count, left(layer, command.bowl), 1 if command.bowl == STICKY else command.count)
    if count:
        layer.put(BOWL + command.bowl, pack_number(left(layer, command.bowl) - count))
    return Result([count] if count else [], None)


@dataclass(frozen=True, slots=True)
class Sit(Command):
    """Take a seat, or a place in its line: the index at which it was got."""

    seat: bytes
    owner: bytes


@dataclass(frozen=True, slots=True)
class Rise(Command):
    """Leave a seat, or its line; who is next gets it."""

    seat: bytes
    owner: bytes


@dataclass(frozen=True, slots=True)
class StopWaiting(Command):
    """Leave the line of a seat; who has it already, keeps it and is told."""

    seat: bytes
    owner: bytes


Line = list[tuple[bytes, int]]


def _line(view: KeyValueView, seat: bytes) -> Line:
    """The owner of a seat and those in its line, each with the index at which the seat was got, 0 for none."""
    words = (view.get(SEAT + seat) or b"").split()
    return [(words[place], int(words[place + 1])) for place in range(0, len(words), 2)]


def _store(layer: Layer, seat: bytes, line: Line) -> None:
    layer.put(SEAT + seat, b" ".join(b"%b %d" % each for each in line))


def _place(seat: bytes, owner: bytes) -> bytes:
    return SEAT + seat + b" " + owner


def sit(layer: Layer, command: Sit, index: int) -> Result:
    line = _line(layer, command.seat)
    for owner, since in line:
        if owner == command.owner:
            return Result(since or None, None)
    if line and not layer.waits:
        return Result(None, None)
    line.append((command.owner, 0 if line else index))
    _store(layer, command.seat, line)
    return Result(line[-1][1] or None, None)


def rise(layer: Layer, command: Rise, index: int) -> Result:
    line = _line(layer, command.seat)
    kept = [each for each in line if each[0] != command.owner]
    if kept and not kept[0][1]:
        kept[0] = (kept[0][0], index)
        layer.note_change(_place(command.seat, kept[0][0]))
    if len(kept) < len(line):
        layer.note_change(_place(command.seat, command.owner))
    _store(layer, command.seat, kept)
    return Result(len(kept) < len(line), None)


def stop_waiting(layer: Layer, command: StopWaiting, index: int) -> Result:
    for owner, since in _line(layer, command.seat):
        if owner == command.owner and since:
            return Result(since, None)
    rise(layer, Rise(command.seat, command.owner), index)
    return Result(None, None)


def _outcome(view: KeyValueView, command: Sit, asker: Asker) -> Result | None:
    for owner, since in _line(view, command.seat):
        if owner == command.owner:
            return Result(since, None) if since else None
    raise ReplyError("there is no such place any more")


def _places(view: KeyValueView, after: bytes, limit: int) -> list[tuple[bytes, Command]]:
    found: list[tuple[bytes, Command]] = []
    for key, _ in view.scan(SEAT, b"\x03", limit=1000):
        seat = key[1:]
        found += [
            (_place(seat, owner), StopWaiting(seat, owner)) for owner, since in _line(view, seat) if not since
        ]
    return [each for each in sorted(found, key=lambda each: each[0]) if each[0] > after][:limit]


def _row(name: str, arguments: int, build: Callable[[Sequence[bytes]], Command]) -> CommandSpec:
    return CommandSpec(
        name=name,
        syntax=name,
        summary="A toy.",
        examples=(),
        arity=Arity(arguments, None),
        reply=ReplyKind.ARRAY,
        build=build,
    )


ROWS = (
    _row("fill", 2, lambda given: Fill(given[0], int(given[1]))),
    _row("take", 1, lambda given: Take(given[0], int(given[2]) if len(given) > 1 else 1)),
    _row("sit", 2, lambda given: Sit(given[0], given[1])),
    _row("rise", 2, lambda given: Rise(given[0], given[1])),
)
"""`take BOWL [COUNT n] [WAIT s]`, `sit SEAT OWNER [WAIT s]`, and so on."""

TYPES = (
    CommandType(type=Fill, number=40, write=fill),
    CommandType(
        type=Take,
        number=41,
        write=take,
        waiting=TurnWaiting(
            line=lambda command: BOWL + command.bowl,
            supply=lambda view, command: left(view, command.bowl),
            demand=lambda command: command.count,
            nothing=[],
        ),
    ),
    CommandType(
        type=Sit,
        number=42,
        write=sit,
        waiting=PlaceWaiting(
            place=lambda command, asker: _place(command.seat, command.owner),
            outcome=_outcome,
            give_up=lambda command, asker: StopWaiting(command.seat, command.owner),
            places=_places,
        ),
    ),
    CommandType(type=Rise, number=43, write=rise),
    CommandType(type=StopWaiting, number=44, write=stop_waiting),
)


@contextmanager
def toys() -> Iterator[None]:
    """Let the machine have these services."""
    commands = {Fill: 0, Take: 1, Sit: 2, Rise: 3}
    rows = {
        ROWS[place].name: replace(ROWS[place], command=kind, access=Access.WRITE)
        for kind, place in commands.items()
    }
    patched: list[tuple[dict[Any, Any], dict[Any, Any]]] = [
        (services.COMMANDS, {kind.type: kind for kind in TYPES}),
        (services.WRITES, {kind.type: kind.write for kind in TYPES}),
        (forms.FORMS, {kind.type: forms._form(kind.type, kind.number) for kind in TYPES}),
        (spec.COMMANDS, rows),
        (forms._SHAPES, {}),
    ]
    before = [dict(table) for table, _ in patched]
    for table, more in patched:
        table.update(more)
    forms._SHAPES.update(forms._shapes())
    try:
        yield
    finally:
        for (table, _), old in zip(patched, before, strict=True):
            table.clear()
            table.update(old)
