"""The number of processes, and of workers that measure, changes no figure; none of them hangs."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from basicsr.archs import build_network
from evaluate_helpers import evaluated, options_of, read_csv
from launch_helpers import TINY_NETWORK, run, write_images

from deeprftv2_arch.errors import EvaluationError
from deeprftv2_arch.measuring.measuring_processes import default_workers, measuring_processes

pytestmark = pytest.mark.slow

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    """Options that measure random weights on five images, so that two processes have unequal shares."""
    write_images(tmp_path / "data", count=5)
    network = build_network(TINY_NETWORK)
    torch.save({"params": network.state_dict()}, tmp_path / "weights.pth")
    published = {"name": "somebody", "RealBlur-J-test": {"psnr": 31.1}}
    return options_of(tmp_path / "data", "RealBlur-J-test", "realblur", tmp_path / "weights.pth", published=published)


def test_two_processes_write_what_one_writes(tmp_path: Path, options: dict[str, Any]) -> None:
    table = evaluated(tmp_path, options, partial=True)
    pair = tmp_path / "pair"
    pair.mkdir()
    words = ("-m", "deeprftv2_arch", "evaluate", "-opt", tmp_path / "evaluate.yml", "--partial", "--workers", "1")
    code, output = run(*TORCHRUN, *words, cwd=pair)
    assert code == 0, output
    assert output.count("| somebody |") == 1  # one process prints the table
    assert table in output
    alone, shared = (folder / "results" / "tiny_test" / "evaluation" for folder in (tmp_path, pair))
    names = [f"realblur_whole_partial{ending}" for ending in (".csv", ".json", ".md")]
    assert sorted(path.name for path in shared.iterdir()) == names
    csv, content, markdown = names
    assert (alone / csv).read_text() == (shared / csv).read_text()
    assert (alone / markdown).read_text() == (shared / markdown).read_text()
    contents = [json.loads((folder / content).read_text()) for folder in (alone, shared)]
    for found in contents:
        del found["date"]
    assert contents[0] == contents[1]
    assert contents[0]["sets"]["RealBlur-J-test"]["pictures"] == 5


def test_damaged_image_of_one_process_is_known_to_all(tmp_path: Path, options: dict[str, Any]) -> None:
    (tmp_path / "data" / "blur" / "003.png").write_bytes(b"damaged")  # the second process's
    evaluation = tmp_path / "results" / "tiny_test" / "evaluation"
    with pytest.raises(EvaluationError, match="1 of 5"):
        evaluated(tmp_path, options, partial=True)
    alone = (evaluation / "realblur_whole_partial_incomplete.csv").read_text()
    words = ("-m", "deeprftv2_arch", "evaluate", "-opt", tmp_path / "evaluate.yml", "--partial", "--workers", "0")
    code, output = run(*TORCHRUN, *words, cwd=tmp_path)
    assert code != 0
    assert output.count("1 of 5 images could not be measured") == 1
    assert output.count(f"{tmp_path / 'data' / 'blur' / '003.png'} is neither a PNG nor a JPEG") == 1
    path = evaluation / "realblur_whole_partial_incomplete.csv"
    assert path.read_text() == alone
    assert [bool(line["fault"]) for line in read_csv(path)] == [False, False, False, True, False]


def test_tasks_are_drawn_only_as_they_are_needed(tmp_path: Path) -> None:
    drawn = []

    def tasks() -> Iterator[int]:
        for number in range(20):
            drawn.append(number)
            yield -number

    with measuring_processes(1) as map_:
        found = map_(abs, tasks())
        assert next(found) == 0
        assert len(drawn) == 2
        assert list(found) == list(range(1, 20))
    with measuring_processes(0) as map_:
        assert list(map_(abs, [-3])) == [3]


def test_worker_that_dies_is_one_line() -> None:
    start = time.monotonic()
    message = "one of 1 processes that measure has died"
    with pytest.raises(EvaluationError, match=message), measuring_processes(1) as map_:
        list(map_(os._exit, [3, 3, 3]))
    assert time.monotonic() - start < 60


def test_default_number_of_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(12)), raising=False)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert [default_workers(tasks) for tasks in (1, 2, 9, 1111)] == [0, 1, 4, 12]
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert default_workers(1111) == 3
