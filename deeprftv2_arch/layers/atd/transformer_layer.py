"""One transformer layer of ATD: three kinds of attention side by side, and a dictionary refined by what they see."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from deeprftv2_arch.layers.atd.category_attention import CategoryAttention
from deeprftv2_arch.layers.atd.conv_ffn import ConvFFN
from deeprftv2_arch.layers.atd.dictionary_attention import TokenDictionaryCrossAttention
from deeprftv2_arch.layers.atd.window_attention import WindowAttention


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
