"""The selective scan and its gradients by hand, one position after the other, in NumPy and float64."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

NAMES = ("u", "delta", "A", "B", "C", "D", "delta_bias")


def random_inputs(
    batch: int = 2,
    channels: int = 3,
    length: int = 70,
    states: int = 4,
    dtype: torch.dtype = torch.float64,
    skip: bool = True,
    bias: bool = True,
) -> list[Tensor | None]:
    """u, delta, A, B, C, D and delta_bias (None where not wanted); A, D and delta_bias are never in half precision."""
    g = torch.Generator().manual_seed(length)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    own = dtype if dtype in (torch.float32, torch.float64) else torch.float32
    u, delta = normal(batch, channels, length), normal(batch, channels, length).abs() * 0.5
    B, C = normal(batch, states, length), normal(batch, states, length)
    A, D, delta_bias = -2 * normal(channels, states).abs(), normal(channels), 0.3 * normal(channels).abs()
    u, delta, B, C = (x.to(dtype) for x in (u, delta, B, C))
    return [u, delta, A.to(own), B, C, D.to(own) if skip else None, delta_bias.to(own) if bias else None]


def scan_by_hand(inputs: Sequence[Tensor | None], softplus: bool, grad_y: Tensor) -> tuple[Tensor, list[Tensor | None]]:
    """Compute the outputs, and the gradients of all inputs for the gradient ``grad_y`` of the outputs."""
    u, delta, A, B, C, D, bias = (None if x is None else x.detach().double().numpy() for x in inputs)
    dy = grad_y.double().numpy()
    batch, channels, length = u.shape
    skip = np.zeros(channels) if D is None else D
    raw = delta if bias is None else delta + bias[:, None]
    step = np.logaddexp(0, raw) if softplus else raw
    slope = 1 / (1 + np.exp(-raw)) if softplus else np.ones_like(raw)

    y, du, ddelta = np.zeros_like(u), np.zeros_like(u), np.zeros_like(u)
    dA, dB, dC = np.zeros_like(A), np.zeros_like(B), np.zeros_like(C)
    for b in range(batch):
        h = np.zeros((length + 1, *A.shape))
        for t in range(length):
            d, x = step[b, :, t, None], u[b, :, t, None]
            h[t + 1] = np.exp(d * A) * h[t] + d * x * B[b, :, t]
            y[b, :, t] = h[t + 1] @ C[b, :, t] + skip * u[b, :, t]
        g = np.zeros_like(A)
        for t in reversed(range(length)):
            d, x = step[b, :, t, None], u[b, :, t, None]
            g += dy[b, :, t, None] * C[b, :, t]
            dC[b, :, t] = dy[b, :, t] @ h[t + 1]
            dB[b, :, t] = (d * x * g).sum(0)
            drive = g @ B[b, :, t]
            du[b, :, t] = drive * step[b, :, t] + skip * dy[b, :, t]
            decay = np.exp(d * A)
            exponent = g * h[t] * decay
            ddelta[b, :, t] = (drive * u[b, :, t] + (exponent * A).sum(1)) * slope[b, :, t]
            dA += exponent * d
            g = decay * g
    gradients = [du, ddelta, dA, dB, dC, None if D is None else (dy * u).sum((0, 2))]
    gradients.append(None if bias is None else ddelta.sum((0, 2)))
    return torch.from_numpy(y), [None if x is None else torch.from_numpy(x) for x in gradients]


def assert_equals_by_hand(scan: Any, inputs: Sequence[Tensor | None], softplus: bool, rtol: float, atol: float) -> None:
    """Compare outputs and all gradients of ``scan(*inputs, softplus)``, each relative to its largest value."""
    inputs = [None if x is None else x.requires_grad_() for x in inputs]
    y = scan(*inputs, softplus)
    assert y.dtype == inputs[0].dtype
    grad_y = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(y.dtype)
    expected, expected_gradients = scan_by_hand(inputs, softplus, grad_y)
    gradients = torch.autograd.grad(y, [x for x in inputs if x is not None], grad_y)
    ours = iter(gradients)
    compared = [("y", y, expected)]
    for name, x, gradient in zip(NAMES, inputs, expected_gradients, strict=True):
        if x is not None:
            found = next(ours)
            assert found.dtype == x.dtype, name
            compared.append((f"gradient of {name}", found, gradient))
    for name, found, wanted in compared:
        scale = wanted.abs().max().clamp_min(1e-30)
        torch.testing.assert_close(
            found.double() / scale, wanted / scale, rtol=rtol, atol=atol, msg=partial("{}: {}".format, name)
        )
