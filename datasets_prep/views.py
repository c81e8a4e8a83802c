"""What is taken of the images of one pair, whose sizes have to fit together."""

from collections.abc import Sequence
from dataclasses import dataclass

from datasets_prep.sources import Sides, SourceImage
from deeprftv2_arch.common.images import Header
from deeprftv2_arch.errors import PreparationError


@dataclass(frozen=True)
class View:
    """What is taken of one image.

    Attributes:
        image: Where it is.
        size: Its height and width as stored.
        kept: Height and width of what is kept of it, from its top left corner on, before it is shrunk.
        scale: How many times smaller than the ground truth the result is.
    """

    image: SourceImage
    size: tuple[int, int]
    kept: tuple[int, int]
    scale: int


def view_pair(sides: Sides, key: str, headers: Sequence[Header]) -> dict[str, View]:
    """Side -> what is taken of its image.

    Args:
        sides: The ground truth last; its height and width are cut to its multiple, and the others alike.
        key: Key of the pair.
        headers: One per side.

    Raises:
        PreparationError: The sizes do not fit together, or an image cannot be made from a larger one.
    """
    truth, multiple = headers[-1], list(sides.values())[-1].multiple
    kept = truth.height - truth.height % multiple, truth.width - truth.width % multiple
    views = {}
    for (name, side), header in zip(sides.items(), headers, strict=True):
        image, size = side.images[key], (header.height, header.width)
        if image.shrink > 1:
            if header.bit_depth != 8:
                raise PreparationError(
                    f"{image} has {header.bit_depth} bits: a low resolution is only made of images of 8 bits, "
                    f"so that of {key} has to be there"
                )
            views[name] = View(image, size, kept, side.scale)
            continue
        wanted = truth.height // side.scale, truth.width // side.scale
        if size != wanted:
            raise _misfit(sides, key, headers, side.scale, wanted)
        views[name] = View(image, size, (kept[0] // side.scale, kept[1] // side.scale), side.scale)
    return views


def _misfit(sides: Sides, key: str, headers: Sequence[Header], scale: int, wanted: tuple[int, int]) -> PreparationError:
    listed = " and ".join(
        f"{side.images[key]} {header}" for side, header in zip(sides.values(), headers, strict=True)
    )
    if scale == 1:
        return PreparationError(f"sizes differ within the pair {key}: {listed}")
    return PreparationError(
        f"sizes do not fit x{scale} within the pair {key}: {listed}, which asks for {wanted[1]}x{wanted[0]}; take the "
        "low resolutions away to have them made, or cut the ground truth first"
    )
