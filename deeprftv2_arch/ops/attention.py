"""softmax(q k^T) v: by PyTorch's fused kernels on a GPU, step by step on a CPU.

The fused kernels are right up to rounding. ATD compares pixels by a maximum and sorts them, so that a difference in the
last digit can put pixels into other groups and change the result by 1e-3. Step by step, with the operations of the
public implementation in their order, results on a CPU are equal to its results bit for bit; and piece by piece, so that
the logits of a piece stay in the processor's cache, that takes little longer than the fused kernels there.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

PIECE = 2**20  # logits, 4 MB in float32: with what is read and written beside them, about a processor's cache


def attention(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None, logit_scale: Tensor | None = None) -> Tensor:
    """Return softmax(logit_scale q k^T + bias) v.

    Args:
        q: Queries (B, heads, N, d).
        k: Keys, as the queries.
        v: Values, as the queries.
        bias: (heads, N, N), the same for the whole batch.
        logit_scale: One number in a tensor, for the whole batch.

    Returns:
        (B, heads, N, d).
    """
    if q.is_cuda:
        scaled = q if logit_scale is None else q * logit_scale
        return F.scaled_dot_product_attention(scaled, k, v, attn_mask=None if bias is None else bias[None], scale=1.0)
    # In training all logits are kept anyway.
    if torch.is_grad_enabled() or torch.compiler.is_compiling():
        return _attention(q, k, v, bias, logit_scale)
    piece = max(1, PIECE // (q.shape[1] * q.shape[2] ** 2))
    pieces = zip(q.split(piece), k.split(piece), v.split(piece), strict=True)
    return torch.cat([_attention(*tensors, bias, logit_scale) for tensors in pieces])


def _attention(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, logit_scale: Tensor | None) -> Tensor:
    logits = q @ k.transpose(-2, -1)
    if logit_scale is not None:
        logits = logits * logit_scale
    if bias is not None:
        logits += bias
    return logits.softmax(dim=-1) @ v
