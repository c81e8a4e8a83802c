"""Networks of other projects and of this one under one protocol, in one table: `evaluate` and `test` of checkpoints."""

import csv
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from evaluate_helpers import flat_psnr, options_of, read_csv, write_flat
from launch_helpers import write_images, write_options
from peer_helpers import esrgan, fftformer, hat, nafnet, ours, save, swinir, uformer, write_set5
from torch import nn

from deeprftv2_arch import __main__ as command_line
from deeprftv2_arch.checkpoints.building import network_of_checkpoint
from deeprftv2_arch.errors import EvaluationError, OptionError
from deeprftv2_arch.measuring import costs
from deeprftv2_arch.measuring.costs import count_macs
from deeprftv2_arch.measuring.data_folder import content_for
from deeprftv2_arch.measuring.evaluation import Request, evaluate
from deeprftv2_arch.measuring.table import Row, Table
from deeprftv2_arch.metrics.protocols import PROTOCOLS
from deeprftv2_arch.metrics.published import published_rows
from deeprftv2_arch.options.arguments import Arguments
from deeprftv2_arch.options.building import build_network

spandrel = pytest.importorskip("spandrel")

ON_CPU = ("num_gpu=0",)


def compared(folder: Path, checkpoints: list[Path], protocol: str, data: Path, **more: Any) -> tuple[str, Any]:
    """Measure checkpoints without an option file; return the table and the JSON."""
    request = Request(
        Arguments(checkpoints[0], force_yml=ON_CPU),
        protocol,
        workers=0,
        checkpoints=tuple(checkpoints),
        data=data,
        out=folder / "out",
        **more,
    )
    text = "".join(evaluate(request, folder))
    (found,) = (folder / "out").glob("*.json")
    return text, json.loads(found.read_text(encoding="utf-8"))


def psnr_of_spandrel(file: Path, lq: Path, gt: Path, border: int = 0, luma: bool = False) -> float:
    """Return the mean PSNR of 8-bit results of spandrel's own call."""
    from basicsr.metrics import calculate_psnr

    model = spandrel.ModelLoader("cpu").load_from_file(file)
    values = []
    for path, truth in zip(sorted(lq.iterdir()), sorted(gt.iterdir()), strict=True):
        image = cv2.imread(str(path))[:, :, ::-1].astype(np.float32) / 255
        with torch.no_grad():
            restored = model(torch.from_numpy(image.transpose(2, 0, 1).copy())[None])[0]
        rounded = (restored.numpy().transpose(1, 2, 0)[:, :, ::-1] * 255).round().astype(np.uint8)
        values.append(calculate_psnr(rounded, cv2.imread(str(truth)), border, test_y_channel=luma))
    return float(np.mean(values))


@pytest.mark.slow
def test_deblurring_networks_of_four_projects_in_one_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costs, "SIDE", 128)
    write_images(tmp_path / "data", 2, 48)
    files = [save(build, tmp_path / f"{build.__name__}.pth") for build in (ours, nafnet, fftformer, uformer)]
    text, content = compared(tmp_path, files, "gopro", tmp_path / "data", partial=True)
    lines = text.splitlines()
    assert lines[2] == "| psnr / ssim | parameters, M | GMACs | s / image | GoPro-test (2 of 1,111) |"
    titles = [line.split(",")[0].removeprefix("| ") for line in lines[4:8]]
    assert titles == [
        "DeepRFTv2 (ours.pth)",
        "NAFNet (nafnet.pth)",
        "FFTformer (fftformer.pth)",
        "Uformer (uformer.pth)",
    ]
    assert any(line.startswith("| NAFNet-64 (paper) | - | - | - | 33.69 / 0.9670 |") for line in lines)
    assert any(line.startswith("| DeepRFTv2-B (paper, Table 1) | - | - | - | 34.52 / 0.9710 |") for line in lines)
    for file, network in zip(files[1:], content["networks"][1:], strict=True):
        found = network["sets"]["GoPro-test"]["network"]["psnr"]
        assert found == pytest.approx(psnr_of_spandrel(file, tmp_path / "data/blur", tmp_path / "data/sharp"), abs=1e-4)
        own = spandrel.ModelLoader("cpu").load_from_file(file).model
        assert network["costs"]["parameters"] == sum(parameter.numel() for parameter in own.parameters())
        assert network["costs"]["seconds_per_image"] > 0
        assert network["weights"]["file"] == str(file)
    # A multiply-accumulate for every weight of a convolution and every pixel; NAFNet's other weights count little.
    assert content["networks"][1]["costs"]["macs"] > 1e7


@pytest.mark.slow
def test_super_resolution_at_two_scales_in_one_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costs, "ENLARGED", (72, 128))
    data = write_set5(tmp_path / "SR/Set5", (2, 4))
    files = [save(build, tmp_path / f"{build.__name__}.pth") for build in (esrgan, swinir, hat)]
    table = tmp_path / "table.csv"
    text, content = compared(tmp_path, files, "sr", tmp_path / "SR", table=table)
    assert [network["scale"] for network in content["networks"]] == [2, 2, 4]
    lines = text.splitlines()
    assert lines[2] == "| psnr / ssim | scale | parameters, M | GMACs | s / image | Set5 (5) |"
    assert "| Urban100: missing, see below | x4 | - | - | - | - / - |" in lines
    assert any(line.startswith("* Urban100 x2: missing: ") and "datasets_prep sr-benchmarks" in line for line in lines)
    assert "| ATD-light+FKE (paper) | x2 | - | - | - | 38.27 / 0.9618 |" in lines
    for scale in (2, 4):
        assert f"* psnr: calculate_psnr with crop_border {scale}, test_y_channel True" in lines
    for file, network in zip([files[1], files[2], files[0]], content["networks"], strict=True):
        scale = network["scale"]
        expected = psnr_of_spandrel(file, data / f"LR_bicubic/X{scale}", data / "HR", scale, luma=True)
        assert network["sets"]["Set5"]["network"]["psnr"] == pytest.approx(expected, abs=1e-4)
    rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    assert float(rows[0]["Set5 (5) psnr"]) == content["networks"][0]["sets"]["Set5"]["network"]["psnr"]
    assert {row["scale"] for row in rows} == {"x2", "x4"}
    assert [row["network"] for row in rows if "missing" in row["network"]][:2] == [
        "Set14: missing, see below",
        "B100: missing, see below",
    ]
    lines_of_images = read_csv(tmp_path / "out" / "sr_compared.csv")
    assert len(lines_of_images) == 15
    # Where a scale has no set, its networks have rows without figures.
    shutil.rmtree(data / "LR_bicubic/X2")
    lines = compared(tmp_path, files[:2], "sr", data)[0].splitlines()
    assert any(
        re.match(r"\| SwinIR \(swinir\.pth\), whole \| x2 \| 0\.\d+ \| [\d.]+ \| n/a \| - / - \|", line)
        for line in lines
    )
    assert "| Set5: missing, see below | x2 | - | - | - | - / - |" in lines
    assert any(line.startswith("| ESRGAN (esrgan.pth), whole | x4 | ") for line in lines)


def test_a_network_without_spandrel_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deeprftv2_arch.checkpoints.peers.find_spec", lambda name: None)
    with pytest.raises(Exception, match=r"holds weights of no network of this package.*spandrel"):
        compared(tmp_path, [save(nafnet, tmp_path / "naf.pth")], "gopro", write_flat(tmp_path / "data", {"a": (1, 2)}))


def test_networks_of_option_files_and_checkpoints_stand_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An option file of ours, one of BasicSR's network, and a checkpoint, on the sets of the first."""
    data = write_flat(tmp_path / "data", {"a": (100, 110), "b": (50, 90)})
    published = {"name": "somebody", "GoPro-test": {"psnr": 34.7}}
    first = write_options(tmp_path / "a.yml", options_of(data, "GoPro-test", "gopro", published=published))
    plain = {"type": "SRVGGNetCompact", "num_feat": 4, "num_conv": 1, "upscale": 1}
    torch.save({"params": build_network(plain, "network_g").state_dict()}, tmp_path / "plain.pth")
    options = options_of(data, "GoPro-test", "gopro", tmp_path / "plain.pth", network_g=plain, model_type="SRModel")
    second = write_options(tmp_path / "b.yml", options)
    checkpoint = save(ours, tmp_path / "ours.pth")
    monkeypatch.chdir(tmp_path)
    words = ["evaluate", "-opt", str(first), str(second), "--checkpoint", str(checkpoint), "--partial", "--workers"]
    monkeypatch.setattr(sys, "argv", ["deeprftv2", *words, "0", "--table", "table.tex"])
    command_line.main()
    lines = capsys.readouterr().out.split("# tiny_test\n")[1].splitlines()
    mean = (flat_psnr(10) + flat_psnr(40)) / 2
    assert lines[3].startswith("| Identity (tiny_test), whole, partial, 2 of 1,111 (GoPro-test) | 0.000 | 0.00 | ")
    assert f"| {mean:.2f} / " in lines[3]
    assert lines[4].startswith("| SRVGGNetCompact (tiny_test), whole, ")
    assert lines[5].startswith("| DeepRFTv2 (ours.pth), whole, ")
    assert "| somebody | - | - | - | 34.70 / - |" in lines
    latex = (tmp_path / "table.tex").read_text(encoding="utf-8").splitlines()
    assert latex[0] == r"\begin{tabular}{lcccc}"
    assert latex[2] == r"psnr / ssim & parameters, M & GMACs & s / image & GoPro-test (2 of 1,111) \\"
    assert latex[-1] == r"\end{tabular}"
    assert sorted(path.name for path in (tmp_path / "results/tiny_test/evaluation").iterdir()) == [
        "gopro_compared_partial.csv",
        "gopro_compared_partial.json",
        "gopro_compared_partial.md",
    ]


def test_a_network_that_fails_on_an_image_leaves_the_others_their_rows(tmp_path: Path) -> None:
    data = write_flat(tmp_path / "data", {"a": (100, 110)})
    good = save(ours, tmp_path / "good.pth")
    state = torch.load(good, weights_only=True)["params"]
    (head,) = (name for name in state if re.search(r"full_scale\.deblurred_head\.bias", name))
    state[head] += 3e38  # finite, and infinite once the image is added twice
    state[head.replace("bias", "weight")] += 3e38
    torch.save({"params": state}, tmp_path / "bad.pth")
    with pytest.raises(EvaluationError, match=r"1 of 1 images .* no average of DeepRFTv2 \(bad\.pth\)"):
        compared(tmp_path, [tmp_path / "bad.pth", good], "gopro", data, partial=True)
    text = (tmp_path / "out/gopro_compared_partial.md").read_text(encoding="utf-8")
    assert "| DeepRFTv2 (bad.pth): 1 images could not be measured, so there is no average | - | - | - | - / - |" in text
    assert "| DeepRFTv2 (good.pth), whole, partial" in text


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"table": Path("table.doc")}, r"--table table.doc: end the name in \.md, \.csv or \.tex"),
        ({"table": Path("none/table.md")}, "--table none.table.md: there is no folder"),
        ({"triplets": True}, "--triplets: shows one network"),
        ({"tiles": (32, 32)}, "--tile 32 32: NAFNet: .* the overlap one that is smaller than the tile"),
        ({"protocol": "sr", "tiles": None}, "Set5.*datasets_prep sr-benchmarks"),
        ({"protocol": "none"}, "--protocol: nothing is called 'none'; known are gopro"),
        ({"data": Path("none")}, "--data none: there is no such folder"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_anything_is_measured(
    tmp_path: Path, more: dict[str, Any], message: str
) -> None:
    data = write_flat(tmp_path / "data", {"a": (100, 110)})
    words = {"protocol": "gopro", "data": data, **more}
    protocol, folder = words.pop("protocol"), words.pop("data")
    with pytest.raises(Exception, match=message):
        compared(tmp_path, [save(nafnet, tmp_path / "naf.pth")], protocol, folder, partial=True, **words)
    assert not (tmp_path / "out").exists()


def test_checkpoint_of_a_scale_that_no_option_file_has(tmp_path: Path) -> None:
    data = write_flat(tmp_path / "data", {"a": (100, 110)})
    file = write_options(tmp_path / "a.yml", options_of(data, "GoPro-test", "gopro"))
    request = Request(Arguments(file), checkpoints=(save(swinir, tmp_path / "swinir.pth"),), partial=True)
    with pytest.raises(OptionError, match="the network enlarges 2 times, but no option file is of scale: 2"):
        list(evaluate(request, tmp_path))


def test_tiles_are_those_of_the_network_s_needs(tmp_path: Path) -> None:
    """A tile that a network has to pad would show its padding; so tiles are multiples of what it works on."""
    network: Any = network_of_checkpoint(save(fftformer, tmp_path / "fftformer.pth"))
    assert network.traits.size_multiple == 32
    for size, overlap in ((48, 32), (64, 16), (64, 64), (0, 0)):
        with pytest.raises(OptionError, match="FFTformer: tile must be a multiple of 32 from 32 on"):
            network.use_tiles(size, overlap)
    image = torch.rand(1, 3, 40, 72)
    whole = network(image)
    network.use_tiles(64, 32)
    assert (network.traits.tile, network.traits.tile_overlap) == (64, 32)
    tiled = network(image)
    assert tiled.shape == whole.shape
    assert torch.equal(tiled[..., :8], network(image[..., :64])[..., :8])  # where the first tile alone counts
    network.use_tiles(None)
    assert torch.equal(network(image), whole)


def test_multiply_accumulates_of_a_convolution() -> None:
    convolution = nn.Conv2d(3, 8, 3, padding=1, bias=False)
    assert count_macs(convolution, torch.zeros(1, 3, 10, 20)) == 3 * 8 * 9 * 10 * 20


def test_table_in_three_formats() -> None:
    rows = [
        Row("a_b & 50%", {"Set (2)": {"psnr": 30.123456, "ssim": None}}, {"GMACs": "1.5"}),
        Row("paper|x", {"Set (2)": {"psnr": 31.0}}),
        Row("Other: missing, see below"),
    ]
    table = Table(["psnr", "ssim"], ["Set (2)"], rows, ["GMACs"])
    assert table.as_markdown().splitlines() == [
        "| psnr / ssim | GMACs | Set (2) |",
        "|---|---|---|",
        "| a_b & 50% | 1.5 | 30.12 / n/a |",
        r"| paper\|x | - | 31.00 / - |",
        "| Other: missing, see below | - | - / - |",
    ]
    assert table.as_csv().splitlines() == [
        "network,GMACs,Set (2) psnr,Set (2) ssim",
        "a_b & 50%,1.5,30.123456,n/a",
        "paper|x,,31.0,",
        '"Other: missing, see below",,,',
    ]
    assert table.as_latex().splitlines() == [
        r"\begin{tabular}{lcc}",
        r"\hline",
        r"psnr / ssim & GMACs & Set (2) \\",
        r"\hline",
        r"a\_b \& 50\% & 1.5 & 30.12 / n/a \\",
        r"paper|x & - & 31.00 / - \\",
        r"Other: missing, see below & - & - / - \\",
        r"\hline",
        r"\end{tabular}",
    ]


def test_published_rows_are_those_of_the_option_files() -> None:
    from launch_helpers import REPOSITORY

    from deeprftv2_arch.options.option_file import read_option_file

    compared_files = 0
    for path in sorted((REPOSITORY / "options/test").glob("*.yml")):
        options = read_option_file(path)
        if not options.get("published") or options.get("protocol") is None or "ablation" in path.stem:
            continue
        rows = {row["name"]: row for row in published_rows(options["protocol"], options["scale"])}
        expected = dict(options["published"])
        row = rows[expected.pop("name")]
        assert {name: row[name] for name in expected} == expected
        compared_files += 1
    assert compared_files > 10


def test_a_checkpoint_is_tested_in_place_of_an_option_file_s_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_flat(tmp_path / "data", {"a": (100, 110)}, size=32)
    file = write_options(tmp_path / "test.yml", options_of(data, "GoPro-test", "gopro"))
    checkpoint = save(nafnet, tmp_path / "naf.pth")
    monkeypatch.chdir(tmp_path)
    expected = psnr_of_spandrel(checkpoint, data / "blur", data / "sharp")
    for words, folder in (
        (["-opt", str(file), "--checkpoint", str(checkpoint)], "results/tiny_test"),
        (["--checkpoint", str(checkpoint), "--protocol", "gopro", "--data", str(data)], "results/naf"),
    ):
        monkeypatch.setattr(sys, "argv", ["deeprftv2", "test", *words, "--force_yml", *ON_CPU])
        command_line.main()
        report = json.loads((tmp_path / folder / "report.json").read_text(encoding="utf-8"))
        assert report["rows"] == {"baseline": "input", "network": "NAFNet", "published": None}
        assert report["weights"]["file"] == str(checkpoint)
        assert report["sets"]["GoPro-test"]["network"]["psnr"] == pytest.approx(expected, abs=1e-4)
        assert (tmp_path / folder / "visualization/GoPro-test").is_dir()


def test_layouts_in_which_sets_circulate(tmp_path: Path) -> None:
    def made(*folders: str) -> None:
        for folder in folders:
            (tmp_path / folder).mkdir(parents=True)
            cv2.imwrite(str(tmp_path / folder / "a.png"), np.zeros((8, 8, 3), np.uint8))

    def roots(protocol: str, folder: str, scale: int = 1) -> dict[str, tuple[str, str]]:
        content = content_for(PROTOCOLS[protocol], tmp_path / folder, scale, "run")
        found = {
            section["name"]: [section[key] for key in ("dataroot_lq", "dataroot_gt")]
            for section in content["datasets"].values()
        }
        return {
            name: (Path(lq).relative_to(tmp_path).as_posix(), Path(gt).relative_to(tmp_path).as_posix())
            for name, (lq, gt) in found.items()
        }

    made("GoPro/test/input", "GoPro/test/target", "mine/blurred", "mine/sharp", "RealBlur/RealBlur_J/test/blur")
    made("RealBlur/RealBlur_J/test/sharp", "SR/Set14/GTmod12", "SR/Set14/LRbicx3", "SR/BSD100/HR")
    made("SR/BSD100/LR_bicubic/X3")
    assert roots("gopro", "GoPro") == roots("gopro", ".") == {"GoPro-test": ("GoPro/test/input", "GoPro/test/target")}
    assert roots("gopro", "mine") == {"GoPro-test": ("mine/blurred", "mine/sharp")}
    assert roots("realblur", "RealBlur")["RealBlur-J-test"] == (
        "RealBlur/RealBlur_J/test/blur",
        "RealBlur/RealBlur_J/test/sharp",
    )
    found = roots("sr", ".", 3)
    assert found["Set14"] == ("SR/Set14/LRbicx3", "SR/Set14/GTmod12")
    assert found["B100"] == ("SR/BSD100/LR_bicubic/X3", "SR/BSD100/HR")
    assert found["Set5"] == ("Set5/LRx3.lmdb", "Set5/HRx3.lmdb")  # which is not there, and said to be missing
    assert list(roots("sr", "SR/Set14", 3)) == ["Set14"]
