"""Sizes of images, as they are written on a command line."""

import argparse
import re
from typing import NamedTuple


class Size(NamedTuple):
    """Width and height in pixels, and the number of images in a batch."""

    width: int
    height: int
    batch: int = 1

    def __str__(self) -> str:
        return f"{self.width}x{self.height}, {self.batch}"


def size(text: str) -> Size:
    """Parse ``256x256`` or, with a batch of 16, ``256x256x16``: width, height, batch; width, height multiples of 8.

    Raises:
        argparse.ArgumentTypeError: The text is not such a size.
    """
    numbers = re.fullmatch(r"(\d+)x(\d+)(?:x(\d+))?", text)
    if numbers is None:
        raise argparse.ArgumentTypeError(f"'{text}' is not a size such as 256x256 or, with a batch, 256x256x16")
    width, height, batch = (int(number or 1) for number in numbers.groups())
    if not (width and height and batch) or width % 8 or height % 8:
        raise argparse.ArgumentTypeError(f"'{text}': width and height must be multiples of 8, and the batch at least 1")
    return Size(width, height, batch)
