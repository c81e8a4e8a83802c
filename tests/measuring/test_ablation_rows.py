"""All rows of the paper's ablations are measured by their own training files, as they are: nothing is pasted."""

from pathlib import Path

import pytest
import torch
from launch_helpers import REPOSITORY, write_images

from deeprftv2_arch.measuring import evaluation
from deeprftv2_arch.measuring.costs import Costs
from deeprftv2_arch.measuring.evaluation import Request, evaluate
from deeprftv2_arch.measuring.testing import run_testing
from deeprftv2_arch.options.arguments import Arguments
from deeprftv2_arch.options.loading import load_options

ROWS = sorted((REPOSITORY / "options/ablation").glob("*.yml"))
SMALL = ("num_gpu=0", "network_g:dim=8", "network_g:blocks=[1, 4, 4]")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[str, ...]]:
    """Write an image, and random weights where each row's training would have left its own; both in small."""
    tmp_path = tmp_path_factory.mktemp("ablation")
    write_images(tmp_path / "data", 1, 16)
    data = [
        f"datasets:val:dataroot_{key}={tmp_path / 'data' / side}" for key, side in (("lq", "blur"), ("gt", "sharp"))
    ]
    changes = (*SMALL, *data, "datasets:val:io_backend={type: disk}")
    for file in ROWS:
        run = load_options(Arguments(file, force_yml=changes), tmp_path, is_train=False)
        weights = Path(run.options.path.pretrain_network_g)
        weights.parent.mkdir(parents=True)
        state = run.network.state_dict()
        torch.manual_seed(0)
        torch.save({"params": {name: 0.01 * torch.rand(value.shape) for name, value in state.items()}}, weights)
    return tmp_path, changes


@pytest.mark.slow
def test_all_rows_make_one_table(trained: tuple[Path, tuple[str, ...]], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, changes = trained
    monkeypatch.setattr(
        evaluation, "costs_of", lambda network: Costs(sum(map(torch.numel, network.parameters())), None)
    )
    first, *more = ROWS
    request = Request(
        Arguments(first, force_yml=changes), "gopro", (512, 128), partial=True, workers=0, more=tuple(more)
    )
    lines = "".join(evaluate(request, folder)).splitlines()
    rows = [line for line in lines if line.startswith("| ") and "partial, 1 of 1,111" in line]
    assert len(rows) == len(ROWS) == 25
    for file, row in zip(ROWS, rows, strict=True):
        assert f"(ablation_{file.stem}), tiled (512, 128)" in row
    # What differs is the network: rows of other widths and blocks have other numbers of parameters.
    parameters = {file.stem: row.split(" | ")[1] for file, row in zip(ROWS, rows, strict=True)}
    assert parameters["table7_full"] == parameters["table6_row05"]
    assert parameters["table6_row04"] == parameters["table7_no_fke"]
    assert len(set(parameters.values())) > 8


@pytest.mark.slow
def test_a_row_is_tested_by_basicsr_s_loop(trained: tuple[Path, tuple[str, ...]]) -> None:
    folder, changes = trained
    file = REPOSITORY / "options/ablation/table6_row02.yml"
    run_testing(Arguments(file, force_yml=(*changes, "val:save_img=false")), folder)
    report = (folder / "results/ablation_table6_row02/report.md").read_text(encoding="utf-8")
    assert "| MIMOUNet | " in report
