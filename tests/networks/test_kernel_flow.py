"""The flow prior against formulas written out by hand."""

import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.autograd.functional import jacobian

from deeprftv2_arch.errors import DataError, OptionError
from deeprftv2_arch.layers.flow import AffineCoupling, FlowNorm
from deeprftv2_arch.networks.kernel_flow import KernelFlow


def lively_flow(strength: float = 0.3, **arguments: int) -> KernelFlow:
    """Build a flow in float64 whose every weight and running statistic does something, in eval mode."""
    flow = KernelFlow(**arguments).double()
    with torch.no_grad():
        for value in flow.parameters():
            value.add_(strength * torch.randn_like(value))
        for name, statistic in flow.named_buffers():
            if name.endswith("running_mean"):
                statistic.normal_()
            elif name.endswith("running_var"):
                statistic.uniform_(0.3, 2)
    return flow.eval()


def by_hand(flow: KernelFlow, x: list[float]) -> tuple[list[float], float]:
    """Code and log-determinant of one vector, entry by entry, in eval mode."""
    state = {name: value.tolist() for name, value in flow.state_dict().items()}
    log_det = 0.0

    def perceptron(prefix: str, v: list[float], activation: Any) -> list[float]:
        for layer in (0, 2, 4):
            weight, bias = state[f"{prefix}.{layer}.weight"], state[f"{prefix}.{layer}.bias"]
            v = [sum(w * a for w, a in zip(row, v, strict=True)) + b for row, b in zip(weight, bias, strict=True)]
            if layer < 4:
                v = [activation(a) for a in v]
        return v

    for number in range(0, len(flow.layers), 2):
        parity = (number // 2) % 2  # entries of that parity change, the others pass
        passed = [0.0 if i % 2 == parity else value for i, value in enumerate(x)]
        s = perceptron(f"layers.{number}.scale", passed, math.tanh)
        t = perceptron(f"layers.{number}.translation", passed, lambda a: max(a, 0.0))
        for i in range(parity, len(x), 2):
            x[i] = (x[i] - t[i]) * math.exp(-s[i])
            log_det -= s[i]
        norm = {name: state[f"layers.{number + 1}.{name}"] for name in ("log_gamma", "beta", "running_mean")}
        variance = state[f"layers.{number + 1}.running_var"]
        for i in range(len(x)):
            deviation = math.sqrt(variance[i] + 1e-5)
            x[i] = math.exp(norm["log_gamma"][i]) * (x[i] - norm["running_mean"][i]) / deviation + norm["beta"][i]
            log_det += norm["log_gamma"][i] - 0.5 * math.log(variance[i] + 1e-5)
    return x, log_det


def test_the_published_flow_has_the_published_number_of_parameters() -> None:
    flow = KernelFlow()
    assert sum(value.numel() for value in flow.parameters()) == 194_470
    assert sum(value.numel() for value in flow.layers[0].parameters()) == 38_172
    assert sum(value.numel() for value in flow.layers[1].parameters()) == 722


def test_equals_a_plain_loop_over_the_entries() -> None:
    flow = lively_flow(kernel_size=3, blocks=3, hidden=4)
    x = torch.randn(2, 9, dtype=torch.float64)
    codes, log_det = flow.encode(x)
    nll = flow(x)
    for row in range(2):
        code, by_loop = by_hand(flow, x[row].tolist())
        torch.testing.assert_close(codes[row], torch.tensor(code, dtype=torch.float64), rtol=1e-12, atol=1e-12)
        assert log_det[row].item() == pytest.approx(by_loop, rel=1e-12)
        density = sum(-0.5 * u * u - 0.5 * math.log(2 * math.pi) for u in code)
        assert nll[row].item() == pytest.approx(-(density + by_loop), rel=1e-12)


def test_decoding_inverts_encoding() -> None:
    flow = lively_flow(strength=0.02)
    kernels = torch.rand(5, 361, dtype=torch.float64) / 10
    logits = flow.to_logits(kernels, torch.Generator().manual_seed(1))
    dither = torch.rand(5, 361, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) / 720
    codes, _ = flow.encode(logits)
    assert codes.std() > 0.1
    torch.testing.assert_close(flow.decode(codes), kernels + dither, rtol=1e-9, atol=1e-12)


def test_log_determinant_is_that_of_the_jacobian() -> None:
    flow = lively_flow(kernel_size=3, blocks=2, hidden=5)
    for row in torch.randn(3, 9, dtype=torch.float64):
        matrix = jacobian(lambda v: flow.encode(v[None])[0][0], row)
        expected = torch.linalg.slogdet(matrix).logabsdet
        torch.testing.assert_close(flow.encode(row[None])[1][0], expected, rtol=1e-10, atol=1e-10)


def test_a_new_coupling_translates_by_the_weights_it_scales_by() -> None:
    coupling = AffineCoupling(9, 4, passed=0)
    for ours, theirs in zip(coupling.scale.parameters(), coupling.translation.parameters(), strict=True):
        assert torch.equal(ours, theirs)
        assert ours is not theirs
    assert [type(layer) for layer in coupling.scale] == [nn.Linear, nn.Tanh, nn.Linear, nn.Tanh, nn.Linear]
    assert [type(layer) for layer in coupling.translation] == [nn.Linear, nn.ReLU, nn.Linear, nn.ReLU, nn.Linear]


def test_half_of_the_entries_pass_through_and_decide_about_the_others() -> None:
    coupling = AffineCoupling(5, 4, passed=1)
    x = torch.randn(1, 5)
    codes, _ = coupling.encode(x)
    assert torch.equal(codes[:, 1::2], x[:, 1::2])
    assert not torch.isclose(codes[:, ::2], x[:, ::2]).any()
    matrix = jacobian(lambda v: coupling.encode(v[None])[0][0], x[0])
    assert torch.equal(matrix[::2, ::2], torch.diag(matrix.diagonal()[::2]))


def test_normalisation_uses_the_batch_in_training_and_remembers_a_tenth_of_it() -> None:
    norm = FlowNorm(2).double()
    x = torch.tensor([[1.0, 0.0], [2.0, 0.0], [6.0, 3.0]], dtype=torch.float64)
    y, log_det = norm.encode(x)
    # Means 3 and 1; unbiased variances (4 + 1 + 9) / 2 = 7 and (1 + 1 + 4) / 2 = 3.
    expected = torch.tensor([[-2.0, -1.0], [-1.0, -1.0], [3.0, 2.0]]) / torch.tensor([7.00001, 3.00001]).sqrt()
    torch.testing.assert_close(y, expected.double(), rtol=1e-6, atol=0)
    assert log_det.item() == pytest.approx(-0.5 * (math.log(7.00001) + math.log(3.00001)))
    assert norm.running_mean.tolist() == pytest.approx([0.3, 0.1])
    assert norm.running_var.tolist() == pytest.approx([0.9 + 0.7, 0.9 + 0.3])
    y, _ = norm.eval().encode(x)
    assert y[2].tolist() == pytest.approx([5.7 / math.sqrt(1.60001), 2.9 / math.sqrt(1.20001)])
    assert norm.running_mean.tolist() == pytest.approx([0.3, 0.1])


def test_gradients_flow_through_the_statistics_of_the_batch() -> None:
    """A normalised batch does not change when all its rows move together, so that their gradients cancel."""
    norm = FlowNorm(3).double()
    x = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    norm.encode(x)[0].pow(3).sum().backward()
    assert x.grad is not None
    assert x.grad.abs().max() > 0.1
    torch.testing.assert_close(x.grad.sum(0), torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-12)


def test_logits_hold_noise_below_a_720th() -> None:
    flow = KernelFlow(kernel_size=19).double()
    logits = flow.to_logits(torch.zeros(50, 361, dtype=torch.float64))
    noise = (torch.sigmoid(logits) - 1e-6) / (1 - 2e-6) * 720
    assert 0 <= noise.min() < 0.001
    assert 0.999 < noise.max() < 1
    assert noise.mean().item() == pytest.approx(0.5, abs=0.01)


def test_a_single_point_and_a_negative_entry_have_finite_logits() -> None:
    flow = KernelFlow(kernel_size=3)
    logits = flow.to_logits(torch.tensor([[1.0, -0.5, 0, 0, 0, 0, 0, 0, 0]]))
    assert logits.isfinite().all()
    assert logits[0, 0].item() == pytest.approx(math.log(0.999999 / 1e-6), abs=0.1)
    assert logits[0, 1] < math.log(1 / 719)


def test_samples_are_decoded_normal_codes_and_follow_the_generator() -> None:
    flow = lively_flow(kernel_size=5).float()
    kernels = flow.sample(3, torch.Generator().manual_seed(7))
    codes = torch.randn(3, 25, generator=torch.Generator().manual_seed(7))
    assert torch.equal(kernels, flow.decode(codes).reshape(3, 5, 5))
    assert not torch.equal(kernels, flow.sample(3, torch.Generator().manual_seed(8)))
    assert kernels.min() >= -1.1e-6
    assert kernels.max() <= 1 + 1.1e-6


def test_what_has_no_meaning_is_refused() -> None:
    flow = KernelFlow(kernel_size=3)
    with pytest.raises(DataError, match="at least two kernels"):
        flow(torch.zeros(1, 9))
    with pytest.raises(RuntimeError, match=r"call eval\(\) first"):
        flow.sample(1)
    for arguments, message in (
        ({"kernel_size": 1}, "kernel_size must be at least 2, got 1"),
        ({"blocks": 0}, "blocks must be at least 1, got 0"),
    ):
        with pytest.raises(OptionError, match=message):
            KernelFlow(**arguments)


def test_alpha_travels_with_the_weights() -> None:
    torch.manual_seed(0)
    flow = KernelFlow(kernel_size=3, blocks=1, hidden=2, alpha=0.05).double().eval()
    other = KernelFlow(kernel_size=3, blocks=1, hidden=2).double().eval()
    other.load_state_dict(flow.state_dict())
    kernels = torch.rand(4, 9).double() * 0.5
    codes, _ = flow.encode(flow.to_logits(kernels, torch.Generator().manual_seed(1)))
    noise = torch.rand(4, 9, generator=torch.Generator().manual_seed(1), dtype=torch.float64) / 720
    torch.testing.assert_close(other.decode(codes), kernels + noise, rtol=1e-7, atol=1e-7)
    lowest = KernelFlow(kernel_size=3, blocks=1, hidden=2, alpha=0.05).eval().decode(torch.full((1, 9), -50.0))
    torch.testing.assert_close(lowest, torch.full((1, 9), -0.05 / 0.9))


@pytest.mark.parametrize("alpha", [0.0, 0.5, -1.0])
def test_alpha_is_between_0_and_a_half(alpha: float) -> None:
    with pytest.raises(OptionError, match="alpha must lie between 0 and"):
        KernelFlow(alpha=alpha)


def test_unit_sums_are_told_by_the_weights_and_keep_the_shape_of_kernels() -> None:
    torch.manual_seed(0)
    plain, unit = KernelFlow(5, 2, 4).eval(), KernelFlow(5, 2, 4, unit_sum=True).eval()
    assert unit.state_dict().keys() - plain.state_dict().keys() == {"least_sum"}
    unit.load_state_dict(plain.state_dict(), strict=False)
    codes = torch.randn(7, 25)
    kernels, sums = unit.decode(codes), plain.decode(codes).sum(dim=1, keepdim=True)
    torch.testing.assert_close(kernels.sum(dim=1), torch.ones(7))
    torch.testing.assert_close(kernels * sums, plain.decode(codes))
    dark = torch.full((1, 25), -9.0)  # a sum of nearly nothing does not become one
    assert unit.decode(dark).sum() <= 1
    assert torch.isfinite(unit.decode(dark)).all()
