"""The option files that come with the project."""

from pathlib import Path

import pytest
from basicsr.archs import build_network
from launch_helpers import REPOSITORY

from deeprftv2_arch.launch.option_checks import check_options
from deeprftv2_arch.launch.options import read_option_file

TRAINING = sorted((REPOSITORY / "options").glob("DeepRFTv2*.yml"))
TESTING = sorted((REPOSITORY / "options" / "test").glob("*.yml"))
PARAMETERS = {"DeepRFTv2": 30_117_560, "DeepRFTv2_S": 21_191_096}
UNUSED_ALPHAS_OF_FIRST_UNIT = 3 * (48 + 96 + 192)


def by_name(path: Path) -> str:
    return path.stem


def variant(path: Path) -> str:
    return path.stem.rpartition("_")[0]


def test_every_variant_has_its_files() -> None:
    assert {path.name for path in TRAINING} == {"DeepRFTv2_GoPro.yml", "DeepRFTv2_S_GoPro.yml"}
    expected = {f"{stem}_{data}.yml" for stem in PARAMETERS for data in ("GoPro", "HIDE")}
    assert {path.name for path in TESTING} == expected


@pytest.mark.parametrize("path", TRAINING + TESTING, ids=by_name)
def test_file_passes_the_checks_and_begins_with_the_plugin_line(path: Path) -> None:
    check_options(read_option_file(path), str(path), is_train=path in TRAINING)
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    assert lines[0] == "plugin: !!python/name:deeprftv2_arch.__version__"


@pytest.mark.parametrize("path", TRAINING, ids=by_name)
def test_network_has_the_parameters_of_the_paper(path: Path) -> None:
    network = build_network(read_option_file(path)["network_g"])
    count = sum(parameter.numel() for parameter in network.parameters())
    assert PARAMETERS[variant(path)] - count in (0, UNUSED_ALPHAS_OF_FIRST_UNIT)


@pytest.mark.parametrize("path", TRAINING, ids=by_name)
def test_recipe_is_the_paper_s(path: Path) -> None:
    opt = read_option_file(path)
    train = opt["train"]
    assert train["optim_g"] == {"type": "AdamW", "lr": 1e-3, "weight_decay": 1e-3, "betas": [0.9, 0.9]}
    assert train["scheduler"] == {"type": "CosineAnnealingLR", "T_max": 600_000, "eta_min": 1e-7}
    assert train["total_iter"] == 600_000
    assert train["clip_grad_norm"] == 0.01
    assert (train["ema_decay"], train["amp"]) == (0, None)
    assert {name: (loss["type"], loss["loss_weight"]) for name, loss in train["losses"].items()} == {
        "l1": ("L1Loss", 1.0),
        "frequency": ("FrequencyLoss", 0.01),
    }
    stages = opt["datasets"]["train"]["patch_stages"]
    assert [tuple(stage.values()) for stage in stages] == [(450_000, 256, 16), (150_000, 512, 8)]
    assert opt["manual_seed"] == 100


@pytest.mark.parametrize("path", TESTING, ids=by_name)
def test_tests_take_the_network_that_its_training_makes(path: Path) -> None:
    test, train = (read_option_file(p) for p in (path, REPOSITORY / "options" / f"{variant(path)}_GoPro.yml"))
    only_testing = {"tile_overlap", "memory"}
    structures = [{k: v for k, v in opt["network_g"].items() if k not in only_testing} for opt in (test, train)]
    assert structures[0] == structures[1]
    assert test["path"]["pretrain_network_g"] == f"experiments/{train['name']}/models/net_g_latest.pth"
    data = path.stem.rpartition("_")[2]
    assert test["datasets"]["test"]["dataroot_lq"] == f"datasets/{data}/test/blur.lmdb"
    assert test["datasets"]["test"]["dataroot_gt"] == f"datasets/{data}/test/sharp.lmdb"
