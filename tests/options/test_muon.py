"""Muon beside the singular value decomposition, and beside PyTorch's AdamW."""

from copy import deepcopy

import pytest
import torch
from torch import nn

from deeprftv2_arch.options.muon import Muon, orthogonal


@pytest.mark.parametrize("shape", [(16, 16), (20, 50), (50, 20)])
def test_singular_values_come_near_one_and_directions_stay(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    result = orthogonal(matrix)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    diagonal = left.T @ result @ right.T  # in the matrix's own singular vectors
    values = diagonal.diagonal()
    assert values.min() > 0.5
    assert values.max() < 1.3
    torch.testing.assert_close(diagonal, torch.diag(values), atol=1e-9, rtol=0)


def test_step_of_a_convolution_by_hand() -> None:
    kernel = nn.Parameter(torch.zeros(16, 8, 3, 3, dtype=torch.float64))
    # 16 orthogonal rows of one length have 16 equal singular values: the step is a multiple of the gradient.
    kernel.grad = 5 * torch.eye(72, dtype=torch.float64)[:16].view(16, 8, 3, 3)
    Muon([kernel], lr=0.1).step()
    value = 1 / 4  # of a matrix with 16 equal singular values and norm 1
    for _ in range(5):
        value = 3.4445 * value - 4.7750 * value**3 + 2.0315 * value**5
    expected = -0.1 * 0.2 * 72**0.5 * value * torch.eye(72, dtype=torch.float64)[:16].view(16, 8, 3, 3)
    torch.testing.assert_close(kernel.detach(), expected, rtol=1e-6, atol=0)


def test_momentum_looks_ahead() -> None:
    kernel = nn.Parameter(torch.zeros(16, 16, dtype=torch.float64))
    optimizer = Muon([kernel], lr=1.0, momentum=0.5)
    rows = torch.eye(16, dtype=torch.float64)
    for gradient in (rows, -rows):
        before = kernel.detach().clone()
        kernel.grad = gradient.clone()
        optimizer.step()
    # Momentum 0.5, then 0.25 - 0.5 = -0.25; ahead of it -1 + 0.5 (1 - 0.25) < 0: the second step turns back at once.
    assert (kernel.detach() - before).diagonal().min() > 0


def test_other_weights_take_the_steps_of_adamw() -> None:
    shapes = [(16,), (16, 1, 3, 3), (3, 16, 3, 3), (8, 8)]  # a bias, a depthwise kernel, few rows, a small matrix
    ours, theirs = ([nn.Parameter(torch.ones(shape, dtype=torch.float64)) for shape in shapes] for _ in range(2))
    options = {"betas": (0.9, 0.99), "weight_decay": 0.1}
    optimizers = [Muon(ours, lr=9.0, other_lr=0.01, **options), torch.optim.AdamW(theirs, lr=0.01, **options)]
    generator = torch.Generator().manual_seed(0)
    for _ in range(4):
        for first, second in zip(ours, theirs, strict=True):
            first.grad = torch.randn(first.shape, generator=generator, dtype=torch.float64)
            second.grad = first.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    for first, second in zip(ours, theirs, strict=True):
        torch.testing.assert_close(first, second)


def test_goes_on_from_its_state() -> None:
    def steps(weights: list[nn.Parameter], optimizer: Muon, numbers: range) -> None:
        for number in numbers:
            for weight in weights:
                weight.grad = torch.sin(torch.arange(weight.numel()).float() * (number + 1)).view_as(weight)
            optimizer.step()

    whole = [nn.Parameter(torch.zeros(16, 16, 3, 3)), nn.Parameter(torch.zeros(16))]
    first = Muon(whole)
    steps(whole, first, range(2))
    resumed = [nn.Parameter(weight.detach().clone()) for weight in whole]
    second = Muon(resumed)
    second.load_state_dict(deepcopy(first.state_dict()))
    steps(whole, first, range(2, 4))
    steps(resumed, second, range(2, 4))
    assert all(torch.equal(one, other) for one, other in zip(whole, resumed, strict=True))


@pytest.mark.parametrize("wrong", [{"lr": -1.0}, {"momentum": 1.0}, {"betas": (0.9, 1.0)}])
def test_refuses_impossible_numbers(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="Muon"):
        Muon([nn.Parameter(torch.zeros(1))], **wrong)
