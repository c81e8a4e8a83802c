"""The option files of UFPNet's second and third stage."""

from pathlib import Path

import pytest
from launch_helpers import REPOSITORY

from deeprftv2_arch.launch.arguments import Arguments
from deeprftv2_arch.options.building import build_network
from deeprftv2_arch.options.loading import load_options
from deeprftv2_arch.options.option_file import read_option_file

OPTIONS = REPOSITORY / "options"
KERNEL, KERNEL_TEST = OPTIONS / "UFPNet_kernel.yml", OPTIONS / "test" / "UFPNet_kernel.yml"
# By training file of the third stage: parameters, those that are trained, iterations, learning rate, batch size.
UFPNET = 79_300_373
FROZEN = 5_619_858 + 194_470
RECIPES = {
    "UFPNet_GoPro": (UFPNET, 800_000, 1e-3, 64),
    "UFPNet_RealBlur_J": (UFPNET, 400_000, 1e-4, 64),
    "UFPNet_RealBlur_R": (UFPNET, 400_000, 1e-4, 64),
    "UFPNet_UNet_GoPro": (14_687_237, 200_000, 1e-3, 16),
}
# By test file: the training whose network it tests, where its images are, its protocol and what is published.
TESTS: dict[str, tuple[str, str, str, dict[str, dict[str, float]] | None]] = {
    "UFPNet_GoPro": ("UFPNet_GoPro", "GoPro", "gopro", {"GoPro-test": {"psnr": 34.06, "ssim": 0.968}}),
    "UFPNet_HIDE": ("UFPNet_GoPro", "HIDE", "hide", {"HIDE-test": {"psnr": 31.74, "ssim": 0.947}}),
    "UFPNet_RealBlur_J": (
        "UFPNet_RealBlur_J",
        "RealBlur/RealBlur_J",
        "realblur",
        {"RealBlur-J-test": {"psnr": 30.82, "psnr_aligned": 33.35, "ssim_aligned": 0.934}},
    ),
    "UFPNet_RealBlur_R": (
        "UFPNet_RealBlur_R",
        "RealBlur/RealBlur_R",
        "realblur",
        {"RealBlur-R-test": {"psnr": 38.14, "psnr_aligned": 40.61, "ssim_aligned": 0.974}},
    ),
    "UFPNet_UNet_GoPro": ("UFPNet_UNet_GoPro", "GoPro", "gopro", None),
}
TRAINING = [OPTIONS / f"{name}.yml" for name in RECIPES]
TESTING = [OPTIONS / "test" / f"{name}.yml" for name in TESTS]


def by_folder_and_name(path: Path) -> str:
    return f"{path.parent.name}-{path.stem}"


def test_no_file_is_left_out() -> None:
    others = {"UFPNet_flow", KERNEL.stem}
    assert {path.stem for path in OPTIONS.glob("UFPNet*.yml")} - others == RECIPES.keys()
    assert {path.stem for path in (OPTIONS / "test").glob("UFPNet*.yml")} - others == TESTS.keys()


@pytest.mark.parametrize("path", [KERNEL, KERNEL_TEST, *TRAINING, *TESTING], ids=by_folder_and_name)
def test_file_loads_and_begins_with_the_plugin_line(path: Path, tmp_path: Path) -> None:
    load_options(Arguments(path), tmp_path, is_train=path.parent == OPTIONS)
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    assert lines[0] == "plugin: !!python/name:deeprftv2_arch.__version__"


def test_kernel_estimator_is_the_published_one_for_the_flow_of_the_first_stage() -> None:
    opt, first = read_option_file(KERNEL), read_option_file(OPTIONS / "UFPNet_flow.yml")
    estimator, flow = (build_network(opt[section], section, "meta") for section in ("network_g", "network_flow"))
    assert sum(parameter.numel() for parameter in estimator.parameters()) == 5_619_858
    assert sum(parameter.numel() for parameter in flow.parameters()) == 194_470
    assert flow.state_dict().keys() == build_network(first["network_g"], "network_g", "meta").state_dict().keys()
    assert opt["path"]["pretrain_network_flow"] == f"experiments/{first['name']}/models/net_g_latest.pth"
    assert opt["path"]["ignore_resume_networks"] == ["network_flow"]
    assert opt["train"]["total_iter"] == opt["train"]["scheduler"]["T_max"] == 480_000
    assert opt["train"]["losses"] == {"kernel": {"type": "L1Loss", "loss_weight": 1.0, "reduction": "mean"}}


def test_kernel_estimator_is_tested_as_it_was_trained() -> None:
    train, test = read_option_file(KERNEL), read_option_file(KERNEL_TEST)
    for section in ("model_type", "network_g", "network_flow"):
        assert test[section] == train[section]
    assert test["path"]["pretrain_network_flow"] == train["path"]["pretrain_network_flow"]
    assert test["path"]["pretrain_network_g"] == f"experiments/{train['name']}/models/net_g_latest.pth"
    assert test["published"] == {"name": "UFPNet (paper)", "GoPro-test": {"psnr": 45.92, "ssim": 0.996}}


@pytest.mark.parametrize("path", TRAINING, ids=lambda path: path.stem)
def test_recipe_of_the_third_stage(path: Path) -> None:
    opt = read_option_file(path)
    train, data = opt["train"], opt["datasets"]["train"]
    parameters, iterations, lr, batch = RECIPES[path.stem]
    network = build_network(opt["network_g"], "network_g", "meta")
    count = sum(parameter.numel() for parameter in network.parameters())
    trained = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
    header = " ".join(path.read_text(encoding="utf-8").partition("#\n")[0].replace("\n# ", " ").split())
    assert (count, trained) == (parameters, parameters - FROZEN)
    assert f"({count:,} parameters, " in header
    assert f"{trained:,}" in header
    assert train["optim_g"] == {"type": "AdamW", "lr": lr, "weight_decay": 1e-3, "betas": [0.9, 0.9]}
    assert train["scheduler"] == {"type": "CosineAnnealingLR", "T_max": iterations, "eta_min": 1e-7}
    assert train["total_iter"] == iterations  # with T_max, so that the learning rate does not rise again
    assert train["losses"] == {"psnr": {"type": "PSNRLoss", "loss_weight": 1.0}}
    reblurred = {"reblur": {"type": "L1Loss", "loss_weight": 0.01, "reduction": "mean"}}
    assert train.get("reblur_losses") == (None if "RealBlur" in path.stem else reblurred)
    assert (train["clip_grad_norm"], train["ema_decay"], train["amp"]) == (0.01, 0, None)
    assert data["patch_stages"] == [{"iters": iterations, "patch_size": 256, "batch_size": batch}]
    assert (data["batch_size_per_gpu"], data["augment"], opt["manual_seed"]) == (batch // 8, True, 10)
    assert opt["network_g"]["train_size"] == 256
    kernel = read_option_file(KERNEL)
    assert opt["path"]["pretrain_network_kernel"] == f"experiments/{kernel['name']}/models/net_g_latest.pth"
    assert opt["path"]["pretrain_network_flow"] == kernel["path"]["pretrain_network_flow"]
    estimator = build_network(kernel["network_g"], "network_g", "meta")
    assert network.estimator.state_dict().keys() == estimator.state_dict().keys()


@pytest.mark.parametrize("path", TESTING, ids=lambda path: path.stem)
def test_tests_take_the_network_that_its_training_makes(path: Path) -> None:
    training, folder, protocol, published = TESTS[path.stem]
    test, train = read_option_file(path), read_option_file(OPTIONS / f"{training}.yml")
    assert test["network_g"] == {key: value for key, value in train["network_g"].items() if key != "memory"}
    assert (test["network_g"]["samples"], test["network_g"]["seed"]) == (1, 10)
    assert test["path"]["pretrain_network_g"] == f"experiments/{train['name']}/models/net_g_latest.pth"
    assert (test["name"], test["model_type"], test["protocol"]) == (f"test_{path.stem}", "UFPNetModel", protocol)
    assert test["datasets"]["test"]["dataroot_lq"] == f"datasets/{folder}/test/blur.lmdb"
    assert test["datasets"]["test"]["dataroot_gt"] == f"datasets/{folder}/test/sharp.lmdb"
    shown = dict(test.get("published") or {})
    assert shown.pop("name", None) == (published and "UFPNet (paper)")
    assert shown == (published or {})
    for figures in shown.values():
        assert figures.keys() <= test["val"]["metrics"].keys()
