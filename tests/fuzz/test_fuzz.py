"""Every decoder that outsiders reach, under inputs that nobody sends who means well (hazards B94 to B97, B104)."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raftdb.errors import RemoteProtocolError
from raftdb.wire import cbor
from tests.fuzz.decoders import DECODERS
from tests.fuzz.harness import (
    CORPUS,
    GROWTH_BYTES,
    SECONDS_MAX,
    Decoder,
    Found,
    check,
    corpus_of,
    measure,
    run,
)
from tests.wire.strategies import PLAIN_VALUES

INPUTS, INPUTS_LONG = 2_000, 1_000_000
SEED = 1
LONG_S = 3_600


WITHOUT_GOOD = ("http", "peer", "json-execute", "forwarded-wait", "events", "watch-refused", "headers")
"""The decoders among whose seeds are refusals: those lead to further checks."""


@pytest.mark.timeout(LONG_S)
@pytest.mark.parametrize("name", DECODERS)
def test_inputs_are_understood_or_refused_in_bounded_time_and_memory(name: str, is_long: bool) -> None:
    """Two thousand, a million with `--long`, after those that are good, and those that mattered once."""
    with DECODERS[name].ready() as decoder:
        for seed in decoder.seeds:
            assert check(decoder, decoder.wrap(seed)) or name.startswith(WITHOUT_GOOD), seed
        for file, data in corpus_of(decoder).items():
            assert check(decoder, data) == file.startswith("accepted"), file
        run(decoder, INPUTS_LONG if is_long else INPUTS, SEED)
        grown_bytes, excess_bytes = measure(decoder, SEED)
    assert grown_bytes < GROWTH_BYTES
    assert excess_bytes <= 0


def test_every_file_of_the_corpus_belongs_to_a_decoder() -> None:
    for folder in CORPUS.iterdir():
        assert folder.name in DECODERS
        assert all(path.name.startswith(("accepted-", "refused-")) for path in folder.iterdir())


@pytest.mark.parametrize("name", [name for name, decoder in DECODERS.items() if decoder.form == "cbor"])
@settings(max_examples=60)
@given(value=PLAIN_VALUES, at=st.integers(0, 9))
def test_any_other_value_is_understood_or_refused(name: str, value: object, at: int) -> None:
    """Alone, and in the place of a part of a good one."""
    decoder = DECODERS[name]
    check(decoder, decoder.wrap(cbor.encode(value)))
    good = cbor.decode(decoder.seeds[at % len(decoder.seeds)], bytes_max=8192, items_max=8192)
    if isinstance(good, list) and good:
        good[at % len(good)] = value
    elif isinstance(good, dict):
        good[sorted(good, key=repr)[at % len(good)]] = value
    check(decoder, decoder.wrap(cbor.encode(good)))


def refuse(data: bytes) -> bytes:
    """A decoder that takes what is longer than four bytes."""
    if len(data) > 4:
        return data
    raise RemoteProtocolError("short")


def toy(**options: object) -> Decoder:
    fields: dict[str, object] = {"name": "toy", "decode": refuse, "seeds": [b"12345"]}
    return Decoder(refusals=(RemoteProtocolError,), **{**fields, **options})  # type: ignore[arg-type]


def fail(data: bytes) -> bytes:
    raise KeyError(data)


def talk(data: bytes) -> bytes:
    raise RemoteProtocolError("x" * 100_000)


def dawdle(data: bytes) -> None:
    until_s = time.thread_time() + 1.2 * SECONDS_MAX
    while time.thread_time() < until_s:
        pass


KEPT: list[bytes] = []


def keep(data: bytes) -> None:
    KEPT.append(data * 100)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"decode": fail}, "KeyError"),
        ({"decode": talk}, "100000 characters"),
        ({"decode": dawdle}, "takes"),
        ({"encode": lambda value: value[:5]}, None),
        ({"encode": lambda value: value[1:]}, "cannot be encoded again: RemoteProtocolError"),
        ({"encode": lambda value: value + b"1"}, "another value"),
    ],
)
def test_the_harness_finds_what_it_looks_for(options: dict[str, object], what: str | None) -> None:
    decoder = toy(**options)
    assert not check(toy(), b"1234")
    if what is None:
        assert check(decoder, b"12345")
        return
    with pytest.raises(Found, match=what):
        check(decoder, b"12345")


def test_the_harness_measures_what_is_kept() -> None:
    try:
        assert measure(toy(decode=keep, seeds=[b"x" * 100]), SEED)[0] > GROWTH_BYTES
    finally:
        KEPT.clear()
    assert measure(toy(), SEED)[0] < GROWTH_BYTES
