"""The command `evaluate`: tiles, damaged images, what its files say, and what a user reads."""

import hashlib
import os
import sys
from pathlib import Path
from typing import Any

import basicsr
import cv2
import numpy as np
import pytest
import torch
from basicsr.archs import build_network
from evaluate_helpers import evaluated, flat_psnr, options_of, read_csv, results, write_flat, write_shift
from launch_helpers import TINY_NETWORK, run, write_images, write_options

import deeprftv2_arch
from deeprftv2_arch import __main__ as command_line
from deeprftv2_arch.errors import CheckpointError, EvaluationError, OptionError
from deeprftv2_arch.launch.arguments import Arguments
from deeprftv2_arch.measuring.testing import run_testing
from deeprftv2_arch.measuring.triplets import LABEL, MARGIN

LEVELS: dict[str, Any] = {"a": (100, 110), "b": (50, 90), "c": (60, 80), "d": (30, 35)}
TILED = {"tile": 32, "tile_overlap": 16}


def main(monkeypatch: pytest.MonkeyPatch, folder: Path, options: dict[str, Any], *words: str) -> None:
    """Run the command in this process."""
    file = write_options(folder / "evaluate.yml", options)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["deeprftv2_arch", "evaluate", "-opt", str(file), *words])
    command_line.main()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of the tiny network."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "weights.pth"
    torch.save({"params": build_network(TINY_NETWORK).state_dict()}, path)
    return path


def test_tiles_of_the_command_line_come_before_those_of_the_file(tmp_path: Path, weights: Path) -> None:
    write_images(tmp_path / "data", count=2)
    plain, tiled = (
        options_of(tmp_path / "data", "GoPro-test", "gopro", weights, network_g=TINY_NETWORK | more)
        for more in ({}, TILED)
    )
    found = {}
    for name, options, tiles, stem, said in (
        ("whole by the file", plain, None, "whole", "whole"),
        ("tiled by the file", tiled, None, "tiled_32_16", "tiled (32, 16)"),
        ("tiled by the command", plain, (32, 16), "tiled_32_16", "tiled (32, 16)"),
        ("whole by the command", tiled, "whole", "whole", "whole"),
    ):
        table = evaluated(tmp_path, options, tiles=tiles, partial=True)
        content = results(tmp_path, f"gopro_{stem}_partial")[0]
        assert f"| DeepRFTv2, {said}, partial, 2 of 1,111 (GoPro-test) |" in table
        assert content["restored"] == said
        found[name] = content["sets"]["GoPro-test"]["network"]["psnr"]
    assert found["tiled by the command"] == found["tiled by the file"]
    assert found["whole by the command"] == found["whole by the file"] != found["tiled by the file"]


@pytest.mark.parametrize(
    ("network", "tiles", "message"),
    [
        (TINY_NETWORK, (30, 8), "--tile 30 8: DeepRFTv2: tile and tile_overlap must be multiples of 8, got 30, 8"),
        (TINY_NETWORK, (32, 32), "--tile 32 32: DeepRFTv2: tile_overlap must be .*smaller than tile"),
        ({"type": "ATD", "depths": [1], "num_heads": [1]}, (30, 8), "--tile 30 8: ATD: .* multiple of window_size"),
        ({"type": "Identity"}, (32, 8), "--tile 32 8: Identity restores images whole"),
    ],
)
def test_tiles_that_a_network_cannot_have(
    tmp_path: Path, weights: Path, network: dict[str, Any], tiles: tuple[int, int], message: str
) -> None:
    options = options_of(write_flat(tmp_path / "data", LEVELS), "GoPro-test", "gopro", weights, network_g=network)
    with pytest.raises(OptionError, match=message):
        evaluated(tmp_path, options, tiles=tiles, partial=True)


def test_all_images_that_cannot_be_measured_are_named_at_the_end(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = write_flat(tmp_path / "data", LEVELS | {"e": (9, 10)})
    options = options_of(data, "GoPro-test", "gopro")
    main(monkeypatch, tmp_path, options, "--partial", "--workers", "0")
    folder = tmp_path / "results" / "tiny_test" / "evaluation"
    earlier = {path: path.read_bytes() for path in folder.iterdir()}
    assert len(earlier) == 3
    capsys.readouterr()

    whole = (data / "blur" / "b.png").read_bytes()
    (data / "blur" / "b.png").write_bytes(whole[: len(whole) // 2])
    cv2.imwrite(str(data / "sharp" / "c.png"), np.zeros((16, 24, 3), np.uint8))
    (data / "sharp" / "e.png").write_bytes(b"")
    with pytest.raises(SystemExit) as ended:
        main(monkeypatch, tmp_path, options, "--partial", "--workers", "0")
    assert ended.value.code == 2
    faults = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert [fault.removeprefix("datasets: test: GoPro-test: ").split()[0] for fault in faults] == [
        str(data / "blur" / "b.png"),
        str(data / "blur" / "c.png"),
        str(data / "sharp" / "e.png"),
    ]
    assert "is truncated" in faults[0]
    assert "16x16" in faults[1]
    assert "24x16" in faults[1]
    assert "is empty" in faults[2]
    printed = capsys.readouterr()
    assert "psnr" not in printed.out
    incomplete = folder / "gopro_whole_partial_incomplete.csv"
    assert printed.err.strip().splitlines()[-1] == (
        "python -m deeprftv2_arch: error: 3 of 5 images could not be measured, all named above, so there is no "
        f"average; the values of the others are in {incomplete}"
    )
    lines = read_csv(incomplete)
    assert [line["fault"] for line in lines] == ["", faults[0], faults[1], "", faults[2]]
    assert [line["psnr"] for line in lines if line["fault"]] == ["n/a"] * 3
    measured = [float(line["psnr"]) for line in lines if not line["fault"]]
    assert measured == pytest.approx([flat_psnr(10), flat_psnr(5)], abs=1e-9)
    assert {path: path.read_bytes() for path in folder.iterdir() if path != incomplete} == earlier


def test_output_that_is_not_finite_is_a_fault(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    weights = write_shift(tmp_path / "weights.pth", float("nan"))
    data = write_flat(tmp_path / "data", {"a": (100, 110)})
    with pytest.raises(EvaluationError, match="1 of 1 images"):
        evaluated(tmp_path, options_of(data, "GoPro-test", "gopro", weights), partial=True)
    assert f"{data / 'blur' / 'a.png'}: the network's output is not finite" in caplog.text


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_image_too_small_for_a_metric_is_a_fault(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    options = options_of(write_flat(tmp_path / "data", {"a": (100, 110)}, size=8), "RealBlur-J-test", "realblur")
    with pytest.raises(EvaluationError, match="1 of 1 images"):
        evaluated(tmp_path, options, partial=True)
    assert "a: ssim has no value for this image of 8x8 pixels" in caplog.text


def test_report_says_what_makes_its_figures_comparable(tmp_path: Path) -> None:
    weights = write_shift(tmp_path / "weights.pth", 5)
    published = {"name": "somebody (paper)", "GoPro-test": {"psnr": 34.52}}
    data = write_flat(tmp_path / "data", LEVELS)
    network = TINY_NETWORK | {"fke_window": 16, "fke_overlap": 8, "train_size": 32}
    options = options_of(data, "GoPro-test", "gopro", weights, network_g=network, published=published)
    table = evaluated(tmp_path, options, partial=True)
    content, _, text = results(tmp_path, "gopro_whole_partial")
    checksum = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert content["weights"] == {"file": str(weights), "key": "params", "sha256": checksum}
    assert content["versions"] == {
        "deeprftv2_arch": deeprftv2_arch.__version__,
        "torch": torch.__version__,
        "basicsr": basicsr.__version__,
        "opencv": cv2.__version__,
        "numpy": np.__version__,
    }
    assert content["metrics"]["ssim"] == {"type": "calculate_ssim_3d", "crop_border": 0}
    assert content["network"]["arguments"] == {key: value for key, value in network.items() if key != "type"}
    assert content["network"]["variant"].startswith("DeepRFTv2 with dim 8, units 1")
    assert content["data"]["GoPro-test"]["dataroot_lq"] == str(data / "blur")
    assert content["sets"]["GoPro-test"]["pictures"] == 4
    assert content["date"].endswith("+00:00")
    assert text == table
    psnr = np.mean([flat_psnr(error) for error in (5, 35, 15, 0.0) if error] + [np.inf])
    assert content["sets"]["GoPro-test"]["network"]["psnr"] == str(psnr)  # d is restored exactly
    lines = table.splitlines()
    assert lines[2:4] == ["| psnr / ssim | GoPro-test (4 of 1,111) |", "|---|---|"]
    assert lines[4].startswith("| DeepRFTv2, whole, FKE in windows (16, 8), TLC 32, partial, 4 of 1,111 (GoPro-test) |")
    assert lines[5] == "| somebody (paper) | 34.52 / - |"
    assert f"* weights: params of {weights}, SHA-256 {checksum}" in lines


def test_triplets_show_the_best_the_median_and_the_worst(tmp_path: Path) -> None:
    # Rounded up, restored images are 5 levels off less: 5, 35, 15 and 0.
    weights = write_shift(tmp_path / "weights.pth", 5)
    data = write_flat(tmp_path / "data", LEVELS, size=24)
    evaluated(tmp_path, options_of(data, "GoPro-test", "gopro", weights), partial=True, triplets=True, out=tmp_path)
    folder = tmp_path / "gopro_whole_partial_triplets"
    assert sorted(path.name for path in folder.iterdir()) == [
        f"GoPro-test_{case}.png" for case in ("best", "median", "worst")
    ]
    for case, name in (("best", "d"), ("median", "c"), ("worst", "b")):
        sheet = cv2.imread(str(folder / f"GoPro-test_{case}.png"))
        blurred, sharp = LEVELS[name]
        assert sheet.shape == (MARGIN + 2 * LABEL + 24 + MARGIN, MARGIN + 3 * (24 + MARGIN), 3)
        for column, level in enumerate((blurred, blurred + 5, sharp)):
            left = MARGIN + column * (24 + MARGIN)
            assert (sheet[-MARGIN - 24 : -MARGIN, left : left + 24] == level).all()
        assert (sheet[:MARGIN] == 255).all()
        assert sheet[MARGIN : MARGIN + LABEL].min() < 128  # something is written


@pytest.mark.parametrize("what", ["file in the way", "read-only", "full disk"])
def test_results_that_cannot_be_written_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    options = options_of(write_flat(tmp_path / "data", LEVELS), "GoPro-test", "gopro")
    out = tmp_path / "out"
    message = {
        "file in the way": f"{out}: cannot be made: File exists; choose another by --out",
        "read-only": f"{out}: cannot be written to; choose another by --out",
        "full disk": f"{out / 'gopro_whole_partial.csv'}: cannot be written: No space left on device; the averages are",
    }[what]
    if what == "file in the way":
        out.write_text("")
    elif what == "read-only":
        monkeypatch.setattr("os.access", lambda path, mode: False)
    else:

        def fail(source: Path, target: Path) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(SystemExit) as ended:
        main(monkeypatch, tmp_path, options, "--partial", "--workers", "0", "--out", str(out))
    assert ended.value.code == 2
    printed = capsys.readouterr()
    assert f"error: {message}" in printed.err.splitlines()[-1]
    assert ("| Identity, whole, partial" in printed.out) == (what == "full disk")


def test_evaluate_needs_nothing_of_val(tmp_path: Path, weights: Path) -> None:
    options = options_of(write_flat(tmp_path / "data", LEVELS), "GoPro-test", "gopro", weights)
    expected = evaluated(tmp_path, options, partial=True)
    del options["val"]["save_img"]
    assert evaluated(tmp_path, options, partial=True) == expected
    with pytest.raises(OptionError, match="val: save_img: missing"):
        run_testing(Arguments(write_options(tmp_path / "test.yml", options)), tmp_path)
    options["val"]["save_imgs"] = True
    with pytest.raises(OptionError, match="val: unknown key 'save_imgs'; did you mean 'save_img'"):
        evaluated(tmp_path, options, partial=True)
    del options["val"]
    assert evaluated(tmp_path, options, partial=True) == expected


def test_help_names_every_file_of_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["deeprftv2_arch", "evaluate", "--help"])
    with pytest.raises(SystemExit):
        command_line.main()
    text = capsys.readouterr().out
    data = write_flat(tmp_path / "data", LEVELS, size=24)
    weights = write_shift(tmp_path / "weights.pth", 5)
    options = options_of(data, "GoPro-test", "gopro", weights)
    evaluated(tmp_path, options, partial=True, triplets=True, out=tmp_path / "out")
    for path in (tmp_path / "out").iterdir():
        assert "_partial" in path.name
        assert path.name.replace("gopro_whole_partial", "<protocol>_<tiles>") in text
    assert "_partial" in text


def test_only_evaluate_takes_a_network_without_weights(tmp_path: Path, weights: Path) -> None:
    data = write_flat(tmp_path / "data", LEVELS)
    options = options_of(data, "GoPro-test", "gopro")
    with pytest.raises(OptionError, match=r"pretrain_network_g: missing; a network without weights is .* evaluate"):
        run_testing(Arguments(write_options(tmp_path / "test.yml", options)), tmp_path)
    options["network_g"] = TINY_NETWORK
    with pytest.raises(OptionError, match="pretrain_network_g: missing; testing needs the weights"):
        evaluated(tmp_path, options, partial=True)
    options |= {"network_g": {"type": "Identity"}, "path": {"pretrain_network_g": str(weights)}}
    with pytest.raises(CheckpointError, match="does not fit the network of the option file"):
        evaluated(tmp_path, options, partial=True)


def test_network_of_another_scale_is_named_with_the_images(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for side, size in (("blur", 16), ("sharp", 32)):
        (tmp_path / "data" / side).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "data" / side / "a.png"), np.full((size, size, 3), 9, np.uint8))
    options = options_of(tmp_path / "data", "Set5", "sr", model_type="SuperResolutionModel", scale=2)
    options["datasets"]["test"]["type"] = "SuperResolutionPairDataset"
    with pytest.raises(EvaluationError, match="1 of 1 images"):
        evaluated(tmp_path, options, partial=True)
    assert "a.png: restored to 16x16, but its ground truth is 32x32; choose the network of this scale" in caplog.text


@pytest.mark.parametrize("words", [["--tile", "8", "0", "--whole"], ["--workers", "-1"], ["--tile", "8"], ["--par"]])
def test_command_line_that_makes_no_sense(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(monkeypatch, tmp_path, {}, *words)
    assert ended.value.code == 2
    assert "error: " in capsys.readouterr().err


@pytest.mark.slow
def test_other_commands_do_not_load_what_evaluate_needs(tmp_path: Path) -> None:
    program = (
        "import sys, deeprftv2_arch.__main__ as m; m.build_parser(); "
        "print([n for n in ('deeprftv2_arch.measuring.evaluation', 'lpips') if n in sys.modules])"
    )
    code, output = run("-c", program, cwd=tmp_path)
    assert (code, output.splitlines()[-1]) == (0, "[]")


def test_fault_of_the_options_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = options_of(write_flat(tmp_path / "data", LEVELS), "GoPro-test", "gopro", protocl="gopro")
    with pytest.raises(SystemExit) as ended:
        main(monkeypatch, tmp_path, options)
    assert ended.value.code == 2
    assert capsys.readouterr().err.splitlines() == [
        f"python -m deeprftv2_arch: error: {tmp_path / 'evaluate.yml'}: unknown key 'protocl'; did you mean 'protocol'?"
    ]
