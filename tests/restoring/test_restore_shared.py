"""Two restorations of one folder at a time."""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from torch import nn

from deeprftv2_arch.restoring.batch import restore_files as module
from deeprftv2_arch.restoring.batch.job_locks import job_locked
from deeprftv2_arch.restoring.batch.outcome import Outcome
from deeprftv2_arch.restoring.batch.plan import Job, Plan

NO_RESTORER: Any = SimpleNamespace(progress=False, network=nn.Identity())


def test_each_image_is_restored_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: Counter[str] = Counter()

    def restore(work: Any, job: Job, *_: Any) -> None:
        time.sleep(0.01)
        assert job.target is not None
        done[job.source.name] += 1
        job.target.write_text("restored")

    monkeypatch.setattr(module._Work, "_restore", restore)
    jobs = [Job(Path(f"{number}.png"), tmp_path / f"{number}.png") for number in range(20)]
    with ThreadPoolExecutor(2) as threads:
        plan = Plan(tmp_path, jobs=jobs)
        one, other = threads.map(lambda _: module.restore_files(NO_RESTORER, plan, tmp_path), range(2))
    assert done == Counter(f"{number}.png" for number in range(20))
    for outcome in one, other:
        assert outcome.restored + outcome.done + outcome.elsewhere == 20
    assert one.restored + other.restored == 20
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f"{number}.png" for number in range(20))


def test_job_has_begun_before_its_results_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job(Path("a.png"), tmp_path / "a.png")
    told: list[str] = []
    monkeypatch.setattr(module._Work, "_seen", lambda *_: told.append("looked") or Outcome(failures=["stale"]))
    tell = lambda _, outcome: told.append("begun" if outcome is None else str(outcome))  # noqa: E731
    module.restore_files(NO_RESTORER, Plan(tmp_path, jobs=[job]), tmp_path, tell=tell)
    assert told == ["begun", "looked", "0 restored, 1 failed"]


def test_job_that_its_other_process_left_undone_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job(Path("a.png"), tmp_path / "a.png")
    monkeypatch.setattr(module._Work, "_restore", lambda *_: None)
    tries: list[Any] = []

    def locked(*arguments: Any, **more: Any) -> Any:
        tries.append(more)
        if len(tries) == 1:
            raise BlockingIOError
        return job_locked(*arguments, **more)

    monkeypatch.setattr(module, "job_locked", locked)
    outcome = module.restore_files(NO_RESTORER, Plan(tmp_path, jobs=[job]), tmp_path)
    assert (outcome.restored, outcome.elsewhere, len(tries)) == (1, 0, 2)
