"""Which images and videos to restore, and where what becomes of them goes."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deeprftv2_arch.errors import DataError, OptionError
from deeprftv2_arch.restoring.batch.sources import find_sources
from deeprftv2_arch.restoring.image_files import has_alpha
from deeprftv2_arch.restoring.videos.reading import VIDEO_EXTENSIONS


@dataclass(frozen=True)
class Job:
    """An image or a video to restore, and the files that are wanted of it; None for one that is not.

    Attributes:
        source: The image or video.
        target: What it is restored to.
        comparison: Both side by side.
        kernels: The estimated kernels.
    """

    source: Path
    target: Path | None
    comparison: Path | None = None
    kernels: Path | None = None

    def outputs(self) -> list[Path]:
        """Return every file that is wanted."""
        return [path for path in (self.target, self.comparison, self.kernels) if path is not None]

    @property
    def folder(self) -> Path:
        """Where all these files are."""
        return self.outputs()[0].parent

    def missing(self) -> "Job":
        """Return the job without the files that are there."""

        def absent(path: Path | None) -> Path | None:
            return None if path is None or path.is_file() else path

        return Job(self.source, absent(self.target), absent(self.comparison), absent(self.kernels))


@dataclass
class Plan:
    """What there is to do.

    Attributes:
        jobs: What can be restored, by the names of the results.
        failures: One line for every input that cannot.
        other_kinds: Files of folders that are neither images nor videos.
    """

    jobs: list[Job] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    other_kinds: list[Path] = field(default_factory=list)


def plan(
    inputs: Sequence[str], out: Path, compare: bool = False, kernels: bool = False, image_format: str = "png"
) -> Plan:
    """Find the images and videos, and give every output a name of its own below ``out``.

    A file of a folder keeps its place in it, one that matches a pattern that below the folder with which the pattern
    begins, one that is named alone goes to ``out`` itself. Images become PNGs, or JPEGs, videos MP4s. The names of
    the results depend on that of the source alone, so that they are the same whatever else is restored: ``photo.png``
    stays ``photo.png``, ``photo.jpg`` becomes ``photo.jpg.png``.

    Args:
        inputs: Images, videos, folders, and patterns such as ``photos/**/*.jpg``. In folders, PNGs, JPEGs and videos
            by their names at any depth, but no hidden ones and nothing in ``out``. What is named twice, or also by a
            link, is restored once.
        out: Folder of the results.
        compare: Whether comparisons are wanted, ``<name>_compare`` in the same format.
        kernels: Whether kernels are wanted, ``<name>_kernels.png``; of a video ``<name>.mp4_kernels.png``, since phones
            give the same name to a photo and a short video of it.
        image_format: "png" or "jpg"; images with alpha become PNGs.

    Raises:
        OptionError: There is nothing to restore.
    """
    sources = find_sources(inputs, out)
    found = Plan(failures=sources.failures, other_kinds=sources.other_kinds)
    originals = set(map(os.path.realpath, sources.places))
    taken: dict[Path, Path] = {}
    for source, place in sources.places.items():
        job = _job(source, out / place, compare, kernels, image_format)
        clash = next((path for path in job.outputs() if path in taken), None)
        spoilt = next((path for path in job.outputs() if os.path.realpath(path) in originals), None)
        if clash:
            found.failures.append(
                f"{source} and {taken[clash]} would both be written to {clash}; restore one into another folder"
            )
        elif spoilt:
            found.failures.append(f"{source}: {spoilt} is one of the files to restore; choose another folder")
        else:
            taken |= dict.fromkeys(job.outputs(), source)
            found.jobs.append(job)
    if not found.jobs:
        nothing = f"{', '.join(inputs)}: nothing to restore there; PNGs, JPEGs and videos are restored"
        raise OptionError("; ".join(found.failures) or nothing)
    found.jobs.sort(key=Job.outputs)
    return found


def _job(source: Path, place: Path, compare: bool, kernels: bool, image_format: str) -> Job:
    if is_video(source):
        suffix = ".mp4"
    elif image_format == "jpg" and not has_alpha(source):
        suffix = ".jpg"
    else:
        suffix = ".png"
    name = place.name.removesuffix(suffix)
    return Job(
        source,
        place.with_name(f"{name}{suffix}"),
        place.with_name(f"{name}_compare{suffix}") if compare else None,
        place.with_name(f"{place.name if is_video(source) else name}_kernels.png") if kernels else None,
    )


def is_video(path: Path) -> bool:
    """Tell whether a file is one with a video, by its name."""
    return path.suffix.lower() in VIDEO_EXTENSIONS


def require_inside(path: Path, out: Path) -> None:
    """Refuse to write where links have led out of the folder of the results.

    Raises:
        DataError: The path leads out of it.
    """
    if not path.parent.resolve().is_relative_to(out.resolve()):
        raise DataError(f"{path}: a link leads out of {out}; remove it")
