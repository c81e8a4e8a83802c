"""What was measured, image by image and on a data set, and its means."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

Means = dict[str, float | None]


@dataclass(frozen=True)
class ImageResult:
    """What was measured on an image.

    Attributes:
        index: Its number in the data set.
        name: Its name there.
        values: The value of every metric by its name.
        baseline: The same of what the restored image is compared with; None where there is no such image.
        alignment_failed: Whether aligned metrics have the values of the image as it was; None without any.
        fault: Why it could not be measured; None where it was.
        seconds: How long the network took; None where nobody looked.
    """

    index: int
    name: str
    values: dict[str, float] = field(default_factory=dict)
    baseline: dict[str, float] | None = None
    alignment_failed: bool | None = None
    fault: str | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class SetResult:
    """What was measured on a data set.

    Attributes:
        name: The set's name.
        images: What was measured on each of its images, in their order.
        published_images: How many images the published set has; None if this is no published one.
        parts: Names of the images of the parts that have means of their own.
    """

    name: str
    images: Sequence[ImageResult]
    published_images: int | None = None
    parts: Mapping[str, Collection[str]] = field(default_factory=dict)

    def part(self, name: str) -> list[ImageResult]:
        """Return the images of a part."""
        return [image for image in self.images if image.name in self.parts[name]]

    def failed_alignments(self) -> int | None:
        """Return how many images could not be aligned; None where none was to be."""
        failed = [image.alignment_failed for image in self.images if image.alignment_failed is not None]
        return sum(failed) if failed else None


def means(images: Sequence[ImageResult], metrics: Iterable[str]) -> Means:
    """Average metrics over images, in their order; None for one that was not measured."""
    return _means([image.values for image in images], metrics)


def baseline_means(images: Sequence[ImageResult], metrics: Iterable[str]) -> Means:
    """Average the metrics of what the restored images are compared with; None for one that was not measured."""
    return _means([image.baseline or {} for image in images], metrics)


def _means(values: Sequence[Mapping[str, float]], metrics: Iterable[str]) -> Means:
    return {
        name: sum(of_image[name] for of_image in values) / len(values) if name in values[0] else None
        for name in metrics
    }
