"""The patches of training: the stages of their sizes, what a data set is asked for, and the ways to turn one.

Needs no PyTorch, so that option files are checked at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from deeprftv2_arch.errors import OptionError

PatchSize = int | tuple[int, int]  # of a square, or height and width; in pixels
WAYS = 8  # to put a square on the table: quarter turns, and quarter turns of its mirror image
FLIPS = (0, 2, 4, 6)  # the ways that leave height and width as they are

Scalar = TypeVar("Scalar", bound=np.generic)


def height_and_width(patch_size: PatchSize | Sequence[int]) -> tuple[int, int]:
    """Return both sides of a patch in pixels."""
    height, width = (patch_size, patch_size) if isinstance(patch_size, int) else patch_size
    return height, width


@dataclass(frozen=True)
class PatchStage:
    """A stretch of the training.

    Attributes:
        iters: Its number of iterations.
        patch_size: Height and width of the patches in pixels: one number for squares, or both.
        batch_size: Patches per iteration, on all processes together.
    """

    iters: int
    patch_size: PatchSize
    batch_size: int


def read_stages(entries: Sequence[Mapping[str, Any]] | None) -> tuple[PatchStage, ...]:
    """Read the option ``patch_stages`` of a training set.

    Raises:
        OptionError: It is missing or empty, or an entry lacks a key, has another one, or holds no positive number.
    """
    names = [field.name for field in fields(PatchStage)]
    example = "{iters: 450000, patch_size: 256, batch_size: 16}"
    if not entries:
        raise OptionError(f"datasets: train: patch_stages: missing; list at least one stage such as {example}")
    for number, entry in enumerate(entries, 1):
        if set(entry) != set(names):
            raise OptionError(
                f"datasets: train: patch_stages: item {number} has the keys {', '.join(entry)}, not {', '.join(names)}"
            )
    return tuple(_read_stage(number, entry) for number, entry in enumerate(entries, 1))


def _read_stage(number: int, entry: Mapping[str, Any]) -> PatchStage:
    size = entry["patch_size"]
    sides = list(size) if isinstance(size, list | tuple) else [size, size]
    values = [*sides, entry["iters"], entry["batch_size"]]
    if len(sides) != 2 or not all(isinstance(value, int) and value > 0 for value in values):
        raise OptionError(
            f"datasets: train: patch_stages: item {number} must hold positive whole numbers, and patch_size one or two "
            f"of them: {dict(entry)}"
        )
    return PatchStage(entry["iters"], size if isinstance(size, int) else (sides[0], sides[1]), entry["batch_size"])


@dataclass(frozen=True)
class PatchRequest:
    """What a data set is asked for.

    Attributes:
        index: Number of the image pair.
        patch_size: Height and width of the patch in pixels: one number for a square, or both.
        seed: Decides where the patch is cut and how it is turned.
        number: How many patches of the training came before it.
    """

    index: int
    patch_size: PatchSize
    seed: int
    number: int = 0


def turned(image: NDArray[Scalar], way: int) -> NDArray[Scalar]:
    """Turn an image by ``way % 4`` quarter turns and, if ``way`` is 4 or more, mirror the result left to right.

    Args:
        image: (H, W, ...); the first two axes are turned.
        way: 0 (as it is) to 7.

    Returns:
        A view of the image.
    """
    quarter_turned = np.rot90(image, way % 4)
    return quarter_turned[:, ::-1] if way >= 4 else quarter_turned
