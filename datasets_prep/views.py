"""What is taken of the images of one pair: all of them or crops, whose sizes have to fit together."""

from collections.abc import Sequence
from dataclasses import dataclass

from datasets_prep.sources import Sides, SourceImage
from deeprftv2_arch.common.image_format import Header
from deeprftv2_arch.errors import PreparationError


@dataclass(frozen=True)
class CropRule:
    """Squares of ``size`` pixels every ``step`` pixels; the last row and column are aligned to the far edge."""

    size: int
    step: int


@dataclass(frozen=True)
class Window:
    """One crop: ``size`` x ``size`` pixels from row ``top`` and column ``left`` on."""

    top: int
    left: int
    size: int

    def shrunk(self, scale: int) -> "Window":
        """Return the same part of an image that is ``scale`` times smaller."""
        return Window(self.top // scale, self.left // scale, self.size // scale)


def offsets(length: int, size: int, step: int) -> list[int]:
    """List where the crops along one side of an image begin: 0, step, 2 step, ..., and the last that still fits.

    >>> offsets(1280, 512, 256), offsets(720, 512, 256), offsets(500, 512, 256)
    ([0, 256, 512, 768], [0, 208], [])
    """
    last = length - size
    if last < 0:
        return []
    starts = list(range(0, last + 1, step))
    return starts if starts[-1] == last else [*starts, last]


def windows(height: int, width: int, rule: CropRule) -> list[Window]:
    """List the crops of an image row by row; none if the image is smaller than a crop."""
    return [
        Window(top, left, rule.size)
        for top in offsets(height, rule.size, rule.step)
        for left in offsets(width, rule.size, rule.step)
    ]


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
    """Say what is taken of the image of each side.

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
    listed = " and ".join(f"{side.images[key]} {header}" for side, header in zip(sides.values(), headers, strict=True))
    if scale == 1:
        return PreparationError(f"sizes differ within the pair {key}: {listed}")
    return PreparationError(
        f"sizes do not fit x{scale} within the pair {key}: {listed}, which asks for {wanted[1]}x{wanted[0]}; take the "
        "low resolutions away to have them made, or cut the ground truth first"
    )
