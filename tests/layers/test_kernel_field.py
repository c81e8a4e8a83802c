"""Kernel fields: how codes are drawn and decoded in chunks, whatever their size, and how gradients come back."""

import pytest
import torch
from torch import Tensor

from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.layers.kernel_field import decode_kernel_field, estimate_kernel_field
from deeprftv2_arch.networks.kernel_flow import KernelFlow

BLOCK = 4096  # pixels whose noise is drawn at once


class Same:
    """A flow whose kernels are the codes."""

    kernel_size = 2

    def decode(self, codes: Tensor) -> Tensor:
        return codes


def codes(batch: int, height: int, width: int, entries: int = 4) -> tuple[Tensor, Tensor]:
    mean = torch.rand(batch, entries, height, width, dtype=torch.float64)
    return mean / mean.sum(dim=1, keepdim=True), torch.rand(batch, 1, height, width, dtype=torch.float64)


def by_hand(mean: Tensor, sigma: Tensor, noise: Tensor) -> Tensor:
    """Standardised over the entries and mixed with the noise, (B, D, H, W)."""
    z = (mean - mean.mean(dim=1, keepdim=True)) / mean.std(dim=1, keepdim=True)
    return z * (1 - sigma**2).sqrt() + noise * sigma


@pytest.mark.parametrize("chunk", [1, BLOCK, 2 * BLOCK, 10**6])
def test_noise_is_drawn_image_by_image_and_row_by_row_whatever_the_chunks(chunk: int) -> None:
    mean, sigma = codes(batch=2, height=64, width=70)
    generator = torch.Generator().manual_seed(7)
    draws = [torch.randn(size, 4, generator=generator, dtype=torch.float64) for size in (BLOCK, BLOCK, 768)]
    noise = torch.cat(draws).view(2, 64, 70, 4).permute(0, 3, 1, 2)
    field = decode_kernel_field(Same(), mean, sigma, generator=torch.Generator().manual_seed(7), chunk=chunk)
    torch.testing.assert_close(field, by_hand(mean, sigma, noise), rtol=1e-12, atol=1e-12)


def test_gradients_through_all_chunks_reach_the_estimator() -> None:
    flow = KernelFlow(2, blocks=2, hidden=3).double().eval().requires_grad_(False)
    mean, sigma = (x.requires_grad_() for x in codes(batch=1, height=70, width=70))
    noise, weights = torch.randn(2, 1, 4, 70, 70, dtype=torch.float64)
    field = estimate_kernel_field(lambda x: (mean, sigma), flow, torch.empty(0), noise, chunk=BLOCK)
    found = torch.autograd.grad((field * weights).sum(), (mean, sigma))
    rows = by_hand(mean, sigma, noise).permute(0, 2, 3, 1).reshape(-1, 4)
    expected = flow.decode(rows).view(1, 70, 70, 4).permute(0, 3, 1, 2)
    torch.testing.assert_close(field, expected, rtol=1e-12, atol=1e-12)
    for ours, theirs in zip(found, torch.autograd.grad((expected * weights).sum(), (mean, sigma)), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
        assert theirs.abs().max() > 1e-3


def test_entries_that_are_all_equal_give_the_code_zero_and_finite_gradients() -> None:
    mean, sigma = codes(batch=1, height=3, width=4)
    mean[:, :, 1, 2] = 0.25
    mean.requires_grad_()
    noise = torch.randn_like(mean)
    field = decode_kernel_field(Same(), mean, sigma, noise)
    torch.testing.assert_close(field[0, :, 1, 2], noise[0, :, 1, 2] * sigma[0, :, 1, 2])
    field.square().sum().backward()
    assert mean.grad is not None
    assert mean.grad.isfinite().all()
    assert mean.grad[0, :, 1, 2].abs().max() == 0
    assert mean.grad[0, :, 0, 0].abs().max() > 0


def test_the_mean_code_has_no_noise() -> None:
    mean, sigma = codes(batch=2, height=3, width=4)
    field = decode_kernel_field(Same(), mean, sigma, mean_code=True)
    torch.testing.assert_close(field, by_hand(mean, sigma, torch.zeros_like(mean)))


def test_half_precision_codes_are_decoded_in_float32() -> None:
    flow = KernelFlow(2, blocks=2, hidden=3).eval()
    mean, sigma = codes(batch=1, height=5, width=6)
    noise = torch.randn(1, 4, 5, 6)
    half = mean.bfloat16(), sigma.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        field = decode_kernel_field(flow, *half, noise)
    assert field.dtype == torch.float32
    torch.testing.assert_close(field, decode_kernel_field(flow, *(x.float() for x in half), noise))


def test_codes_and_noise_that_do_not_fit_the_flow_are_refused() -> None:
    with pytest.raises(OptionError, match="codes have 9 entries, but the flow has kernels of 2x2"):
        decode_kernel_field(Same(), *codes(batch=1, height=3, width=4, entries=9))
    with pytest.raises(OptionError, match=r"noise must be of shape \(1, 4, 3, 4\), got \(1, 4, 4, 4\)"):
        decode_kernel_field(Same(), *codes(batch=1, height=3, width=4), noise=torch.zeros(1, 4, 4, 4))
