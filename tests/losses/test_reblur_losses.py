"""The losses of UFPNet's trainings against their formulas."""

import math

import numpy as np
import pytest
import torch
from basicsr.losses import build_loss
from torch import nn

import deeprftv2_arch  # noqa: F401  (registers the losses)
from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.losses.criteria import KernelEstimationLoss, KernelGuidedLoss, ReblurLoss
from deeprftv2_arch.losses.kernel_loss import LeastSquaresKernelLoss
from deeprftv2_arch.losses.psnr_loss import PSNRLoss


def uniform(kernel: torch.Tensor, batch: int, height: int, width: int) -> torch.Tensor:
    """One kernel (size, size) for all pixels."""
    return kernel.reshape(1, -1, 1, 1).repeat(batch, 1, height, width)


def test_psnr_loss_is_the_formula_for_every_sample() -> None:
    pred, target = torch.rand(2, 3, 3, 5, 4, dtype=torch.float64)
    errors = [np.mean((p - t) ** 2) for p, t in zip(pred.numpy(), target.numpy(), strict=True)]
    expected = 0.5 * np.mean([10 * math.log10(error + 1e-8) for error in errors])
    assert PSNRLoss(0.5)(pred, target).item() == pytest.approx(expected, rel=1e-12)


def test_psnr_loss_is_minus_the_decibels_and_finite_for_equal_images() -> None:
    target = torch.full((2, 3, 4, 4), 0.25)
    assert PSNRLoss()(target + 0.1, target).item() == pytest.approx(-20, abs=1e-4)
    equal = target.clone().requires_grad_()
    loss = PSNRLoss()(equal, target)
    loss.backward()
    assert loss.item() == pytest.approx(-80, abs=1e-3)
    assert torch.equal(equal.grad, torch.zeros_like(equal))


def test_psnr_loss_gradient_and_half_precision() -> None:
    pred, target = torch.rand(2, 2, 3, 3, 2, dtype=torch.float64)
    assert torch.autograd.gradcheck(PSNRLoss(), (pred.requires_grad_(), target))
    half = pred.detach().bfloat16()
    assert PSNRLoss()(half, target.float()).dtype == torch.float32
    assert PSNRLoss()(half, target.float()).item() == PSNRLoss()(half.float(), target.float()).item()


def test_psnr_loss_is_registered_under_its_name() -> None:
    loss = build_loss({"type": "PSNRLoss", "loss_weight": 2.0})
    assert isinstance(loss, PSNRLoss)
    assert loss.loss_weight == 2.0


def test_reblurring_loss_is_the_mean_distance_of_the_image_blurred_by_its_field() -> None:
    sharp, blurred = torch.rand(2, 2, 3, 6, 7, dtype=torch.float64)
    moved = torch.zeros(3, 3, dtype=torch.float64)
    moved[1, 2] = 0.5  # half of the right neighbour
    field = uniform(moved, 2, 6, 7).requires_grad_()
    neighbour = torch.cat([sharp[..., 1:], sharp[..., -1:]], dim=3)
    (loss,) = ReblurLoss({"kernel": nn.L1Loss()})(sharp, field, blurred).values()
    assert loss.item() == pytest.approx((0.5 * neighbour - blurred).abs().mean().item(), rel=1e-12)
    loss.backward()
    weight = (0.5 * neighbour - blurred).sign() / blurred.numel()
    torch.testing.assert_close(field.grad[:, 5], (weight * neighbour).sum(dim=1), rtol=1e-12, atol=0)


def test_restoration_is_compared_with_both_images_and_each_weight_counts_once() -> None:
    sharp, blurred, restored = torch.rand(3, 2, 3, 6, 7, dtype=torch.float64)
    restored.requires_grad_()
    doubled = torch.zeros(3, 3, dtype=torch.float64)
    doubled[1, 1] = 2
    kernels = uniform(doubled, 2, 6, 7).requires_grad_()
    term = build_loss({"type": "L1Loss", "loss_weight": 0.01})
    losses = KernelGuidedLoss({"psnr": PSNRLoss()}, {"reblur": term})(
        {"restored": restored, "kernels": kernels}, sharp, blurred
    )
    assert list(losses) == ["psnr", "reblur"]
    assert losses["psnr"].item() == PSNRLoss()(restored, sharp).item()
    assert losses["reblur"].item() == pytest.approx(0.01 * (2 * restored - blurred).abs().mean().item(), rel=1e-12)
    losses["reblur"].backward()
    assert kernels.grad is None
    expected = 0.01 * 2 * (2 * restored - blurred).sign() / blurred.numel()
    torch.testing.assert_close(restored.grad, expected.detach(), rtol=1e-12, atol=0)


def test_without_reblurring_only_the_restoration_counts() -> None:
    sharp, blurred, restored = torch.rand(3, 1, 3, 4, 4)
    losses = KernelGuidedLoss({"psnr": PSNRLoss()}, {})({"restored": restored, "kernels": sharp}, sharp, blurred)
    assert list(losses) == ["psnr"]


def correlated(sharp: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """Blur (B, C, H, W) where a kernel (size, size) lies inside; the border, which must not count, is arbitrary."""
    radius = len(kernel) // 2
    blurred = torch.full_like(sharp, 7.0)
    channels = sharp.shape[1]
    inner = nn.functional.conv2d(sharp, kernel.expand(channels, 1, *kernel.shape), groups=channels)
    blurred[:, :, radius:-radius, radius:-radius] = inner
    return blurred


def test_kernels_that_explain_the_patch_have_no_loss_and_others_their_distance_from_them() -> None:
    """With hardly any damping; white noise tells all entries of a kernel."""
    sharp, kernel = torch.rand(2, 3, 14, 15, dtype=torch.float64), torch.rand(3, 3, dtype=torch.float64)
    blurred = correlated(sharp, kernel)
    loss = LeastSquaresKernelLoss(0.5, damping=1e-9)
    assert loss(sharp, uniform(kernel, 2, 14, 15), blurred).item() < 1e-15
    others = torch.rand(2, 9, 2, 3, dtype=torch.float64)
    expected = 0.5 * (others - kernel.reshape(1, 9, 1, 1)).square().sum(dim=1).mean()
    assert loss(sharp, others, blurred).item() == pytest.approx(expected.item(), rel=1e-6)


def test_kernel_loss_is_the_length_of_the_damped_step() -> None:
    sharp, blurred = torch.rand(2, 1, 2, 6, 5, dtype=torch.float64)
    kernels = torch.rand(1, 9, 2, 1, dtype=torch.float64, requires_grad=True)
    windows, values = [], []
    for channel in range(2):
        for row in range(1, 5):
            for column in range(1, 4):
                windows.append(sharp[0, channel, row - 1 : row + 2, column - 1 : column + 2].numpy().ravel())
                values.append(float(blurred[0, channel, row, column]))
    a, y = np.array(windows), np.array(values)
    steps = [
        np.linalg.solve(a.T @ a + 0.3 * np.eye(9), a.T @ (a @ kernel - y))
        for kernel in kernels.detach()[0, :, :, 0].T.numpy()
    ]
    loss = LeastSquaresKernelLoss(2.0, damping=0.3)
    assert loss(sharp, kernels, blurred).item() == pytest.approx(2 * np.mean([step @ step for step in steps]), rel=1e-9)
    assert torch.autograd.gradcheck(lambda k: loss(sharp, k, blurred), (kernels,))
    assert torch.isfinite(loss(torch.zeros_like(sharp), kernels, blurred))  # a patch that tells nothing
    with pytest.raises(OptionError, match="damping must be above 0"):
        LeastSquaresKernelLoss(damping=0)


def test_kernel_of_one_pixel_blurs_those_around() -> None:
    sharp, blurred = torch.rand(2, 1, 3, 4, 6, dtype=torch.float64)
    factors = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], dtype=torch.float64)  # kernels of a single entry
    term = build_loss({"type": "LeastSquaresKernelLoss", "loss_weight": 3.0, "damping": 0.2})
    losses = KernelEstimationLoss({"kernel": nn.L1Loss()}, {"step": term})(sharp, factors[None, None], blurred)
    again = sharp * factors.repeat_interleave(2, 0).repeat_interleave(2, 1)
    assert losses["kernel"].item() == pytest.approx((again - blurred).abs().mean().item(), rel=1e-12)
    assert losses["step"].item() == term(sharp, factors[None, None], blurred).item()
    assert list(losses) == ["kernel", "step"]


def test_pixels_whose_kernels_reach_beyond_the_patch_do_not_count() -> None:
    sharp, kernel = torch.rand(1, 3, 9, 8, dtype=torch.float64), torch.rand(5, 5, dtype=torch.float64)
    blurred = correlated(sharp, kernel)
    (loss,) = KernelEstimationLoss({"kernel": nn.L1Loss()}, {})(sharp, uniform(kernel, 1, 9, 8), blurred).values()
    assert loss.item() < 1e-14
    (other,) = KernelEstimationLoss({"kernel": nn.L1Loss()}, {})(sharp, uniform(0 * kernel, 1, 9, 8), blurred).values()
    assert other.item() == pytest.approx(blurred[:, :, 2:-2, 2:-2].mean().item(), rel=1e-12)
