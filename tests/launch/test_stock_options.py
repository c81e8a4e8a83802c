"""Option files of a stock BasicSR under this project's launchers, and what BasicSR would have refused too late."""

import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml
from basicsr.metrics import calculate_psnr
from launch_helpers import basicsr_log, changed, data_section, evaluation_options, training_options, write_images

from deeprftv2_arch.common.imresize import imresize
from deeprftv2_arch.errors import DeepRFTv2Error
from deeprftv2_arch.launch.arguments import Arguments
from deeprftv2_arch.launch.pipeline import run_training
from deeprftv2_arch.measuring.evaluation import Request, evaluate
from deeprftv2_arch.measuring.testing import run_testing

# As train_EDSR_Lx2.yml of BasicSR, with a narrow network and few steps.
TRAINING = """
name: EDSR
model_type: SRModel
scale: 2
num_gpu: 0
manual_seed: 0
datasets:
  train:
    name: DIV2K
    type: PairedImageDataset
    dataroot_gt: ROOT/HR
    dataroot_lq: ROOT/LR
    filename_tmpl: '{}x2'
    io_backend: {type: disk}
    gt_size: 16
    use_hflip: true
    use_rot: true
    num_worker_per_gpu: 0
    batch_size_per_gpu: 2
    dataset_enlarge_ratio: 1
    prefetch_mode: ~
  val:
    name: Set5
    type: PairedImageDataset
    dataroot_gt: ROOT/HR
    dataroot_lq: ROOT/LR
    filename_tmpl: '{}x2'
    io_backend: {type: disk}
network_g:
  {type: EDSR, num_in_ch: 3, num_out_ch: 3, num_feat: 8, num_block: 1, upscale: 2, res_scale: 1, img_range: 255.,
  rgb_mean: [0.4488, 0.4371, 0.4040]}
path: {pretrain_network_g: ~, strict_load_g: true, resume_state: ~}
train:
  ema_decay: 0.999
  optim_g: {type: Adam, lr: !!float 1e-3, weight_decay: 0, betas: [0.9, 0.99]}
  scheduler: {type: MultiStepLR, milestones: [4], gamma: 0.5}
  total_iter: 5
  warmup_iter: -1
  pixel_opt: {type: L1Loss, loss_weight: 1.0, reduction: mean}
val:
  val_freq: !!float 5e0
  save_img: false
  metrics:
    psnr: {type: calculate_psnr, crop_border: 2, test_y_channel: false}
logger:
  print_freq: 1
  save_checkpoint_freq: !!float 5e0
  use_tb_logger: true
  wandb: {project: ~, resume_id: ~}
dist_params: {backend: nccl, port: 29500}
"""


def write_sr_images(folder: Path, count: int = 3) -> dict[str, tuple[Any, Any]]:
    """Write ground truth and what imresize makes of it; return both by name."""
    images = {}
    for number in range(count):
        noise = np.random.default_rng(number).integers(0, 256, (32, 40, 3), dtype=np.uint8)
        truth = cv2.blur(noise, (5, 5)).astype(np.uint8)
        images[f"{number}"] = truth, imresize(truth, (16, 20))
    for side in ("HR", "LR"):
        (folder / side).mkdir(parents=True)
    for name, (truth, low) in images.items():
        cv2.imwrite(str(folder / "HR" / f"{name}.png"), truth)
        cv2.imwrite(str(folder / "LR" / f"{name}x2.png"), low)
    return images


def test_a_stock_file_trains_and_its_network_stands_in_the_same_report(tmp_path: Path) -> None:
    images = write_sr_images(tmp_path)
    file = tmp_path / "train_EDSR.yml"
    file.write_text(TRAINING.replace("ROOT", str(tmp_path)), encoding="utf-8")
    with basicsr_log() as log:
        run_training(Arguments(file), tmp_path)
    text = log.getvalue()
    assert "[epoch:  4, iter:       5" in text  # of three images, one batch of two in an epoch
    assert text.count("Validation Set5") == 1
    assert "-1 day" not in text
    assert "Network: EDSR, with parameters: " in text
    assert "Conv2d" not in text  # hundreds of lines of a module tree
    (events,) = (tmp_path / "tb_logger/EDSR").iterdir()
    for tag in (b"losses/l_pix", b"lr", b"metrics/Set5/psnr"):
        assert tag in events.read_bytes()
    content = yaml.safe_load(TRAINING.replace("ROOT", str(tmp_path)))
    content["datasets"] = {"test": content["datasets"]["val"]}
    content |= {"path": {"pretrain_network_g": str(tmp_path / "experiments/EDSR/models/net_g_latest.pth")}}
    del content["train"], content["logger"], content["val"]["val_freq"]
    test = tmp_path / "test_EDSR.yml"
    test.write_text(yaml.safe_dump(content), encoding="utf-8")
    run_testing(Arguments(test), tmp_path)
    report = json.loads((tmp_path / "results/EDSR/report.json").read_text(encoding="utf-8"))
    assert report["rows"]["baseline"] == "bicubic"
    enlarged = [calculate_psnr(imresize(low, truth.shape[:2]), truth, 2) for truth, low in images.values()]
    assert report["sets"]["Set5"]["baseline"]["psnr"] == pytest.approx(np.mean(enlarged), abs=1e-6)
    assert report["sets"]["Set5"]["network"]["psnr"] > 0
    assert report["rows"]["network"] == "EDSR"
    _measured_by_the_training_file_itself(file, tmp_path)


def _measured_by_the_training_file_itself(file: Path, folder: Path) -> None:
    """`test` and `evaluate` take it as it is, its section `val`, and agree where they measure the same."""
    metric = "val:metrics:psnr={type: calculate_psnr, crop_border: 2, test_y_channel: true}"
    run_testing(Arguments(file, force_yml=(metric,)), folder)
    report = json.loads((folder / "results/EDSR/report.json").read_text(encoding="utf-8"))
    assert report["weights"]["key"] == "params_ema"
    text = "".join(evaluate(Request(Arguments(file), "sr", partial=True, workers=0), folder))
    assert "| EDSR, whole, partial, 3 of 5 (Set5) |" in text
    content = json.loads((folder / "results/EDSR/evaluation/sr_whole_partial.json").read_text(encoding="utf-8"))
    measured = content["sets"]["Set5"]["network"]["psnr"]
    assert measured == pytest.approx(report["sets"]["Set5"]["network"]["psnr"], abs=1e-9)
    assert content["weights"] == report["weights"]
    _measured_on_a_list(file, folder)


def _measured_on_a_list(file: Path, folder: Path) -> None:
    """BasicSR's `meta_info_file` names the images that count; what changes images is refused."""
    (folder / "list.txt").write_text("2.png (32,40,3)\n0.png (32,40,3)\n", encoding="utf-8")
    listed = f"datasets:val:meta_info_file={folder / 'list.txt'}"
    text = "".join(evaluate(Request(Arguments(file, force_yml=(listed,)), "sr", partial=True, workers=0), folder))
    assert "partial, 2 of 5 (Set5) |" in text
    (folder / "list.txt").write_text("7.png\n", encoding="utf-8")
    with pytest.raises(DeepRFTv2Error, match=r"list\.txt: lists 1 images, of which .*HR has 0"):
        list(evaluate(Request(Arguments(file, force_yml=(listed,)), "sr", partial=True, workers=0), folder))
    grey = Arguments(file, force_yml=("datasets:val:color=y",))
    with pytest.raises(DeepRFTv2Error, match="datasets: val: color: evaluate measures images as they are stored"):
        list(evaluate(Request(grey, "sr", partial=True, workers=0), folder))


def refused(content: dict[str, Any], folder: Path, test: bool = False) -> str:
    """Run an option file beside an earlier run of its name; return the error, with the earlier run untouched."""
    file = folder / "options.yml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    earlier = folder / ("results" if test else "experiments") / content["name"]
    earlier.mkdir(parents=True)
    with pytest.raises(DeepRFTv2Error) as caught:
        (run_testing if test else run_training)(Arguments(file), folder)
    assert [path.name for path in earlier.parent.iterdir()] == [content["name"]]
    return str(caught.value)


@pytest.fixture
def stock(tmp_path: Path) -> dict[str, Any]:
    write_sr_images(tmp_path)
    content: dict[str, Any] = yaml.safe_load(TRAINING.replace("ROOT", str(tmp_path)))
    return content


def test_wandb_without_tensorboard(stock: dict[str, Any], tmp_path: Path) -> None:
    content = changed(stock, {"logger__use_tb_logger": False, "logger__wandb": {"project": "mine"}})
    assert "logger: wandb: it is sent what TensorBoard gets; set use_tb_logger: true" in refused(content, tmp_path)


def test_no_loss(stock: dict[str, Any], tmp_path: Path) -> None:
    content = changed(stock, {"train__pixel_opt": None})
    assert "train: pixel_opt: missing, and perceptual_opt too" in refused(content, tmp_path)


def test_perceptual_loss_without_its_weights(
    stock: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(*_: Any, **__: Any) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", no_network)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", no_network)
    monkeypatch.chdir(tmp_path)
    loss = {"type": "PerceptualLoss", "layer_weights": {"conv5_4": 1}, "vgg_type": "vgg19"}
    assert "train: perceptual_opt: no route to host" in refused(
        changed(stock, {"train__perceptual_opt": loss}), tmp_path
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"datasets__train__gt_size": None}, "gt_size: missing"),
        ({"datasets__train__dataroot_lq": "nowhere"}, "there is no nowhere; .* python -m datasets_prep pairs"),
        (
            {"datasets__val__dataroot_gt": "datasets/Set5/GTmod12"},
            "datasets: val: Set5: dataroot_gt: there is no .* python -m datasets_prep sr-benchmarks",
        ),
    ],
)
def test_missing_keys_and_folders_of_stock_data(
    stock: dict[str, Any], tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    found = refused(changed(stock, change), tmp_path)
    assert "datasets: " in found
    assert re.search(message, found)


def test_stages_of_a_stock_data_set(tmp_path: Path) -> None:
    write_images(tmp_path / "train")
    write_images(tmp_path / "val", 1)
    content = training_options(tmp_path / "train", tmp_path / "val", datasets__train__type="PairedImageDataset")
    message = refused(content, tmp_path)
    assert "datasets: train: patch_stages: PairedImageDataset does not know them; set gt_size" in message


def test_niqe_of_small_pictures(tmp_path: Path) -> None:
    write_images(tmp_path / "val", 1, 100)
    content = evaluation_options(
        tmp_path / "val", tmp_path / "no.pth", val__metrics={"niqe": {"type": "calculate_niqe", "crop_border": 0}}
    )
    message = refused(content, tmp_path, test=True)
    assert "val: metrics: niqe: " in message
    assert "000.png is 100x100, too small for NIQE" in message


def test_a_metric_of_pairs_on_single_pictures_of_a_stock_model(stock: dict[str, Any], tmp_path: Path) -> None:
    single = {"name": "x", "type": "SingleImageDataset", "dataroot_lq": "x", "io_backend": {"type": "disk"}}
    message = refused(changed(stock, {"datasets__val": single}), tmp_path)
    assert "datasets: val: SingleImageDataset has no ground truth, which val: metrics: psnr compares with" in message


def test_raising_total_iter_at_a_resume_extends_the_last_stage(tmp_path: Path) -> None:
    write_images(tmp_path / "train")
    write_images(tmp_path / "val", 1)
    content = training_options(tmp_path / "train", tmp_path / "val")
    file = tmp_path / "options.yml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    run_training(Arguments(file), tmp_path)
    content["train"]["total_iter"] = 8
    content["datasets"]["val"] = data_section(tmp_path / "val")
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    with basicsr_log() as log:
        run_training(Arguments(file, auto_resume=True), tmp_path)
    assert "iter:       8" in log.getvalue()
    assert (tmp_path / "experiments/tiny/models/net_g_latest.pth").is_file()
