#!/usr/bin/env python3
"""Check everything: `python .ci/check.py`, in an environment with `pip install -e '.[test]'`.

One command, and nothing is "just a warning". Every check runs even if an earlier one failed, so that one run tells
all; the exit code is 0 only if all passed. Names of checks run just those: `python .ci/check.py ruff mypy`. `long` is
run by its name alone: before a release, as it takes hours. `--fix` first lets ruff repair and format what it can, and
makes what is made from something else.
"""

import argparse
import os
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = Path(sysconfig.get_path("scripts"))

TESTS = [sys.executable, "-m", "pytest", "-q", "-n", "3"]
"""Three tests at a time, on two processors: most of them wait, for elections and processes, and not for the processor.
One of the three keeps the processors busy at the lowest priority for a long time (`tests.sim.pool`)."""

CHECKS: dict[str, list[str]] = {
    "ruff": [sys.executable, "-m", "ruff", "check", "."],
    "format": [sys.executable, "-m", "ruff", "format", "--check", "."],
    "mypy": [sys.executable, "-m", "mypy"],
    "pyright": [sys.executable, "-m", "pyright", "--pythonpath", sys.executable],
    "imports": [str(SCRIPTS / "lint-imports"), "--no-logo"],
    "api": [sys.executable, str(ROOT / ".ci" / "try_api.py")],
    "pytest": TESTS,
    "long": [*TESTS, "--long", "-m", "long", "-rs"],
}
"""Name of a check to the command that makes it, run at the top of the project. Quick ones come first."""

ENVIRONMENT = {"PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
"""Added to what the checks inherit: pyright's wrapper does not ask the network for a newer version."""

BY_NAME_ONLY = {"long"}
"""What is run only if it is named: the tests that do more with `--long`, and that more."""

REPAIRS: list[list[str]] = [
    [sys.executable, "-m", "ruff", "check", "--fix", "-q", "."],
    [sys.executable, "-m", "ruff", "format", "-q", "."],
    [sys.executable, str(ROOT / ".ci" / "unasync.py")],
    [sys.executable, str(ROOT / ".ci" / "api_page.py")],
]


def run(name: str) -> tuple[bool, float]:
    """Run one check and say whether it passed, and in how many seconds."""
    print(f"== {name}: {' '.join(CHECKS[name])}", flush=True)
    start = time.monotonic()
    passed = subprocess.run(CHECKS[name], cwd=ROOT, env=os.environ | ENVIRONMENT, check=False).returncode == 0
    return passed, time.monotonic() - start


def main() -> int:
    """Run the checks named on the command line, or all; 0 if all passed, else 1."""
    parser = argparse.ArgumentParser(description="Check everything, or the checks named.")
    parser.add_argument("names", nargs="*", metavar="CHECK", help=", ".join(CHECKS))
    parser.add_argument("--fix", action="store_true", help="repair, format and generate first")
    options = parser.parse_args()
    unknown = sorted(set(options.names) - set(CHECKS))
    if unknown:
        parser.error(f"no such check: {', '.join(unknown)} (there are {', '.join(CHECKS)})")

    print(f"python {sys.version.split()[0]} at {sys.executable}", flush=True)
    if options.fix:
        for repair in REPAIRS:
            subprocess.run(repair, cwd=ROOT, check=False)
    names = options.names or set(CHECKS) - BY_NAME_ONLY
    results = {name: run(name) for name in CHECKS if name in names}

    print("== summary")
    for name, (passed, seconds) in results.items():
        print(f"{'ok' if passed else 'FAILED':8}{name:10}{seconds:7.1f} s")
    return 0 if all(passed for passed, _ in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
