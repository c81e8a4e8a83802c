"""Values and gradients of a module, run in two ways, and whether they are the same."""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


def with_all_branches(module: Network) -> Network:
    """Return the module in float64, with no parameter at a zero that would silence a branch."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return module.double()


def tensors(output: Any) -> Iterator[Tensor]:
    """Yield all tensors of an output, in their order."""
    if isinstance(output, Tensor):
        yield output
    elif output is not None:
        for part in output.values() if isinstance(output, dict) else output:
            yield from tensors(part)


def values_and_gradients(run: Callable[..., Any], module: nn.Module, *inputs: Tensor | None) -> list[Tensor]:
    """Return every tensor that ``run(*inputs)`` returns, and the gradients of their squares' sum."""
    outputs = list(tensors(run(*inputs)))
    sources = [*module.parameters(), *(x for x in inputs if x is not None and x.requires_grad)]
    squares: Any = sum((y * y).sum() for y in outputs)
    return [*outputs, *torch.autograd.grad(squares, sources)]


def assert_same(found: list[Tensor], expected: list[Tensor], tolerance: float = 1e-9) -> None:
    """Fail if one tensor differs from its twin by more than ``tolerance`` of the twin's norm."""
    assert len(found) == len(expected)
    for ours, eager in zip(found, expected, strict=True):
        assert (ours - eager).norm() <= tolerance * eager.norm()
