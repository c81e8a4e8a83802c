"""Layers of normalizing flows: maps that can be inverted, with the logarithm of their determinant (RealNVP).

Dinh et al., ICLR 2017.
"""

import torch
from torch import Tensor, nn

from deeprftv2_arch.errors import DataError


class AffineCoupling(nn.Module):
    """Scale and shift one half of the entries by what two small networks make of the other half.

        encode  u = (x - t) * exp(-s)      decode  x = u * exp(s) + t

    s and t are zero at the entries that pass through, and computed from those. Both networks start with equal weights.

    Args:
        features: D, entries of a vector.
        hidden: Width of both networks.
        passed: Which entries pass through: those of even (0) or of odd (1) index.
    """

    transformed: Tensor

    def __init__(self, features: int, hidden: int, passed: int) -> None:
        super().__init__()
        self.scale = _perceptron(features, hidden, nn.Tanh)
        self.translation = _perceptron(features, hidden, nn.ReLU)
        self.translation.load_state_dict(self.scale.state_dict())
        self.register_buffer("transformed", ((torch.arange(features) + passed) % 2).float(), persistent=False)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Turn vectors (N, D) into codes (N, D), with the logarithm of the Jacobian's determinant (N,)."""
        scale, translation = self.scale_and_translation(x)
        return (x - translation) * torch.exp(-scale), -scale.sum(dim=1)

    def decode(self, codes: Tensor) -> Tensor:
        """Invert :meth:`encode`."""
        scale, translation = self.scale_and_translation(codes)
        return codes * torch.exp(scale) + translation

    def scale_and_translation(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return s and t above, (N, D) each; equal for a vector and its code."""
        passed = x * (1 - self.transformed)
        return self.scale(passed) * self.transformed, self.translation(passed) * self.transformed


def _perceptron(features: int, hidden: int, activation: type[nn.Module]) -> nn.Sequential:
    """Build a multi-layer perceptron D -> D with two hidden layers."""
    return nn.Sequential(
        nn.Linear(features, hidden),
        activation(),
        nn.Linear(hidden, hidden),
        activation(),
        nn.Linear(hidden, features),
    )


EPSILON = 1e-5
MOMENTUM = 0.9  # what an update leaves of the running statistics


class FlowNorm(nn.Module):
    """Normalise every entry by its mean and unbiased variance, then scale and shift it.

        encode  y = exp(log_gamma) * (x - mean) / sqrt(variance + 1e-5) + beta

    In training, mean and variance are those of the batch, through which gradients flow, and a tenth of each goes into
    the running ones; in eval mode they are the running ones.

    Args:
        features: D, entries of a vector.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.log_gamma = nn.Parameter(torch.zeros(features))
        self.beta = nn.Parameter(torch.zeros(features))
        self.register_buffer("running_mean", torch.zeros(features))
        self.register_buffer("running_var", torch.ones(features))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Turn vectors (N, D) into normalised ones (N, D), with the logarithm of the Jacobian's determinant, ().

        Raises:
            DataError: A single vector in training, whose variance is not defined.
        """
        mean, variance = self._batch_statistics(x) if self.training else (self.running_mean, self.running_var)
        deviation = torch.sqrt(variance + EPSILON)
        y = (x - mean) / deviation * torch.exp(self.log_gamma) + self.beta
        return y, (self.log_gamma - torch.log(deviation)).sum()

    def decode(self, y: Tensor) -> Tensor:
        """Invert :meth:`encode`, in eval mode.

        Raises:
            RuntimeError: In training, where it would depend on which batch was encoded last.
        """
        if self.training:
            raise RuntimeError("a flow in training mode cannot decode; call eval() first")
        scale = torch.exp(-self.log_gamma) * torch.sqrt(self.running_var + EPSILON)
        return torch.addcmul(self.running_mean - self.beta * scale, y, scale)

    def _batch_statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and variance (D,) of the batch, after the running ones have moved towards them."""
        if len(x) < 2:
            raise DataError("a flow in training needs batches of at least two kernels")
        variance, mean = torch.var_mean(x, dim=0)
        with torch.no_grad():
            self.running_mean.lerp_(mean, 1 - MOMENTUM)
            self.running_var.lerp_(variance, 1 - MOMENTUM)
        return mean, variance
