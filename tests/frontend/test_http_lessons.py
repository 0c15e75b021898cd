"""Lessons over HTTP: chapters are played by a process of their own, once, and what cannot be played is said."""

import re

import pytest

from raftdb.frontend.http_pages import PagesApi
from raftdb.simulation.broken_rules import RULES
from raftdb.web import chapters, files
from tests.frontend.support import get, running

NAMES = sorted(chapters())
PAGES = PagesApi(lambda: (), mode="read")


async def test_a_chapter_is_played_once_for_a_seed() -> None:
    async with running(pages=PAGES) as http:
        assert (await http.request(get("/v1/lessons"))).json == {"chapters": NAMES}
        first = await http.request(get("/v1/lessons/election?seed=4"))
        again = await http.request(get("/v1/lessons/election?seed=4"))
        other = await http.request(get("/v1/lessons/election?seed=5"))
    assert (first.status, first.json["seed"], first.json["broken"]) == (200, 4, None)
    assert first.body == again.body != other.body


async def test_a_rule_may_be_broken_and_is_not_for_others() -> None:
    async with running(pages=PAGES) as http:
        recording = (await http.request(get("/v1/lessons/restart?break=vote_not_stored"))).json
        kept = (await http.request(get("/v1/lessons/restart"))).json
    assert recording["broken"]["promise"] == "election safety"
    assert "election safety" in {mark.get("name") for mark in recording["marks"]}
    assert not [mark for mark in kept["marks"] if mark["kind"] == "broken"]


async def test_without_pages_there_are_no_lessons() -> None:
    async with running() as http:
        assert (await http.request(get("/v1/lessons"))).status == 404


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("nothing", 404, "there is no such chapter"),
        ("..%2f..%2fetc%2fpasswd", 404, "there is no such chapter"),
        ("election?seed=x", 400, "seed must be a positive integer"),
        ("election?nodes=10", 400, "nodes is at most 9"),
        ("election?break=--help", 400, "break is the name of a rule"),
        ("election?break=everything", 400, "no rule is called 'everything'"),
        ("repair?nodes=1", 400, "line 10: there is no node 'other'"),
        ("election?file=x", 400, "unknown parameter"),
    ],
)
async def test_what_cannot_be_played_is_said(path: str, status: int, words: str) -> None:
    async with running(pages=PAGES) as http:
        answer = await http.request(get(f"/v1/lessons/{path}"))
    assert answer.status == status
    assert words in answer.json["error"]["message"]


def test_the_page_knows_all_chapters_and_rules() -> None:
    source = files()["pages/learn.js"].decode()

    def names(table: str) -> set[str]:
        body = source.partition(f"export const {table} = {{")[2].partition("\n};")[0]
        return set(re.findall(r"^  (\w+):", body, re.MULTILINE))

    assert names("CHAPTERS") == set(chapters())
    assert names("BROKEN_RULES") == set(RULES)
    for rule in RULES.values():
        assert f'["{rule.title}", "{rule.chapter}"]' in source
