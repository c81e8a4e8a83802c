"""Which images and videos to restore, and where what becomes of them goes."""

import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deeprftv2_arch.errors import DataError, OptionError
from deeprftv2_arch.restoring.batch.sources import find_sources
from deeprftv2_arch.restoring.image_files import WRITTEN, has_alpha
from deeprftv2_arch.restoring.image_kinds import IMAGE_EXTENSIONS, READ
from deeprftv2_arch.restoring.videos.containers import VIDEO_EXTENSIONS

LONGEST_NAME = 255  # bytes, on the common file systems
VIDEO_SUFFIX = ".mp4"
_ENDINGS = {"png": (".png",), "jpg": (".jpg", ".jpeg"), "webp": (".webp",), "tif": (".tif", ".tiff")}


@dataclass(frozen=True)
class Part:
    """What one of several processes restores of a film: every ``count``-th block of frames, from one of a number on."""

    number: int = 0
    count: int = 1


class LeftToOthersError(DataError):
    """Other processes still restore their parts of a film, or one of them has completed it."""


@dataclass(frozen=True)
class Job:
    """An image or a video to restore, and the files that are wanted of it; None for one that is not.

    Attributes:
        source: The image or video.
        target: What it is restored to.
        comparison: Both side by side.
        kernels: The estimated kernels.
        part: What is to be restored of a video.
    """

    source: Path
    target: Path | None
    comparison: Path | None = None
    kernels: Path | None = None
    part: Part = Part()

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

        return Job(self.source, absent(self.target), absent(self.comparison), absent(self.kernels), self.part)


@dataclass
class Plan:
    """What there is to do.

    Attributes:
        folder: Where all results go.
        jobs: What can be restored, by the names of the results.
        failures: One line for every input that cannot.
        other_kinds: Files of folders that are neither images nor videos.
    """

    folder: Path
    jobs: list[Job] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    other_kinds: list[Path] = field(default_factory=list)


def plan(
    inputs: Sequence[str], out: Path, compare: bool = False, kernels: bool = False, image_format: str | None = None
) -> Plan:
    """Find the images and videos, and give every output a name of its own below ``out``.

    A file of a folder keeps its place in it, one that matches a pattern that below the folder with which the pattern
    begins, one that is named alone goes to ``out`` itself. Videos become MP4s. ``photo.jpg`` becomes ``photo.png``, or
    ``photo.jpg.png`` where another file beside it, or among the inputs, is to become that one as well; so no result
    is taken for that of another file.

    Args:
        inputs: Images, videos, folders, and patterns such as ``photos/**/*.jpg``. In folders, images and videos by
            their names at any depth, but no hidden ones and nothing in ``out``. What is named twice, or also by a
            link, is restored once.
        out: Folder of the results; or, for a single file that is named, the name of its result, told by its ending.
        compare: Whether comparisons are wanted, ``<name>_compare`` in the same format.
        kernels: Whether kernels are wanted, ``<name>_kernels.png``; of a video ``<name>.mp4_kernels.png``, since phones
            give the same name to a photo and a short video of it.
        image_format: "png", "jpg", "webp" or "tif"; by default that of the result's name, or else "png". Images with
            alpha become PNGs rather than JPEGs.

    Raises:
        OptionError: There is nothing to restore, or the name of the result does not suit it.
    """
    target = _named_target(inputs, out, image_format)
    folder = out if target is None else out.parent
    sources = find_sources(inputs, out)
    found = Plan(folder, failures=sources.failures, other_kinds=sources.other_kinds)
    originals = set(map(os.path.realpath, sources.places))
    places = {source: folder / place for source, place in sources.places.items()}
    twins = {folder: _restorable(folder) for folder in {source.parent for source in places}}
    wishes = Counter(_folded(_wish(source, place, image_format or "png")) for source, place in places.items())
    taken: dict[Path, Path] = {}
    for source, place in places.items():
        name = target or _wish(source, place, image_format or "png")
        is_own_name = target is not None or name.name == place.name
        if not is_own_name and (wishes[_folded(name)] > 1 or twins[source.parent][_kin(source)] > 1):
            name = place.with_name(f"{place.name}{name.suffix}")
        job = _job(source, name, place.name, compare, kernels)
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
        nothing = f"{', '.join(inputs)}: nothing to restore there; images ({READ}) and videos are restored"
        raise OptionError("; ".join(found.failures) or nothing)
    found.jobs.sort(key=Job.outputs)
    return found


def _named_target(inputs: Sequence[str], out: Path, image_format: str | None) -> Path | None:
    """Return ``out`` if it is the name of a result rather than of a folder.

    Raises:
        OptionError: It is that of an image, and the input is a video, or the other way round; or of a format that is
            not written, or another one than is asked for.
    """
    suffix = out.suffix.lower()
    is_name = suffix in (*WRITTEN, *IMAGE_EXTENSIONS, *VIDEO_EXTENSIONS)
    if not is_name or out.is_dir() or len(inputs) != 1 or not Path(inputs[0]).is_file():
        return None
    if suffix not in (*WRITTEN, VIDEO_SUFFIX) or is_video(Path(inputs[0])) != (suffix == VIDEO_SUFFIX):
        wanted = VIDEO_SUFFIX if is_video(Path(inputs[0])) else ", ".join(WRITTEN)
        raise OptionError(f"{out}: {inputs[0]} becomes no such file; end the name in {wanted}, or name a folder")
    if image_format is not None and suffix not in _ENDINGS[image_format]:
        raise OptionError(f"{out}: ends in {suffix}, but --format is {image_format}; change one of them")
    return out


def _wish(source: Path, place: Path, image_format: str) -> Path:
    """Return the name that a person expects of a result, if no other file is to have it."""
    if is_video(source):
        suffix = VIDEO_SUFFIX
    elif image_format == "jpg" and has_alpha(source):
        suffix = ".png"
    else:
        suffix = f".{image_format}"
    return place.with_name(f"{place.stem}{suffix}")


def _folded(path: Path) -> str:
    """Return a name that is the same for names that some systems take for the same."""
    return unicodedata.normalize("NFC", str(path)).casefold()


def _restorable(folder: Path) -> Counter[tuple[str, bool]]:
    """Count the images and the videos of a folder that are to have equal names, now or another time."""
    try:
        paths = [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError:
        return Counter()
    return Counter(_kin(path) for path in paths if path.suffix.lower() in (*IMAGE_EXTENSIONS, *VIDEO_EXTENSIONS))


def _kin(path: Path) -> tuple[str, bool]:
    return _folded(Path(path.stem)), is_video(path)


def _job(source: Path, target: Path, source_name: str, compare: bool, kernels: bool) -> Job:
    """Return what is to be written for a result of that name, and beside it."""
    kernels_stem = source_name if is_video(source) else target.stem
    return Job(
        source,
        _fitting(target, target.stem, target.suffix),
        _fitting(target, target.stem, f"_compare{target.suffix}") if compare else None,
        _fitting(target, kernels_stem, "_kernels.png") if kernels else None,
    )


def _fitting(beside: Path, stem: str, ending: str) -> Path:
    """Return a name of at most ``LONGEST_NAME`` bytes; a longer stem is cut, and told from others by a checksum."""
    room = LONGEST_NAME - len(os.fsencode(ending))
    encoded = os.fsencode(stem)
    if len(encoded) > room:
        checksum = f"-{hashlib.sha256(encoded).hexdigest()[:8]}"
        stem = encoded[: room - len(checksum)].decode("utf-8", "ignore") + checksum
    return beside.with_name(stem + ending)


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
