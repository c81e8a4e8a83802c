"""The step of a reversible column, and the training memory that it saves (paper, section on reversible sub-unets).

A column (a sub-encoder, a sub-decoder or the sub-resnet of the kernel estimator) computes, level by level,

    c_l = F_l(c_{l-1}, link_l) + alpha_l * c_l^prev

where ``c_l^prev`` is the feature of the same level in the column before it. The paper rebuilds
``c_l^prev`` as (c_l - F_l) / alpha_l in the backward pass. The division loses digits, all of them where alpha is small,
and what it gives back is at hand as the input of that column's next level. Here nothing is divided; what is missing is
computed again, from the same inputs with the same operations, so that gradients equal plain autograd's whatever alpha
is. The memory modes keep, for the backward pass,

``none``        everything;
``reversible``  one tensor per level, as the authors' implementation does, and what lies between the columns;
``lean``        one tensor per level, but none in the last unit's kernel estimators, and next to nothing of what lies
                between the columns, which is computed again as well. Within a level only the blocks' inputs are there
                after its second run, and one block at a time runs a third time.
"""

from collections.abc import Callable, Iterable
from typing import Any, Literal, TypeVar, get_args

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from deeprftv2_arch.errors import OptionError

Memory = Literal["none", "reversible", "lean"]

Result = TypeVar("Result")

SMALLEST_ALPHA = 1e-3


def check_memory_mode(mode: str) -> None:
    """Raise OptionError unless ``mode`` is one of the memory modes."""
    if mode not in get_args(Memory):
        raise OptionError(f"memory: '{mode}' is not a memory mode; choose from {', '.join(get_args(Memory))}")


def keeps_between_columns(memory: Memory) -> bool:
    """Tell if what lies between columns, and the blocks inside a level that runs again, keep their inner tensors."""
    return memory != "lean"


def call(function: Callable[..., Result], *inputs: Any, keep: bool) -> Result:
    """Return ``function(*inputs)``.

    Unless ``keep``, the inputs alone are kept for the backward pass, which runs the function a second time, with the
    random and autocast states of the first. Such calls may be nested.
    """
    if keep or not torch.is_grad_enabled():
        return function(*inputs)
    return checkpoint(function, *inputs, use_reentrant=False)


def away_from_zero(alpha: Tensor) -> Tensor:
    """Keep alpha's magnitude at 1e-3 or more, with its sign; zero stays zero, and the gradient passes unchanged."""
    clamped = torch.sign(alpha) * alpha.abs().clamp_min(SMALLEST_ALPHA)
    return alpha + (clamped - alpha).detach()


class _ZeroGradient(torch.autograd.Function):
    """Identity on ``x`` that gives other tensors a gradient of zero instead of none."""

    @staticmethod
    def forward(x: Tensor, *unused: Tensor) -> Tensor:
        return x[:]  # not view_as, which changes the stride of a batch of one, and with it the memory format

    @staticmethod
    def setup_context(ctx: torch.autograd.function.FunctionCtx, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.unused = [tensor.detach() for tensor in inputs[1:]]  # type: ignore[attr-defined]

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, grad: Tensor) -> tuple[Tensor, ...]:
        return grad, *(torch.zeros_like(tensor) for tensor in ctx.unused)  # type: ignore[attr-defined]


def with_zero_gradients(x: Tensor, unused: Iterable[Tensor]) -> Tensor:
    """Return ``x``, and let the backward pass give tensors that have no part in it a gradient of zero instead of none.

    So does every parameter behind them get one, which DistributedDataParallel waits for.
    """
    result: Tensor = _ZeroGradient.apply(x, *unused)
    return result


def column_step(
    level: Callable[[Any, Tensor | None], Tensor],
    x: Any,
    link: Tensor | None,
    alpha: Tensor,
    previous: Tensor | None,
    memory: Memory,
) -> Tensor:
    """Compute one level of a column: ``level(x, link) + alpha * previous``.

    Args:
        level: F_l, called with the level's input and its link.
        x: Output of the level below, (B, C, H, W); of the first level whatever that takes.
        link: Feature of another column that F_l fuses, or None.
        alpha: (1, C', 1, 1).
        previous: The same level's feature in the column before, (B, C', H', W'); None in the first column, where
            the term vanishes and ``alpha`` gets a gradient of zero, as distributed training expects one.
        memory: Whether F_l keeps its inner tensors for the backward pass (``none``) or runs again.

    Returns:
        (B, C', H', W').
    """
    new = call(level, x, link, keep=memory == "none")
    if previous is None:
        return with_zero_gradients(new, [alpha])
    return torch.addcmul(new, away_from_zero(alpha), previous)
