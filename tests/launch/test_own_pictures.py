"""The six commands of docs/own_pictures.md, with a network and pictures that are small."""

import json
import shlex
import shutil
from pathlib import Path

import cv2
import pytest
import yaml
from launch_helpers import REPOSITORY, TINY_NETWORK, load, write_images

import datasets_prep.command_line
from deeprftv2_arch.commands.main import main

SMALL = (
    "num_gpu=0",
    f"network_g={yaml.safe_dump(TINY_NETWORK, default_flow_style=True, width=10**6).strip()}",
    "train:total_iter=2",
    "datasets:train:patch_stages=[{iters: 2, patch_size: 16, batch_size: 1}]",
    "datasets:train:num_worker_per_gpu=0",
    "datasets:train:pin_memory=false",
    "logger:print_freq=1",
    "logger:use_tb_logger=false",
)


def commands() -> list[list[str]]:
    section = (REPOSITORY / "docs" / "own_pictures.md").read_text(encoding="utf-8")
    block = section.split("```sh\n")[1].split("```")[0]
    return [shlex.split(line) for line in block.strip().splitlines()]


@pytest.mark.slow
def test_six_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / "my", 22, 32)
    (tmp_path / "my/blur").rename(tmp_path / "my/blurred")
    cv2.imwrite(str(tmp_path / "photo.jpg"), cv2.imread(str(tmp_path / "my/blurred/000.png")))
    lines = commands()
    assert len(lines) == 6
    for line in lines:
        words = line
        assert words[:2] == ["python", "-m"]
        if words[2] == "datasets_prep":
            assert datasets_prep.command_line.main(words[3:]) == 0
            continue
        if words[3] in ("train", "test"):
            of_training = ("train:", "logger:", "datasets:train:")
            small = [change for change in SMALL if words[3] == "train" or not change.startswith(of_training)]
            words = [*line, *([] if "--force_yml" in line else ["--force_yml"]), *small]
        if "fine_tuned" in " ".join(words):
            shutil.copy("experiments/own_pictures/models/net_g_latest.pth", "pretrained.pth")
        monkeypatch.setattr("sys.argv", ["deeprftv2", *words[3:]])
        main()
    trained, tuned = (
        load(Path(f"experiments/{name}/models/net_g_latest.pth")) for name in ("own_pictures", "fine_tuned")
    )
    assert trained["params"].keys() == tuned["params"].keys()
    report = json.loads(Path("results/own_pictures/report.json").read_text(encoding="utf-8"))
    assert report["sets"]["mine-val"]["pictures"] == 20
    assert report["weights"]["file"] == str(tmp_path / "experiments/own_pictures/models/net_g_latest.pth")
    assert cv2.imread("restored/photo.png").shape == (32, 32, 3)
