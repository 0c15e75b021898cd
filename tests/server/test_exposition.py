"""The text of metrics: what a scraper reads back is what was put in."""

from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as open_metrics_families,
)
from prometheus_client.parser import text_string_to_metric_families

from raftdb.server.exposition import Exposition, counter, gauge, histogram, labelled
from raftdb.tally import Tally

HOSTILE = 'a"b\\c\nd\u202e<script>'


def tally() -> Tally:
    made = Tally((0.5, 1.0))
    for value in (0.1, 0.7, 0.7, 30.0):
        made.add(value)
    return made


FAMILIES = [
    gauge("raftdb_one", "One.", 1.5),
    gauge("raftdb_none", "None.", None),
    counter("raftdb_two_total", "Two.", 2),
    labelled("gauge", "raftdb_three", "Three.", "queue", [(HOSTILE, 3), ("missing", None)]),
    histogram("raftdb_four_seconds", "Four.", tally()),
]


def test_a_scraper_reads_what_was_written() -> None:
    text, content_type = Exposition().render(FAMILIES, "text/plain")
    assert content_type.startswith("text/plain")
    samples = {
        (sample.name, *sample.labels.items()): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
        if family.name.startswith("raftdb")
    }
    assert samples == {
        ("raftdb_one",): 1.5,
        ("raftdb_two_total",): 2.0,
        ("raftdb_three", ("queue", HOSTILE)): 3.0,
        ("raftdb_four_seconds_bucket", ("le", "0.5")): 1.0,
        ("raftdb_four_seconds_bucket", ("le", "1.0")): 3.0,
        ("raftdb_four_seconds_bucket", ("le", "+Inf")): 4.0,
        ("raftdb_four_seconds_count",): 4.0,
        ("raftdb_four_seconds_sum",): 31.5,
    }


def test_a_scraper_that_wants_open_metrics_gets_it() -> None:
    text, content_type = Exposition().render(FAMILIES, "application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    families = open_metrics_families(text.decode())  # type: ignore[no-untyped-call]
    assert {family.name for family in families} >= {"raftdb_one", "raftdb_two"}


def test_two_nodes_in_one_process_have_registries_of_their_own() -> None:
    first, second = Exposition(), Exposition()
    assert b"raftdb_one 1.5" in first.render(FAMILIES, "")[0]
    assert b"raftdb_one" not in second.render([], "")[0]
