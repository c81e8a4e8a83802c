"""The stages of progressive training: which patch and batch size from which iteration on."""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from typing import Any

from deeprftv2_arch.errors import OptionError


@dataclass(frozen=True)
class PatchStage:
    """A stretch of the training.

    Attributes:
        iters: Its number of iterations.
        patch_size: Height and width of the patches in pixels.
        batch_size: Patches per iteration, on all processes together.
    """

    iters: int
    patch_size: int
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
    stages = tuple(PatchStage(**entry) for entry in entries)
    for number, stage in enumerate(stages, 1):
        if not all(isinstance(value, int) and value > 0 for value in astuple(stage)):
            raise OptionError(f"datasets: train: patch_stages: item {number} must hold positive whole numbers: {stage}")
    return stages
