"""What was measured on a test set, and its averages."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from deeprftv2_arch.measuring.pairs import Measured

Means = dict[str, float | None]


@dataclass(frozen=True)
class SetResult:
    """What was measured on a test set.

    Attributes:
        name: The set's name.
        published_images: How many images the published set has; None if this is no published one.
        images: What was measured on each of its images, in their order.
        parts: Names of the images of the parts that have averages of their own.
    """

    name: str
    published_images: int | None
    images: Sequence[Measured]
    parts: Mapping[str, Collection[str]] = field(default_factory=dict)

    def part(self, name: str) -> list[Measured]:
        """Return the images of a part."""
        return [image for image in self.images if image.name in self.parts[name]]

    def failed_alignments(self) -> int | None:
        """Return how many images could not be aligned; None where none was to be."""
        failed = [image.alignment_failed for image in self.images if image.alignment_failed is not None]
        return sum(failed) if failed else None


def means(images: Sequence[Measured], figures: Iterable[str]) -> Means:
    """Average figures over images, in their order; None for one that was not measured."""
    measured = images[0].figures
    return {
        name: sum(image.figures[name] for image in images) / len(images) if name in measured else None
        for name in figures
    }
