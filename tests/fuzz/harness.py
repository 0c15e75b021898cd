"""What is asked of every decoder that outsiders reach, whatever they send to it.

* It returns a value, or raises one of the errors that it names; in words that do not grow with the input.
* It takes a bounded time, of the processor, for each input.
* It keeps nothing, and needs no more memory for an input than a bounded multiple of it.
* What it returns, encoded again, is decoded to the same.

`tests.fuzz.decoders` is the table of decoders; `corpus/NAME/` has inputs that were found to matter, and the name of
each begins with what becomes of it: `accepted` or `refused`.
"""

import gc
import random
import time
import traceback
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from raftdb.errors import RaftdbError
from tests.fuzz.mutation import Mutator

CORPUS = Path(__file__).parent / "corpus"
SECONDS_MAX = 0.25
"""Time of the processor that any input may take; it is measured again before it counts."""
WORDS_MAX = 8 * 1024
"""Longest message of an error, in characters: it goes into logs and answers."""
PEAK_BYTES, PEAK_FACTOR = 4 << 20, 128
"""An input may take so much memory for a while: a constant, and a multiple of its length."""
GROWTH_BYTES = 256 << 10
"""So much more may be in use after many inputs than after as many before: caches of the library, of bounded size."""
MEASURED_INPUTS = 150


def _as_it_is(data: bytes) -> bytes:
    """The default of `wrap`: the input is the seed."""
    return data


def pieces(data: bytes, step: int) -> Iterator[bytes]:
    """`data`, cut after every `step` bytes."""
    return (data[at : at + step] for at in range(0, len(data), step))


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoder:
    """One door for bytes of others.

    `decode` takes an input and returns what it has understood; it may need something `around` it, which makes it then.
    `refusals` are the errors that it may raise. `seeds` are good inputs before `wrap`, which adds what mutation would
    destroy: a checksum, a frame around. `form` is that of the seeds. `encode` is the inverse of `decode`, if there is
    one. `cost`: one input takes as long as so many of others, so there are fewer. `is_local`: only who runs the node
    gives it, and reads what is wrong with it.
    """

    name: str
    decode: Callable[[bytes], Any] = _as_it_is
    around: Callable[[], AbstractContextManager[Callable[[bytes], Any]]] | None = None
    seeds: Sequence[bytes]
    refusals: tuple[type[Exception], ...]
    form: str = "bytes"
    wrap: Callable[[bytes], bytes] = _as_it_is
    encode: Callable[[Any], bytes] | None = None
    cost: int = 1
    is_local: bool = False

    @contextmanager
    def ready(self) -> Iterator["Decoder"]:
        """Within the context this decoder can be used."""
        if self.around is None:
            yield self
            return
        with self.around() as decode:
            yield replace(self, decode=decode, around=None)


class Found(AssertionError):
    """A decoder did something else than it may. `data` is the input, and `place` where it happened."""

    def __init__(self, decoder: Decoder, data: bytes, what: str, place: str = "") -> None:
        super().__init__(f"{decoder.name}: {what} {place}; the input, {len(data)} bytes: {data[:300]!r}")
        self.data = data
        kind = what.partition(":")[0] if place else what
        self.place = f"{kind} {place}"


def check(decoder: Decoder, data: bytes) -> bool:
    """Whether `data` is accepted. Raises `Found`."""
    started = time.thread_time()
    accepted = _outcome(decoder, data)
    if time.thread_time() - started > SECONDS_MAX:
        seconds = min(_seconds(decoder, data) for _ in range(3))
        if seconds > SECONDS_MAX:
            raise Found(decoder, data, f"takes {seconds:.2f} s")
    return accepted


def _seconds(decoder: Decoder, data: bytes) -> float:
    started = time.thread_time()
    _outcome(decoder, data)
    return time.thread_time() - started


def _outcome(decoder: Decoder, data: bytes) -> bool:
    try:
        value = decoder.decode(data)
    except decoder.refusals as error:
        words = error.message if isinstance(error, RaftdbError) else str(error)
        if len(words) > WORDS_MAX and not decoder.is_local:
            raise Found(decoder, data, f"a message of {len(words)} characters") from None
        return False
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        raise Found(decoder, data, f"{type(error).__name__}: {str(error)[:200]}", where) from error
    if decoder.encode is not None:
        _check_inverse(decoder, data, value)
    return True


def _check_inverse(decoder: Decoder, data: bytes, value: Any) -> None:
    assert decoder.encode is not None
    try:
        encoded = decoder.encode(value)
        again = decoder.encode(decoder.decode(encoded))
    except Exception as error:
        raise Found(decoder, data, f"cannot be encoded again: {type(error).__name__}: {error}") from error
    if again != encoded:
        raise Found(decoder, data, "is another value when it was encoded and decoded again")


class Inputs:
    """The inputs for a decoder, the same for the same seed."""

    def __init__(self, decoder: Decoder, seed: int) -> None:
        self._chance = random.Random(f"{decoder.name} {seed}")
        self._wrap = decoder.wrap
        self._inner = Mutator(decoder.seeds, decoder.form, self._chance)
        whole = [*map(decoder.wrap, decoder.seeds), *corpus_of(decoder).values()]
        self._whole = Mutator(whole, "bytes" if decoder.wrap is not _as_it_is else decoder.form, self._chance)

    def next(self) -> bytes:
        """The next input: mostly one that is damaged within its wrapping."""
        return self._whole.next() if self._chance.random() < 0.2 else self._wrap(self._inner.next())


def corpus_of(decoder: Decoder) -> dict[str, bytes]:
    """The inputs that are kept, by the name of their file."""
    folder = CORPUS / decoder.name
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())} if folder.is_dir() else {}


def run(
    decoder: Decoder, count: int, seed: int, on_found: Callable[[Found], None] | None = None
) -> tuple[int, int]:
    """Try so many inputs; returns how many were tried and accepted. Raises `Found`, unless `on_found` takes it."""
    inputs, accepted = Inputs(decoder, seed), 0
    count = max(1, count // decoder.cost)
    for _ in range(count):
        try:
            accepted += check(decoder, inputs.next())
        except Found as found:
            if on_found is None:
                raise
            on_found(found)
    return count, accepted


def measure(decoder: Decoder, seed: int) -> tuple[int, int]:
    """The memory in use after many inputs beyond that after as many before, and the highest need of one input beyond
    what its length allows, both in bytes. Raises `Found`."""
    inputs, count = Inputs(decoder, seed), max(20, MEASURED_INPUTS // decoder.cost)
    data = [inputs.next() for _ in range(count)]
    for one in data:
        check(decoder, one)
    excess = 0
    tracemalloc.start()
    try:
        for one in data:
            check(decoder, one)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for one in data:
            at_first = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            _outcome(decoder, one)
            peak = tracemalloc.get_traced_memory()[1] - at_first
            excess = max(excess, peak - PEAK_BYTES - PEAK_FACTOR * len(one))
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before, excess
    finally:
        tracemalloc.stop()
