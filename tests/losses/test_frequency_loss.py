"""FrequencyLoss against a Fourier transform written out by hand."""

import numpy as np
import pytest
import torch

from deeprftv2_arch.losses.frequency_loss import FrequencyLoss


def loss_by_hand(pred: np.ndarray, target: np.ndarray) -> float:
    """Mean modulus over the half plane of frequencies, with sums of cosines and sines instead of an FFT."""
    height, width = pred.shape[2:]
    rows, columns = np.arange(height), np.arange(width)
    moduli = []
    for u in range(height):
        for v in range(width // 2 + 1):
            angle = 2 * np.pi * (u * rows[:, None] / height + v * columns[None] / width)
            images = (pred - target).reshape(-1, height, width)
            moduli += [np.hypot((image * np.cos(angle)).sum(), (image * np.sin(angle)).sum()) for image in images]
    return float(np.mean(moduli))


@pytest.mark.parametrize("size", [(4, 6), (5, 8), (7, 10)])
def test_value_is_that_of_the_formula(size: tuple[int, int]) -> None:
    pred, target = torch.rand(2, 2, 3, *size, dtype=torch.float64)
    expected = 0.01 * loss_by_hand(pred.numpy(), target.numpy())
    assert FrequencyLoss(0.01)(pred, target).item() == pytest.approx(expected, rel=1e-12)


def test_complex_modulus_not_real_and_imaginary_parts() -> None:
    pred = torch.zeros(1, 1, 2, 4, dtype=torch.float64)
    pred[0, 0, 0, 1] = 1  # a shifted impulse: every frequency has modulus 1, |re| + |im| differs
    assert FrequencyLoss()(pred, torch.zeros_like(pred)).item() == pytest.approx(1, rel=1e-15)


def test_gradient() -> None:
    pred, target = torch.rand(2, 1, 2, 4, 6, dtype=torch.float64)
    assert torch.autograd.gradcheck(FrequencyLoss(0.5), (pred.requires_grad_(), target))


def test_gradient_is_finite_where_the_images_agree() -> None:
    pred = torch.rand(1, 3, 8, 8, requires_grad=True)
    FrequencyLoss()(pred, pred.detach().clone()).backward()
    assert torch.equal(pred.grad, torch.zeros_like(pred))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_float32_under_autocast(dtype: torch.dtype) -> None:
    # In half precision the zero frequency of a 300x300 image, a sum of 90,000 values, is far off or infinite.
    pred, target = torch.rand(2, 1, 3, 300, 300).to(dtype)
    expected = FrequencyLoss()(pred.double(), target.double()).item()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = FrequencyLoss()(pred, target)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected, rel=1e-5)
