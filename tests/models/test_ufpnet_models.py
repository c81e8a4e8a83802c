"""The second and the third stage of UFPNet in BasicSR: what is trained, drawn and saved, and what is not."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from basicsr.utils import check_resume
from deblur_model_helpers import batch, logged, model_options, same, train, weights
from image_files import write_folder
from launch_helpers import load
from torch import Tensor
from torch.utils.data import DataLoader
from ufpnet_helpers import ESTIMATOR, FLOW, UFPNET, write_stage

from benchmarks.reblur import by_unfold
from deeprftv2_arch.data.image_pair_dataset import DeblurPairDataset
from deeprftv2_arch.errors import DataError
from deeprftv2_arch.layers.kernel_field import decode_kernel_field, estimate_kernel_field
from deeprftv2_arch.losses.kernel_loss import LeastSquaresKernelLoss
from deeprftv2_arch.metrics.results import means
from deeprftv2_arch.models.kernel_estimation_model import KernelEstimationModel
from deeprftv2_arch.models.ufpnet_model import UFPNetModel

L1 = {"type": "L1Loss", "loss_weight": 1.0}


def options_of(
    kind: type, root: Path, train: dict[str, Any] | None = None, network: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return options of a model in `root`, where the files of the stages before are."""
    estimates = kind is KernelEstimationModel
    losses: dict[str, Any] = {"losses": {"kernel": L1}}
    if not estimates:
        losses = {"losses": {"psnr": {"type": "PSNRLoss"}}, "reblur_losses": {"reblur": {**L1, "loss_weight": 0.01}}}
    built = {"type": "UncertainKernelEstimator", **ESTIMATOR} if estimates else {"type": "UFPNet", **UFPNET}
    options = model_options(
        root,
        {**losses, "clip_grad_norm": None, **(train or {})},
        model_type=kind.__name__,
        manual_seed=3,
        network_g={**built, **(network or {})},
    )
    options["path"]["pretrain_network_flow"] = str(root / "flow.pth")
    if estimates:
        options["network_flow"] = {"type": "KernelFlow", **FLOW}
        options["path"]["ignore_resume_networks"] = ["network_flow"]
    else:
        options["path"]["pretrain_network_kernel"] = str(root / "estimator.pth")
    return options


def build(kind: type, root: Path, train: dict[str, Any] | None = None, network: dict[str, Any] | None = None) -> Any:
    """Build a model with the same weights every time."""
    for stage in ("flow", "estimator"):
        write_stage(root / f"{stage}.pth", stage)
    torch.manual_seed(0)
    model = kind(options_of(kind, root, train, network))
    for name, parameter in model.net_g.named_parameters():
        if name.endswith("beta") and parameter.requires_grad:
            torch.nn.init.normal_(parameter)  # at zero, as they begin, the kernels have no effect
    return model


def resumed(kind: type, root: Path, iteration: int) -> Any:
    """Build a model and resume it as BasicSR's train.py does."""
    settings = options_of(kind, root)
    state = load(root / "training_states" / f"{iteration}.state")
    settings["path"]["resume_state"] = "given"
    check_resume(settings, state["iter"])
    torch.manual_seed(99)
    model = kind(settings)
    model.resume_training(state)
    return model


def frozen(model: Any) -> dict[str, Tensor]:
    """Return a copy of what a model must not train."""
    net = model.get_bare_model(model.net_g)
    parts = {"flow": model.net_flow} if hasattr(model, "net_flow") else {"flow": net.flow, "estimator": net.estimator}
    return {f"{name}.{key}": value.clone() for name, part in parts.items() for key, value in part.state_dict().items()}


def validate(model: Any, root: Path) -> float:
    """Validate on two pairs of images; return the mean PSNR."""
    folder = root / "val"
    if not folder.is_dir():
        draw = np.random.default_rng(0).integers
        for side in ("blur", "sharp"):
            write_folder(folder / side, {str(n): draw(0, 256, (12 + n, 14, 3), dtype=np.uint8) for n in range(2)})
    section = {
        "name": "val",
        "phase": "val",
        "dataroot_lq": str(folder / "blur"),
        "dataroot_gt": str(folder / "sharp"),
        "io_backend": {"type": "disk"},
    }
    model.validation(DataLoader(DeblurPairDataset(section)), 1, None)
    return means(model.results["val"].images, ["psnr"])["psnr"]


def psnr(one: Tensor, other: Tensor) -> float:
    """PSNR of 8-bit images (1, 3, H, W) in 0..1."""
    rounded = [np.round(x.clamp(0, 1).double().numpy() * 255) for x in (one, other)]
    return float(10 * np.log10(255**2 / np.mean((rounded[0] - rounded[1]) ** 2)))


BOTH = pytest.mark.parametrize("kind", [KernelEstimationModel, UFPNetModel])


def test_kernels_are_estimated_by_what_they_make_of_the_sharp_images(tmp_path: Path) -> None:
    model = build(KernelEstimationModel, tmp_path)
    data = batch(1, size=8)
    model.feed_data(data)
    torch.manual_seed(5)
    losses = model.compute_losses()
    torch.manual_seed(5)
    field = estimate_kernel_field(model.net_g, model.net_flow, data["lq"])
    expected = (by_unfold(data["gt"], field) - data["lq"])[:, :, 2:-2, 2:-2].abs().mean()
    assert list(losses) == ["kernel"]
    assert losses["kernel"].item() == pytest.approx(expected.item(), rel=1e-5)
    torch.manual_seed(6)
    assert model.compute_losses()["kernel"].item() != losses["kernel"].item()  # codes are drawn


def test_kernels_of_some_pixels_are_decoded_and_judged(tmp_path: Path) -> None:
    step = {"type": "LeastSquaresKernelLoss", "loss_weight": 2.0}
    model = build(KernelEstimationModel, tmp_path, {"kernel_losses": {"step": step}, "kernel_stride": 3})
    data = batch(1, size=9)
    model.feed_data(data)
    with torch.no_grad():
        mean, sigma = model.net_g(data["lq"])
    found = set()
    for seed in range(12):
        torch.manual_seed(seed)
        losses = model.compute_losses()
        torch.manual_seed(seed)
        row, column = torch.randint(3, (2,)).tolist()
        found.add((row, column))
        codes, sigmas = (x[:, :, row::3, column::3] for x in (mean, sigma))
        field = decode_kernel_field(model.net_flow, codes, sigmas).repeat_interleave(3, 2).repeat_interleave(3, 3)
        expected = (by_unfold(data["gt"], field) - data["lq"])[:, :, 2:-2, 2:-2].abs().mean()
        assert losses["kernel"].item() == pytest.approx(expected.item(), rel=1e-5)
        judged = LeastSquaresKernelLoss(2.0)(data["gt"], field, data["lq"])
        assert losses["step"].item() == pytest.approx(judged.item(), rel=1e-4)
    assert len(found) > 4  # every step has other pixels


def test_restoration_is_compared_with_both_images(tmp_path: Path) -> None:
    model = build(UFPNetModel, tmp_path)
    data = batch(1)
    model.feed_data(data)
    torch.manual_seed(5)
    losses = model.compute_losses()
    torch.manual_seed(5)
    output = model.net_g(data["lq"], supervise=True)
    errors = (output["restored"] - data["gt"]).square().mean(dim=(1, 2, 3)).detach().double()
    assert list(losses) == ["psnr", "reblur"]
    assert losses["psnr"].item() == pytest.approx((10 * (errors + 1e-8).log10()).mean().item(), rel=1e-6)
    again = by_unfold(output["restored"], output["kernels"])
    assert losses["reblur"].item() == pytest.approx(0.01 * (again - data["lq"]).abs().mean().item(), rel=1e-5)


def test_without_reblur_losses_only_the_restoration_counts(tmp_path: Path) -> None:
    model = build(UFPNetModel, tmp_path, {"reblur_losses": None})
    assert train(model, [1])[0].keys() == {"psnr", "grad_norm", "lr"}


def test_third_stage_begins_with_the_files_of_the_others(tmp_path: Path) -> None:
    net = build(UFPNetModel, tmp_path).net_g
    assert same(net.flow.state_dict(), load(tmp_path / "flow.pth")["params"])
    assert same(net.estimator.state_dict(), load(tmp_path / "estimator.pth")["params"])


@BOTH
def test_what_is_frozen_is_neither_trained_nor_decayed(kind: type, tmp_path: Path) -> None:
    adamw = {"type": "AdamW", "lr": 1e-2, "weight_decay": 0.5, "betas": [0.9, 0.9]}
    with logged() as messages:
        model = build(kind, tmp_path, {"optim_g": adamw, "ema_decay": 0.5})
    before, whole = frozen(model), weights(model)
    losses = [log["kernel" if kind is KernelEstimationModel else "psnr"] for log in train(model, [1] * 6)]
    assert same(frozen(model), before)
    assert losses[-1] < losses[0]
    after = weights(model)
    changed = {name for name, value in whole.items() if not torch.equal(value, after[name])}
    assert changed == {name for name, parameter in model.net_g.named_parameters() if parameter.requires_grad}
    optimised = {id(p) for group in model.optimizer_g.param_groups for p in group["params"]}
    assert optimised == {id(p) for p in model.net_g.parameters() if p.requires_grad}
    assert not any("will not be optimized" in message for message in messages)
    if kind is UFPNetModel:
        average = model.net_g_ema.state_dict()
        assert same({name: average[name] for name in before}, before)


@BOTH
def test_only_the_network_itself_is_saved(kind: type, tmp_path: Path) -> None:
    model = build(kind, tmp_path)
    train(model, [1])
    model.save(0, 1)
    saved = load(tmp_path / "models" / "net_g_1.pth")
    assert list(saved) == ["params"]
    assert same(saved["params"], model.net_g.state_dict())
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["net_g_1.pth"]


@BOTH
def test_a_resumed_training_draws_what_the_whole_one_drew(kind: type, tmp_path: Path) -> None:
    whole = build(kind, tmp_path)
    train(whole, [1, 2])
    whole.save(0, 2)
    expected = train(whole, [3, 4])
    (tmp_path / "estimator.pth").unlink()  # the network's own file has it
    other = resumed(kind, tmp_path, 2)
    assert train(other, [3, 4]) == expected
    assert same(weights(other), weights(whole))


@pytest.mark.parametrize(("kind", "seed"), [(KernelEstimationModel, None), (UFPNetModel, None), (UFPNetModel, 8)])
def test_validating_does_not_disturb_the_training_and_repeats_itself(
    kind: type, seed: int | None, tmp_path: Path
) -> None:
    model = build(kind, tmp_path, network={"seed": seed} if kind is UFPNetModel else None)
    state = torch.get_rng_state()
    first = validate(model, tmp_path)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(123)
    assert validate(model, tmp_path) == first


def test_estimator_is_measured_by_blurring_the_sharp_images_again(tmp_path: Path) -> None:
    model = build(KernelEstimationModel, tmp_path)
    measured = validate(model, tmp_path)
    section = {"phase": "val", "name": "val", "io_backend": {"type": "disk"}}
    roots = {"dataroot_lq": str(tmp_path / "val/blur"), "dataroot_gt": str(tmp_path / "val/sharp")}
    expected = []
    dataset = DeblurPairDataset(section | roots)
    for item in (dataset[index] for index in range(len(dataset))):
        blurred, sharp = item["lq"][None], item["gt"][None]
        with torch.no_grad():
            field = estimate_kernel_field(model.net_g, model.net_flow, blurred, mean_code=True)
        expected.append(psnr(by_unfold(sharp, field), blurred))
    assert measured == pytest.approx(np.mean(expected), abs=1e-3)


def test_network_restores_with_the_seed_of_the_run_where_it_has_none(tmp_path: Path) -> None:
    model = build(UFPNetModel, tmp_path)
    model.feed_data(batch(1))
    model.test()
    net = model.net_g.eval()
    expected = net(batch(1)["lq"], generator=torch.Generator().manual_seed(3))
    assert torch.equal(model.output, expected)
    assert not torch.equal(model.output, net(batch(1)["lq"], generator=torch.Generator().manual_seed(4)))


@BOTH
def test_images_smaller_than_the_kernels_are_named(kind: type, tmp_path: Path) -> None:
    model = build(kind, tmp_path)
    with pytest.raises(DataError, match=r"^1/0.png, 1/1.png: 4x4 pixels are less than a kernel of 5x5; take larger"):
        model.feed_data(batch(1, size=4))
