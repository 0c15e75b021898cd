"""The page on the commands of Redis is that of this version."""

from tests.frontend.redis_documentation import KNOWN, TARGET, differences, generated, rows


def test_the_page_is_generated_from_the_present_table() -> None:
    assert TARGET.read_text() == generated(), "run python -m tests.frontend.redis_documentation"


def test_every_kind_of_row_is_in_it() -> None:
    lines = generated().splitlines()
    assert any("`GET`" in line and line.endswith("| supported |") for line in lines)
    assert any(line.startswith("| `WATCH` | differs: 1,024 keys at most") for line in lines)
    assert any("`LPUSH`" in line and line.endswith("| not supported |") for line in lines)
    assert any("`CONFIG RESETSTAT`" in line and not line.endswith("| not supported |") for line in lines)
    assert len(KNOWN.read_text().splitlines()) == 351
    assert differences().keys() <= {name.partition("|")[0] for name in rows()}
