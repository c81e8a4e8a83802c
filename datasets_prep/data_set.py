"""What a data set has to declare to be prepared.

A new one is a file beside gopro.py with its declaration, and an entry in ``command_line.DATA_SETS``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from datasets_prep.sources import Sides
from datasets_prep.views import CropRule


@dataclass(frozen=True)
class Split:
    """One part of a data set.

    Attributes:
        expected: Pairs that the published set has; None for a set of the user's own.
        cropped: Whether its images are cut into crops (training) or kept whole (testing).
        parts: How many of them each part has, where the split is made of parts: first folder of the keys -> pairs.
        keys: Those of all its pairs, where they are known beforehand, so that missing ones can be named.
        numbered: Whether the keys count the images of a sequence one by one, so that gaps tell what is missing.
    """

    expected: int | None
    cropped: bool
    parts: Mapping[str, int] = field(default_factory=dict)
    keys: frozenset[str] = frozenset()
    numbered: bool = True


@dataclass(frozen=True)
class DataSet:
    """Declaration of a data set; the engine does the rest.

    Attributes:
        command: Name of the sub-command.
        title: One line for the list of commands.
        description: The trees that are accepted, for the sub-command's help.
        sides: Names of the two output databases of each split, the degraded side first; ``{scale}`` stands for the
            scale.
        more_sides: Names of further output databases that a switch asks for: name of the switch -> names.
        splits: The parts, by name.
        default_splits: The parts that are prepared unless the user says otherwise; None for those that are there.
        crop: The crop rule of the cropped parts, None if there are none.
        find: (root, split, flags) -> the images of each side by key, at every scale; None if there are none. It lists
            names only and embodies the pairing rule: images with equal keys belong together.
        flags: Additional switches of the sub-command: name -> help. Those not in ``more_sides`` change what the images
            are, and are written into the metadata.
        scales: How many times smaller than the ground truth the degraded images are; each scale has its own pairs.
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
    more_sides: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def side_names(self, scale: int, flags: frozenset[str]) -> tuple[str, ...]:
        """Return the names of the sides that belong together at one scale, the ground truth last."""
        more = [side for flag, sides in self.more_sides.items() if flag in flags for side in sides]
        return tuple(side.format(scale=scale) for side in (*self.sides[:-1], *more, self.sides[-1]))
