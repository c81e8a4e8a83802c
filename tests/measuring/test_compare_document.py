"""The commands of docs/compare.md, with networks and images that are small."""

import itertools
import shlex
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml
from launch_helpers import REPOSITORY
from peer_helpers import fftformer, hat, nafnet, ours, save, swinir, write_set5

from deeprftv2_arch.commands.main import main
from deeprftv2_arch.measuring import costs
from deeprftv2_arch.options.building import build_network

pytestmark = pytest.mark.slow


def commands() -> list[list[str]]:
    blocks = (REPOSITORY / "docs/compare.md").read_text(encoding="utf-8").split("```sh\n")[1:]
    lines = [line for block in blocks for line in block.split("```")[0].strip().splitlines()]
    return [shlex.split(line) for line in lines if line.startswith("python -m ")]


def write_edsr(folder: Path, scale: int, name: str) -> None:
    """Write a stock option file for testing EDSR on the Set5 of the folder, and random weights."""
    section = {"type": "EDSR", "num_in_ch": 3, "num_out_ch": 3, "num_feat": 8, "num_block": 1, "upscale": scale}
    section |= {"res_scale": 1, "img_range": 255.0, "rgb_mean": [0.4488, 0.4371, 0.4040]}
    torch.save({"params": build_network(section, "network_g").state_dict()}, folder / f"{name}.pth")
    data = folder / "datasets/SR/Set5"
    content = {
        "name": name,
        "model_type": "SRModel",
        "scale": scale,
        "num_gpu": 0,
        "manual_seed": 0,
        "datasets": {
            "test": {
                "name": "Set5",
                "type": "PairedImageDataset",
                "dataroot_gt": str(data / "HR"),
                "dataroot_lq": str(data / f"LR_bicubic/X{scale}"),
                "filename_tmpl": f"{{}}x{scale}",
                "io_backend": {"type": "disk"},
            }
        },
        "network_g": section,
        "path": {"pretrain_network_g": f"{name}.pth"},
        "val": {"save_img": False, "metrics": {"psnr": {"type": "calculate_psnr", "crop_border": scale}}},
    }
    (folder / f"{name}.yml").write_text(yaml.safe_dump(content), encoding="utf-8")


def test_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(costs, "ENLARGED", (48, 64))
    monkeypatch.setattr(costs, "SIDE", 32)
    write_set5(tmp_path / "datasets/SR/Set5", (2, 4))
    for side in ("blur", "sharp"):
        (tmp_path / "datasets/GoPro/test" / side).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "datasets/GoPro/test" / side / "a.png"), np.full((16, 16, 3), 99, np.uint8))
    for build, name in ((ours, "ours"), (nafnet, "nafnet"), (fftformer, "fftformer")):
        save(build, tmp_path / f"{name}.pth")
    for build, name in ((swinir, "ours_x2"), (swinir, "swinir_x2"), (hat, "hat_x2")):
        save(build, tmp_path / f"{name}.pth")
    write_edsr(tmp_path, 2, "test_EDSR")
    write_edsr(tmp_path, 4, "test_EDSR_x4")
    # BasicSR names what it puts aside by the second, in which small networks are done more than once.
    monkeypatch.setattr("basicsr.utils.misc.get_time_str", map(str, itertools.count()).__next__)
    lines = commands()
    assert len(lines) == 6
    for words in lines:
        assert words[:3] == ["python", "-m", "deeprftv2_arch"]
        more = ["--workers", "0", "--partial"] if words[3] == "evaluate" else []
        monkeypatch.setattr("sys.argv", ["deeprftv2", *words[3:], *more, "--force_yml", "num_gpu=0"])
        main()
    printed = capsys.readouterr().out
    assert "| NAFNet-64 (paper) | - | - | - | 33.69 / 0.9670 |" in printed
    results = tmp_path / "results/ours_and_2_more/evaluation"
    assert {path.name for path in results.iterdir()} >= {"gopro_compared_partial.md", "gopro_compared_partial.json"}
    assert (tmp_path / "table.tex").read_text(encoding="utf-8").startswith(r"\begin{tabular}")
    rows = (tmp_path / "scales.csv").read_text(encoding="utf-8").splitlines()
    assert rows[0] == 'network,scale,"parameters, M",GMACs,s / image,Set5 (5) psnr,Set5 (5) ssim'
    assert [row.split(",")[1:3] for row in rows[1:] if "EDSR" in row] == [[' whole"', "x2"], [' whole"', "x4"]]
    report = (tmp_path / "results/test_EDSR/report.md").read_text(encoding="utf-8")
    assert "| SwinIR | " in report
