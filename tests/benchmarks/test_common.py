"""What all benchmarks stand on: a run that is told to end leaves nothing behind."""

import os
import signal
from pathlib import Path

import pytest

from benchmarks.common import END_SIGNALS, temporary_folder


def run_that_is_told_to_end(parent: Path, number: signal.Signals, cleaned_up: list[bool]) -> None:
    with temporary_folder(parent) as folder:
        (folder / "log").touch()
        try:
            os.kill(os.getpid(), number)
        finally:
            for other in END_SIGNALS:
                os.kill(os.getpid(), other)
            cleaned_up.append(True)


@pytest.mark.parametrize(
    ("number", "expected"),
    [(signal.SIGINT, KeyboardInterrupt()), (signal.SIGTERM, SystemExit(143)), (signal.SIGHUP, SystemExit(129))],
)  # fmt: skip
def test_a_signal_ends_the_run_and_the_folder_is_gone_though_more_signals_come(
    tmp_path: Path, number: signal.Signals, expected: BaseException
) -> None:
    before = [signal.getsignal(number) for number in END_SIGNALS]
    cleaned_up: list[bool] = []
    with pytest.raises(type(expected)) as raised:
        run_that_is_told_to_end(tmp_path, number, cleaned_up)
    assert raised.value.args == expected.args
    assert cleaned_up == [True]
    assert list(tmp_path.iterdir()) == []
    assert [signal.getsignal(number) for number in END_SIGNALS] == before
