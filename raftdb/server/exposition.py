"""Metrics as text for Prometheus: a registry for each node, filled from plain values when it is asked.

`prometheus_client` is used for what it is good at: the names and escapes of the formats, which of them a scraper wants,
and what the process takes of the machine. It is loaded when the first scrape comes, on the thread that writes the text,
because loading it takes longer than the start of a node may; nothing that serves a client ever calls it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from raftdb.tally import Tally

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric
    from prometheus_client.registry import Collector


class Series(NamedTuple):
    """One time series: the values of the labels, and a number, or the counts of a tally and the sum of its values."""

    labels: tuple[str, ...]
    value: float | tuple[Sequence[float], list[int], float]


class Family(NamedTuple):
    """The series of one name. `kind` is `gauge`, `counter` or `histogram`; `labels` are the names of the labels."""

    name: str
    kind: str
    help: str
    labels: tuple[str, ...]
    series: Sequence[Series]


def gauge(name: str, text: str, value: float | None) -> Family:
    """A gauge without labels; without a value if there is none now."""
    return Family(name, "gauge", text, (), () if value is None else (Series((), value),))


def counter(name: str, text: str, value: float) -> Family:
    """A counter without labels."""
    return Family(name, "counter", text, (), (Series((), value),))


def labelled(
    kind: str, name: str, text: str, label: str, values: Iterable[tuple[str, float | None]]
) -> Family:
    """Numbers by one label; those that are None are left out."""
    series = tuple(Series((key,), value) for key, value in values if value is not None)
    return Family(name, kind, text, (label,), series)


def histogram(name: str, text: str, tally: Tally) -> Family:
    """A histogram without labels."""
    return Family(name, "histogram", text, (), (Series((), copied(tally)),))


def copied(tally: Tally) -> tuple[Sequence[float], list[int], float]:
    """The counts of a tally as they are now."""
    return tally.bounds, tally.counts.copy(), tally.total


class Exposition:
    """The registry of one node. `render` is called on a thread, one call at a time."""

    def __init__(self) -> None:
        self._families: Sequence[Family] = ()
        self._registry: CollectorRegistry | None = None

    def render(self, families: Sequence[Family], accept: str) -> tuple[bytes, str]:
        """The text of these, in the format that an `Accept` header asks for, and its type."""
        from prometheus_client.exposition import choose_encoder

        self._families = families
        if self._registry is None:
            self._registry = self._make_registry()
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    def _make_registry(self) -> "CollectorRegistry":
        from prometheus_client import CollectorRegistry, ProcessCollector

        registry = CollectorRegistry(auto_describe=False)
        registry.register(_collector_of(lambda: self._families))
        ProcessCollector(registry=registry)
        return registry


def _collector_of(families: Callable[[], Sequence[Family]]) -> "Collector":
    """What gives the families to a registry. Its class is made here, because its base is loaded late."""
    from prometheus_client.registry import Collector

    class Families(Collector):
        def collect(self) -> Iterator["Metric"]:
            for family in families():
                yield _metric_of(family)

    return Families()


def _metric_of(family: Family) -> "Metric":
    """A family as the library knows it."""
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    name, kind, text, labels, series = family
    if kind == "histogram":
        histograms = HistogramMetricFamily(name, text, labels=labels)
        for values, counted in series:
            if isinstance(counted, tuple):
                bounds, counts, total = counted
                histograms.add_metric(values, list(_cumulated(bounds, counts)), total)
        return histograms
    numbers: CounterMetricFamily | GaugeMetricFamily
    numbers = (CounterMetricFamily if kind == "counter" else GaugeMetricFamily)(name, text, labels=labels)
    for values, value in series:
        if not isinstance(value, tuple):
            numbers.add_metric(values, value)
    return numbers


def _cumulated(bounds: Sequence[float], counts: Sequence[int]) -> Iterator[tuple[str, float]]:
    """The buckets of a histogram: each with all below it."""
    below = 0
    for bound, count in zip((*map(repr, map(float, bounds)), "+Inf"), counts, strict=True):
        below += count
        yield bound, below
