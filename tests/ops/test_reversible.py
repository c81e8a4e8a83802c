"""Reversible columns: the same gradients as plain autograd, from less memory."""

from itertools import cycle
from typing import Any

import pytest
import torch
from torch import nn

from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.layers.reversible_column import sub_decoder
from deeprftv2_arch.networks.deeprftv2 import DeepRFTv2
from deeprftv2_arch.ops.reversible import away_from_zero, column_step

TINY: dict[str, Any] = {"dim": 4, "blocks": (1, 1, 4), "full_kinds": ("NAF", "NAF", "NAFEVS"), "fke_blocks": (1, 1)}


def wake(network: nn.Module) -> None:
    """Give the scales that start at zero a value, so that every branch counts."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.rsplit(".", 1)[-1] in ("beta", "gamma", "lambda_scan"):
                parameter.normal_(std=0.5)


def gradients(network: nn.Module, x: torch.Tensor) -> tuple[list[torch.Tensor], int]:
    """Gradients of a loss over every supervised image, and the bytes that autograd holds after the forward pass."""
    held: dict[int, int] = {}

    def pack(tensor: Any) -> Any:
        held[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        images = network(x, supervise=True)
        loss = sum((image.sin()).mean() for scale in images.values() for image in scale)
    return list(torch.autograd.grad(loss, [x, *network.parameters()])), sum(held.values())


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-4)])
@pytest.mark.parametrize("memory", ["reversible", "lean", ("none", "lean")])
def test_gradients_equal_plain_autograd(dtype: torch.dtype, tolerance: float, memory: str | tuple[str, str]) -> None:
    plain = DeepRFTv2(**TINY, memory="none").to(dtype)
    wake(plain)
    lean = DeepRFTv2(**TINY, memory=memory).to(dtype)
    lean.load_state_dict(plain.state_dict())
    x = torch.rand(2, 3, 16, 16, dtype=dtype, requires_grad=True)
    expected, plain_bytes = gradients(plain, x)
    found, lean_bytes = gradients(lean, x)
    for name, a, b in zip(["x", *dict(plain.named_parameters())], found, expected, strict=True):
        error = (a - b).norm() / b.norm().clamp_min(torch.finfo(dtype).tiny)
        assert error <= tolerance, name
    assert lean_bytes < (0.5 if isinstance(memory, str) else 0.8) * plain_bytes


def clamp_alphas(network: nn.Module) -> None:
    """Let the alphas be, from channel to channel, at the clamp, inside it, and of the size that they start with."""
    with torch.no_grad():
        for name, alphas in network.named_parameters():
            if ".alphas." in name:
                for channel, value in zip(range(alphas.numel()), cycle([1e-3, -1e-3, 1e-6, 0.5]), strict=False):
                    alphas[0, channel] = value


@pytest.mark.parametrize("memory", ["reversible", "lean"])
def test_gradients_equal_plain_autograd_with_alphas_at_the_clamp(memory: str) -> None:
    plain = DeepRFTv2(**TINY, memory="none").double()
    wake(plain)
    clamp_alphas(plain)
    lean = DeepRFTv2(**TINY, memory=memory).double()
    lean.load_state_dict(plain.state_dict())
    x = torch.rand(1, 3, 16, 16, dtype=torch.float64, requires_grad=True)
    for a, b in zip(gradients(lean, x)[0], gradients(plain, x)[0], strict=True):
        assert (a - b).norm() <= 1e-10 * b.norm()


@pytest.mark.parametrize("memory", ["reversible", "lean"])
def test_gradients_under_bf16_autocast_are_plain_autograds(memory: str) -> None:
    plain = DeepRFTv2(**TINY, memory="none")
    wake(plain)
    clamp_alphas(plain)
    lean = DeepRFTv2(**TINY, memory=memory)
    lean.load_state_dict(plain.state_dict())
    x = torch.rand(1, 3, 16, 16, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        expected, found = gradients(plain, x)[0], gradients(lean, x)[0]
    for a, b in zip(found, expected, strict=True):
        assert (a - b).norm() <= 1e-5 * b.norm()  # bf16 itself rounds by 2e-3


@pytest.mark.slow
def test_no_drift_over_many_steps() -> None:
    """Float32, from alphas at the clamp: 25 steps of AdamW end at the same weights in every mode."""
    small = {"dim": 4, "scales": 1, "blocks": (1, 1, 2), "full_kinds": ("NAF", "NAF", "NAF"), "fke_blocks": (1,)}
    networks = {memory: DeepRFTv2(**small, memory=memory) for memory in ("none", "reversible", "lean")}
    wake(networks["none"])
    clamp_alphas(networks["none"])
    start = {name: value.clone() for name, value in networks["none"].state_dict().items()}
    for network in networks.values():
        network.load_state_dict(start)
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
        generator = torch.Generator().manual_seed(0)
        for _ in range(25):
            blurred, sharp = torch.rand(2, 1, 3, 16, 16, generator=generator)
            loss = sum((image - sharp).square().mean() for image in network(blurred, supervise=True)["full"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    trained = networks["none"].state_dict()
    for memory in ("reversible", "lean"):
        for name, value in networks[memory].state_dict().items():
            way = (trained[name] - start[name]).norm()
            assert (value - trained[name]).norm() <= 1e-3 * way, f"{memory}: {name}"


@pytest.mark.slow
def test_lean_column_compiles_to_the_same_gradients() -> None:
    column = sub_decoder(2, (1, 2), ("NAF", "NAF"), "lean")
    wake(column)
    x, skip = torch.randn(1, 4, 4, 4), torch.randn(1, 2, 8, 8)

    def step(run: Any) -> Any:
        return torch.autograd.grad(run(x, [skip, None])[-1].square().sum(), list(column.parameters()))

    for a, b in zip(step(torch.compile(column, backend="aot_eager", fullgraph=True)), step(column), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("memory", ["none", "reversible", "lean"])
def test_every_parameter_gets_a_gradient_and_unused_alphas_get_zero(memory: str) -> None:
    network = DeepRFTv2(**TINY, memory=memory)
    wake(network)
    x = torch.rand(1, 3, 16, 16, requires_grad=True)
    found = dict(zip(["x", *dict(network.named_parameters())], gradients(network, x)[0], strict=True))
    unused = {
        name
        for name in found
        if name.startswith("units.0.") and ".alphas." in name and ("encoder" in name or "sub_resnet" in name)
    } | {f"units.0.{scale}_scale.decoder.alphas.2" for scale in ("full", "half")}
    for name, gradient in found.items():
        assert (gradient == 0).all() == (name in unused), name


def test_random_state_is_restored_for_the_second_run() -> None:
    """With dropout inside a level, both runs of the level must draw the same mask."""
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    alpha = torch.full((1, 3, 1, 1), 0.5, dtype=torch.float64, requires_grad=True)
    dropout = nn.Dropout(0.5)

    def level(feature: Any, link: Any) -> Any:
        return dropout(feature) ** 3

    results = []
    for memory in ("none", "reversible", "lean"):
        torch.manual_seed(3)
        y = column_step(level, x, None, alpha, x.detach(), memory)
        after = torch.rand(1)
        results.append((*torch.autograd.grad(y.sum(), [x, alpha]), after))
    for expected, *found in zip(*results, strict=True):
        assert all(torch.equal(value, expected) for value in found)


def test_autocast_state_is_restored_for_the_second_run() -> None:
    convolution = nn.Conv2d(3, 3, 3, padding=1)
    dtypes = []

    def level(feature: Any, link: Any) -> Any:
        result = convolution(feature)
        dtypes.append(result.dtype)
        return result * result  # saves the result, so that the second run gets here

    x = torch.randn(1, 3, 8, 8, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = column_step(level, x, None, torch.ones(1, 3, 1, 1, requires_grad=True), None, "reversible")
    y.float().sum().backward()
    assert dtypes == [torch.bfloat16, torch.bfloat16]


def test_alpha_stays_away_from_zero_and_its_gradient_passes() -> None:
    alpha = torch.tensor([0.5, -0.5, 1e-5, -1e-5, 0.0], requires_grad=True)
    clamped = away_from_zero(alpha)
    torch.testing.assert_close(clamped, torch.tensor([0.5, -0.5, 1e-3, -1e-3, 0.0]), rtol=1e-6, atol=0)
    clamped.sum().backward()
    assert torch.equal(alpha.grad, torch.ones(5))


def test_unknown_memory_mode_is_refused() -> None:
    with pytest.raises(OptionError, match="'magic' is not a memory mode"):
        DeepRFTv2(**TINY, memory="magic")
