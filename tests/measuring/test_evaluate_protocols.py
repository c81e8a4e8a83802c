"""Every protocol measures as its published figures were measured: on images whose figures are known by hand."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from evaluate_helpers import evaluated, flat_psnr, flat_ssim, options_of, results, write_flat, write_shift
from launch_helpers import REPOSITORY
from skimage.metrics import structural_similarity

from deeprftv2_arch.errors import MetricUnavailableError, OptionError
from deeprftv2_arch.measuring.restored_pairs import RestoredPairs
from deeprftv2_arch.metrics.metric_values import LOADERS
from deeprftv2_arch.metrics.protocols import PROTOCOLS
from deeprftv2_arch.options.option_file import read_option_file

LEVELS: dict[str, Any] = {"a": (100, 110), "b": (50, 90)}
TEST_FILES = sorted((REPOSITORY / "options" / "test").glob("*.yml"))
NO_LPIPS = "LPIPS needs weights, which cannot be loaded"


@pytest.fixture
def without_lpips(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights of LPIPS are neither looked for nor downloaded."""

    def fail() -> None:
        raise MetricUnavailableError(NO_LPIPS)

    monkeypatch.setitem(LOADERS, "calculate_lpips", fail)


@pytest.mark.parametrize(
    ("protocol", "name"), [("gopro", "GoPro-test"), ("hide", "HIDE-test"), ("reds", "REDS-val-300")]
)
def test_deblurring_is_measured_on_rounded_images(tmp_path: Path, protocol: str, name: str) -> None:
    data = write_flat(tmp_path / "data", LEVELS)
    weights = write_shift(tmp_path / "weights.pth", 0.4)  # which rounding takes away
    evaluated(tmp_path, options_of(data, name, protocol, weights), partial=True)
    content, lines, _ = results(tmp_path, f"{protocol}_whole_partial")
    figures = content["sets"][name]["network"]
    assert figures["psnr"] == pytest.approx((flat_psnr(10) + flat_psnr(40)) / 2, abs=1e-9)
    assert figures["ssim"] == pytest.approx((flat_ssim(100, 110) + flat_ssim(50, 90)) / 2, abs=1e-9)
    assert [(line["data_set"], line["picture"]) for line in lines] == [(name, "a"), (name, "b")]
    assert [float(line["psnr"]) for line in lines] == pytest.approx([flat_psnr(10), flat_psnr(40)], abs=1e-9)
    assert content["sets"][name]["published_pictures"] == {"gopro": 1111, "hide": 2025, "reds": 300}[protocol]


def test_ssim_of_gopro_is_the_three_dimensional_one(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    sharp = generator.integers(0, 256, (24, 20, 3), np.uint8)
    blurred = cv2.blur(sharp, (3, 3))
    for side, image in (("blur", blurred), ("sharp", sharp)):
        (tmp_path / "data" / side).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "data" / side / "a.png"), image)
    evaluated(tmp_path, options_of(tmp_path / "data", "GoPro-test", "gopro"), partial=True)
    measured = results(tmp_path, "gopro_whole_partial")[0]["sets"]["GoPro-test"]["network"]["ssim"]
    arguments = {"gaussian_weights": True, "use_sample_covariance": False, "data_range": 255}
    pair = [np.pad(image.astype(float), 5, mode="edge") for image in (blurred, sharp)]
    volume = structural_similarity(*pair, full=True, **arguments)[1][5:-5, 5:-5, 5:-5].mean()
    plane = structural_similarity(blurred, sharp, channel_axis=2, **arguments)
    assert measured == pytest.approx(volume, abs=1e-9)
    assert abs(measured - plane) > 0.01


@pytest.mark.usefixtures("without_lpips")
def test_defocus_is_measured_on_floats(tmp_path: Path) -> None:
    data = write_flat(tmp_path / "data", LEVELS | {"white": (255, 250)})
    weights = write_shift(tmp_path / "weights.pth", 0.4)  # white is clamped
    evaluated(tmp_path, options_of(data, "DPDD-test", "dpdd", weights), partial=True)
    content, lines, _ = results(tmp_path, "dpdd_whole_partial")
    pairs = {"a": (100.4, 110), "b": (50.4, 90), "white": (255, 250)}
    for line in lines:
        restored, sharp = pairs[line["picture"]]
        assert float(line["psnr"]) == pytest.approx(flat_psnr(abs(restored - sharp)), abs=1e-4)
        assert float(line["ssim"]) == pytest.approx(flat_ssim(restored, sharp), abs=1e-6)
        assert float(line["mae"]) == pytest.approx(abs(restored - sharp) / 255, abs=1e-7)
    assert content["protocol"] == {"name": "dpdd", "output": "float"}
    assert content["sets"]["DPDD-test"]["network"]["mae"] == pytest.approx((9.6 + 39.6 + 5) / 3 / 255, abs=1e-7)


@pytest.mark.usefixtures("without_lpips")
def test_figure_that_cannot_be_had_is_said_first_and_marked_everywhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = []
    restore = RestoredPairs.__getitem__
    monkeypatch.setattr(RestoredPairs, "__getitem__", lambda *words: said.append(caplog.text) or restore(*words))
    options = options_of(write_flat(tmp_path / "data", LEVELS), "DPDD-test", "dpdd")
    table = evaluated(tmp_path, options, partial=True)
    assert all(f"lpips will not be measured: {NO_LPIPS}" in text for text in said)
    assert len(said) == 2
    content, lines, _ = results(tmp_path, "dpdd_whole_partial")
    assert [line["lpips"] for line in lines] == ["n/a", "n/a"]
    assert content["sets"]["DPDD-test"]["network"]["lpips"] is None
    assert content["unavailable"] == {"lpips": NO_LPIPS}
    psnr, mae = (flat_psnr(10) + flat_psnr(40)) / 2, 25 / 255
    ssim = (flat_ssim(100, 110) + flat_ssim(50, 90)) / 2
    assert f"| {psnr:.2f} / {ssim:.4f} / {mae:.4f} / n/a |" in table
    assert f"* lpips: not measured: {NO_LPIPS}" in table


@pytest.mark.usefixtures("without_lpips")
def test_indoor_and_outdoor_images_have_averages_of_their_own(tmp_path: Path) -> None:
    data = write_flat(tmp_path / "data", {"a": (100, 110), "b": (50, 90), "c": (60, 80)})
    groups = '{"settings": {"groups": {"indoor": ["a", "c"], "outdoor": ["b"]}}}'
    (data / "blur" / ".preparation.json").write_text(groups)
    published = {"name": "somebody", "DPDD-test": {"psnr": 26.54}, "DPDD-test indoor": {"psnr": 29.5, "mae": 0.023}}
    table = evaluated(tmp_path, options_of(data, "DPDD-test", "dpdd", published=published), partial=True)
    found = results(tmp_path, "dpdd_whole_partial")[0]["sets"]["DPDD-test"]["parts"]
    assert found["indoor"]["network"]["psnr"] == pytest.approx((flat_psnr(10) + flat_psnr(20)) / 2, abs=1e-5)
    assert found["outdoor"]["network"]["mae"] == pytest.approx(40 / 255, abs=1e-7)
    lines = table.splitlines()
    assert "| DPDD-test (3 of 76) | DPDD-test indoor (2) | DPDD-test outdoor (1) |" in lines[2]
    assert "| somebody | 26.54 / - / - / - | 29.50 / - / 0.0230 / - | - / - / - / - |" in lines


def test_realblur_is_measured_aligned_and_as_it_is(tmp_path: Path) -> None:
    data = write_flat(tmp_path / "data", {"flat": (100, 110)}, size=64)
    generator = np.random.default_rng(0)
    noise = generator.integers(0, 256, (12, 12, 3), np.uint8)
    sharp = cv2.resize(noise, (64, 64), interpolation=cv2.INTER_CUBIC)
    darker = (0.8 * sharp).round().astype(np.uint8)
    cv2.imwrite(str(data / "sharp" / "textured.png"), sharp)
    cv2.imwrite(str(data / "blur" / "textured.png"), darker)
    table = evaluated(tmp_path, options_of(data, "RealBlur-J-test", "realblur"), partial=True)
    content, (flat, textured), _ = results(tmp_path, "realblur_whole_partial")
    # Nothing to align in a flat image, so that its figures are those without alignment.
    assert (flat["alignment_failed"], textured["alignment_failed"]) == ("yes", "no")
    for line in ("psnr", "psnr_aligned"):
        assert float(flat[line]) == pytest.approx(flat_psnr(10), abs=1e-9)
    assert float(flat["ssim_aligned"]) == pytest.approx(flat_ssim(100, 110), abs=1e-9)
    error = np.square(sharp.astype(float) - darker).mean()
    assert float(textured["psnr"]) == pytest.approx(10 * np.log10(255**2 / error), abs=1e-9)
    # Of the darker image, scaled to the intensity of the sharp one, only the rounding is left.
    assert float(textured["psnr_aligned"]) > 45
    assert content["sets"]["RealBlur-J-test"]["failed_alignments"] == 1
    assert "* RealBlur-J-test: the alignment failed for 1 of 2 images" in table


def test_super_resolution_is_measured_on_luma_without_the_border(tmp_path: Path) -> None:
    levels = {name: (100, 100 + number) for number, name in enumerate("abcde", 1)}
    data = write_flat(tmp_path / "data", levels, border=1)
    changes = {"model_type": "SuperResolutionModel", "scale": 1}
    options = options_of(data, "Set5", "sr", **changes)
    options["datasets"]["test"]["type"] = "SuperResolutionPairDataset"
    table = evaluated(tmp_path, options)  # all five images of Set5, so that nothing is partial
    content, _, text = results(tmp_path, "sr_whole")
    figures = content["sets"]["Set5"]["network"]
    luma = 219 / 255
    assert figures["psnr"] == pytest.approx(np.mean([flat_psnr(luma * n) for n in range(1, 6)]), abs=1e-4)
    expected = np.mean([flat_ssim(16 + luma * 100, 16 + luma * (100 + n)) for n in range(1, 6)])
    assert figures["ssim"] == pytest.approx(expected, abs=1e-6)
    assert "| psnr / ssim | Set5 (5) |" in table
    assert "partial" not in table
    assert text == table


def test_real_gopro_pair_is_measured_at_its_known_distance(tmp_path: Path, real_pair: tuple[Path, Path]) -> None:
    table = evaluated(tmp_path, options_of(real_pair[0].parents[1], "GoPro-test", "gopro"), partial=True)
    assert "| Identity, whole, partial, 1 of 1,111 (GoPro-test) | 24.05 / 0." in table


# UFPNet's second stage is measured by how well it blurs sharp images again, which is no protocol of deblurring.
@pytest.mark.parametrize(
    "path", [path for path in TEST_FILES if path.stem != "UFPNet_kernel"], ids=lambda path: path.stem
)
def test_option_files_measure_in_tests_what_their_protocol_measures(path: Path) -> None:
    opt = read_option_file(path)
    protocol = PROTOCOLS[opt["protocol"]]
    metrics = {name: {"crop_border": 0, **metric} for name, metric in opt["val"]["metrics"].items()}
    assert metrics == protocol.metric_sections(opt["scale"])
    assert {section["name"] for section in opt["datasets"].values()} <= protocol.test_sets.keys()


@pytest.mark.parametrize(
    ("protocol", "images"),
    [
        ("gopro", {1111}),
        ("hide", {2025}),
        ("realblur", {980}),
        ("reds", {300}),
        ("dpdd", {76}),
        ("sr", {5, 14, 100, 109}),
    ],
)
def test_published_sets_have_their_numbers_of_images(protocol: str, images: set[int]) -> None:
    assert set(PROTOCOLS[protocol].test_sets.values()) == images


def test_average_over_another_number_of_images_is_refused_before_any_is_restored(tmp_path: Path) -> None:
    options = options_of(write_flat(tmp_path / "data", LEVELS), "GoPro-test", "gopro")
    with pytest.raises(OptionError, match=r"GoPro-test has 2 images, .* gopro are averages over 1,111; .*--partial"):
        evaluated(tmp_path, options)
    assert not (tmp_path / "results").exists()
    table = evaluated(tmp_path, options, partial=True)
    assert "| Identity, whole, partial, 2 of 1,111 (GoPro-test) |" in table
    assert "| GoPro-test (2 of 1,111) |" in table


def test_set_of_another_name_is_no_published_one(tmp_path: Path) -> None:
    options = options_of(write_flat(tmp_path / "data", LEVELS), "Set6", "sr")
    with pytest.raises(OptionError, match="'Set6' is no test set of the protocol sr, which has Set5, Set14, B100"):
        evaluated(tmp_path, options)
    assert "partial, 2 of no published set (Set6)" in evaluated(tmp_path, options, partial=True)


@pytest.mark.parametrize(
    ("in_file", "asked", "message"),
    [
        (None, None, r"evaluate\.yml: protocol: missing; add it or say --protocol NAME; known are gopro, hide,"),
        ("gopr", None, r"evaluate\.yml: protocol: nothing is called 'gopr'; known are gopro, hide,"),
        ("gopro", "psnr", r"^--protocol: nothing is called 'psnr'; known are gopro"),
    ],
)
def test_protocol_must_be_named(tmp_path: Path, in_file: str | None, asked: str | None, message: str) -> None:
    options = options_of(write_flat(tmp_path / "data", LEVELS), "GoPro-test", in_file)
    with pytest.raises(OptionError, match=message):
        evaluated(tmp_path, options, protocol=asked, partial=True)


def test_another_protocol_stands_beside_no_published_figures(tmp_path: Path) -> None:
    published = {"name": "somebody", "GoPro-test": {"psnr": 34.52}}
    options = options_of(write_flat(tmp_path / "data", LEVELS), "GoPro-test", "gopro", published=published)
    assert "| somebody | 34.52 / - |" in evaluated(tmp_path, options, partial=True)
    table = evaluated(tmp_path, options, partial=True, protocol="realblur")
    assert "somebody" not in table
    assert "Protocol realblur, on restored images of uint8." in table
