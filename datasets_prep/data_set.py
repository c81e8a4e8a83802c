"""What a data set has to declare to be prepared.

A new one is a file beside gopro.py and hide.py with its declaration, and an entry in `cli.DATA_SETS`.
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
    """

    expected: int
    cropped: bool


@dataclass(frozen=True)
class DataSet:
    """Declaration of a data set; the engine does the rest.

    Attributes:
        command: Name of the sub-command.
        title: One line for the list of commands.
        description: The trees that are accepted, for the sub-command's help.
        sides: Names of the output databases of each split, the degraded side first.
        splits: The parts, by name.
        default_splits: The parts that are prepared unless the user says otherwise.
        crop: The crop rule of the cropped parts.
        find: (root, split, flags) -> the pictures of each side by key, None if there are none. It lists names only and
            embodies the pairing rule: pictures with equal keys belong together.
        flags: Additional switches of the sub-command: name -> help.
    """

    command: str
    title: str
    description: str
    sides: tuple[str, ...]
    splits: Mapping[str, Split]
    default_splits: tuple[str, ...]
    crop: CropRule
    find: Callable[[Path, str, frozenset[str]], Sides | None]
    flags: Mapping[str, str] = field(default_factory=dict)
