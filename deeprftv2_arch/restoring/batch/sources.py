"""Finding the images and videos to restore: files by name, folders, and patterns."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deeprftv2_arch.restoring.image_kinds import IMAGE_EXTENSIONS
from deeprftv2_arch.restoring.videos.containers import VIDEO_EXTENSIONS

WILDCARDS = frozenset("*?[")


@dataclass
class Sources:
    """What there is to restore.

    Attributes:
        places: Every image and video, and its place below the folder of the results.
        failures: One line for every input that cannot be restored.
        other_kinds: Files of folders that are neither images nor videos.
    """

    places: dict[Path, Path] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    other_kinds: list[Path] = field(default_factory=list)


def find_sources(inputs: Sequence[str], out: Path) -> Sources:
    """Find the images and videos.

    Args:
        inputs: Images, videos, folders, and patterns; see :func:`~deeprftv2_arch.restoring.batch.plan.plan`.
        out: Folder of the results, in which nothing is looked for.
    """
    sources, results = Sources(), Path(os.path.realpath(out))
    found: list[tuple[Path, Path]] = []
    for word in inputs:
        matches = _named(word) or _matching(word, results)
        if not matches:
            sources.failures.append(f"{word}: there is no such file or folder; check the path")
        for path, place in matches:
            if not path.is_dir():
                found.append((path, place))
            elif _is_same(path, results):
                sources.failures.append(
                    f"{path} is a folder to restore and the one of the results; choose another for these"
                )
            else:
                found += [(source, place / source.relative_to(path)) for source in _in_folder(path, results, sources)]
    sources.places = _once(found)
    return sources


def _named(word: str) -> list[tuple[Path, Path]]:
    """Return the file or folder that is called so, if there is one, and its place: of a folder the top."""
    path = Path(word)
    return [(path, Path() if path.is_dir() else Path(path.name))] if os.path.lexists(path) else []


def _matching(word: str, results: Path) -> list[tuple[Path, Path]]:
    """Return what matches a pattern, each with its place below the folder with which the pattern begins.

    Hidden files and what is in the folder of the results are left out.
    """
    parts = Path(word).parts
    fixed = next((number for number, part in enumerate(parts) if WILDCARDS & set(part)), len(parts))
    folder = Path(*parts[:fixed])
    # Two asterisks are more than one only where they are alone; pathlib would refuse them elsewhere.
    pattern = "/".join(part if part == "**" else re.sub(r"\*+", "*", part) for part in parts[fixed:])
    # Unlike the module glob, pathlib follows no links at "**", which may lead in circles, but finds hidden files.
    matches = [(match, match.relative_to(folder)) for match in sorted(folder.glob(pattern))] if pattern else []
    return [
        (match, place)
        for match, place in matches
        if not any(map(_is_hidden, place.parts)) and not Path(os.path.realpath(match)).is_relative_to(results)
    ]


def _in_folder(path: Path, results: Path, sources: Sources) -> Iterator[Path]:
    """Yield the images and videos of a folder, at any depth; note what cannot be read and what is of other kinds."""

    def fail(error: OSError) -> None:
        sources.failures.append(f"{error.filename}: cannot be read: {error.strerror}")

    for folder, subfolders, names in os.walk(path, onerror=fail):
        visible = [name for name in sorted(subfolders) if not _is_hidden(name)]
        subfolders[:] = [name for name in visible if not _is_same(Path(folder, name), results)]
        for name in sorted(names):
            if _is_hidden(name):
                continue
            if name.lower().endswith((*IMAGE_EXTENSIONS, *VIDEO_EXTENSIONS)):
                yield Path(folder, name)
            else:
                sources.other_kinds.append(Path(folder, name))


def _once(found: Sequence[tuple[Path, Path]]) -> dict[Path, Path]:
    """Return sources and places without those that are another one by another name; what is no link comes first."""
    first: dict[str, tuple[Path, Path]] = {}
    # abspath, since Path.resolve would follow links
    for source, place in sorted(found, key=lambda pair: os.path.realpath(pair[0]) != os.path.abspath(pair[0])):  # noqa: PTH100
        first.setdefault(os.path.realpath(source), (source, place))
    return dict(first.values())


def _is_hidden(name: str) -> bool:
    return name.startswith(".")


def _is_same(path: Path, results: Path) -> bool:
    return os.path.realpath(path) == str(results)
