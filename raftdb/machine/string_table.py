"""The table of the commands on byte strings, and how `set` is read and written."""

from collections.abc import Sequence

from raftdb.errors import RequestRefused
from raftdb.machine.arguments import bad_ttl, ttl_ms
from raftdb.machine.integers import parse_integer
from raftdb.machine.keyspace import (
    BOUND_KEY_COUNT_PREFIX,
    BOUND_KEY_PREFIX,
    GENERATION_KEY,
    KEY_SESSION_PREFIX,
    KEY_VALUE_PREFIX,
    REMOVALS_PREFIX,
    VALUE_COUNT_KEY,
)
from raftdb.machine.locks.fencing import Fence, checked_fence, fence_guard
from raftdb.machine.reply import Told
from raftdb.machine.service import (
    NO_ARGUMENTS,
    Arity,
    Command,
    CommandSpec,
    CommandType,
    Example,
    ReplyKind,
    Service,
    as_text,
)
from raftdb.machine.strings import (
    KEEP_TTL,
    NO_TTL,
    PAST_TTL,
    Binding,
    Condition,
    Delete,
    FencedSet,
    Get,
    GetSet,
    Set,
    Strlen,
    delete,
    fenced_set,
    get,
    get_set,
    set_,
    strlen,
)
from raftdb.machine.values import forget_value

SET_SYNTAX = "set KEY VALUE [EX SECONDS | PX MILLISECONDS | KEEPTTL] [NX | XX] [SESSION] [FENCE NAME TOKEN]"
_UNITS_MS = {b"EX": 1000, b"PX": 1}
_CONDITIONS = {b"NX": Condition.IF_MISSING, b"XX": Condition.IF_PRESENT}
CONDITION_WORDS: dict[Condition, list[bytes]] = {
    Condition.ALWAYS: [],
    Condition.IF_MISSING: [b"NX"],
    Condition.IF_PRESENT: [b"XX"],
}
"""The words that spell a condition."""


def _build_set(arguments: Sequence[bytes]) -> Command:
    """`set KEY VALUE` and its options: each kind at most once, in any case and order."""
    if len(arguments) == 2:
        return Set(arguments[0], arguments[1])
    lifetime_ms, condition, binding, fence = NO_TTL, Condition.ALWAYS, Binding.NONE, None
    words = iter(arguments[2:])
    for word in words:
        option = word.upper()
        if option in _CONDITIONS and condition is Condition.ALWAYS:
            condition = _CONDITIONS[option]
        elif option == b"KEEPTTL" and lifetime_ms == NO_TTL:
            lifetime_ms = KEEP_TTL
        elif option in _UNITS_MS and lifetime_ms == NO_TTL:
            lifetime_ms = ttl_ms(next(words, b""), _UNITS_MS[option])
            if lifetime_ms <= 0:
                raise bad_ttl("a time to live is above 0")
        elif option == b"SESSION" and binding is Binding.NONE:
            binding = Binding.SESSION
        elif option == b"FENCE" and fence is None:
            fence = checked_fence(Fence(next(words, b""), parse_integer(next(words, b"")) or 0))
        else:
            raise RequestRefused(
                "bad_request", "the options of 'set' cannot be read", hint=f"the syntax is: {SET_SYNTAX}"
            )
    if fence is None:
        return Set(arguments[0], arguments[1], lifetime_ms, condition, binding)
    return FencedSet(arguments[0], arguments[1], fence.name, fence.token, lifetime_ms, condition, binding)


_LIFETIME_WORDS: dict[int, list[bytes]] = {
    NO_TTL: [],
    KEEP_TTL: [b"KEEPTTL"],
    PAST_TTL: [b"PXAT", b"0"],
}


def _arguments_of_set(command: "Set | GetSet | FencedSet") -> list[bytes]:
    lifetime = _LIFETIME_WORDS.get(command.ttl_ms, [b"PX", b"%d" % command.ttl_ms])
    words = [command.key, command.value, *lifetime, *CONDITION_WORDS[command.condition]]
    if not isinstance(command, GetSet) and command.binding:
        words.append(b"SESSION")
    if isinstance(command, FencedSet):
        words += [b"FENCE", command.lock, b"%d" % command.token]
    return words


def shown_set(result: Told) -> object:
    """Shows whether something was stored: nil if a condition forbade it."""
    return "OK" if result.value else None


STRINGS = Service(
    heading="values",
    prefixes=KEY_VALUE_PREFIX
    + VALUE_COUNT_KEY
    + GENERATION_KEY
    + KEY_SESSION_PREFIX
    + BOUND_KEY_PREFIX
    + BOUND_KEY_COUNT_PREFIX
    + REMOVALS_PREFIX,
    forget=forget_value,
    commands=(
        CommandType(
            type=Get,
            number=2,
            read=get,
            shown=as_text,
            names=(
                CommandSpec(
                    name="get",
                    syntax="get KEY",
                    summary="The value of a key; an empty string if there is no such key.",
                    examples=(
                        Example("set kunci satu", "OK"),
                        Example("get kunci", '"satu"'),
                        Example("get lain", '""'),
                    ),
                    arity=Arity(1, 1),
                    reply=ReplyKind.STRING,
                    build=lambda given: Get(given[0]),
                    values=NO_ARGUMENTS,
                ),
            ),
        ),
        CommandType(
            type=Set,
            number=3,
            write=set_,
            grows=True,
            arguments=_arguments_of_set,
            shown=shown_set,
            names=(
                CommandSpec(
                    name="set",
                    syntax=SET_SYNTAX,
                    summary="Store a value under a key, in place of what was there; nil if NX or XX forbids it.",
                    examples=(
                        Example("set kunci satu", "OK"),
                        Example('set "two words" ""', "OK"),
                        Example("set kunci dua EX 60 XX", "OK"),
                        Example("set kunci tiga NX", "(nil)"),
                    ),
                    arity=Arity(2, 9),
                    reply=ReplyKind.STATUS,
                    build=_build_set,
                ),
            ),
        ),
        CommandType(
            type=FencedSet,
            number=58,
            write=fenced_set,
            grows=True,
            guard=lambda view, command: fence_guard(view, Fence(command.lock, command.token)),
            keys_named=lambda command: 2,
            arguments=_arguments_of_set,
            shown=shown_set,
            log_name="set",
        ),
        CommandType(
            type=Strlen,
            number=4,
            read=strlen,
            names=(
                CommandSpec(
                    name="strlen",
                    syntax="strlen KEY",
                    summary="The length of a value in bytes; 0 if there is no such key.",
                    examples=(
                        Example("set kunci satudua", "OK"),
                        Example("strlen kunci", "7"),
                        Example("strlen lain", "0"),
                    ),
                    arity=Arity(1, 1),
                    reply=ReplyKind.INTEGER,
                    build=lambda given: Strlen(given[0]),
                    values=NO_ARGUMENTS,
                ),
            ),
        ),
        CommandType(
            type=Delete,
            number=5,
            write=delete,
            shown=as_text,
            names=(
                CommandSpec(
                    name="del",
                    syntax="del KEY",
                    summary="Delete a key and answer the value it had; an empty string if there was none.",
                    examples=(
                        Example("set kunci satu", "OK"),
                        Example("del kunci", '"satu"'),
                        Example("del kunci", '""'),
                    ),
                    arity=Arity(1, 1),
                    reply=ReplyKind.STRING,
                    build=lambda given: Delete(given[0]),
                    values=NO_ARGUMENTS,
                ),
            ),
        ),
        CommandType(
            type=GetSet,
            number=11,
            write=get_set,
            grows=True,
            arguments=_arguments_of_set,
            shown=as_text,
            names=(
                CommandSpec(
                    name="getset",
                    syntax="getset KEY VALUE",
                    summary="Store a value and answer the one before it; an empty string if there was none.",
                    examples=(
                        Example("set kunci satu", "OK"),
                        Example("getset kunci dua", '"satu"'),
                        Example("get kunci", '"dua"'),
                    ),
                    arity=Arity(2, 2),
                    reply=ReplyKind.STRING,
                    build=lambda given: GetSet(given[0], given[1]),
                ),
            ),
        ),
    ),
)
