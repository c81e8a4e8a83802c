"""What one stage of UFPNet's training hands to the next: the way through all of them, and what is refused on it."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from launch_helpers import changed, data_section, evaluation_options, load, write_images, write_options
from ufpnet_helpers import ESTIMATOR, FLOW, UFPNET, kernel_options, ufpnet_options, write_stage

from deeprftv2_arch.checkpoints.building import network_of_checkpoint
from deeprftv2_arch.errors import CheckpointError, EvaluationError, OptionError
from deeprftv2_arch.launch.arguments import Arguments
from deeprftv2_arch.launch.pipeline import run_training
from deeprftv2_arch.measuring.evaluation import Request, evaluate
from deeprftv2_arch.measuring.testing import run_testing
from deeprftv2_arch.options.loading import check_first_weights, load_options


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Folder with the images `train` and `val` and the files `flow.pth`, `estimator.pth` and `ufpnet.pth`."""
    write_images(tmp_path / "train", 2, 24)
    write_images(tmp_path / "val", 2, 24)
    for kind in ("flow", "estimator", "ufpnet"):
        write_stage(tmp_path / f"{kind}.pth", kind)
    return tmp_path


def second_stage(data: Path, flow: str | None = "flow.pth", **changes: Any) -> dict[str, Any]:
    return kernel_options(data / "train", data / "val", flow and data / flow, **changes)


def third_stage(
    data: Path, estimator: str | None = "estimator.pth", flow: str | None = "flow.pth", **changes: Any
) -> dict[str, Any]:
    files = [name and data / name for name in (estimator, flow)]
    return ufpnet_options(data / "train", data / "val", *files, **changes)


def checked(data: Path, options: dict[str, Any]) -> None:
    """Do what a training does before it begins."""
    file = write_options(data / "options.yml", options)
    check_first_weights(load_options(Arguments(file), data, is_train=True))


def test_from_the_flow_to_a_measured_network(data: Path) -> None:
    estimating = second_stage(data, train__total_iter=2, val=None)
    run_training(Arguments(write_options(data / "kernel.yml", estimating)), data)
    estimator = "experiments/tiny_kernel/models/net_g_latest.pth"
    deblurring = third_stage(data, estimator, train__total_iter=2, val=None)
    run_training(Arguments(write_options(data / "ufpnet.yml", deblurring)), data)
    network = data / "experiments/tiny_ufpnet/models/net_g_latest.pth"
    saved, handed_on = load(network)["params"], load(data / estimator)["params"]
    assert all(torch.equal(saved[f"estimator.{name}"], value) for name, value in handed_on.items())

    measuring = evaluation_options(
        data / "val", network, model_type="UFPNetModel", network_g={"type": "UFPNet", "seed": 1, **UFPNET}
    )
    file = write_options(data / "test.yml", measuring)
    figures = []
    for number in range(2):
        request = Request(Arguments(file), protocol="gopro", partial=True, workers=0, out=data / f"out{number}")
        (table,) = evaluate(request, data)
        (csv,) = (data / f"out{number}").glob("*.csv")
        figures.append(np.genfromtxt(csv, delimiter=",", skip_header=1, usecols=(2, 3)))
        assert "1 draw of kernels, seed 1" in table
    assert np.isfinite(figures[0]).all()
    np.testing.assert_array_equal(*figures)


def test_report_of_the_second_stage_has_the_sharp_images_as_its_baseline(data: Path) -> None:
    measuring = evaluation_options(
        data / "val",
        data / "estimator.pth",
        model_type="KernelEstimationModel",
        network_g={"type": "UncertainKernelEstimator", **ESTIMATOR},
        network_flow={"type": "KernelFlow", **FLOW},
        path__pretrain_network_flow=str(data / "flow.pth"),
    )
    run_testing(Arguments(write_options(data / "test.yml", measuring)), data)
    report = json.loads((data / "results/tiny_test/report.json").read_text())
    assert report["rows"]["baseline"] == "sharp image"
    images: dict[str, list[np.ndarray]] = {"blur": [], "sharp": [], "again": []}
    for number in range(2):
        for side in ("blur", "sharp"):
            images[side].append(cv2.imread(str(data / f"val/{side}/{number:03d}.png")).astype(float))
        again = data / f"results/tiny_test/visualization/val/{number:03d}_tiny_test.png"
        images["again"].append(cv2.imread(str(again)).astype(float))
    for row, side in (("baseline", "sharp"), ("network", "again")):
        errors = [np.mean((one - other) ** 2) for one, other in zip(images[side], images["blur"], strict=True)]
        expected = np.mean([10 * np.log10(255**2 / error) for error in errors])
        assert report["sets"]["val"][row]["psnr"] == pytest.approx(expected, rel=1e-9)
    assert report["weights"]["file"] == str(data / "estimator.pth")


def test_files_that_fit_are_taken(data: Path) -> None:
    checked(data, second_stage(data))
    checked(data, third_stage(data))
    whole = third_stage(data, None, None, path__pretrain_network_g=str(data / "ufpnet.pth"))
    checked(data, whole)


STAGE_1, STAGE_2, STAGE_3 = (
    r"a flow prior \(stage 1\)",
    r"a kernel estimator \(stage 2\)",
    r"a network that deblurs with kernels \(stage 3\)",
)


@pytest.mark.parametrize(
    ("estimator", "flow", "message"),
    [
        ("flow.pth", "flow.pth", rf"^path: pretrain_network_kernel: .*flow.pth: holds {STAGE_1}, not {STAGE_2}; name"),
        ("flow.pth", "estimator.pth", rf"^path: pretrain_network_kernel: .*flow.pth: holds {STAGE_1}, not {STAGE_2}"),
        ("estimator.pth", "estimator.pth", rf"^path: pretrain_network_flow: .*estimator.pth: holds {STAGE_2}, not"),
        ("estimator.pth", "ufpnet.pth", rf"^path: pretrain_network_flow: .*ufpnet.pth: holds {STAGE_3}, not {STAGE_1}"),
        ("ufpnet.pth", "flow.pth", rf"^path: pretrain_network_kernel: .*ufpnet.pth: holds {STAGE_3}, not {STAGE_2}"),
        ("no.pth", "flow.pth", r"^path: pretrain_network_kernel: .*no.pth: there is no such file; check the path"),
        ("estimator.pth", "torn.pth", r"^path: pretrain_network_flow: .*torn.pth: torn or no checkpoint"),
        ("other.pth", "flow.pth", r"^path: pretrain_network_kernel: .*other.pth: holds no network of UFPNet, not"),
    ],
)
def test_files_of_other_stages_are_refused(data: Path, estimator: str, flow: str, message: str) -> None:
    (data / "torn.pth").write_bytes((data / "flow.pth").read_bytes()[:2000])
    torch.save({"params": {"layers.1.running_mean": torch.zeros(25)}}, data / "other.pth")  # of any BatchNorm
    with pytest.raises(CheckpointError, match=message) as caught:
        checked(data, third_stage(data, estimator, flow))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("wrong", "stage"), [("flow.pth", STAGE_1), ("estimator.pth", STAGE_2)])
def test_a_file_of_another_stage_is_no_whole_network(data: Path, wrong: str, stage: str) -> None:
    options = third_stage(data, None, None, path__pretrain_network_g=str(data / wrong))
    with pytest.raises(CheckpointError, match=rf"{wrong}: does not fit .* {stage} \(the option file builds"):
        checked(data, options)


@pytest.mark.parametrize(("file", "stage"), [("flow.pth", STAGE_1), ("estimator.pth", STAGE_2)])
def test_a_file_of_an_earlier_stage_alone_builds_no_network(data: Path, file: str, stage: str) -> None:
    with pytest.raises(
        CheckpointError, match=rf"{file}: holds {stage}, which weights alone do not build; name another"
    ):
        network_of_checkpoint(data / file)


@pytest.mark.parametrize("wrong", ["estimator.pth", "ufpnet.pth", "train"])
def test_second_stage_refuses_what_is_no_flow(data: Path, wrong: str) -> None:
    with pytest.raises(CheckpointError, match=f"^path: pretrain_network_flow: .*{wrong}: (holds|is a folder)"):
        checked(data, second_stage(data, wrong))


@pytest.mark.parametrize("missing", ["pretrain_network_kernel", "pretrain_network_flow"])
def test_files_that_are_not_named_are_asked_for(data: Path, missing: str) -> None:
    stage = {"pretrain_network_kernel": STAGE_2, "pretrain_network_flow": STAGE_1}[missing]
    with pytest.raises(OptionError, match=rf"^path: {missing}: missing; name the file of {stage}$"):
        checked(data, changed(third_stage(data), {f"path__{missing}": None}))
    if missing == "pretrain_network_flow":
        with pytest.raises(OptionError, match=rf"^path: {missing}: missing; name the file of {STAGE_1}$"):
            checked(data, second_stage(data, None))


def test_kernels_of_different_sizes_are_refused(data: Path) -> None:
    write_stage(data / "small.pth", "flow", kernel_size=3)
    with pytest.raises(
        CheckpointError, match=r"small.pth: has kernels of 3x3, but the network of the option file 5x5;"
    ):
        checked(data, third_stage(data, flow="small.pth"))
    with pytest.raises(CheckpointError, match=r"small.pth: has kernels of 3x3.* set kernel_size: 3$"):
        checked(data, second_stage(data, "small.pth"))
    flow = {"type": "KernelFlow", **FLOW, "kernel_size": 3}
    message = r"options.yml: network_flow: kernel_size: 3, but network_g: kernel_size: 5; they must be the same"
    with pytest.raises(OptionError, match=message):
        checked(data, second_stage(data, "small.pth", network_flow=flow))


def test_a_flow_of_other_widths_is_refused(data: Path) -> None:
    write_stage(data / "wide.pth", "flow", hidden=6)
    with pytest.raises(
        CheckpointError, match=r"wide.pth: does not fit the network of the option file: tensors .*shape"
    ):
        checked(data, second_stage(data, "wide.pth"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network_g": {"type": "Identity"}}, "network_g: type: expected KernelGuidedUNet, UFPNet, not Identity"),
        ({"network_g__kernel_size": 4}, "network_g: kernel_size: expected an odd number, not 4"),
        (
            {"datasets__train__patch_stages": [{"iters": 6, "patch_size": 16, "batch_size": 2}]}
            | {"network_g__kernel_size": 17},
            r"patch_stages: item 1: patch_size: 16 is smaller than the kernels of 17x17",
        ),
        ({"path__pretrain_network_g": "x.pth"}, "path: pretrain_network_kernel: pretrain_network_g has these weights"),
        (
            {"train__reblur_losses": {"r": {"type": "L2Loss"}}},
            "train: reblur_losses: r: type: nothing is called 'L2Los",
        ),
        ({"path__pretrain_network_k": "x.pth"}, "path: unknown key 'pretrain_network_k'; did you mean 'pretrain_netw"),
    ],
)
def test_options_that_do_not_go_together_are_refused(data: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=rf"options.yml: .*{message}"):
        checked(data, changed(third_stage(data), changes))


def test_second_stage_must_say_that_a_resumed_run_has_no_flow_of_its_own(data: Path) -> None:
    options = second_stage(data)
    del options["path"]["ignore_resume_networks"]
    with pytest.raises(OptionError, match=r"options.yml: path: ignore_resume_networks: missing"):
        checked(data, options)
    with pytest.raises(OptionError, match="path: ignore_resume_networks: expected a list of 1"):
        checked(data, second_stage(data, path__ignore_resume_networks=[]))


def test_second_stage_takes_only_its_networks(data: Path) -> None:
    with pytest.raises(OptionError, match=r"network_g: type: expected UncertainKernelEstimator, not Identity"):
        checked(data, second_stage(data, network_g={"type": "Identity"}))
    with pytest.raises(OptionError, match=r"network_flow: type: expected KernelFlow, not Identity"):
        checked(data, second_stage(data, network_flow={"type": "Identity"}))
    with pytest.raises(OptionError, match=r"network_flow: KernelFlow: blocks must be at least 1"):
        checked(data, second_stage(data, network_flow={"type": "KernelFlow", **FLOW, "blocks": 0}))


def test_a_stage_file_in_the_folder_that_is_about_to_be_renamed_is_refused(data: Path) -> None:
    folder = data / "experiments" / "tiny_ufpnet"
    folder.mkdir(parents=True)
    (data / "flow.pth").replace(folder / "flow.pth")
    with pytest.raises(
        OptionError, match=r"^path: pretrain_network_flow: .*flow.pth lies in the folder that a new run"
    ):
        checked(data, third_stage(data, flow="experiments/tiny_ufpnet/flow.pth"))


def test_an_image_smaller_than_the_padding_is_named_when_it_is_measured(data: Path) -> None:
    write_images(data / "small", 1, 4)
    measuring = evaluation_options(
        data / "small",
        data / "ufpnet.pth",
        model_type="UFPNetModel",
        network_g={"type": "UFPNet", **UFPNET},
        datasets__test=data_section(data / "small"),
    )
    file = write_options(data / "test.yml", measuring)
    request = Request(Arguments(file), protocol="gopro", partial=True, workers=0, out=data / "out")
    with pytest.raises(EvaluationError, match="1 of 1 images could not be measured"):
        list(evaluate(request, data))
    (csv,) = (data / "out").glob("*_incomplete.csv")
    assert f"{data / 'small/blur/000.png'}: UFPNet restores images of at least 5x5 pixels, got 4x4" in csv.read_text()
