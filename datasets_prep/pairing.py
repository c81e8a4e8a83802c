"""How images pair where equal names alone do not say it.

By a list that comes with the data set (:func:`read_pair_list``), by their sorted order (:func:``pair_in_order`), or by
names that also hold the scale (:func:`truth_key``, :func:``low_key`).
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

from datasets_prep.sources import Side, Sides, SourceImage, find_side
from deeprftv2_arch.errors import PreparationError, UnusableImagesError, name_some

ITS_NAMES_ARE_THE_KEYS = "its names are the keys"
BY_NAME = "by name"
BY_ORDER = "by sorted order, because the names differ"
_TRUTH_SUFFIX = re.compile(r"_HR_x\d+$")
KeyOf = Callable[[PurePosixPath, PurePosixPath], str | None]
"""(sharp path, blurred path) -> key of the pair, None if the line cannot be one of this list."""


def _read_lines(path: Path, key_of: KeyOf) -> Iterator[tuple[int, str, str | None, list[PurePosixPath]]]:
    """Yield number, text, key (None where it is malformed) and paths of every line that is not empty."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise PreparationError(f"{path} cannot be read: {error.strerror}; it says which images are pairs") from error
    except UnicodeDecodeError as error:
        raise PreparationError(f"{path} is no text in UTF-8 (byte {error.start}): download it again") from error
    for number, line in enumerate(text.splitlines(), 1):
        # Lists that were made on Windows have backslashes.
        fields = [PurePosixPath(name) for name in line.replace("\\", "/").split()]
        if fields:
            yield number, line.strip(), key_of(*fields) if len(fields) == 2 else None, fields


def read_keys_of_list(path: Path, key_of: KeyOf) -> set[str]:
    """Read the keys of the lines of a list that are not malformed, whether their images are there or not.

    Raises:
        PreparationError: The list is missing or no text.
    """
    return {key for _, _, key, _ in _read_lines(path, key_of) if key is not None}


def read_pair_list(path: Path, key_of: KeyOf) -> dict[str, tuple[SourceImage, SourceImage]]:
    """Read the pair of every line: key -> (sharp, blurred) image.

    Args:
        path: The list; its paths are relative to the folder that it lies in. Empty lines are passed over.
        key_of: Says which key the pair of a line has.

    Raises:
        PreparationError: The list is missing, empty or no text, or lines of it are malformed, repeat a key or name
            images that are not there; all of them are named.
    """
    pairs: dict[str, tuple[SourceImage, SourceImage]] = {}
    first_lines: dict[str, int] = {}
    problems = []
    for number, line, key, fields in _read_lines(path, key_of):
        if key is None:
            problems.append(f"line {number}: {line!r} is not '<sharp path> <blurred path>'")
            continue
        if key in first_lines:
            problems.append(f"line {number}: {key} is there already, in line {first_lines[key]}")
            continue
        first_lines[key] = number
        sharp, blurred = (path.parent / name for name in fields)
        problems += [f"line {number}: {file} is missing" for file in (sharp, blurred) if not file.is_file()]
        pairs[key] = SourceImage(sharp), SourceImage(blurred)
    if problems:
        raise UnusableImagesError(f"{path}: the list or the tree is incomplete, correct them", problems)
    if not pairs:
        raise PreparationError(f"{path} is empty, but says which images are pairs: download it again")
    return pairs


def natural(stem: str) -> tuple[tuple[str | int, ...], str]:
    """Return what sorts names as people do, 9 before 10; names that differ in leading zeros only have an order, too."""
    parts = re.split(r"([0-9]+)", stem)
    return tuple(int(part) if at % 2 else part for at, part in enumerate(parts)), stem


def pair_in_order(root: Path, folders: Mapping[str, str]) -> Sides:
    """Pair flat folders by name where all have the same names, else by sorted order.

    Args:
        root: The user's folder.
        folders: Side -> folder below it. The names of the first become the keys.

    Raises:
        PreparationError: The names differ, and so do the counts; or a name that two folders have in common is not at
            the same place in both. By order, images that do not belong together would become pairs.
    """
    found = {side: find_side(root / folder, str) for side, folder in folders.items()}
    names = {side: sorted(images, key=natural) for side, images in found.items()}
    (first, keys), *others = names.items()
    sides = {first: Side(found[first], folders[first], rule=ITS_NAMES_ARE_THE_KEYS)}
    for side, other in others:
        if other == keys:
            sides[side] = Side(found[side], folders[side], rule=BY_NAME)
            continue
        _require_equal_counts(sides[first], Side(found[side], folders[side]))
        _require_same_places([found[first][name] for name in keys], [found[side][name] for name in other])
        images = {key: found[side][name] for key, name in zip(keys, other, strict=True)}
        sides[side] = Side(images, folders[side], rule=BY_ORDER)
    return sides


def _require_equal_counts(one: Side, other: Side) -> None:
    if len(one.images) == len(other.images):
        return
    text = (
        f"{one.where} and {other.where} have {len(one.images):,} and {len(other.images):,} images: their names "
        "differ, so they pair by sorted order, which takes as many of the one as of the other"
    )
    both = one.images | other.images
    alone = sorted(one.images.keys() ^ other.images.keys(), key=natural)
    if len(alone) < len(both):
        text += f"; without an image of the same name: {name_some([str(both[name]) for name in alone])}"
    raise PreparationError(f"{text}; add what is missing or take away what is too many")


def _require_same_places(images: list[SourceImage], others: list[SourceImage]) -> None:
    """Refuse names that both have in common and that do not pair with each other."""
    common = {image.path.stem for image in images} & {other.path.stem for other in others}
    for place, (image, other) in enumerate(zip(images, others, strict=True), 1):
        names = {image.path.stem, other.path.stem}
        if len(names) > 1 and names & common:
            raise PreparationError(
                f"by sorted order, {image} and {other} (number {place:,}) would be a pair, though one of them has "
                "another image of its own name: correct the names, or add what is missing"
            )


def truth_key(stem: str) -> str:
    """Turn ``baby_HR_x4`` into ``baby``; keep other stems."""
    return _TRUTH_SUFFIX.sub("", stem)


def low_key(stem: str, scale: int) -> str:
    """Turn ``babyx4`` and ``baby_LRBI_x4`` into ``baby`` at scale 4; keep other stems."""
    return re.sub(rf"(_LRBI_)?x{scale}$", "", stem)


def made_from(truth: dict[str, SourceImage], scale: int) -> dict[str, SourceImage]:
    """Name the low-resolution images that the engine makes from those of the ground truth."""
    return {key: replace(image, shrink=scale) for key, image in truth.items()}
