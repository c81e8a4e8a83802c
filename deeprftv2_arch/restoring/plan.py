"""Which pictures and videos to restore, and where what becomes of them goes."""

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets_prep.pictures import EXTENSIONS
from deeprftv2_arch.errors import DataError, OptionError
from deeprftv2_arch.restoring.video_reading import VIDEO_EXTENSIONS


@dataclass(frozen=True)
class Job:
    """A picture or a video to restore.

    Attributes:
        source: The picture or video.
        target: What it is restored to.
        comparison: Both side by side; None if nobody wants it.
        kernels: The estimated kernels; None if nobody wants them.
    """

    source: Path
    target: Path
    comparison: Path | None = None
    kernels: Path | None = None

    def outputs(self) -> list[Path]:
        """Every file that is wanted."""
        return [path for path in (self.target, self.comparison, self.kernels) if path is not None]


def plan(
    inputs: Sequence[str], out: Path, compare: bool = False, kernels: bool = False, picture_format: str = "png"
) -> list[Job]:
    """Find the pictures and videos, and give every output a name of its own below ``out``.

    A file of a folder keeps its place in it, one that is named alone goes to ``out`` itself. Pictures become PNGs,
    or JPEGs, videos MP4s: ``photo.jpg`` becomes ``photo.png``, or ``photo.jpg.png`` where another picture is called so.

    Args:
        inputs: Pictures, videos, folders, and patterns such as ``photos/**/*.jpg``. In folders, PNGs, JPEGs and videos
            by their names at any depth, but no hidden ones and nothing in ``out``.
        out: Folder of the results.
        compare: Whether comparisons are wanted, ``<name>_compare`` in the same format.
        kernels: Whether kernels are wanted, ``<name>_kernels.png``; of a video ``<name>.mp4_kernels.png``, since phones
            give the same name to a photo and a short video of it.
        picture_format: "png" or "jpg".

    Raises:
        OptionError: An input is not there, there is nothing to restore, two outputs would have one name, or an output
            that of an input.
    """
    found = [source for word in inputs for path in _expand(word) for source in _sources(path, out)]
    # What is named twice is restored once.
    sources = {os.path.abspath(source): (source, place) for source, place in reversed(found)}
    if not sources:
        raise OptionError(f"{', '.join(inputs)}: nothing to restore there; PNGs, JPEGs and videos are restored")
    taken: dict[Path, Path] = {}
    jobs = []
    # What keeps its name comes first.
    suffixes = {place: ".mp4" if is_video(place) else f".{picture_format}" for _, place in sources.values()}
    ordered = sorted((place.suffix.lower() != suffixes[place], source, place) for source, place in sources.values())
    for is_other, source, place in ordered:
        suffix = suffixes[place]
        target = out / place.with_suffix(suffix)
        if is_other and target in taken:
            target = out / place.with_name(f"{place.name}{suffix}")
        job = Job(
            source,
            target,
            target.with_name(f"{target.stem}_compare{suffix}") if compare else None,
            target.with_name(f"{target.name if is_video(place) else target.stem}_kernels.png") if kernels else None,
        )
        for path in job.outputs():
            if path in taken:
                raise OptionError(
                    f"{taken[path]} and {source} would both be written to {path}; restore them one after the other, "
                    "into two folders"
                )
            taken[path] = source
        jobs.append(job)
    _spare_inputs(jobs, out)
    return sorted(jobs, key=lambda job: job.target)


def _expand(word: str) -> list[Path]:
    """The paths that a pattern matches, or the one that is called so."""
    if os.path.lexists(word):
        return [Path(word)]
    matches = [Path(match) for match in sorted(glob.glob(word, recursive=True))]
    if not matches:
        raise OptionError(f"{word}: there is no such file or folder; check the path")
    return matches


def _sources(path: Path, out: Path) -> Iterator[tuple[Path, Path]]:
    """The pictures and videos at a path, and the place of each below the folder of the results."""
    if not path.is_dir():
        yield path, Path(path.name)
        return
    out = out.resolve()
    if path.resolve() == out:
        raise OptionError(f"{path} is a folder to restore and the one of the results; choose another for these")
    for folder, subfolders, names in os.walk(path):
        visible = [name for name in sorted(subfolders) if not name.startswith(".")]
        subfolders[:] = [name for name in visible if Path(folder, name).resolve() != out]
        for name in sorted(names):
            if name.lower().endswith((*EXTENSIONS, *VIDEO_EXTENSIONS)) and not name.startswith("."):
                source = Path(folder, name)
                yield source, source.relative_to(path)


def is_video(path: Path) -> bool:
    """Whether a file is one with a video, by its name."""
    return path.suffix.lower() in VIDEO_EXTENSIONS


def _spare_inputs(jobs: Sequence[Job], out: Path) -> None:
    inputs = {job.source.resolve() for job in jobs}
    for job in jobs:
        for path in job.outputs():
            if path.resolve() in inputs:
                raise OptionError(f"{path} is one of the files to restore; choose another folder than {out}")


def require_inside(path: Path, out: Path) -> None:
    """Refuse to write where links have led out of the folder of the results.

    Raises:
        DataError: They have.
    """
    if not path.parent.resolve().is_relative_to(out.resolve()):
        raise DataError(f"{path}: a link leads out of {out}; remove it")
