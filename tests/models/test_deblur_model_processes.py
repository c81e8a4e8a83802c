"""Two processes train, validate, save and stop as one does."""

from pathlib import Path
from typing import Any

import pytest
import torch
from deblur_model_helpers import same
from deblur_model_processes import work, write_validation_images
from launch_helpers import REPOSITORY, finish, start

pytestmark = pytest.mark.slow

Results = tuple[dict[str, Any], list[dict[str, Any]], Path]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Return what one process, and each of two processes, found."""
    root = tmp_path_factory.mktemp("processes")
    write_validation_images(root)
    script = REPOSITORY / "tests" / "helpers" / "deblur_model_processes.py"
    pair = [start(script, rank, 2, root, cwd=root) for rank in range(2)]
    alone = work(0, 1, root)
    for process in pair:
        code, output = finish(process)
        assert code == 0, output
    return alone, [torch.load(root / f"{rank}.pt", weights_only=True) for rank in range(2)], root


def test_same_global_batch_gives_the_same_weights(results: Results) -> None:
    alone, (first, second), _ = results
    assert same(first["weights"], second["weights"])
    for name, value in alone["weights"].items():
        # The scan keeps its A in float32, whatever the rest is.
        tolerance = 1e-5 if value.dtype == torch.float32 else 1e-8
        torch.testing.assert_close(first["weights"][name], value, rtol=tolerance, atol=tolerance / 100)
    assert first["logs"] == second["logs"]
    for one, two in zip(alone["logs"], first["logs"], strict=True):
        assert two == pytest.approx(one, rel=1e-9)


def test_shared_validation_gives_the_same_table_everywhere(results: Results) -> None:
    alone, pair, root = results
    value = alone["best"]["toy"]["psnr"]["val"]
    for found in pair:
        assert found["best"]["toy"]["psnr"]["val"] == pytest.approx(value, rel=1e-12)
        assert found["best"] == pair[0]["best"]
    saved = sorted(path.relative_to(root / "of_2").as_posix() for path in (root / "of_2").rglob("*.png"))
    assert saved == [f"visualization/{number}/{number}_3.png" for number in range(5)]


def test_state_holds_the_random_state_of_every_process(results: Results) -> None:
    state = torch.load(results[2] / "of_2" / "training_states" / "3.state", weights_only=True)
    for rank, found in enumerate(state["random_states"]):
        assert torch.equal(found["torch"], torch.Generator().manual_seed(100 + rank).get_state())
    assert len(state["random_states"]) == 2


def test_all_processes_skip_and_stop_together(results: Results) -> None:
    for found in results[1]:
        assert found["skipped"] == 1
        assert len(found["messages"]) == 1
        assert found["messages"][0].startswith("iteration 5: l1_full is nan")
        assert "images: 4/0.png, 4/1.png, 4/2.png, 4/3.png" in found["messages"][0]
        for name, value in found["weights"].items():
            assert torch.equal(found["weights after skipping"][name], value)
