"""How a preparation ends that a signal stops."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from datasets_prep import command_line


@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGTERM, 143, "terminated"), (signal.SIGINT, 130, "interrupted")]
)
def test_signal_is_one_line_and_its_exit_code(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: signal.Signals,
    code: int,
    word: str,
) -> None:
    def work(*_: Any) -> None:
        os.kill(os.getpid(), number)
        time.sleep(5)

    monkeypatch.setattr(command_line, "_run", work)
    assert command_line.main(["gopro", "--root", str(tmp_path), "--out", str(tmp_path / "out")]) == code
    assert capsys.readouterr().err == f"{word}: run the same command again to go on\n"
