"""What a data set has to declare to be prepared.

A new one is a file beside gopro.py with its declaration, and an entry in `cli.DATA_SETS`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from datasets_prep.crops import CropRule
from datasets_prep.sources import Sides


@dataclass(frozen=True)
class Split:
    """One part of a data set.

    Attributes:
        expected: Pairs that the published set has.
        cropped: Whether its pictures are cut into crops (training) or kept whole (testing).
        parts: How many of them each part has, where the split is made of parts: first folder of the keys -> pairs.
    """

    expected: int
    cropped: bool
    parts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class DataSet:
    """Declaration of a data set; the engine does the rest.

    Attributes:
        command: Name of the sub-command.
        title: One line for the list of commands.
        description: The trees that are accepted, for the sub-command's help.
        sides: Names of the two output databases of each split, the degraded side first; `{scale}` stands for the scale.
        splits: The parts, by name.
        default_splits: The parts that are prepared unless the user says otherwise; None for those that are there.
        crop: The crop rule of the cropped parts, None if there are none.
        find: (root, split, flags) -> the pictures of each side by key, at every scale; None if there are none. It lists
            names only and embodies the pairing rule: pictures with equal keys belong together.
        flags: Additional switches of the sub-command: name -> help.
        scales: How many times smaller than the ground truth the degraded pictures are; each scale has its own pairs.
    """

    command: str
    title: str
    description: str
    sides: tuple[str, ...]
    splits: Mapping[str, Split]
    default_splits: tuple[str, ...] | None
    crop: CropRule | None
    find: Callable[[Path, str, frozenset[str]], Sides | None]
    flags: Mapping[str, str] = field(default_factory=dict)
    scales: tuple[int, ...] = (1,)

    def side_names(self, scale: int) -> tuple[str, ...]:
        """Names of the sides that make the pairs of one scale."""
        return tuple(side.format(scale=scale) for side in self.sides)
