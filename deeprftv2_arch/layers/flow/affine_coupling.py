"""The affine coupling of RealNVP (Dinh et al., ICLR 2017)."""

import torch
from torch import Tensor, nn


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
        """Vectors (N, D) -> codes (N, D), and the logarithm of the Jacobian's determinant (N,)."""
        scale, translation = self.scale_and_translation(x)
        return (x - translation) * torch.exp(-scale), -scale.sum(dim=1)

    def decode(self, codes: Tensor) -> Tensor:
        """The inverse of :meth:`encode`."""
        scale, translation = self.scale_and_translation(codes)
        return codes * torch.exp(scale) + translation

    def scale_and_translation(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """s and t above, (N, D) each; equal for a vector and its code."""
        passed = x * (1 - self.transformed)
        return self.scale(passed) * self.transformed, self.translation(passed) * self.transformed


def _perceptron(features: int, hidden: int, activation: type[nn.Module]) -> nn.Sequential:
    """A multi-layer perceptron D -> D with two hidden layers."""
    return nn.Sequential(
        nn.Linear(features, hidden),
        activation(),
        nn.Linear(hidden, hidden),
        activation(),
        nn.Linear(hidden, features),
    )
