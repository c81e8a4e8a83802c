"""Which weights of a file are tested and evaluated, and what is measured where there is no ground truth."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from launch_helpers import basicsr_log, evaluation_options, training_options, write_images, write_options

from deeprftv2_arch.launch.arguments import Arguments
from deeprftv2_arch.launch.pipeline import run_training
from deeprftv2_arch.measuring.evaluation import Request, evaluate
from deeprftv2_arch.measuring.testing import run_testing
from deeprftv2_arch.options.building import build_network

NETWORK = {"type": "SRVGGNetCompact", "num_feat": 4, "num_conv": 1, "upscale": 1}


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Write a file whose average copies the image, and whose last weights add 25.5 grey levels."""
    states = {}
    for key, shift in (("params", 0.1), ("params_ema", 0.0)):
        network = build_network(NETWORK, "network_g")
        with torch.no_grad():
            network.body[-1].weight.zero_()
            network.body[-1].bias.fill_(shift)
        states[key] = network.state_dict()
    torch.save(states, tmp_path / "net_g.pth")
    return tmp_path / "net_g.pth"


def options(folder: Path, weights: Path, **changes: Any) -> Path:
    more = {"network_g": NETWORK, "val__save_img": False, **changes}
    return write_options(folder / "test.yml", evaluation_options(folder / "images", weights, **more))


def psnr_of_test(file: Path, root: Path) -> float:
    run_testing(Arguments(file), root)
    report = json.loads((root / "results/tiny_test/report.json").read_text(encoding="utf-8"))
    return float(report["sets"]["images"]["network"]["psnr"] - report["sets"]["images"]["baseline"]["psnr"])


def psnr_of_evaluation(file: Path, root: Path) -> float:
    list(evaluate(Request(Arguments(file), "gopro", partial=True, workers=0, out=root / "out"), root))
    (content,) = ((path, json.loads(path.read_text(encoding="utf-8"))) for path in (root / "out").glob("*.json"))
    return float(content[1]["sets"]["images"]["network"]["psnr"])


def test_the_average_is_taken_wherever_there_is_one(
    tmp_path: Path, weights: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_images(tmp_path / "images", 2, 128)
    caplog.set_level(logging.INFO)
    default = options(tmp_path, weights)
    assert psnr_of_test(default, tmp_path) == pytest.approx(0, abs=1e-9)
    average = psnr_of_evaluation(default, tmp_path)
    assert f"Loaded SRVGGNetCompact from {weights} (params_ema, the average of the training)" in caplog.text
    last = options(tmp_path, weights, path={"pretrain_network_g": str(weights), "param_key_g": "params"})
    assert psnr_of_test(last, tmp_path) < -1
    assert psnr_of_evaluation(last, tmp_path) < average - 1


def test_a_file_without_average(tmp_path: Path, weights: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_images(tmp_path / "images", 1, 128)
    state = torch.load(weights, weights_only=True)["params_ema"]
    for content in ({"params": state}, state):
        torch.save(content, weights)
        assert psnr_of_test(options(tmp_path, weights), tmp_path) == pytest.approx(0, abs=1e-9)
    assert "there is no params_ema" not in caplog.text


def test_validation_without_ground_truth_measures_nothing_against_another_picture(
    tmp_path: Path,
) -> None:
    """It compared with the last training patch; or, of another size, ended the run."""
    write_images(tmp_path / "train")
    write_images(tmp_path / "val", 2, 32)
    single = {
        "name": "single",
        "type": "SingleImageDataset",
        "dataroot_lq": str(tmp_path / "val/blur"),
        "io_backend": {"type": "disk"},
    }
    content = training_options(tmp_path / "train", tmp_path / "val", datasets__val=single)
    with basicsr_log() as log:
        run_training(Arguments(write_options(tmp_path / "train.yml", content)), tmp_path)
    text = log.getvalue()
    assert "single has no ground truth: psnr is not measured on it" in text
    assert "# psnr" not in text
