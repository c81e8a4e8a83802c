"""Self-attention among pixels that resemble the same token, wherever they are (AC-MSA in ATD's Figure 2)."""

import math

import torch
from torch import Tensor, nn

from deeprftv2_arch.ops.attention import attention

LARGEST_SCALE = math.log(100)


class CategoryAttention(nn.Module):
    """Sort the pixels by the token that each is most similar to, and attend within groups of the sorted sequence.

    A group is ``softmax(exp(logit_scale) q k^T) v`` over ``category_size`` pixels, per head; a projection follows.

    Args:
        dim: Channels C of queries, keys and values together for all heads.
        heads: Number of heads.
        category_size: Pixels of a group.
        bias: Whether the projection adds a bias.
    """

    def __init__(self, dim: int, heads: int, category_size: int, bias: bool) -> None:
        super().__init__()
        self.heads = heads
        self.category_size = category_size
        self.logit_scale = nn.Parameter(torch.full((1, 1), math.log(10)))
        self.proj = nn.Linear(dim, dim, bias=bias)

    def forward(self, qkv: Tensor, similarity: Tensor) -> Tensor:
        """Attend.

        Args:
            qkv: (B, N, 3C).
            similarity: Of every pixel to every token, (B, N, M).

        Returns:
            (B, N, C).
        """
        batch, pixels, _ = qkv.shape
        size = min(pixels, self.category_size)

        # Sort. Not stable, as in the public implementation: another order of equals puts other pixels into a group.
        order = similarity.argmax(dim=-1).sort(dim=-1, stable=False).indices
        order = order + pixels * torch.arange(batch, device=order.device)[:, None]  # rows of all images, one by one
        # Fill up the last group with the pixels before its end, mirrored.
        missing = -pixels % size
        filled_order = torch.cat([order, order[:, pixels - missing :].flip(1)], dim=1)

        groups = qkv.flatten(0, 1)[filled_order.flatten()].view(
            -1, size, 3, self.heads, qkv.shape[2] // (3 * self.heads)
        )
        q, k, v = groups.permute(2, 0, 3, 1, 4)
        logit_scale = self.logit_scale.clamp(max=LARGEST_SCALE).exp().to(qkv.dtype)
        attended = attention(q, k, v, logit_scale=logit_scale)

        # Put back every pixel but those that only filled up.
        attended = attended.transpose(1, 2).reshape(batch, pixels + missing, -1)[:, :pixels].flatten(0, 1)
        in_place = torch.empty_like(attended).index_copy(0, order.flatten(), attended)
        return self.proj(in_place.view(batch, pixels, -1))
