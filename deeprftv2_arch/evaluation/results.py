"""What was measured on a test set, and its averages."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from deeprftv2_arch.evaluation.measuring import Measured

Means = dict[str, float | None]


@dataclass(frozen=True)
class SetResult:
    """What was measured on a test set.

    Attributes:
        name: The set's name.
        published_pictures: How many pictures the published set has; None if this is no published one.
        pictures: What was measured on each of its pictures, in their order.
        parts: Names of the pictures of the parts that have averages of their own.
    """

    name: str
    published_pictures: int | None
    pictures: Sequence[Measured]
    parts: Mapping[str, Collection[str]] = field(default_factory=dict)

    def part(self, name: str) -> list[Measured]:
        """Return the pictures of a part."""
        return [picture for picture in self.pictures if picture.name in self.parts[name]]

    def failed_alignments(self) -> int | None:
        """Return how many pictures could not be aligned; None where none was to be."""
        failed = [picture.alignment_failed for picture in self.pictures if picture.alignment_failed is not None]
        return sum(failed) if failed else None


def means(pictures: Sequence[Measured], figures: Iterable[str]) -> Means:
    """Average figures over pictures, in their order; None for one that was not measured."""
    measured = pictures[0].figures
    return {
        name: sum(picture.figures[name] for picture in pictures) / len(pictures) if name in measured else None
        for name in figures
    }
