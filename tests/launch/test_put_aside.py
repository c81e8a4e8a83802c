"""BasicSR puts the folder of an earlier run aside by a name that has the second in it, and no more."""

import time
from pathlib import Path

import pytest
from basicsr.utils import get_time_str, mkdir_and_rename

from deeprftv2_arch.launch.processes import only_run_in


@pytest.mark.parametrize("taken", ["experiments", "tb_logger"])
def test_two_starts_in_one_second_put_two_folders_aside(tmp_path: Path, taken: str) -> None:
    folder, earlier = tmp_path / "experiments" / "tiny", tmp_path / taken / "tiny"
    (folder / "models").mkdir(parents=True)
    (earlier / "models").mkdir(parents=True, exist_ok=True)
    now = time.time()
    for second in range(2):  # this one, and the next, should that have begun
        name = time.strftime("%Y%m%d_%H%M%S", time.localtime(now + second))
        (tmp_path / taken / f"tiny_archived_{name}" / "models").mkdir(parents=True)
    with only_run_in(folder):
        assert not (tmp_path / taken / f"tiny_archived_{get_time_str()}").exists()
        mkdir_and_rename(str(earlier))
    assert len(list((tmp_path / taken).glob("tiny_archived_*/models"))) == 3


def test_nothing_is_waited_for_where_no_folder_was_put_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("waits"))
    (tmp_path / "experiments" / "tiny_archived_20200101_000000").mkdir(parents=True)
    with only_run_in(tmp_path / "experiments" / "tiny"):
        pass
