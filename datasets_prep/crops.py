"""The crop rule: overlapping squares that cover the whole image."""

from dataclasses import dataclass


@dataclass(frozen=True)
class CropRule:
    """Squares of `size` pixels every `step` pixels; the last row and column are aligned to the far edge."""

    size: int
    step: int


@dataclass(frozen=True)
class Window:
    """One crop: `size` x `size` pixels from row `top` and column `left` on."""

    top: int
    left: int
    size: int

    def shrunk(self, scale: int) -> "Window":
        """The same part of an image that is `scale` times smaller."""
        return Window(self.top // scale, self.left // scale, self.size // scale)


def offsets(length: int, size: int, step: int) -> list[int]:
    """Where the crops along one side of an image begin: 0, step, 2 step, ..., and the last that still fits.

    >>> offsets(1280, 512, 256), offsets(720, 512, 256), offsets(500, 512, 256)
    ([0, 256, 512, 768], [0, 208], [])
    """
    last = length - size
    if last < 0:
        return []
    starts = list(range(0, last + 1, step))
    return starts if starts[-1] == last else [*starts, last]


def windows(height: int, width: int, rule: CropRule) -> list[Window]:
    """The crops of an image row by row; none if the image is smaller than a crop."""
    return [
        Window(top, left, rule.size)
        for top in offsets(height, rule.size, rule.step)
        for left in offsets(width, rule.size, rule.step)
    ]
