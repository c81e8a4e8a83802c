"""The option files that come with the project."""

import re
from pathlib import Path

import pytest
from basicsr.archs import build_network
from launch_helpers import REPOSITORY

from deeprftv2_arch.launch.arguments import Arguments
from deeprftv2_arch.options.loading import load_options
from deeprftv2_arch.options.option_file import read_option_file

SMALL = sorted((REPOSITORY / "options").glob("DeepRFTv2_T_*.yml"))  # no experiments of the paper
TRAINING = sorted({*(REPOSITORY / "options").glob("DeepRFTv2*.yml")} - {*SMALL})
TESTING = sorted((REPOSITORY / "options" / "test").glob("DeepRFTv2*.yml"))
SR_TRAINING = sorted((REPOSITORY / "options").glob("ATD*.yml"))
SR_TESTING = sorted((REPOSITORY / "options" / "test").glob("ATD*.yml"))
B, S = 30_117_560, 21_191_096
# By training file: parameters, iterations, and of every stage iterations, patch size and batch size.
RECIPES = {
    "DeepRFTv2_GoPro": (B, 600_000, [(450_000, 256, 16), (150_000, 512, 8)]),
    "DeepRFTv2_S_GoPro": (S, 600_000, [(450_000, 256, 16), (150_000, 512, 8)]),
    "DeepRFTv2_RealBlur_R": (B, 150_000, [(50_000, 512, 16), (100_000, [776, 680], 8)]),
    "DeepRFTv2_RealBlur_J": (B, 150_000, [(50_000, 512, 16), (100_000, [776, 680], 8)]),
    "DeepRFTv2_REDS": (B, 600_000, [(600_000, 512, 8)]),
    "DeepRFTv2_S_DPDD": (S, 150_000, [(150_000, 640, 8)]),
}
# By test file: the training whose network it tests, and where its images are.
TRAINED_AS = {
    "DeepRFTv2_GoPro": ("DeepRFTv2_GoPro", "GoPro/test"),
    "DeepRFTv2_HIDE": ("DeepRFTv2_GoPro", "HIDE/test"),
    "DeepRFTv2_S_GoPro": ("DeepRFTv2_S_GoPro", "GoPro/test"),
    "DeepRFTv2_S_HIDE": ("DeepRFTv2_S_GoPro", "HIDE/test"),
    "DeepRFTv2_RealBlur_R": ("DeepRFTv2_RealBlur_R", "RealBlur/RealBlur_R/test"),
    "DeepRFTv2_RealBlur_J": ("DeepRFTv2_RealBlur_J", "RealBlur/RealBlur_J/test"),
    "DeepRFTv2_REDS": ("DeepRFTv2_REDS", "REDS/val300"),
    "DeepRFTv2_S_DPDD": ("DeepRFTv2_S_DPDD", "DPDD/test"),
}
# Tables 1 to 4 of the paper and row 14 of its Table 6.
PUBLISHED = {
    "DeepRFTv2_GoPro": {"GoPro-test": {"psnr": 34.52, "ssim": 0.971}},
    "DeepRFTv2_HIDE": {"HIDE-test": {"psnr": 32.22, "ssim": 0.953}},
    "DeepRFTv2_S_GoPro": {"GoPro-test": {"psnr": 34.10}},
    "DeepRFTv2_S_HIDE": None,
    "DeepRFTv2_RealBlur_R": {"RealBlur-R-test": {"psnr": 38.26, "psnr_aligned": 41.39, "ssim_aligned": 0.977}},
    "DeepRFTv2_RealBlur_J": {"RealBlur-J-test": {"psnr": 31.10, "psnr_aligned": 34.46, "ssim_aligned": 0.945}},
    "DeepRFTv2_REDS": {"REDS-val-300": {"psnr": 29.42, "ssim": 0.872}},
    "DeepRFTv2_S_DPDD": {
        "DPDD-test": {"psnr": 26.54, "ssim": 0.827, "mae": 0.036, "lpips": 0.164},
        "DPDD-test indoor": {"psnr": 29.50, "ssim": 0.890, "mae": 0.023, "lpips": 0.134},
        "DPDD-test outdoor": {"psnr": 23.73, "ssim": 0.766, "mae": 0.048, "lpips": 0.192},
    },
}
SR_PARAMETERS = {
    "ATDlight_SRx2": 753_204,
    "ATDlight_SRx3": 759_699,
    "ATDlight_SRx4": 768_792,
    "ATDlight_FKE_SRx2": 1_163_108,
    "ATDlight_FKE_SRx3": 1_169_603,
    "ATDlight_FKE_SRx4": 1_178_696,
}
BENCHMARKS = ["Set5", "Set14", "B100", "Urban100", "Manga109"]
# Table 5 of the paper: PSNR and SSIM on the five sets.
TABLE_5 = {
    "ATDlight_SRx2": "38.28 0.9616 34.11 0.9217 32.39 0.9023 33.27 0.9376 39.51 0.9789",
    "ATDlight_FKE_SRx2": "38.27 0.9618 34.26 0.9229 32.41 0.9030 33.55 0.9405 39.63 0.9793",
    "ATDlight_SRx3": "34.70 0.9300 30.68 0.8485 29.32 0.8109 29.16 0.8710 34.60 0.9505",
    "ATDlight_FKE_SRx3": "34.71 0.9298 30.73 0.8497 29.35 0.8120 29.36 0.8753 34.69 0.9513",
    "ATDlight_SRx4": "32.62 0.8997 28.87 0.7884 27.77 0.7439 26.97 0.8107 31.47 0.9198",
    "ATDlight_FKE_SRx4": "32.62 0.8991 28.93 0.7902 27.80 0.7451 27.12 0.8163 31.54 0.9210",
}


def by_name(path: Path) -> str:
    return path.stem


def by_folder_and_name(path: Path) -> str:
    return f"{path.parent.name}-{path.stem}"


def test_every_experiment_has_its_files() -> None:
    assert {path.stem for path in TRAINING} == RECIPES.keys()
    assert {path.stem for path in TESTING} == TRAINED_AS.keys()
    assert {path.stem for path in SR_TRAINING} == {path.stem for path in SR_TESTING} == SR_PARAMETERS.keys()


@pytest.mark.parametrize("path", TRAINING + TESTING + SR_TRAINING + SR_TESTING, ids=by_folder_and_name)
def test_file_loads_with_its_network_and_begins_with_the_plugin_line(path: Path, tmp_path: Path) -> None:
    load_options(Arguments(path), tmp_path, is_train=path in TRAINING + SR_TRAINING)
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    assert lines[0] == "plugin: !!python/name:deeprftv2_arch.__version__"


@pytest.mark.parametrize("path", SMALL, ids=by_name)
def test_small_networks_are_small_and_train_on_photographs(path: Path, tmp_path: Path) -> None:
    run = load_options(Arguments(path), tmp_path, is_train=True)
    assert sum(parameter.numel() for parameter in run.network.parameters()) <= 3_000_000
    assert run.data["train"].type == "SyntheticBlurDataset"


@pytest.mark.parametrize("path", TRAINING, ids=by_name)
def test_network_has_the_parameters_of_the_paper(path: Path) -> None:
    network = build_network(read_option_file(path)["network_g"])
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == RECIPES[path.stem][0]


@pytest.mark.parametrize("path", TRAINING, ids=by_name)
def test_recipe_is_the_paper_s(path: Path) -> None:
    opt = read_option_file(path)
    train = opt["train"]
    _, total_iter, wanted_stages = RECIPES[path.stem]
    assert train["optim_g"] == {"type": "AdamW", "lr": 1e-3, "weight_decay": 1e-3, "betas": [0.9, 0.9]}
    assert train["scheduler"] == {"type": "CosineAnnealingLR", "T_max": total_iter, "eta_min": 1e-7}
    assert train["total_iter"] == total_iter
    assert train["clip_grad_norm"] == 0.01
    assert (train["ema_decay"], train["amp"]) == (0, None)
    assert {name: (loss["type"], loss["loss_weight"]) for name, loss in train["losses"].items()} == {
        "l1": ("L1Loss", 1.0),
        "frequency": ("FrequencyLoss", 0.01),
    }
    stages = opt["datasets"]["train"]["patch_stages"]
    assert [tuple(stage.values()) for stage in stages] == wanted_stages
    assert opt["datasets"]["train"]["batch_size_per_gpu"] == wanted_stages[0][2] // 8
    assert opt["datasets"]["train"]["augment"] == ("flips" if "RealBlur" in path.stem else True)
    assert opt["manual_seed"] == 100


@pytest.mark.parametrize("path", TESTING, ids=by_name)
def test_tests_take_the_network_that_its_training_makes(path: Path) -> None:
    training, place = TRAINED_AS[path.stem]
    test, train = (read_option_file(p) for p in (path, REPOSITORY / "options" / f"{training}.yml"))
    of_one_alone = {"tile_overlap", "memory"}
    structures = [{k: v for k, v in opt["network_g"].items() if k not in of_one_alone} for opt in (test, train)]
    assert structures[0] == structures[1]
    assert train["network_g"]["memory"] == "reversible"
    if train["network_g"]["tile"] is not None:  # the published GoPro training validated with another overlap
        assert train["network_g"]["tile_overlap"] == (48 if "GoPro" in training else 128)
    assert test["path"]["pretrain_network_g"] == f"experiments/{train['name']}/models/net_g_latest.pth"
    assert test["datasets"]["test"]["dataroot_lq"] == f"datasets/{place}/blur.lmdb"
    assert test["datasets"]["test"]["dataroot_gt"] == f"datasets/{place}/sharp.lmdb"


@pytest.mark.parametrize("path", TESTING, ids=by_name)
def test_published_figures_of_deblurring_are_the_paper_s(path: Path) -> None:
    opt = read_option_file(path)
    published = opt.get("published")
    assert (published and {key: value for key, value in published.items() if key != "name"}) == PUBLISHED[path.stem]
    if published:
        assert published["name"].startswith(f"DeepRFTv2-{'S' if '_S_' in path.stem else 'B'} (paper, Table")
        for figures in (value for key, value in published.items() if key != "name"):
            assert figures.keys() <= opt["val"]["metrics"].keys()


def test_images_are_tiled_padded_and_pooled_as_published() -> None:
    names = ("tile", "tile_overlap", "smallest_size", "train_size", "fke_window", "fke_overlap")
    sizes = {
        path.stem: {n: v for n, v in read_option_file(path)["network_g"].items() if n in names} for path in TESTING
    }
    gopro = {"tile": 512, "tile_overlap": 128}
    realblur = {"tile": None, "smallest_size": [776, 680]}
    assert sizes == {
        "DeepRFTv2_GoPro": gopro,
        "DeepRFTv2_HIDE": gopro,
        "DeepRFTv2_S_GoPro": gopro,
        "DeepRFTv2_S_HIDE": gopro,
        "DeepRFTv2_RealBlur_R": realblur,
        "DeepRFTv2_RealBlur_J": realblur,
        "DeepRFTv2_REDS": gopro | {"train_size": 256},
        "DeepRFTv2_S_DPDD": {"train_size": 320, "tile": None, "fke_window": 320, "fke_overlap": 48},
    }


def scale_of(path: Path) -> int:
    return int(path.stem[-1])


@pytest.mark.parametrize("path", SR_TRAINING, ids=by_name)
def test_super_resolution_network_is_the_published_one(path: Path) -> None:
    opt = read_option_file(path)
    with_fke = "FKE" in path.stem
    assert opt["network_g"]["fke"] is with_fke
    assert opt["scale"] == opt["network_g"]["upscale"] == scale_of(path)
    network = build_network(opt["network_g"])
    count = sum(parameter.numel() for parameter in network.parameters())
    header = path.read_text(encoding="utf-8").splitlines()[1]
    assert count == SR_PARAMETERS[path.stem]
    assert f"({count:,} parameters)" in header
    assert header.startswith(f"# ATD-light{'+FKE' if with_fke else ''} at x{scale_of(path)}")


@pytest.mark.parametrize("path", SR_TRAINING, ids=by_name)
def test_super_resolution_recipe_is_atd_s(path: Path) -> None:
    opt = read_option_file(path)
    scale, is_first = scale_of(path), scale_of(path) == 2
    train = opt["train"]
    assert (opt["name"], opt["model_type"], opt["manual_seed"]) == (path.stem, "SuperResolutionModel", 0)
    lr = 5e-4 if is_first else 2e-4
    assert train["optim_g"] == {"type": "AdamW", "lr": lr, "weight_decay": 0, "betas": [0.9, 0.9]}
    milestones = [250_000, 400_000, 450_000, 475_000, 490_000] if is_first else [150_000, 200_000, 225_000, 240_000]
    assert train["scheduler"] == {"type": "MultiStepLR", "milestones": milestones, "gamma": 0.5}
    assert (train["total_iter"], train["warmup_iter"]) == ((500_000, 20_000) if is_first else (250_000, 10_000))
    assert train["losses"] == {"l1": {"type": "L1Loss", "loss_weight": 1.0, "reduction": "mean"}}
    assert train["clip_grad_norm"] == (0.01 if "FKE" in path.stem else None)
    assert (train["ema_decay"], train["amp"]) == (0.999, None)

    data = opt["datasets"]["train"]
    iterations = 500_000 if is_first else 250_000
    assert data["patch_stages"] == [{"iters": iterations, "patch_size": 64, "batch_size": 32}]
    assert (data["dataroot_gt"], data["dataroot_lq"]) == (
        "datasets/DF2K/train/HR.lmdb",
        f"datasets/DF2K/train/LRx{scale}.lmdb",
    )

    start = None if is_first else f"experiments/{path.stem[:-1]}2/models/net_g_latest.pth"
    assert opt["path"]["pretrain_network_g"] == start
    assert opt["path"]["strict_load_g"] is is_first


@pytest.mark.parametrize("path", SR_TRAINING + SR_TESTING, ids=by_folder_and_name)
def test_super_resolution_is_measured_on_the_five_sets_as_the_field_does(path: Path) -> None:
    opt, scale = read_option_file(path), scale_of(path)
    phase = "val" if path in SR_TRAINING else "test"
    sets = [opt["datasets"][key] for key in sorted(opt["datasets"]) if key.startswith(phase)]  # BasicSR's order
    assert [section["name"] for section in sets] == BENCHMARKS
    for section in sets:
        for key, side in (("dataroot_gt", "HR"), ("dataroot_lq", "LR")):
            assert section[key] == f"datasets/SR/{section['name']}/{side}x{scale}.lmdb"
    measured = {name: (m["type"], m["crop_border"], m["test_y_channel"]) for name, m in opt["val"]["metrics"].items()}
    assert measured == {"psnr": ("calculate_psnr", scale, True), "ssim": ("calculate_ssim", scale, True)}


@pytest.mark.parametrize("path", SR_TESTING, ids=by_name)
def test_super_resolution_tests_take_what_their_training_makes(path: Path) -> None:
    test, train = read_option_file(path), read_option_file(REPOSITORY / "options" / path.name)
    assert test["network_g"] == train["network_g"]
    assert test["path"]["pretrain_network_g"] == f"experiments/{train['name']}/models/net_g_latest.pth"
    assert test["path"]["param_key_g"] is None  # the average
    assert test["name"] == f"test_{train['name']}"


@pytest.mark.parametrize("path", SR_TESTING, ids=by_name)
def test_published_figures_of_super_resolution_are_the_paper_s(path: Path) -> None:
    published = read_option_file(path)["published"]
    assert published.pop("name") == f"ATD-light{'+FKE' if 'FKE' in path.stem else ''} (paper)"
    numbers = [float(number) for number in re.findall(r"[\d.]+", TABLE_5[path.stem])]
    expected = {name: {"psnr": numbers[2 * n], "ssim": numbers[2 * n + 1]} for n, name in enumerate(BENCHMARKS)}
    assert published == expected
