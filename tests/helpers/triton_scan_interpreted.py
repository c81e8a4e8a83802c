"""The Triton scan under Triton's interpreter; run by test_scan_triton.py in a process with TRITON_INTERPRET=1."""

import sys
from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import deeprftv2_arch.ops  # noqa: F401
from deeprftv2_arch.ops.scan import triton_scan

KERNELS = "deeprftv2_arch.ops.scan.triton_kernels"
IMPORTED_TOO_EARLY = KERNELS in sys.modules
NAMES = ("u", "delta", "A", "B", "C", "D", "delta_bias")


def test_kernels_are_imported_by_the_first_call_only() -> None:
    assert not IMPORTED_TOO_EARLY


@pytest.fixture(autouse=True)
def _small_chunks_blocks_and_grids(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that few positions and channels reach several chunks, blocks, carry tiles and items per worker."""
    for name, value in {
        "SHORTEST_CHUNK": 8,
        "LONGEST_CHUNK": 8,
        "CHANNELS": 4,
        "BACKWARD_PROGRAMS": 4,
        "MOST_CARRY_ROWS": 2,
    }.items():
        monkeypatch.setattr(triton_scan, name, value)


def loop_in_float64(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
) -> Tensor:
    """Compute the definition, position after position."""
    if delta_bias is not None:
        delta = delta + delta_bias[:, None]
    if delta_softplus:
        delta = F.softplus(delta, threshold=700)
    h = u.new_zeros(*u.shape[:2], A.shape[1])
    outputs = []
    for t in range(u.shape[2]):
        h = torch.exp(delta[:, :, t, None] * A) * h + (delta * u)[:, :, t, None] * B[:, None, :, t]
        outputs.append((C[:, None, :, t] * h).sum(-1))
    y = torch.stack(outputs, 2)
    return y if D is None else y + D[:, None] * u


def channels_fastest(x: Tensor) -> Tensor:
    return x.transpose(1, 2).contiguous().transpose(1, 2)


def strided(x: Tensor) -> Tensor:
    """View every second number of every axis of something larger."""
    larger = x.new_full([2 * n for n in x.shape], float("nan"))
    larger[::2, ::2, ::2] = x
    return larger[::2, ::2, ::2]


LAYOUTS: dict[str, list[Callable[[Tensor], Tensor]]] = {
    "length": [lambda x: x] * 4,
    "channels": [channels_fastest] * 4,
    "strided": [strided] * 4,
    "mixed": [channels_fastest, lambda x: x, strided, channels_fastest],
}


def inputs(
    batch: int,
    channels: int,
    length: int,
    states: int,
    dtype: torch.dtype = torch.float32,
    layout: str = "length",
    D: bool = True,
    bias: bool = True,
) -> list[Tensor | None]:
    randn = torch.randn
    sequences = [randn(batch, channels, length), randn(batch, channels, length)]
    sequences += [randn(batch, states, length), randn(batch, states, length)]
    u, delta, B, C = (place(x.to(dtype)) for place, x in zip(LAYOUTS[layout], sequences, strict=True))
    A = -3 * torch.rand(channels, states)
    return [u, delta, A, B, C, randn(channels) if D else None, randn(channels) if bias else None]


def check(tensors: list[Tensor | None], softplus: bool, dy: Tensor | None = None) -> None:
    """Compare outputs and every gradient with float64, to float32's digits and one rounding to the tensor's dtype."""
    ours = [x if x is None else x.detach().requires_grad_() for x in tensors]
    exact = [x if x is None else x.detach().double().requires_grad_() for x in tensors]
    y, expected = triton_scan.selective_scan_triton(*ours, softplus), loop_in_float64(*exact, softplus)
    assert y.dtype == ours[0].dtype
    assert y.stride() == torch.empty_like(ours[0]).stride()
    dy = torch.randn_like(expected).to(y.dtype) if dy is None else dy.expand_as(y).to(y.dtype)
    named = [name for name, x in zip(NAMES, ours, strict=True) if x is not None]
    results = torch.autograd.grad(y, [x for x in ours if x is not None], dy)
    exacts = torch.autograd.grad(expected, [x for x in exact if x is not None], dy.double())
    given = dict(zip(NAMES, ours, strict=True))
    for name, result, truth in zip(["y", *named], [y, *results], [expected, *exacts], strict=True):
        if name != "y":
            assert result.dtype == given[name].dtype, name
        if name in ("u", "delta"):
            assert result.stride() == torch.empty_like(given[name]).stride(), name
        assert torch.isfinite(result).all(), name
        tolerance = {"rtol": torch.finfo(result.dtype).eps, "atol": 3e-6 * truth.detach().abs().max().item() + 1e-9}
        torch.testing.assert_close(result.double(), truth, **tolerance, msg=partial("{}: {}".format, name))


@pytest.mark.parametrize("length", [1, 2, 7, 8, 9, 17])
def test_lengths_around_the_chunks_boundaries(length: int) -> None:
    check(inputs(2 if length == 9 else 1, 2, length, 8, layout="channels"), softplus=True)


@pytest.mark.parametrize("layout", ["length", "strided", "mixed"])
def test_layouts_with_channels_that_fill_no_block(layout: str) -> None:
    check(inputs(1, 5, 12, 8, layout=layout), softplus=True)


@pytest.mark.parametrize(("D", "bias", "softplus"), [(False, False, False), (True, False, True), (False, True, False)])
def test_options(D: bool, bias: bool, softplus: bool) -> None:
    tensors = inputs(1, 3, 11, 4, D=D, bias=bias)
    tensors[1] = tensors[1].abs()
    check(tensors, softplus)


@pytest.mark.parametrize("states", [1, 3, 16])
def test_numbers_of_states(states: int) -> None:
    check(inputs(3, 2, 9, states, layout="channels"), softplus=True)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("layout", ["length", "channels"])
def test_half_precision_is_rounded_at_the_end_only(dtype: torch.dtype, layout: str) -> None:
    check(inputs(1, 3, 11, 8, dtype, layout), softplus=True)


def test_large_steps_and_rates_neither_overflow_nor_lose_the_result() -> None:
    tensors = inputs(1, 3, 17, 8, D=False, bias=False)
    tensors[1] = tensors[1].abs() * torch.tensor([1e3, 1.0, 1e-3])[:, None]
    tensors[2] = -torch.logspace(-3, 3, 24).reshape(3, 8)
    check(tensors, softplus=False)
    check(tensors, softplus=True)


def test_growth_without_bounds_leaves_zeros_alone() -> None:
    """exp(delta A) over a chunk overflows, the state that it multiplies is zero until the last position."""
    u = torch.zeros(1, 2, 40)
    u[..., -1] = 1
    ones = torch.ones(1, 3, 40)
    y = triton_scan.selective_scan_triton(u, 20 * torch.ones_like(u), torch.ones(2, 3), ones, ones, None, None, False)
    assert torch.equal(y, 60 * u)


def test_a_gradient_without_memory_of_its_own() -> None:
    """As from y.sum().backward(): one number, expanded."""
    check(inputs(1, 3, 9, 8), softplus=True, dy=torch.ones(()))


def test_empty_sequences_and_batches() -> None:
    for batch, length in ((0, 5), (2, 0)):
        tensors = [x.requires_grad_() for x in inputs(batch, 3, length, 8)]
        y = triton_scan.selective_scan_triton(*tensors, True)
        assert y.shape == (batch, 3, length)
        assert all(not g.any() for g in torch.autograd.grad(y.sum(), tensors))


def test_the_operators_are_what_they_are_registered_as() -> None:
    tensors = [x.requires_grad_() for x in inputs(1, 3, 3, 8, layout="channels")]
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(torch.ops.deeprftv2.triton_scan.default, (*tensors, True), test_utils=checks)
    with torch.no_grad():
        y, starts = torch.ops.deeprftv2.triton_scan(*tensors, True)
        arguments = (y, *tensors, True, starts)
        torch.library.opcheck(torch.ops.deeprftv2.triton_scan_backward.default, arguments, test_utils=checks)


def test_refusals_name_the_tensor() -> None:
    tensors = inputs(1, 2, 3, 17)
    with pytest.raises(ValueError, match="takes 1 to 16 states, and A has 17"):
        triton_scan.selective_scan_triton(*tensors, True)
    tensors = inputs(1, 2, 3, 8)
    tensors[3] = tensors[3].double()
    with pytest.raises(ValueError, match=r"B is torch\.float64"):
        triton_scan.selective_scan_triton(*tensors, True)
