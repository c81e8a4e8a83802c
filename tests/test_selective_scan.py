"""The selective scan against a plain float64 loop, and its promises about precision, stability and shapes."""

import builtins
import sys

import numpy as np
import pytest
import torch

from deeprftv2_arch.ops import selective_scan
from deeprftv2_arch.ops.scan import chunked, mamba
from deeprftv2_arch.ops.scan.reference import selective_scan_reference


def random_inputs(batch=2, channels=3, length=70, states=4, dtype=torch.float64, seed=0):
    g = torch.Generator().manual_seed(seed)
    shapes = [(batch, channels, length)] * 2 + [(channels, states)] + [(batch, states, length)] * 2
    u, delta, A, B, C = (torch.randn(s, generator=g, dtype=torch.float64).to(dtype) for s in shapes)
    return [u, delta.abs() * 0.5, -A.abs() * 2, B, C]


def loop_in_numpy(u, delta, A, B, C, D=None, delta_bias=None, delta_softplus=False):
    """The definition, one number at a time."""
    u, delta, A, B, C = (x.numpy() for x in (u, delta, A, B, C))
    y = np.zeros_like(u)
    for b in range(u.shape[0]):
        for c in range(u.shape[1]):
            h = np.zeros(A.shape[1])
            for t in range(u.shape[2]):
                d = delta[b, c, t] + (0 if delta_bias is None else float(delta_bias[c]))
                d = np.log1p(np.exp(d)) if delta_softplus else d
                h = np.exp(d * A[c]) * h + d * B[b, :, t] * u[b, c, t]
                y[b, c, t] = C[b, :, t] @ h + (0 if D is None else float(D[c]) * u[b, c, t])
    return torch.from_numpy(y)


@pytest.mark.parametrize("length", [1, 2, 31, 32, 33, 70])
@pytest.mark.parametrize("options", [False, True])
def test_equals_the_definition(length, options):
    inputs = random_inputs(length=length)
    extra = {"D": torch.randn(3).double(), "delta_bias": torch.randn(3).double(), "delta_softplus": True}
    extra = extra if options else {}
    expected = loop_in_numpy(*inputs, **extra)
    torch.testing.assert_close(selective_scan(*inputs, **extra), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("batch", "channels", "length", "states"),
    [(1, 3, 1, 2), (2, 5, 31, 4), (2, 3, 32, 8), (1, 4, 33, 16), (3, 4, 200, 8), (5, 3, 100, 4)],
)
@pytest.mark.parametrize("elements", [2_000_000, 1500, 1])
def test_outputs_and_gradients_equal_plain_autograd(monkeypatch, batch, channels, length, states, elements):
    """Whatever the size of the groups in which the chunks are worked on."""
    monkeypatch.setattr(chunked, "FORWARD_ELEMENTS", elements)
    monkeypatch.setattr(chunked, "BACKWARD_ELEMENTS", elements)
    inputs = [x.requires_grad_() for x in random_inputs(batch, channels, length, states)]
    y, expected = chunked.selective_scan_chunked(*inputs), selective_scan_reference(*inputs)
    torch.testing.assert_close(y, expected, rtol=1e-11, atol=1e-11)
    weights = torch.randn_like(y)
    for ours, theirs in zip(*(torch.autograd.grad(result, inputs, weights) for result in (y, expected)), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def test_gradcheck():
    inputs = [x.requires_grad_() for x in random_inputs(1, 2, 37, 2)]
    D, bias = (torch.randn(2).double().requires_grad_() for _ in range(2))

    def scan(*tensors):
        return selective_scan(*tensors[:5], D=tensors[5], delta_bias=tensors[6], delta_softplus=True)

    assert torch.autograd.gradcheck(scan, [*inputs, D, bias])


def test_custom_operator_is_well_formed():
    inputs = [x.requires_grad_() for x in random_inputs(1, 2, 40, 2)]
    torch.library.opcheck(torch.ops.deeprftv2.chunked_scan.default, inputs)


def test_stays_finite_for_huge_steps():
    u, delta, A, B, C = random_inputs(length=100)
    delta, A = delta * 1e3, A * 1e3
    delta[..., 40:60] = 0  # the state is kept there
    inputs = [x.requires_grad_() for x in (u, delta, A, B, C)]
    y = selective_scan(*inputs)
    torch.testing.assert_close(y, selective_scan_reference(*inputs), rtol=1e-12, atol=1e-9)
    for gradient in torch.autograd.grad(y.sum(), inputs):
        assert gradient.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_inputs_are_computed_in_float32(dtype):
    inputs = random_inputs(length=300, dtype=dtype)
    expected = selective_scan_reference(*(x.float() for x in inputs)).to(dtype)
    y = selective_scan(*inputs)
    assert y.dtype == dtype
    torch.testing.assert_close(y, expected)


def test_autocast_does_not_lower_the_precision():
    inputs = random_inputs(dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = selective_scan(*inputs)
    torch.testing.assert_close(y, selective_scan_reference(*(x.double() for x in inputs)).float(), rtol=1e-5, atol=1e-5)


def test_group_axis_non_contiguous_and_empty_inputs():
    u, delta, A, B, C = random_inputs()
    expected = selective_scan(u, delta, A, B, C)
    torch.testing.assert_close(selective_scan(u, delta, A, B[:, None], C[:, None]), expected)
    strided = [x.transpose(-1, -2).contiguous().transpose(-1, -2) for x in (u, delta, A, B, C)]
    torch.testing.assert_close(selective_scan(*strided), expected)
    assert selective_scan(u[:0], delta[:0], A, B[:0], C[:0]).shape == (0, 3, 70)
    assert selective_scan(u[..., :0], delta[..., :0], A, B[..., :0], C[..., :0]).shape == (2, 3, 0)


@pytest.mark.parametrize(("position", "name"), [(1, "delta"), (2, "A"), (3, "B"), (4, "C")])
def test_a_wrong_shape_is_named(position, name):
    inputs = random_inputs()
    inputs[position] = inputs[position][..., :-1] if name != "A" else inputs[position][:-1]
    with pytest.raises(ValueError, match=rf"{name} must be"):
        selective_scan(*inputs)


@pytest.mark.parametrize(
    "failure", [OSError("undefined symbol: _ZN3c10"), ImportError("libcudart.so.11.0"), RuntimeError("wrong CUDA")]
)
def test_a_mamba_build_that_does_not_load_is_reported_once(monkeypatch, caplog, failure):
    real_import = builtins.__import__

    def broken_import(name, *args, **kwargs):
        if name.startswith("mamba_ssm"):
            raise failure
        return real_import(name, *args, **kwargs)

    for module in [m for m in sys.modules if m.startswith("mamba_ssm")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(builtins, "__import__", broken_import)
    mamba.mamba_is_available.cache_clear()
    try:
        assert not mamba.mamba_is_available()
        assert not mamba.mamba_is_available()
    finally:
        mamba.mamba_is_available.cache_clear()
    assert [str(failure) in record.getMessage() for record in caplog.records] == [True]


@pytest.mark.gpu
def test_mamba_agrees_on_cuda():
    if not mamba.mamba_is_available():
        pytest.skip("mamba_ssm is not installed")
    inputs = [x.cuda() for x in random_inputs(2, 96, 5000, 8, torch.float32)]
    torch.testing.assert_close(
        mamba.selective_scan_mamba(*inputs), chunked.selective_scan_chunked(*inputs), rtol=1e-4, atol=1e-4
    )
