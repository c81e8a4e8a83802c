"""`test` and `evaluate` take an option file for training: its section `val`, and the network that it has trained."""

from pathlib import Path

import pytest

from deeprftv2_arch.launch.arguments import Arguments
from deeprftv2_arch.options.loading import load_options

OPTIONS = Path(__file__).resolve().parents[2] / "options"
ABLATIONS = sorted((OPTIONS / "ablation").glob("*.yml"))
# An estimator of kernels restores nothing that a protocol could measure.
OTHERS = [path for path in sorted(OPTIONS.glob("*.yml")) if "kernel" not in path.stem]


def test_all_rows_are_there() -> None:
    assert len([path for path in ABLATIONS if "table6" in path.stem]) == 15
    assert len([path for path in ABLATIONS if "table7" in path.stem]) == 10


@pytest.mark.parametrize("file", [*ABLATIONS, *OTHERS], ids=lambda path: path.stem)
@pytest.mark.parametrize("evaluates", [False, True])
def test_a_training_file_is_one_for_testing(file: Path, evaluates: bool, tmp_path: Path) -> None:
    run = load_options(Arguments(file, force_yml=("num_gpu=0",)), tmp_path, is_train=False, evaluates=evaluates)
    trained = tmp_path / "experiments" / run.options.name / "models/net_g_latest.pth"
    assert run.options.path.pretrain_network_g == str(trained)
    assert "train" not in run.data
    assert all(section["phase"] == "val" for section in run.to_basicsr()["datasets"].values())


def test_other_weights_by_the_command_line(tmp_path: Path) -> None:
    arguments = Arguments(ABLATIONS[0], force_yml=("num_gpu=0", "path:pretrain_network_g=mine.pth"))
    run = load_options(arguments, tmp_path, is_train=False)
    assert run.options.path.pretrain_network_g == "mine.pth"
