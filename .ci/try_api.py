#!/usr/bin/env python3
"""Try what the description of the HTTP API allows, on a node on loopback: `python .ci/try_api.py`.

Schemathesis makes requests of `raftdb/description/openapi.yaml`, right and wrong ones, always the same. No answer may
be a 500, and each has to be one that is described: its status, its type, its headers and its body. Streams without an
end are left out, lessons, which take long to play, and requests that change the members, after which there is no node
that could answer.
"""

import os
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.request
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

ROOT = Path(__file__).resolve().parent.parent
DESCRIPTION = ROOT / "raftdb" / "description" / "openapi.yaml"
LEFT_OUT = ("events", "watch", "lesson", "addMember", "moveMember", "removeMember")
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
EXAMPLES_MAX = 5
"""Random requests for each operation, beside those for each bound and each kind of mistake."""
START_SECONDS = 60.0
REQUEST_SECONDS = 20


def main() -> int:
    """Start a node, try its API and stop it; 0 if every answer was as described."""
    with TemporaryDirectory() as folder:
        address = f"127.0.0.1:{free_port()}"
        log = Path(folder) / "log"
        with log.open("wb") as errors:
            node = subprocess.Popen(
                [
                    *(sys.executable, "-m", "raftdb", "serve", "--id", "n1", "--listen", address),
                    *("--data", f"{folder}/n1", "--peers", f"n1={address}"),
                ],
                cwd=ROOT,
                stderr=errors,
            )
        try:
            wait_until_ready(f"http://{address}/readyz")
            code = run(write_description(Path(folder)), f"http://{address}", Path(folder))
        finally:
            node.send_signal(signal.SIGTERM)
            stopped = node.wait()
        if stopped != 0:
            print(log.read_text(errors="replace")[-4000:])
        return code or stopped


def free_port() -> int:
    """A port on loopback that nobody has."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_until_ready(url: str) -> None:
    """Wait until the node leads, and serves."""
    end_s = time.monotonic() + START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(url):
                return
        except OSError:
            if time.monotonic() > end_s:
                raise
        time.sleep(0.05)


def write_description(folder: Path) -> Path:
    """The description with waits so short that trying them takes no time."""
    described = yaml.safe_load(DESCRIPTION.read_text(encoding="utf-8"))
    described["components"]["schemas"]["WaitMs"]["maximum"] = 2
    written = folder / "openapi.yaml"
    written.write_text(yaml.safe_dump(described), encoding="utf-8")
    return written


def run(description: Path, url: str, folder: Path) -> int:
    """Try everything; the exit code of Schemathesis."""
    left_out = [word for name in LEFT_OUT for word in ("--exclude-operation-id", name)]
    command = [
        *(str(Path(sysconfig.get_path("scripts")) / "st"), "run", str(description), "--url", url),
        *("--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing"),
        *("--max-examples", str(EXAMPLES_MAX), "--generation-deterministic", "--no-color"),
        *("--request-timeout", str(REQUEST_SECONDS), "--suppress-health-check", "all", *left_out),
    ]
    return subprocess.run(command, cwd=folder, env=os.environ | {"HOME": str(folder)}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
