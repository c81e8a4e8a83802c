"""Muon, an optimiser that learns from few steps."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

QUINTIC = (3.4445, -4.7750, 2.0315)  # a x + b x^3 + c x^5, which takes 0.01..1 to about 0.7..1.2 in five rounds
ROUNDS = 5


class Muon(Optimizer):
    """Give every matrix an orthogonal step, and all other weights AdamW's.

    The momentum of a matrix, U S V^T, is replaced by about U V^T (Jordan et al., "Muon: An optimizer for hidden
    layers in neural networks", 2024), so that rare directions are learned as fast as frequent ones. Its entries are
    scaled to AdamW's usual size, 0.2 in the mean (Liu et al., "Muon is scalable for LLM training", 2025), so that one
    learning rate suits both. Matrices are the kernels of convolutions, a row for every output channel, of at least 16
    rows and columns, but for depthwise ones.

    Args:
        params: Parameters to train.
        lr: Learning rate of the matrices.
        other_lr: Learning rate of the other weights; None: ``lr``.
        momentum: Share of the old momentum of a matrix that stays.
        betas: AdamW's, of the other weights.
        eps: AdamW's.
        weight_decay: Decoupled, times the learning rate, of all.

    Raises:
        ValueError: A number is negative or, of ``momentum`` and ``betas``, 1 or more.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float = 2e-3,
        other_lr: float | None = None,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.99),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        other_lr = lr if other_lr is None else other_lr
        if min(lr, other_lr, momentum, *betas, eps, weight_decay) < 0:
            raise ValueError("Muon's numbers must not be negative")
        if max(momentum, *betas) >= 1:
            raise ValueError("momentum and betas of Muon must be below 1")
        weights = list(params)
        matrices: dict[str, Any] = {
            "params": [weight for weight in weights if is_matrix(weight)],
            "lr": lr,
            "momentum": momentum,
        }
        others: dict[str, Any] = {
            "params": [weight for weight in weights if not is_matrix(weight)],
            "lr": other_lr,
            "betas": betas,
            "eps": eps,
        }
        super().__init__([group for group in (matrices, others) if group["params"]], {"weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Do one step; ``closure``, which PyTorch's interface has, is called first, and its loss returned."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            step = self._step_of_matrix if "momentum" in group else self._step_of_other
            for weight in group["params"]:
                if weight.grad is not None:
                    weight.mul_(1 - group["lr"] * group["weight_decay"])
                    weight.sub_(step(group, weight, weight.grad))
        return loss

    def _step_of_matrix(self, group: dict[str, Any], weight: Tensor, gradient: Tensor) -> Tensor:
        state = self.state[weight]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(weight)
        momentum = state["momentum_buffer"].lerp_(gradient, 1 - group["momentum"])
        ahead = gradient.lerp(momentum, group["momentum"]).flatten(1)  # Nesterov's
        size: float = group["lr"] * 0.2 * math.sqrt(max(ahead.shape))
        return size * orthogonal(ahead).view_as(weight)

    def _step_of_other(self, group: dict[str, Any], weight: Tensor, gradient: Tensor) -> Tensor:
        state = self.state[weight]
        if not state:
            state.update(step=0, exp_avg=torch.zeros_like(weight), exp_avg_sq=torch.zeros_like(weight))
        state["step"] += 1
        first, second = group["betas"]
        mean: Tensor = state["exp_avg"].lerp_(gradient, 1 - first)
        square = state["exp_avg_sq"].mul_(second).addcmul_(gradient, gradient, value=1 - second)
        rate: float = group["lr"] / (1 - first ** state["step"])
        scale: Tensor = (square / (1 - second ** state["step"])).sqrt_().add_(group["eps"])
        return rate * mean / scale


def is_matrix(weight: Tensor) -> bool:
    """Tell whether a weight, with one row for each of its first dimension, is a matrix worth an orthogonal step."""
    return weight.ndim >= 2 and weight.shape[1] > 1 and min(len(weight), weight[0].numel()) >= 16


def orthogonal(matrix: Tensor) -> Tensor:
    """Return about U V^T of a matrix U S V^T: its singular values brought near 1 by a polynomial, without finding them.

    Args:
        matrix: (N, M), float.

    Returns:
        (N, M), with singular values of about 0.7..1.2, but for those that were below 0.01 of the Frobenius norm.
    """
    tall = matrix.shape[0] > matrix.shape[1]
    values: Tensor = matrix.T if tall else matrix
    values = values / (values.norm() + 1e-7)
    a, b, c = QUINTIC
    for _ in range(ROUNDS):
        squared = values @ values.T
        values = a * values + (b * squared + c * squared @ squared) @ values
    return values.T if tall else values
