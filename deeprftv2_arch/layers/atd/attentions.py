"""The three attentions of ATD's layers: of windows, of the token dictionary, and of categories (ATD's Figure 2)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deeprftv2_arch.ops.attention import attention

MASKED = -100.0  # added to the logits of pixels that must not see each other


def relative_position_index(window: int) -> Tensor:
    """Return the row of the bias table for every pair of pixels of a window: (window^2, window^2), whole numbers.

    Relative positions (dy, dx), each from ``1 - window`` to ``window - 1``, are counted row by row.
    """
    y, x = (axis.flatten() for axis in torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij"))
    dy, dx = y[:, None] - y[None, :], x[:, None] - x[None, :]
    return (dy + window - 1) * (2 * window - 1) + (dx + window - 1)


def border_masks(window: int, shift: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return what keeps the pixels of two borders apart in the windows that both share.

    After shifting, the last ``shift`` rows of the lowest windows come from the upper border of the image, and so do
    the last columns of the rightmost ones from the left border. With a window of 2 and a shift of 1, the pixels
    0 1 / 2 3 of a lowest window see those of their own row, and those of a rightmost one those of their own column.

    Returns:
        For the lowest and for the rightmost windows 0 where two pixels attend and MASKED where they must not,
        (window^2, window^2).
    """
    pixel = torch.arange(window**2, device=like.device)
    rows_from_afar, columns_from_afar = pixel // window >= window - shift, pixel % window >= window - shift
    lowest, rightmost = (
        torch.where(afar[:, None] == afar[None, :], 0.0, MASKED).to(like.dtype)
        for afar in (rows_from_afar, columns_from_afar)
    )
    return lowest, rightmost


class WindowAttention(nn.Module):
    """softmax(q k^T / sqrt(d) + bias) v within windows of ``window`` x ``window`` pixels, per head, then a projection.

    Args:
        dim: Channels C of queries, keys and values together for all heads.
        window: Height and width of a window.
        heads: Number of heads; d = C / heads.
    """

    def __init__(self, dim: int, window: int, heads: int) -> None:
        super().__init__()
        self.window = window
        self.heads = heads
        self.relative_position_bias_table = nn.Parameter(torch.empty((2 * window - 1) ** 2, heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        self.proj = nn.Linear(dim, dim)

    def forward(self, qkv: Tensor, position_index: Tensor, shift: int) -> Tensor:
        """Attend.

        Args:
            qkv: (B, H, W, 3C), H and W multiples of the window.
            position_index: What :func:`relative_position_index` returns.
            shift: By how many pixels the grid of windows is shifted down and to the right. What this cuts off at one
                border shares windows with what it cuts off at the other, but pixels of two borders do not attend.

        Returns:
            (B, H, W, C).
        """
        pixels = self.window**2
        bias = self.relative_position_bias_table[position_index.flatten()].view(pixels, pixels, -1).permute(2, 0, 1)
        bias = bias.contiguous().to(qkv.dtype)
        if not shift:
            q, k, v = self._windows(qkv)
            return self.proj(self._merged(self._attend(q, k, v, bias)))
        q, k, v = self._windows(qkv.roll((-shift, -shift), dims=(1, 2)))
        return self.proj(self._merged(self._attend_shifted(q, k, v, bias, shift))).roll((shift, shift), dims=(1, 2))

    def _windows(self, qkv: Tensor) -> Tensor:
        """Cut (B, H, W, 3C) into queries, keys and values (3, B, rows, columns, heads, window^2, d)."""
        batch, height, width, _ = qkv.shape
        rows, columns = height // self.window, width // self.window
        grid = qkv.reshape(batch, rows, self.window, columns, self.window, 3, self.heads, -1)
        return grid.permute(5, 0, 1, 3, 6, 2, 4, 7).flatten(5, 6)

    def _merged(self, attended: Tensor) -> Tensor:
        """Put windows (B, rows, columns, heads, window^2, d) back to (B, H, W, C)."""
        batch, rows, columns, heads, _, d = attended.shape
        grid = attended.view(batch, rows, columns, heads, self.window, self.window, d).permute(0, 1, 4, 2, 5, 3, 6)
        return grid.reshape(batch, rows * self.window, columns * self.window, heads * d)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
        """Attend within every window of (B, rows, columns, heads, window^2, d)."""
        scaled = q * q.shape[-1] ** -0.5
        return attention(scaled.flatten(0, 2), k.flatten(0, 2), v.flatten(0, 2), bias).unflatten(0, q.shape[:3])

    def _attend_shifted(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor, shift: int) -> Tensor:
        """Do the same where the last row and the last column of windows hold pixels of two borders."""
        lowest, rightmost = border_masks(self.window, shift, bias)
        inner, last = slice(None, -1), slice(-1, None)
        attended = torch.empty_like(q)
        for rows, columns, part_bias in (
            (inner, inner, bias),
            (last, inner, bias + lowest),
            (inner, last, bias + rightmost),
            (last, last, bias + torch.minimum(lowest, rightmost)),
        ):
            part = (slice(None), rows, columns)
            if q[part].numel():
                attended[part] = self._attend(q[part], k[part], v[part], part_bias)
        return attended


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
