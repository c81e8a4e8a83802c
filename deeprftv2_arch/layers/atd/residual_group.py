"""ATD's residual block: a group of transformer layers around one dictionary, a convolution and a skip connection."""

from typing import Literal

import torch
from torch import Tensor, nn

from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.layers.atd.transformer_layer import ATDTransformerLayer, LayerSettings, to_map, to_tokens
from deeprftv2_arch.ops.reversible import call

Connection = Literal["1conv", "3conv"]


def connection(kind: Connection, dim: int) -> nn.Module:
    """Build what follows a chain of layers before its skip connection: one 3x3 convolution, or three with a bottleneck.

    Raises:
        OptionError: The kind is unknown, or ``dim`` too small for it.
    """
    if kind == "1conv":
        return nn.Conv2d(dim, dim, 3, padding=1)
    if kind != "3conv":
        raise OptionError(f"ATD: resi_connection must be 1conv or 3conv, got {kind!r}")
    if dim < 4:
        raise OptionError(f"ATD: resi_connection 3conv needs an embed_dim of at least 4, got {dim}")
    return nn.Sequential(
        nn.Conv2d(dim, dim // 4, 3, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(dim // 4, dim // 4, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(dim // 4, dim, 3, padding=1),
    )


class DictionaryGroup(nn.Module):
    """Transformer layers, every second one with shifted windows, that hand on and refine one learned dictionary.

    Args:
        settings: Of the layers.
        depth: Number of layers.
        heads: Of their attentions.
        use_checkpoint: Whether training keeps the layers' inputs alone and runs each layer again for its gradients.
    """

    def __init__(self, settings: LayerSettings, depth: int, heads: int, use_checkpoint: bool) -> None:
        super().__init__()
        self.use_checkpoint = use_checkpoint
        self.layers = nn.ModuleList(
            ATDTransformerLayer(
                settings, heads, shift=settings.window // 2 if index % 2 else 0, refines=index < depth - 1
            )
            for index in range(depth)
        )
        self.td = nn.Parameter(torch.randn(settings.tokens, settings.dim))

    def forward(self, x: Tensor, position_index: Tensor) -> Tensor:
        dictionary = self.td.expand(len(x), -1, -1)
        for layer in self.layers:
            x, dictionary = call(layer, x, dictionary, position_index, keep=not self.use_checkpoint)
        return x


class ResidualGroup(nn.Module):
    """x + connection(group(x)) on (B, H, W, C) (ATDB in ATD's Figure 2).

    Args:
        settings: Of the transformer layers.
        depth: Their number.
        heads: Of their attentions.
        kind: Of the connection.
        use_checkpoint: See :class:`DictionaryGroup`.
    """

    def __init__(self, settings: LayerSettings, depth: int, heads: int, kind: Connection, use_checkpoint: bool) -> None:
        super().__init__()
        self.residual_group = DictionaryGroup(settings, depth, heads, use_checkpoint)
        self.conv = connection(kind, settings.dim)

    def forward(self, x: Tensor, position_index: Tensor) -> Tensor:
        return to_tokens(self.conv(to_map(self.residual_group(x, position_index)))) + x
