"""The versions that CI installs are complete, and are versions that users may have."""

import tomllib
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent


def test_every_distribution_that_the_checks_need_has_its_version() -> None:
    lines = (ROOT / ".ci" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {
        canonicalize_name(name): version
        for name, _, version in (line.partition("==") for line in lines if not line.startswith("#"))
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [
        Requirement(text) for text in project["dependencies"] + project["optional-dependencies"]["test"]
    ]
    seen: set[tuple[str, str]] = set()
    while wanted:
        requirement = wanted.pop()
        name = canonicalize_name(requirement.name)
        assert name in pinned, f"{name} has no version in .ci/constraints.txt"
        assert requirement.specifier.contains(pinned[name]), f"{requirement} is not {pinned[name]}"
        for extra in {"", *requirement.extras} - {extra for known, extra in seen if known == name}:
            seen.add((name, extra))
            needed = [Requirement(text) for text in distribution(name).requires or ()]
            wanted += [it for it in needed if it.marker is None or it.marker.evaluate({"extra": extra})]
    assert {name for name, _ in seen} == pinned.keys(), "a version of what nothing needs"
