"""Which images and videos to restore, and where what becomes of them goes."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deeprftv2_arch.common.image_format import EXTENSIONS
from deeprftv2_arch.errors import DataError, OptionError
from deeprftv2_arch.restoring.image_files import has_alpha
from deeprftv2_arch.restoring.video_reading import VIDEO_EXTENSIONS

WILDCARDS = frozenset("*?[")


@dataclass(frozen=True)
class Job:
    """An image or a video to restore.

    Attributes:
        source: The image or video.
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
    found = Plan()
    places = _once([source for word in inputs for source in _sources(word, out, found)])
    sources = set(map(os.path.realpath, places))
    taken: dict[Path, Path] = {}
    for source, place in places.items():
        job = _job(source, out / place, compare, kernels, image_format)
        clash = next((path for path in job.outputs() if path in taken), None)
        spoilt = next((path for path in job.outputs() if os.path.realpath(path) in sources), None)
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
    found.jobs.sort(key=lambda job: job.target)
    return found


def _once(found: Sequence[tuple[Path, Path]]) -> dict[Path, Path]:
    """Sources and places without those that are another one by another name; what is no link comes first."""
    first: dict[str, tuple[Path, Path]] = {}
    for source, place in sorted(found, key=lambda pair: os.path.realpath(pair[0]) != os.path.abspath(pair[0])):
        first.setdefault(os.path.realpath(source), (source, place))
    return dict(first.values())


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


def _sources(word: str, out: Path, found: Plan) -> Iterator[tuple[Path, Path]]:
    """The images and videos of an input, and the place of each below the folder of the results."""
    matches = list(_expand(word, os.path.realpath(out)))
    if not matches:
        found.failures.append(f"{word}: there is no such file or folder; check the path")
    for path, place in matches:
        if not os.path.isdir(path):
            yield path, place
        elif os.path.realpath(path) == os.path.realpath(out):
            found.failures.append(f"{path} is a folder to restore and the one of the results; choose another for these")
        else:
            yield from ((source, place / source.relative_to(path)) for source in _in_folder(path, out, found))


def _expand(word: str, out: str) -> Iterator[tuple[Path, Path]]:
    """What is called so, or what the pattern matches, with its place below the folder with which the pattern begins."""
    path = Path(word)
    if os.path.lexists(path):
        yield path, Path() if os.path.isdir(path) else Path(path.name)
        return
    fixed = next((number for number, part in enumerate(path.parts) if WILDCARDS & set(part)), len(path.parts))
    folder = Path(*path.parts[:fixed])
    # Two asterisks are more than one only where they are alone; pathlib would refuse them elsewhere.
    pattern = [part if part == "**" else re.sub(r"\*+", "*", part) for part in path.parts[fixed:]]
    # Unlike the module glob, pathlib follows no links at "**", which may lead in circles, but finds hidden files.
    for match in sorted(folder.glob("/".join(pattern))) if pattern else []:
        place = match.relative_to(folder)
        is_hidden = any(part.startswith(".") for part in place.parts)
        if not is_hidden and not Path(os.path.realpath(match)).is_relative_to(out):
            yield match, place


def _in_folder(path: Path, out: Path, found: Plan) -> Iterator[Path]:
    def fail(error: OSError) -> None:
        found.failures.append(f"{error.filename}: cannot be read: {error.strerror}")

    for folder, subfolders, names in os.walk(path, onerror=fail):
        visible = [name for name in sorted(subfolders) if not name.startswith(".")]
        subfolders[:] = [name for name in visible if os.path.realpath(Path(folder, name)) != os.path.realpath(out)]
        for name in sorted(names):
            source = Path(folder, name)
            if name.startswith("."):
                continue
            if name.lower().endswith((*EXTENSIONS, *VIDEO_EXTENSIONS)):
                yield source
            else:
                found.other_kinds.append(source)


def is_video(path: Path) -> bool:
    """Whether a file is one with a video, by its name."""
    return path.suffix.lower() in VIDEO_EXTENSIONS


def require_inside(path: Path, out: Path) -> None:
    """Refuse to write where links have led out of the folder of the results.

    Raises:
        DataError: They have.
    """
    if not path.parent.resolve().is_relative_to(out.resolve()):
        raise DataError(f"{path}: a link leads out of {out}; remove it")
