"""Pairs of folders whose names differ: the first image of one belongs to the first of the other, and so on."""

import re
from collections.abc import Mapping
from pathlib import Path

from datasets_prep.sources import Side, Sides, SourceImage, find_side
from deeprftv2_arch.common.wording import name_some
from deeprftv2_arch.errors import PreparationError

ITS_NAMES_ARE_THE_KEYS = "its names are the keys"
BY_NAME = "by name"
BY_ORDER = "by sorted order, because the names differ"


def natural(stem: str) -> tuple[tuple[str | int, ...], str]:
    """Sorts names as people do, 9 before 10; names that differ in leading zeros only have an order, too."""
    parts = re.split(r"([0-9]+)", stem)
    return tuple(int(part) if at % 2 else part for at, part in enumerate(parts)), stem


def pair_in_order(root: Path, folders: Mapping[str, str]) -> Sides:
    """Pairs flat folders by name where all have the same names, else by sorted order.

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
    """Names that both have in common must pair with each other."""
    common = {image.path.stem for image in images} & {other.path.stem for other in others}
    for place, (image, other) in enumerate(zip(images, others, strict=True), 1):
        names = {image.path.stem, other.path.stem}
        if len(names) > 1 and names & common:
            raise PreparationError(
                f"by sorted order, {image} and {other} (number {place:,}) would be a pair, though one of them has "
                "another image of its own name: correct the names, or add what is missing"
            )
