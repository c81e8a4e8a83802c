"""Cross-attention between pixels and the token dictionary (ATD-CA in ATD's Figure 2)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class TokenDictionaryCrossAttention(nn.Module):
    """Every pixel looks up a mixture of the dictionary's tokens, by cosine similarity in a space of few dimensions.

        S = softmax((1 + clamp(scale, 0, 1) log M) cos(Wq x, Wk D));  out = S (Wv D)

    Args:
        dim: Channels C of pixels and tokens.
        tokens: Number M of tokens.
        reduced: Dimensions in which similarity is measured.
        bias: Whether the projections add a bias.
    """

    def __init__(self, dim: int, tokens: int, reduced: int, bias: bool) -> None:
        super().__init__()
        self.wq = nn.Linear(dim, reduced, bias=bias)
        self.wk = nn.Linear(dim, reduced, bias=bias)
        self.wv = nn.Linear(dim, dim, bias=bias)
        self.scale = nn.Parameter(torch.full((tokens,), 0.5))

    def forward(self, x: Tensor, dictionary: Tensor) -> tuple[Tensor, Tensor]:
        """Look up.

        Args:
            x: Pixels (B, N, C).
            dictionary: Tokens (B, M, C).

        Returns:
            What the pixels found, (B, N, C), and the similarity S of every pixel to every token, (B, N, M), whose rows
            add up to 1.
        """
        cosine = F.normalize(self.wq(x), dim=-1) @ F.normalize(self.wk(dictionary), dim=-1).transpose(1, 2)
        sharpness = 1 + self.scale.clamp(0, 1) * math.log(len(self.scale))
        similarity = (cosine * sharpness).softmax(dim=-1)
        return similarity @ self.wv(dictionary), similarity
