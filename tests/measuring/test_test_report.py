"""The report of a test: its figures by hand, what else it says, and where there is none."""

import hashlib
import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

import basicsr
import cv2
import numpy as np
import pytest
import torch
from basicsr.archs import build_network
from launch_helpers import TINY_NETWORK, evaluation_options, run, write_images, write_options

import deeprftv2_arch
from deeprftv2_arch.errors import DataError, MetricUnavailableError, WriteError
from deeprftv2_arch.launch.arguments import Arguments
from deeprftv2_arch.measuring.report import how_restored
from deeprftv2_arch.measuring.testing import run_testing
from deeprftv2_arch.metrics import metric_values

PUBLISHED = {"name": "somebody (paper)", "flat": {"psnr": 34.7}}


def enlarger(scale: int) -> dict[str, Any]:
    """Options of a network that comes with BasicSR: bilinear enlargement plus what it has learned."""
    return {"type": "MSRResNet", "num_feat": 4, "num_block": 1, "upscale": scale}


def write_enlarger(path: Path, scale: int, shift: float = 0.0) -> Path:
    """Save weights with which the network enlarges bilinearly and adds `shift` grey levels."""
    network = build_network(enlarger(scale))
    with torch.no_grad():
        network.conv_last.weight.zero_()
        network.conv_last.bias.fill_(shift / 255)
    torch.save({"params": network.state_dict()}, path)
    return path


def super_resolution_options(weights: Path, scale: int, **more: Any) -> dict[str, Any]:
    metric = {"crop_border": scale, "test_y_channel": True}
    return {
        "name": "sr",
        "model_type": "SuperResolutionModel",
        "scale": scale,
        "num_gpu": 0,
        "datasets": {},
        "network_g": enlarger(scale),
        "path": {"pretrain_network_g": str(weights)},
        "val": {
            "save_img": False,
            "metrics": {
                "psnr": {"type": "calculate_psnr", **metric},
                "ssim": {"type": "calculate_ssim", **metric},
            },
        },
        **more,
    }


def pairs(folder: Path, **more: Any) -> dict[str, Any]:
    return {
        "name": folder.name,
        "type": "SuperResolutionPairDataset",
        "dataroot_gt": str(folder / "HR"),
        "dataroot_lq": str(folder / "LR"),
        "io_backend": {"type": "disk"},
        **more,
    }


def write_flat_images(folder: Path, scale: int, levels: dict[str, tuple[int, int]]) -> dict[str, Any]:
    """Write grey images of one level each, (low resolution, high resolution); black around the high resolution."""
    for side in ("HR", "LR"):
        (folder / side).mkdir(parents=True)
    for name, (low, high) in levels.items():
        cv2.imwrite(str(folder / "LR" / f"{name}.png"), np.full((12, 16, 3), low, np.uint8))
        image = np.zeros((12 * scale, 16 * scale, 3), np.uint8)
        image[scale:-scale, scale:-scale] = high
        cv2.imwrite(str(folder / "HR" / f"{name}.png"), image)
    return pairs(folder)


def report_of(folder: Path, options: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Run a test in this process; return both forms of its report."""
    run_testing(Arguments(write_options(folder / "test.yml", options)), folder)
    results = folder / "results" / options["name"]
    return json.loads((results / "report.json").read_text()), (results / "report.md").read_text()


def flat_psnr(difference: float) -> float:
    """PSNR on the luma of BT.601, which takes 219 of 255 levels, of two grey levels."""
    return 20 * math.log10(255 / (difference * 219 / 255))


def flat_ssim(one: float, other: float) -> float:
    """SSIM on the luma of two grey levels, which have no variance."""
    x, y = (16 + 219 / 255 * level for level in (one, other))
    c1 = (0.01 * 255) ** 2
    return (2 * x * y + c1) / (x * x + y * y + c1)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_figures_are_those_by_hand(tmp_path: Path, scale: int) -> None:
    section = write_flat_images(tmp_path / "flat", scale, {"a": (100, 110), "b": (50, 90)})
    weights = write_enlarger(tmp_path / "weights.pth", scale, shift=5)
    options = super_resolution_options(weights, scale, datasets={"test": section}, published=PUBLISHED)
    content, _ = report_of(tmp_path, options)
    figures = content["sets"]["flat"]
    assert figures["pictures"] == 2
    # The border of `scale` black pixels does not count. The network is 5 and 35 levels off, the bicubic row 10 and 40.
    assert figures["network"]["psnr"] == pytest.approx((flat_psnr(5) + flat_psnr(35)) / 2, abs=1e-3)
    assert figures["baseline"]["psnr"] == pytest.approx((flat_psnr(10) + flat_psnr(40)) / 2, abs=1e-3)
    assert figures["network"]["ssim"] == pytest.approx((flat_ssim(105, 110) + flat_ssim(55, 90)) / 2, abs=1e-5)
    assert figures["baseline"]["ssim"] == pytest.approx((flat_ssim(100, 110) + flat_ssim(50, 90)) / 2, abs=1e-5)
    assert figures["published"] == {"psnr": 34.7}


def test_report_says_how_its_figures_came_about(tmp_path: Path) -> None:
    sections = {
        "test_1": write_flat_images(tmp_path / "flat", 2, {"a": (100, 110), "b": (50, 90)}),
        "test_2": write_flat_images(tmp_path / "other", 2, {"a": (20, 19)}),
    }
    weights = write_enlarger(tmp_path / "weights.pth", 2, shift=5)
    options = super_resolution_options(weights, 2, datasets=sections, published=PUBLISHED)
    content, text = report_of(tmp_path, options)
    assert content["rows"] == {"baseline": "bicubic", "network": "MSRResNet", "published": "somebody (paper)"}
    assert list(content["sets"]) == ["flat", "other"]
    assert content["sets"]["other"]["published"] is None
    assert content["metrics"] == options["val"]["metrics"]
    checksum = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert content["weights"] == {"file": str(weights), "key": "params", "sha256": checksum}
    assert content["versions"] == {
        "deeprftv2_arch": deeprftv2_arch.__version__,
        "torch": torch.__version__,
        "basicsr": basicsr.__version__,
        "opencv": cv2.__version__,
        "numpy": np.__version__,
    }
    assert content["restored"] == "whole"

    lines = text.splitlines()
    bicubic = f"{(flat_psnr(10) + flat_psnr(40)) / 2:.2f} / {(flat_ssim(100, 110) + flat_ssim(50, 90)) / 2:.4f}"
    network = f"{(flat_psnr(5) + flat_psnr(35)) / 2:.2f} / {(flat_ssim(105, 110) + flat_ssim(55, 90)) / 2:.4f}"
    other = [f"{flat_psnr(error):.2f} / {flat_ssim(20 + shift, 19):.4f}" for error, shift in ((1, 0), (6, 5))]
    assert lines[:7] == [
        "# sr",
        "",
        "| psnr / ssim | flat (2) | other (1) |",
        "|---|---|---|",
        f"| bicubic | {bicubic} | {other[0]} |",
        f"| MSRResNet | {network} | {other[1]} |",
        "| somebody (paper) | 34.70 / - | - / - |",
    ]
    assert "* psnr: calculate_psnr with crop_border 2, test_y_channel True" in lines
    assert f"* weights: params of {weights}, SHA-256 {checksum}" in lines


def test_equal_images_have_an_infinite_psnr_in_valid_json(tmp_path: Path) -> None:
    section = write_flat_images(tmp_path / "flat", 2, {"a": (100, 100)})
    weights = write_enlarger(tmp_path / "weights.pth", 2)
    content, text = report_of(tmp_path, super_resolution_options(weights, 2, datasets={"test": section}))
    assert content["sets"]["flat"]["network"] == {"psnr": "inf", "ssim": pytest.approx(1)}
    assert "| MSRResNet | inf / 1.0000 |" in text


@pytest.mark.parametrize(
    ("scale", "psnr", "ssim"), [(2, 33.66, 0.9299), (3, 30.39, 0.8682), (4, 28.42, 0.8104)], ids=["x2", "x3", "x4"]
)
def test_bicubic_row_on_set5_is_the_literature_s(
    tmp_path: Path, real_set5: Path, scale: int, psnr: float, ssim: float
) -> None:
    section = pairs(real_set5, dataroot_lq=str(real_set5 / "LR_bicubic" / f"X{scale}"), filename_tmpl=f"{{}}x{scale}")
    weights = write_enlarger(tmp_path / "weights.pth", scale)
    content, _ = report_of(tmp_path, super_resolution_options(weights, scale, datasets={"test": section}))
    figures = content["sets"]["Set5"]
    assert figures["pictures"] == 5
    assert figures["baseline"]["psnr"] == pytest.approx(psnr, abs=0.03)
    assert figures["baseline"]["ssim"] == pytest.approx(ssim, abs=0.001)
    # Bilinear enlargement, which is what this network does, is known to be the worse one.
    assert figures["baseline"]["psnr"] - 3 < figures["network"]["psnr"] < figures["baseline"]["psnr"] - 0.5


def test_blurred_image_itself_is_the_row_beside_a_deblurring_network(tmp_path: Path) -> None:
    write_images(tmp_path / "val", count=3, size=40)
    torch.save({"params": build_network(TINY_NETWORK).state_dict()}, tmp_path / "weights.pth")
    options = evaluation_options(tmp_path / "val", tmp_path / "weights.pth")
    content, text = report_of(tmp_path, options)
    expected = []
    for number in range(3):
        sharp, blurred = (cv2.imread(str(tmp_path / "val" / s / f"00{number}.png")) for s in ("sharp", "blur"))
        expected.append(10 * np.log10(255**2 / np.square(sharp.astype(float) - blurred).mean()))
    figures = content["sets"]["val"]
    assert content["rows"]["baseline"] == "input"
    assert figures["baseline"]["psnr"] == pytest.approx(np.mean(expected), abs=1e-9)
    restored = sorted((tmp_path / "results" / "tiny_test" / "visualization" / "val").iterdir())
    sharp_files = sorted((tmp_path / "val" / "sharp").iterdir())
    errors = [cv2.imread(str(a)).astype(float) - cv2.imread(str(b)) for a, b in zip(restored, sharp_files, strict=True)]
    measured = np.mean([10 * np.log10(255**2 / np.square(error).mean()) for error in errors])
    assert figures["network"]["psnr"] == pytest.approx(measured, abs=1e-9)
    assert figures["published"] is None
    assert "| None |" not in text


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (TINY_NETWORK, "whole"),
        (TINY_NETWORK | {"tile": 64, "tile_overlap": 16}, "tiled (64, 16)"),
        ({"type": "ATD", "depths": [1], "num_heads": [1]}, "whole"),
        ({"type": "ATD", "depths": [1], "num_heads": [1], "fke": True}, "tiled (64, 16)"),
        (TINY_NETWORK | {"smallest_size": [776, 680]}, "whole, padded to at least 776x680"),
        (
            TINY_NETWORK | {"train_size": 320, "fke_window": 320, "fke_overlap": 48},
            "whole, FKE in windows (320, 48), TLC 320",
        ),
    ],
)
def test_what_the_network_sees_at_once_is_named(arguments: dict[str, Any], expected: str) -> None:
    assert how_restored(build_network(arguments), arguments) == expected


@pytest.mark.slow
def test_number_of_processes_does_not_change_the_report(tmp_path: Path) -> None:
    levels = {name: (20 * n, 20 * n + n * n) for n, name in enumerate("abcde", 1)}
    section = write_flat_images(tmp_path / "flat", 2, levels)
    weights = write_enlarger(tmp_path / "weights.pth", 2, shift=3)
    options = super_resolution_options(weights, 2, datasets={"test": section}, published=PUBLISHED)
    report_of(tmp_path, options)
    pair = tmp_path / "pair"
    pair.mkdir()
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")
    code, output = run(*torchrun, "-m", "deeprftv2_arch.test", "-opt", tmp_path / "test.yml", cwd=pair)
    assert code == 0, output
    assert output.count("| bicubic |") == 1  # one process prints the table
    for name in ("report.json", "report.md"):
        alone, shared = (folder / "results" / "sr" / name for folder in (tmp_path, pair))
        assert alone.read_text() == shared.read_text()


def test_report_that_cannot_be_written_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    section = write_flat_images(tmp_path / "flat", 2, {"a": (100, 110)})
    weights = write_enlarger(tmp_path / "weights.pth", 2)

    def fail(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(WriteError, match=r"report\.json: cannot be written: No space left on device; the values"):
        report_of(tmp_path, super_resolution_options(weights, 2, datasets={"test": section}))


@pytest.mark.parametrize(("size", "metric"), [(4, "psnr"), (8, "ssim")])  # nothing is left; less than a window is left
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_image_that_is_too_small_to_be_measured_is_named(tmp_path: Path, size: int, metric: str) -> None:
    for side, pixels in (("LR", size // 2), ("HR", size)):
        (tmp_path / "small" / side).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "small" / side / "a.png"), np.full((pixels, pixels, 3), 9, np.uint8))
    weights = write_enlarger(tmp_path / "weights.pth", 2)
    options = super_resolution_options(weights, 2, datasets={"test": pairs(tmp_path / "small")})
    with pytest.raises(DataError, match=rf"LR.a\.png: .*{metric} has no value for this image of {size}x{size} pixels"):
        report_of(tmp_path, options)


@pytest.mark.parametrize(("size", "metric"), [(10, "ssim_aligned"), (6, "ssim_uniform")])
def test_error_of_a_metric_of_this_package_names_the_image(tmp_path: Path, size: int, metric: str) -> None:
    section = write_flat_images(tmp_path / "flat", 2, {"a": (100, 110)})
    for side, pixels in (("LR", size // 2), ("HR", size)):
        cv2.imwrite(str(tmp_path / "flat" / side / "a.png"), np.full((pixels, pixels, 3), 9, np.uint8))
    weights = write_enlarger(tmp_path / "weights.pth", 2)
    options = super_resolution_options(weights, 2, datasets={"test": section})
    options["val"]["metrics"] = {"ssim": {"type": f"calculate_{metric}"}}
    with pytest.raises(DataError, match=rf"LR.a\.png: metrics: images of {size}x{size} are too small"):
        report_of(tmp_path, options)


def test_metric_that_cannot_be_measured_is_named_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise MetricUnavailableError("no weights here")

    monkeypatch.setitem(metric_values.LOADERS, "calculate_lpips", missing)
    section = write_flat_images(tmp_path / "flat", 2, {"a": (100, 110)})
    weights = write_enlarger(tmp_path / "weights.pth", 2, shift=5)
    published = {"name": "somebody", "flat": {"lpips": 0.25}}
    options = super_resolution_options(weights, 2, datasets={"test": section}, published=published)
    options["val"]["metrics"] = {
        "lpips": {"type": "calculate_lpips"},
        "psnr": {"type": "calculate_psnr", "crop_border": 2, "test_y_channel": True},
    }
    content, text = report_of(tmp_path, options)
    assert content["unavailable"] == {"lpips": "no weights here"}
    assert content["sets"]["flat"]["network"] == {"lpips": None, "psnr": pytest.approx(flat_psnr(5), abs=1e-3)}
    lines = text.splitlines()
    assert f"| bicubic | n/a / {flat_psnr(10):.2f} |" in lines
    assert f"| MSRResNet | n/a / {flat_psnr(5):.2f} |" in lines
    assert "| somebody | 0.2500 / - |" in lines
    assert "* lpips: not measured: no weights here" in lines


def test_published_figures_of_floats_do_not_stand_beside_those_of_8_bits(tmp_path: Path) -> None:
    section = write_flat_images(tmp_path / "flat", 2, {"a": (100, 110)})
    weights = write_enlarger(tmp_path / "weights.pth", 2)
    options = super_resolution_options(weights, 2, datasets={"test": section}, published=PUBLISHED)
    note = "published figures are left out: those of the protocol dpdd are of images of floats, but a test rounds"
    for protocol, left_out in (("dpdd", True), ("sr", False), (None, False)):
        content, text = report_of(tmp_path, options | {"protocol": protocol})
        assert content["rows"]["published"] == (None if left_out else "somebody (paper)")
        assert content["sets"]["flat"]["published"] == (None if left_out else {"psnr": 34.7})
        assert (content["published_left_out"] is not None) == left_out
        assert ("34.7" not in text) == left_out
        assert (note in text) == left_out
        assert ("python -m deeprftv2_arch evaluate" in text) == left_out
        shutil.rmtree(tmp_path / "results")


def test_no_report_where_nothing_is_measured(tmp_path: Path) -> None:
    section = write_flat_images(tmp_path / "flat", 2, {"a": (100, 110)})
    options = super_resolution_options(write_enlarger(tmp_path / "weights.pth", 2), 2, datasets={"test": section})
    options["val"]["metrics"] = None
    run_testing(Arguments(write_options(tmp_path / "test.yml", options)), tmp_path)
    assert (tmp_path / "results" / "sr").is_dir()
    assert not list((tmp_path / "results" / "sr").glob("report.*"))
