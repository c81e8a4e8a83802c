"""Signals while files are being restored."""

import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from torch import nn

from deeprftv2_arch.common.stopping import Stopped, signals_stop
from deeprftv2_arch.restoring.batch import restore_files as module
from deeprftv2_arch.restoring.batch.plan import Job, Plan


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_file_in_work_is_dropped_and_the_summary_counts_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, code: int
) -> None:
    def restore(work: Any, job: Job, *_: Any) -> None:
        if job.source.name == "2.png":
            os.kill(os.getpid(), number)
            time.sleep(5)

    monkeypatch.setattr(module._Work, "_restore", restore)
    jobs = [Job(Path(f"{name}.png"), tmp_path / f"{name}.png") for name in range(5)]
    restorer: Any = SimpleNamespace(progress=False, network=nn.Identity())
    with signals_stop():
        outcome = module.restore_files(restorer, Plan(tmp_path, jobs=jobs, failures=["a line"]), tmp_path)
    assert (outcome.restored, outcome.left) == (2, 3)
    assert "2 restored, 3 not restored, since the work was stopped" in str(outcome)
    assert isinstance(outcome.stop, Stopped)
    assert outcome.stop.exit_code == code
    assert list(tmp_path.iterdir()) == []
