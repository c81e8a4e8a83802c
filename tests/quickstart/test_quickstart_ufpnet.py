"""The quickstart of UFPNet: its blur, its figures and images, and a run of a few steps through all three stages."""

import json
import sys
from contextlib import redirect_stdout
from io import BytesIO, StringIO
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from deeprftv2_arch.networks.ufpnet import UFPNet
from deeprftv2_arch.options.option_file import read_option_file
from quickstart import databases, steps, ufpnet
from quickstart.comparison import LABEL_HEIGHT, MARGIN, TILE_WIDTH
from quickstart.kernel_blur import KernelBlur, blur_by_kernels
from quickstart.kernel_image import DARK, PANEL_WIDTH, ZOOM, kernel_field_png, kernel_panel, shown_pixels
from quickstart.kernel_metrics import compared_pixels, measure_field, same_everywhere, similarity
from quickstart.photographs import load_photograph
from quickstart.restoring import load_network


def random_blur(rng: np.random.Generator, height: int, width: int, size: int = 5) -> KernelBlur:
    kernels = rng.random((2, size, size)).astype(np.float32)
    kernels /= kernels.sum(axis=(1, 2), keepdims=True)
    return KernelBlur(*kernels, rng.random((height, width)).astype(np.float32))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Run a step or two a stage with one photograph to look at; return the folder and what is printed."""
    out = tmp_path_factory.mktemp("quickstart") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(databases, "TRAINING", ("coffee.png",))
        for module in (databases, steps, ufpnet):
            patch.setattr(module, "HELD_OUT", ("chelsea.png",))
        patch.setattr(ufpnet, "AVERAGED", 50)
        patch.setattr(ufpnet.KernelDeblurring, "versions", lambda task, file_name: 2)
        words = ["--threads", "1", "--iterations", "1", "--seed", "5", "--out", str(out)]
        patch.setattr(sys, "argv", ["ufpnet", *words])
        with redirect_stdout(StringIO()) as printed:
            ufpnet.main()
    return out, printed.getvalue()


@pytest.mark.slow
def test_all_stages_ran_and_the_last_holds_the_others(finished: tuple[Path, str]) -> None:
    out, _ = finished
    weights = [
        torch.load(out / "experiments" / f"quickstart_ufpnet{stage}" / "models" / "net_g_latest.pth")["params"]
        for stage in ("_flow", "_kernel", "")
    ]
    for prefix, stage in (("flow.", weights[0]), ("estimator.", weights[1])):
        for name, value in stage.items():
            assert torch.equal(weights[2][prefix + name], value), name


@pytest.mark.slow
def test_figures_are_those_of_the_weights_that_it_trained(finished: tuple[Path, str]) -> None:
    out, printed = finished
    (found,) = json.loads((out / "results.json").read_text())
    task = ufpnet.KernelDeblurring()
    sharp = load_photograph("chelsea.png")
    blurred = task.degrade(sharp, "chelsea.png", 0, 5)
    error = np.mean((blurred.astype(float) - sharp) ** 2)
    assert found["result"]["psnr_before"] == pytest.approx(10 * np.log10(255**2 / error), abs=1e-9)
    network = load_network(
        UFPNet, task.options["network_g"], out / "experiments" / "quickstart_ufpnet" / "models" / "net_g_latest.pth"
    )
    x = torch.from_numpy(blurred.transpose(2, 0, 1) / 255.0).float()[None]
    with torch.no_grad():
        restored = (network(x)[0] * 255).round().permute(1, 2, 0).numpy()
    error = np.mean((restored - sharp) ** 2)
    assert found["result"]["psnr_after"] == pytest.approx(10 * np.log10(255**2 / error), abs=0.01)
    expected = measure_field(network.estimate_kernels(x), task.blur("chelsea.png", 0, 5), sharp, blurred)
    assert found["estimated"] == pytest.approx(vars(expected), rel=1e-4)
    table = (out / "results.md").read_text()
    assert table in printed
    assert f"{found['mean_kernel']['reblur_psnr']:.2f} dB" in table
    assert f"{found['estimated']['similarity']:.3f}" in table


@pytest.mark.slow
def test_it_writes_comparison_and_kernel_images(finished: tuple[Path, str]) -> None:
    out, _ = finished
    for name, width in (("chelsea", 3 * TILE_WIDTH + 4 * MARGIN), ("chelsea_kernels", 2 * PANEL_WIDTH + 3 * MARGIN)):
        with Image.open(out / f"{name}.png") as sheet:
            assert sheet.width == width
    assert not list(out.glob("*.tmp"))


def test_every_pixel_is_blurred_by_its_kernel() -> None:
    rng = np.random.default_rng(0)
    photograph = rng.integers(0, 256, (12, 14, 3), dtype=np.uint8)
    blur = random_blur(rng, 12, 14)
    blurred = blur_by_kernels(photograph, blur)
    for row, column in ((0, 0), (5, 7), (11, 13), (3, 12)):
        kernel = (1 - blur.mask[row, column]) * blur.scene + blur.mask[row, column] * blur.moving
        np.testing.assert_allclose(blur.kernels(np.array([row]), np.array([column]))[0], kernel, rtol=1e-6)
        total = np.zeros(3)
        for down in range(5):
            for right in range(5):
                there = min(max(row + down - 2, 0), 11), min(max(column + right - 2, 0), 13)
                total += kernel[down, right] * photograph[there]
        np.testing.assert_allclose(blurred[row, column], total, atol=0.51)


def test_versions_are_turned_and_flipped_before_they_are_blurred() -> None:
    task, photograph = ufpnet.KernelDeblurring(), load_photograph("page.png")
    positions = [task.true_version("page.png", version) for version in range(9)]
    np.testing.assert_array_equal(positions[0], photograph)
    np.testing.assert_array_equal(positions[8], photograph)
    np.testing.assert_array_equal(positions[5], photograph.transpose(1, 0, 2)[::-1, ::-1])
    assert len({position.tobytes() for position in positions}) == 8
    blur = task.blur("page.png", 5, 3)
    blurred = task.degrade(positions[5], "page.png", 5, 3)
    np.testing.assert_array_equal(blurred, blur_by_kernels(positions[5], blur))
    assert not np.allclose(blur.scene, task.blur("page.png", 13, 3).scene)  # another blur in the same position


def test_similarity_is_the_best_of_all_shifts() -> None:
    rng = np.random.default_rng(0)
    kernels, others = rng.random((2, 3, 4, 4))
    for number in range(3):
        best = 0.0
        canvas = np.pad(kernels[number], 3)
        for down in range(7):
            for right in range(7):
                best = max(best, (canvas[down : down + 4, right : right + 4] * others[number]).sum())
        best /= np.linalg.norm(kernels[number]) * np.linalg.norm(others[number])
        assert similarity(kernels, others)[number] == pytest.approx(best)
    shifted = np.zeros((1, 4, 4))
    shifted[0, 1:, :3] = 2 * others[0, :3, 1:]
    others[0, 3], others[0, :, 0] = 0, 0
    assert similarity(shifted, others[:1])[0] == pytest.approx(1)


def test_the_true_kernels_have_the_best_figures() -> None:
    rng = np.random.default_rng(0)
    sharp = cv2.resize(rng.integers(0, 256, (10, 12, 3), dtype=np.uint8), (48, 40), interpolation=cv2.INTER_CUBIC)
    blur = random_blur(rng, 40, 48)
    blurred = blur_by_kernels(sharp, blur)
    rows, columns = (grid.ravel() for grid in np.mgrid[:40, :48])
    field = torch.from_numpy(blur.kernels(rows, columns).reshape(40, 48, 25)).permute(2, 0, 1)[None].float()
    figures = measure_field(field, blur, sharp, blurred)
    assert figures.similarity == pytest.approx(1, abs=1e-6)
    # All that differs is the rounding to 8 bits, of a variance of 1/12.
    assert figures.reblur_psnr == pytest.approx(20 * np.log10(255 * np.sqrt(12)), abs=0.2)
    guess = measure_field(same_everywhere(blur.scene, 40, 48), blur, sharp, blurred)
    alone = blur_by_kernels(sharp, KernelBlur(blur.scene, blur.scene, blur.mask))
    error = np.mean((alone.astype(float) - blurred) ** 2)
    assert guess.reblur_psnr == pytest.approx(10 * np.log10(255**2 / error), abs=0.2)
    shares = similarity(blur.kernels(*compared_pixels(40, 48)), np.repeat(blur.scene[None], 30, axis=0))
    assert guess.similarity == pytest.approx(shares.mean(), rel=1e-5)


def test_kernels_are_drawn_where_their_pixels_are() -> None:
    photograph = np.full((128, 320, 3), 100, np.uint8)
    rows, columns = shown_pixels(128, 320, 5)
    assert len(rows) == 12 * 32
    kernels = np.zeros((len(rows), 5, 5))
    kernels[:, 0, 4] = 0.3
    kernels[:, 1, 1] = -0.1
    panel = np.array(kernel_panel(photograph, rows, columns, kernels))
    assert panel.shape == (256, PANEL_WIDTH, 3)
    for row, column in ((rows[0], columns[0]), (rows[-1], columns[-1])):
        top, left = round((row + 0.5) * 2 - 7.5), round((column + 0.5) * 2 - 7.5)
        tile = panel[top : top + 5 * ZOOM, left : left + 5 * ZOOM]
        assert (tile[:ZOOM, -ZOOM:] == [255, 230, 130]).all()
        assert (tile[ZOOM:] == round(DARK * 100)).all()
    sheet = np.array(
        Image.open(BytesIO(kernel_field_png({"one": Image.fromarray(panel), "two": Image.new("RGB", (640, 256))})))
    )
    np.testing.assert_array_equal(sheet[LABEL_HEIGHT : LABEL_HEIGHT + 256, MARGIN : MARGIN + PANEL_WIDTH], panel)
    assert (sheet[LABEL_HEIGHT : LABEL_HEIGHT + 256, 2 * MARGIN + PANEL_WIDTH : -MARGIN] == 0).all()


def test_the_stages_agree_on_their_kernels_and_networks() -> None:
    flow, kernel, deblur = (
        read_option_file(path) for path in (ufpnet.FLOW, ufpnet.ESTIMATOR, ufpnet.KernelDeblurring.option_file)
    )
    train, held_out = flow["datasets"]["train"], flow["datasets"]["val"]
    assert train["simulator"] == held_out["simulator"]
    assert kernel["network_flow"] == flow["network_g"]
    last = deblur["network_g"]
    assert last["kernel_width"] == kernel["network_g"]["width"]
    assert last["kernel_contrast"] == kernel["network_g"]["contrast"]
    assert last["kernel_unit_sum"] == flow["network_g"]["unit_sum"]
    assert (last["flow_blocks"], last["flow_hidden"]) == (flow["network_g"]["blocks"], flow["network_g"]["hidden"])
    assert kernel["datasets"]["train"]["dataroot_lq"] == deblur["datasets"]["train"]["dataroot_lq"]
    for opt in (flow, kernel, deblur):
        assert opt["train"]["scheduler"]["T_max"] == opt["train"]["total_iter"]
