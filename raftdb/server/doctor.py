"""`raftdb doctor`: storage's findings about a data folder or a backup, with the details that only this layer can read.

The examination runs in a process of its own. A page that is damaged within LMDB's own tree may end it by a signal
(hazard B82); the findings before it are known by then, and the signal is one more.
"""

import json
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TypeAlias

from raftdb.errors import RaftdbError
from raftdb.machine.layer import KeyValueView
from raftdb.machine.services import INVENTORIES
from raftdb.node.stored import decode_hard_state
from raftdb.server.folder import EXIT_FOLDER, EXIT_OF_REASON, storage_errors
from raftdb.wire.configuration import decode_configuration
from storage import (
    DAMAGE_HINT,
    IDENTITY_FILE,
    Finding,
    Reason,
    StorageError,
    examine,
    examine_snapshot,
    finding_of,
)
from storage.system_failures import mapped, system_failure

Findings: TypeAlias = Sequence[Finding]
"""What was examined, in order."""

UNREADABLE_HINT = (
    "if the kernel's log (dmesg) tells of errors of the disk, mend that and examine again; "
    f"if not, {DAMAGE_HINT}"
)
FAILED_HINT = (
    "that is a fault of this program, or damage that it does not know: keep the folder for inspection"
)


def diagnose(path: Path) -> list[Finding]:
    """All findings about the data folder or backup file `path`; nothing is written. It is sound if all are ok.

    This forks, so the caller may have only one thread.
    """
    with storage_errors(), mapped(path, "examine"):
        several = _nodes_in(path)
    if several:
        what = f"it holds the folders of several nodes: {', '.join(several)}"
        return [Finding("folder", what, False, f"examine one: raftdb doctor {path / several[0]}")]
    source, sink = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(source)
        _examine_and_exit(path, sink)
    os.close(sink)
    with os.fdopen(source, "rb") as pipe:
        content = pipe.read()
    _, status = os.waitpid(process, 0)
    # A line that was cut short by the end of the process is no finding.
    findings = [Finding(*json.loads(line)) for line in content.split(b"\n")[:-1]]
    if os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        what = f"{name} ended it after the findings above: a page of the next part cannot be read"
        findings.append(Finding("examination", what, False, UNREADABLE_HINT))
    elif status != 0:
        what = "it failed after the findings above, as the traceback shows"
        findings.append(Finding("examination", what, False, FAILED_HINT))
    return findings


def exit_code_of(findings: Findings) -> int:
    """0 if all is sound; the code of the reason if only the system prevented the examination; otherwise that of a bad
    folder."""
    wrong = [finding for finding in findings if not finding.ok]
    if not wrong:
        return 0
    reasons = [finding.reason for finding in wrong if finding.reason is not None]
    return EXIT_OF_REASON[Reason(reasons[0])] if len(reasons) == len(wrong) else EXIT_FOLDER


def _examine_and_exit(path: Path, sink: int) -> None:
    """In the child: write a line of JSON for each finding, as it comes, and exit with code 0 at the end. Never
    returns."""
    code = 1
    try:
        for finding in chain.from_iterable(map(_decode, _examine(path))):
            os.write(sink, json.dumps(finding).encode() + b"\n")
        code = 0
    except (StorageError, OSError) as error:
        failure = system_failure(path, "examine", error) if isinstance(error, OSError) else error
        os.write(sink, json.dumps(finding_of("examination", failure)).encode() + b"\n")
    except BaseException:  # noqa: BLE001 - a bug, or unforeseen damage: the traceback shows it, and the code tells
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _examine(path: Path) -> Iterator[Finding]:
    return examine_snapshot(path) if path.is_file() else examine(path, _services_in)


def _services_in(state: KeyValueView) -> Iterator[Finding]:
    """What queues and locks have at the checkpoint, and what of it does not agree."""
    for inventory in INVENTORIES:
        for noted in inventory(state):
            advice = DAMAGE_HINT if noted.is_wrong else noted.advice
            yield Finding(noted.name, noted.value, not noted.is_wrong, advice)


def _decode(finding: Finding) -> Sequence[Finding]:
    """Term and vote, and members, which storage keeps as bytes, in words."""
    name, value = finding.name, finding.value
    if not isinstance(value, bytes):
        return (finding,)
    try:
        if name == "hard state":
            hard_state = decode_hard_state(value)
            return (Finding("term", hard_state.term), Finding("voted for", hard_state.voted_for or "nobody"))
        members = decode_configuration(value).members
        return (Finding("members", ",".join(f"{member.id}={member.http}" for member in members)),)
    except RaftdbError as error:
        return (Finding(name, error.message, False, DAMAGE_HINT),)


def _nodes_in(path: Path) -> list[str]:
    """Names of the data folders in `path`, if it is a folder around such ones, as `raftdb up` makes it."""
    if not path.is_dir() or (path / IDENTITY_FILE).exists():
        return []
    return sorted(found.parent.name for found in path.glob(f"*/{IDENTITY_FILE}"))
