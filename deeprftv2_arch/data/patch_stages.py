"""The stages of progressive training: which patch and batch size from which iteration on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from deeprftv2_arch.errors import OptionError

PatchSize = int | tuple[int, int]  # of a square, or height and width


def height_and_width(patch_size: PatchSize | Sequence[int]) -> tuple[int, int]:
    """Both sides of a patch."""
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
