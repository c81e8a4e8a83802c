"""One transformer layer of ATD: three kinds of attention side by side, and a dictionary refined by what they see."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deeprftv2_arch.layers.atd.attentions import CategoryAttention, TokenDictionaryCrossAttention, WindowAttention


def to_tokens(x: Tensor) -> Tensor:
    """Turn a map (B, C, H, W) into tokens (B, H, W, C)."""
    return x.permute(0, 2, 3, 1)


def to_map(x: Tensor) -> Tensor:
    """Turn tokens (B, H, W, C) into a map (B, C, H, W).

    By way of (B, C, H W), because of the strides that this gives a batch of one: they decide by which algorithm a
    convolution runs, and with it whether the last digit is that of the public implementation.
    """
    return x.flatten(1, 2).transpose(1, 2).unflatten(2, x.shape[1:3])


class DepthwiseConv(nn.Module):
    """GELU(depthwise convolution), (B, H, W, C) -> (B, H, W, C).

    Args:
        dim: Channels C.
        kernel_size: Height and width of the kernels, odd.
    """

    def __init__(self, dim: int, kernel_size: int) -> None:
        super().__init__()
        self.depthwise_conv = nn.Sequential(
            nn.Conv2d(dim, dim, kernel_size, padding=kernel_size // 2, groups=dim), nn.GELU()
        )

    def forward(self, x: Tensor) -> Tensor:
        return to_tokens(self.depthwise_conv(to_map(x).contiguous()))


class ConvFFN(nn.Module):
    """h = GELU(fc1 x);  out = fc2(h + GELU(depthwise h)), (B, H, W, C) -> (B, H, W, C).

    Args:
        dim: Channels C.
        hidden: Channels of h.
        kernel_size: Of the depthwise convolution.
    """

    def __init__(self, dim: int, hidden: int, kernel_size: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.dwconv = DepthwiseConv(hidden, kernel_size)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.fc1(x))
        return self.fc2(x + self.dwconv(x))


@dataclass(frozen=True)
class LayerSettings:
    """What all transformer layers of a network have in common.

    Attributes:
        dim: Channels C of pixels and tokens.
        window: Height and width of a window.
        category_size: Pixels of a group of the category attention.
        tokens: Number M of tokens of a dictionary.
        reduced: Dimensions in which pixels and tokens are compared.
        kernel_size: Of the depthwise convolution in the feed-forward part.
        mlp_ratio: Hidden channels of the feed-forward part, as a multiple of C.
        bias: Whether queries, keys and values have one.
    """

    dim: int
    window: int
    category_size: int
    tokens: int
    reduced: int
    kernel_size: int
    mlp_ratio: float
    bias: bool


class ATDTransformerLayer(nn.Module):
    """Attention of windows, of the token dictionary and of categories, added up, then the feed-forward part.

        n = LN(x);  [q, k, v] = wqkv n;  (a, S) = dictionary(n, D)
        x <- x + window(q, k, v) + a + category(q, k, v; S);  x <- x + FFN(LN(x))
        D <- s D + (1 - s) softmax_N(IN(S^T)) x,  s = sigmoid(sigma)             (ATD, Equation 8)

    Args:
        settings: What it has in common with the others.
        heads: Of window and category attention.
        shift: By how many pixels the grid of windows is shifted.
        refines: Whether the layer refines the dictionary for the next one.
    """

    def __init__(self, settings: LayerSettings, heads: int, shift: int, refines: bool) -> None:
        super().__init__()
        dim, tokens, bias = settings.dim, settings.tokens, settings.bias
        self.shift = shift
        self.refines = refines
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)
        if refines:
            self.norm3 = nn.InstanceNorm1d(tokens, affine=True)
            self.sigma = nn.Parameter(torch.zeros(tokens, 1))
        self.wqkv = nn.Linear(dim, 3 * dim, bias=bias)
        self.attn_win = WindowAttention(dim, settings.window, heads)
        self.attn_atd = TokenDictionaryCrossAttention(dim, tokens, settings.reduced, bias)
        self.attn_aca = CategoryAttention(dim, heads, settings.category_size, bias)
        self.convffn = ConvFFN(dim, int(dim * settings.mlp_ratio), settings.kernel_size)

    def forward(self, x: Tensor, dictionary: Tensor, position_index: Tensor) -> tuple[Tensor, Tensor]:
        """Run the layer.

        Args:
            x: (B, H, W, C), H and W multiples of the window.
            dictionary: Tokens (B, M, C).
            position_index: See :class:`WindowAttention`.

        Returns:
            x (B, H, W, C) and the dictionary (B, M, C) for the next layer.
        """
        normalised = self.norm1(x)
        qkv = self.wqkv(normalised)
        found, similarity = self.attn_atd(normalised.flatten(1, 2), dictionary)
        alike = self.attn_aca(qkv.flatten(1, 2), similarity)
        near = self.attn_win(qkv, position_index, self.shift)
        x = x + near + found.view_as(x) + alike.view_as(x)
        x = x + self.convffn(self.norm2(x))
        if self.refines:
            dictionary = self.refine(dictionary, similarity, x.flatten(1, 2))
        return x, dictionary

    def refine(self, dictionary: Tensor, similarity: Tensor, pixels: Tensor) -> Tensor:
        """Move every token (B, M, C) towards the mean of the pixels (B, N, C) that are most similar (B, N, M) to it."""
        weights = self.norm3(similarity.transpose(1, 2)).softmax(dim=-1)
        kept = self.sigma.sigmoid()
        return kept * dictionary + (1 - kept) * (weights @ pixels)
