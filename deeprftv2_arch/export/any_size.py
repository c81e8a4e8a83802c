"""A network for images of any size in a form that can be traced once for all sizes."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deeprftv2_arch.errors import ExportError
from deeprftv2_arch.networks.cards import CARDS, card_of
from deeprftv2_arch.networks.protocol import traits_of


class AnySize(nn.Module):
    """Pad an image, run the network on it, and crop the result: the same as the network itself does in eval mode.

    The network asks whether a size needs padding. Here it gets only sizes that are written as multiples, so that the
    answer is always no, and no size is told apart from another.

    Args:
        network: It, not a copy of it, is used.

    Raises:
        ExportError: What the network does depends on the size in a way that one graph cannot hold.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        continuation = card_of(network).continuation
        if continuation is None:
            names = [card.name for card in CARDS if card.continuation is not None and card.builds]
            raise ExportError(f"only {' and '.join(names)} can be exported, not {type(network).__name__}")
        _refuse_what_depends_on_the_size(network)
        traits = traits_of(network)
        self.network = network
        self.multiple, self.upscale, self.channels = traits.size_multiple, traits.upscale, traits.channels
        self.pad: Callable[[Tensor, int, int], Tensor] = CONTINUATIONS[continuation]

    def forward(self, image: Tensor) -> Tensor:
        """Restore an image (1, C, H, W) to (1, C, upscale H, upscale W)."""
        height, width = image.shape[2:]
        restored = self.network(self.pad(image, self._rounded_up(height), self._rounded_up(width)))
        return restored[:, :, : self.upscale * height, : self.upscale * width]

    def _rounded_up(self, length: int) -> int:
        return self.multiple * ((length + self.multiple - 1) // self.multiple)


def _with_zeros(image: Tensor, height: int, width: int) -> Tensor:
    return F.pad(image, (0, width - image.shape[3], 0, height - image.shape[2]))


def _with_mirror_image(image: Tensor, height: int, width: int) -> Tensor:
    for axis, length in ((2, height), (3, width)):
        position = torch.arange(length, device=image.device)
        # One mirror image is enough, since no image is smaller than a window.
        image = image.index_select(axis, torch.minimum(position, 2 * image.shape[axis] - 1 - position))
    return image


CONTINUATIONS = {"zeros": _with_zeros, "mirror": _with_mirror_image}


def _refuse_what_depends_on_the_size(network: nn.Module) -> None:
    reason = card_of(network).export_hindrance(network)
    if traits_of(network).tile is not None:
        reason = "tiles (their number depends on the size): call use_tiles(None), and cut tiles where the export runs"
    if reason is not None:
        raise ExportError(f"one graph for all sizes cannot have {reason}")
