"""The selective scan against a loop by hand, and its promises about precision, stability, memory layout and shapes."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from scan_oracle import NAMES, assert_equals_by_hand, random_inputs, scan_by_hand
from torch import Tensor

from deeprftv2_arch.ops import scan_backend, selective_scan
from deeprftv2_arch.ops.scan import chunked
from deeprftv2_arch.ops.scan.recurrence import recur_

BACKENDS = ["numba", "torch", "reference"]
TOLERANCE = {torch.float64: 1e-11, torch.float32: 2e-5, torch.bfloat16: 1e-2, torch.float16: 2e-3}


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    with scan_backend(request.param):
        yield request.param


def scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
) -> Tensor:
    return selective_scan(u, delta, A, B, C, D, delta_bias, delta_softplus)


@pytest.mark.parametrize("softplus", [False, True])
@pytest.mark.parametrize("length", [1, 2, 3, 15, 16, 17, 31, 32, 33, 70, 127, 128, 129, 300])
def test_every_length(backend: str, length: int, softplus: bool) -> None:
    assert_equals_by_hand(scan, random_inputs(length=length), softplus, rtol=0, atol=1e-11)


@pytest.mark.parametrize("states", [1, 2, 3, 8, 16])
@pytest.mark.parametrize(("batch", "channels"), [(1, 1), (1, 5), (3, 2)])
def test_every_size(backend: str, batch: int, channels: int, states: int) -> None:
    assert_equals_by_hand(scan, random_inputs(batch, channels, 40, states), True, rtol=0, atol=1e-11)


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("softplus", [False, True])
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_every_option_and_precision(backend: str, dtype: torch.dtype, softplus: bool, bias: bool, skip: bool) -> None:
    inputs = random_inputs(2, 3, 150, 8, dtype, skip, bias)
    assert_equals_by_hand(scan, inputs, softplus, rtol=0, atol=TOLERANCE[dtype])


@pytest.mark.parametrize(("batch", "channels", "length"), [(1, 3, 500), (2, 4, 128), (2, 4, 385), (5, 3, 50)])
def test_sequences_of_several_groups(monkeypatch: pytest.MonkeyPatch, batch: int, channels: int, length: int) -> None:
    """The `torch` backend works on a long sequence group by group; here every group is as small as can be."""
    monkeypatch.setattr(chunked, "GROUP_STATES", 1)
    inputs = random_inputs(batch, channels, length)
    assert_equals_by_hand(chunked.selective_scan_chunked, inputs, True, rtol=0, atol=1e-11)


@pytest.mark.parametrize(("batch", "channels", "length"), [(80, 96, 17), (14, 96, 97), (16, 384, 33), (16, 3, 33)])
def test_many_short_sequences(batch: int, channels: int, length: int) -> None:
    """As many as fit into a group are worked on at once, each padded to whole chunks."""
    inputs = random_inputs(batch, channels, length, 8)
    assert_equals_by_hand(chunked.selective_scan_chunked, inputs, True, rtol=0, atol=1e-10)


@pytest.mark.parametrize("chunks", [[], [4], [4, 3], [4, 3, 2], [5], [24]])
@pytest.mark.parametrize("backwards", [False, True])
def test_recurrence_over_any_chunks(chunks: list[Any], backwards: bool) -> None:
    x, a, first = torch.randn(2, 24, 3).double(), torch.rand(2, 24, 3).double(), torch.randn(2, 3).double()
    expected, value = torch.empty_like(x), first
    for t in reversed(range(24)) if backwards else range(24):
        value = x[:, t] + a[:, t] * value
        expected[:, t] = value
    recur_(x, a, first, chunks, backwards)
    torch.testing.assert_close(x, expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("name", ["numba", "torch"])
def test_growth_without_bounds_leaves_zeros_alone(name: str, sign: int) -> None:
    """exp(delta A) of a chunk overflows, the state that it multiplies is zero until the last position."""
    u = torch.zeros(1, 2, 5000)
    u[..., -1] = 1
    ones = torch.ones(1, 3, 5000)
    with scan_backend(name):
        y = scan(u, sign * 8 * torch.ones_like(u), sign * torch.ones(2, 3), ones, ones, None, None, False)
    assert torch.equal(y, sign * 24 * u)


@pytest.mark.parametrize("softplus", [False, True])
def test_gradcheck(backend: str, softplus: bool) -> None:
    inputs = [x.requires_grad_() for x in random_inputs(1, 2, 19, 2)]
    assert torch.autograd.gradcheck(lambda *tensors: scan(*tensors, softplus), inputs)


@pytest.mark.parametrize("name", ["numba_scan", "chunked_scan"])
def test_custom_operators_are_well_formed(name: str) -> None:
    operator = getattr(torch.ops.deeprftv2, name).default
    inputs = [x.requires_grad_() for x in random_inputs(1, 2, 40, 2)]
    torch.library.opcheck(operator, (*inputs, True))
    torch.library.opcheck(operator, (*inputs[:5], None, None, False))


def channels_fastest(x: Tensor) -> Tensor:
    return x.transpose(-1, -2).contiguous().transpose(-1, -2)


def sliced(x: Any) -> Any:
    """View a part of a larger tensor, none of whose axes has neighbours side by side."""
    whole = x.new_full([2 * size + 1 for size in x.shape], torch.nan)
    view = whole[tuple(slice(1, None, 2) for _ in x.shape)]
    view.copy_(x)
    return view


@pytest.mark.parametrize("layout", [channels_fastest, sliced])
@pytest.mark.parametrize("which", [range(5), (0, 1), (1,), (3, 4)], ids=str)
def test_every_memory_layout(backend: str, layout: Callable[..., Any], which: Any) -> None:
    inputs = random_inputs(2, 3, 130)
    for index in which:
        inputs[index] = layout(inputs[index])
    assert_equals_by_hand(scan, inputs, True, rtol=0, atol=1e-11)


def test_inputs_that_repeat_in_memory(backend: str) -> None:
    inputs = random_inputs(2, 3, 40)
    inputs[0] = inputs[0][:1].expand(2, -1, -1)
    inputs[1] = inputs[1][:, :1].expand(-1, 3, -1)
    inputs[3] = inputs[3][..., :1].expand(-1, -1, 40)
    leaves = [x.detach() for x in inputs]
    assert_equals_by_hand(scan, leaves, True, rtol=0, atol=1e-11)


@pytest.mark.parametrize("name", ["numba", "torch"])
def test_the_layout_is_kept(name: str) -> None:
    for layout in (channels_fastest, torch.Tensor.contiguous):
        inputs = random_inputs(2, 3, 40)
        inputs[0] = layout(inputs[0])
        with scan_backend(name):
            assert scan(*inputs, True).stride() == inputs[0].stride()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_huge_steps_and_decays(backend: str, dtype: torch.dtype) -> None:
    """Steps up to 1e3 and decays down to -1e3: what the state forgets is exactly zero, and never 0 * inf."""
    inputs = random_inputs(2, 3, 200, 4, dtype)
    _, delta, A, *_ = inputs
    delta.mul_(1e3 / delta.max())
    A.mul_(-1e3 / A.min())
    delta[..., 40:60] = 0  # the state is kept there
    delta[..., 100:140] *= 1e-6  # and forgotten slowly there
    A[:, 0] = 0  # and never here
    for softplus in (False, True):
        assert_equals_by_hand(scan, inputs, softplus, rtol=0, atol=1e-9 if dtype == torch.float64 else 1e-4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(backend: str, dtype: torch.dtype) -> None:
    """A slowly decaying sum of a thousand values, which half precision itself would get wrong by several per cent."""
    inputs = random_inputs(1, 2, 1000, 2, dtype, bias=False)
    inputs[2].fill_(-1e-3)
    inputs[0].abs_()
    inputs[3].abs_()
    inputs[4].fill_(2**-10)
    expected, _ = scan_by_hand(inputs, False, torch.zeros_like(inputs[0]))
    y = scan(*inputs, False)
    assert y.dtype == dtype
    torch.testing.assert_close(y.double(), expected, rtol=2 * torch.finfo(dtype).eps, atol=1e-3)


def test_mixed_precision_inputs_keep_their_dtypes(backend: str) -> None:
    inputs = random_inputs(2, 3, 40, 4, torch.bfloat16)
    inputs[1], inputs[4] = inputs[1].float(), inputs[4].half()
    assert_equals_by_hand(scan, inputs, True, rtol=0, atol=1e-2)
    exact = random_inputs(2, 3, 40, 4, torch.float64)
    exact[0] = exact[0].float()
    assert_equals_by_hand(scan, exact, True, rtol=0, atol=2e-7)
    assert_equals_by_hand(scan, [x.half() for x in random_inputs(2, 3, 40, 4)], True, rtol=0, atol=2e-3)


def test_autocast_does_not_lower_the_precision(backend: str) -> None:
    inputs = random_inputs(dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):  # around the backward pass too, where many put it
        assert_equals_by_hand(scan, inputs, True, rtol=0, atol=2e-5)


def test_group_axis(backend: str) -> None:
    u, delta, A, B, C, D, bias = random_inputs()
    expected, _ = scan_by_hand([u, delta, A, B, C, D, bias], False, torch.zeros_like(u))
    torch.testing.assert_close(selective_scan(u, delta, A, B[:, None], C[:, None], D, bias), expected)


@pytest.mark.parametrize(("batch", "channels", "length"), [(0, 3, 7), (2, 3, 0), (2, 0, 7)])
def test_nothing_to_scan(backend: str, batch: int, channels: int, length: int) -> None:
    inputs = [x.requires_grad_() for x in random_inputs(batch, channels, length)]
    y = scan(*inputs, True)
    assert y.shape == (batch, channels, length)
    for x, gradient in zip(inputs, torch.autograd.grad(y.sum(), inputs), strict=True):
        assert gradient.shape == x.shape
        assert not gradient.any()


@pytest.mark.parametrize("name", NAMES[1:])
def test_a_tensor_that_does_not_fit_is_named(name: str) -> None:
    good = dict(zip(NAMES, random_inputs(), strict=True))
    cut = good[name][:-1] if name == "A" else good[name][..., :-1]
    with pytest.raises(ValueError, match=rf"selective_scan: {name} must be \(.*\) to fit u and A, got \("):
        selective_scan(**(good | {name: cut}))
    with pytest.raises(ValueError, match=f"selective_scan: {name} is on meta and u on cpu"):
        selective_scan(**(good | {name: good[name].to("meta")}))
    with pytest.raises(ValueError, match=f"selective_scan: {name} must be of a real floating dtype, got torch.int64"):
        selective_scan(**(good | {name: good[name].long()}))


def test_wrong_numbers_of_axes_are_named() -> None:
    u, delta, A, B, C, *_ = random_inputs()
    with pytest.raises(ValueError, match=r"u must be \(batch, channels, length\), got \(3, 70\)"):
        selective_scan(u[0], delta, A, B, C)
    for wrong in (A[0], A[:, :0], A.to(torch.complex128)[:, :, None]):
        with pytest.raises(ValueError, match=r"A must be \(channels, states\), with at least one state"):
            selective_scan(u, delta, wrong, B, C)
    with pytest.raises(ValueError, match="B must be"):
        selective_scan(u, delta, A, B[:, None].expand(-1, 3, -1, -1), C)
    with pytest.raises(ValueError, match="A must be of a real floating dtype, got torch"):
        selective_scan(u, delta, A.to(torch.complex128), B, C)


def test_what_is_no_tensor_is_refused_by_name() -> None:
    u, delta, A, _, C, *_ = random_inputs(1, 2, 3, 2)
    with pytest.raises(ValueError, match="selective_scan: B must be a tensor, got NoneType"):
        selective_scan(u, delta, A, None, C)
