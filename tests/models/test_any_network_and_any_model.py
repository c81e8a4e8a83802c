"""DeepRFTv2 in BasicSR's own model, and a network of BasicSR's in this package's: each restores by network(x)."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from basicsr.models import build_model
from deblur_model_helpers import TINY_DEEPRFTV2, batch, build, model_options, train, weights
from image_files import options, write_folder
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from deeprftv2_arch.data.image_pair_dataset import DeblurPairDataset
from deeprftv2_arch.networks.deeprftv2 import DeepRFTv2
from deeprftv2_arch.networks.mimo_unet import MIMOUNet

EDSR = {"type": "EDSR", "num_in_ch": 3, "num_out_ch": 3, "num_feat": 4, "num_block": 2, "upscale": 1}
TINY_MIMO_UNET = {"type": "MIMOUNet", "dim": 4, "blocks": [1, 1, 1]}
ADAM: dict[str, Any] = {"type": "Adam", "lr": 2e-3, "weight_decay": 0, "betas": [0.9, 0.99]}


def stock_options(root: Path, network: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a training with BasicSR's SRModel."""
    opt = model_options(root, network_g=network, model_type="SRModel")
    opt["path"]["strict_load_g"] = True
    opt["train"] = {
        "total_iter": 10,
        "ema_decay": 0.5,
        "optim_g": dict(ADAM),
        "scheduler": {"type": "MultiStepLR", "milestones": [100], "gamma": 0.5},
        "pixel_opt": {"type": "L1Loss", "loss_weight": 1.0, "reduction": "mean"},
    }
    return opt


def validation_loader(root: Path) -> DataLoader[Any]:
    """Write two pairs of a size that is no multiple of anything, and load them."""
    draw = np.random.default_rng(0).integers
    for side in ("blur", "sharp"):
        write_folder(root / side, {str(n): draw(0, 256, (13, 21, 3), dtype=np.uint8) for n in range(2)})
    return DataLoader(DeblurPairDataset(options(root / "blur", root / "sharp", phase="val", name="toy")))


@pytest.mark.slow
@pytest.mark.parametrize("network", [TINY_DEEPRFTV2, TINY_MIMO_UNET], ids=["DeepRFTv2", "MIMOUNet"])
def test_basicsr_s_own_model_trains_and_validates(network: dict[str, Any], tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = build_model(stock_options(tmp_path, network))
    assert type(model).__name__ == "SRModel"
    data = batch(1)
    before = model.net_g.eval()(data["lq"]).detach()
    model.net_g.train()
    losses = []
    for iteration in range(1, 9):
        model.feed_data(data)
        model.optimize_parameters(iteration)
        losses.append(model.get_current_log()["l_pix"])
    assert losses[0] == pytest.approx((before - data["gt"]).abs().mean().item(), rel=1e-5)
    assert losses[-1] < 0.99 * losses[0]

    model.validation(validation_loader(tmp_path), 8, None)
    assert 5 < model.metric_results["psnr"] < 50


def test_deblur_model_trains_and_validates_a_network_of_basicsr_s(tmp_path: Path) -> None:
    model = build(tmp_path, {"clip_grad_norm": None, "optim_g": {**ADAM, "type": "AdamW"}}, network_g=dict(EDSR))
    data, net = batch(1), copy.deepcopy(model.net_g)
    (first,) = train(model, [1])
    assert first.keys() == {"l1_full", "frequency_full", "grad_norm", "lr"}
    assert first["l1_full"] == pytest.approx((net(data["lq"]) - data["gt"]).abs().mean().item(), rel=1e-6)
    start = weights(model)
    logs = train(model, [1] * 10)
    assert logs[-1]["l1_full"] < first["l1_full"]
    assert any(not torch.equal(value, start[name]) for name, value in weights(model).items())

    model.validation(validation_loader(tmp_path), 11, None)
    assert len(model.results["toy"].images) == 2
    assert 5 < model.metric_results["psnr"] < 50


@pytest.fixture
def _alone_among_processes(tmp_path: Path) -> Iterator[None]:
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'meeting'}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("_alone_among_processes")
@pytest.mark.parametrize("memory", ["none", "reversible", "lean"])
def test_distributed_training_of_the_restored_image_alone_waits_for_no_gradient(memory: Any) -> None:
    tiny = {**TINY_DEEPRFTV2, "memory": memory}
    tiny.pop("type")
    network = DeepRFTv2(**tiny).train()
    alone = copy.deepcopy(network)
    wrapped = DistributedDataParallel(network)
    x = torch.rand(1, 3, 16, 16)
    for _ in range(2):  # the second forward pass is what fails where the first left parameters without gradient
        network.zero_grad()
        wrapped(x).square().mean().backward()
    alone.eval()(x).square().mean().backward()
    unused = [name for name, parameter in alone.named_parameters() if parameter.grad is None]
    assert {name.split(".")[3] for name in unused} == {"decoded_head", "deblurred_head"}
    for (name, found), expected in zip(network.named_parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(found.grad, torch.zeros_like(found) if name in unused else expected.grad, msg=name)


@pytest.mark.usefixtures("_alone_among_processes")
def test_distributed_training_asks_for_all_supervised_images_by_the_same_call() -> None:
    network = MIMOUNet(4, (1, 1, 1)).train()
    wrapped: nn.Module = DistributedDataParallel(network)
    x = torch.rand(1, 3, 16, 16)
    images = wrapped(x, supervise=True)
    assert list(images) == list(network.supervised_scales) == ["full", "half", "quarter"]
    assert torch.equal(images["full"][0], network(x))
    sum(image.square().mean() for (image,) in images.values()).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
