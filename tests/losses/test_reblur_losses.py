"""The losses of UFPNet's trainings against their formulas."""

import math

import numpy as np
import pytest
import torch
from basicsr.losses import build_loss
from torch import nn

import deeprftv2_arch  # noqa: F401  (registers the losses)
from deeprftv2_arch.losses.criteria import KernelGuidedLoss, ReblurLoss
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


def test_kernel_estimation_loss_is_the_mean_distance_of_the_image_blurred_by_its_field() -> None:
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
