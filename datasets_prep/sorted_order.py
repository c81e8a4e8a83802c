"""Pairs of folders whose names differ: the first picture of one belongs to the first of the other, and so on."""

import re
from collections.abc import Mapping
from pathlib import Path

from datasets_prep.errors import PreparationError
from datasets_prep.sources import Picture, Side, Sides, find_side
from datasets_prep.wording import name_some

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
            the same place in both. By order, pictures that do not belong together would become pairs.
    """
    found = {side: find_side(root / folder, str) for side, folder in folders.items()}
    names = {side: sorted(pictures, key=natural) for side, pictures in found.items()}
    (first, keys), *others = names.items()
    sides = {first: Side(found[first], folders[first], rule=ITS_NAMES_ARE_THE_KEYS)}
    for side, other in others:
        if other == keys:
            sides[side] = Side(found[side], folders[side], rule=BY_NAME)
            continue
        _require_equal_counts(sides[first], Side(found[side], folders[side]))
        _require_same_places([found[first][name] for name in keys], [found[side][name] for name in other])
        pictures = {key: found[side][name] for key, name in zip(keys, other, strict=True)}
        sides[side] = Side(pictures, folders[side], rule=BY_ORDER)
    return sides


def _require_equal_counts(one: Side, other: Side) -> None:
    if len(one.pictures) == len(other.pictures):
        return
    text = (
        f"{one.where} and {other.where} have {len(one.pictures):,} and {len(other.pictures):,} pictures: their names "
        "differ, so they pair by sorted order, which takes as many of the one as of the other"
    )
    both = one.pictures | other.pictures
    alone = sorted(one.pictures.keys() ^ other.pictures.keys(), key=natural)
    if len(alone) < len(both):
        text += f"; without a picture of the same name: {name_some([str(both[name]) for name in alone])}"
    raise PreparationError(f"{text}; add what is missing or take away what is too many")


def _require_same_places(pictures: list[Picture], others: list[Picture]) -> None:
    """Names that both have in common must pair with each other."""
    common = {picture.path.stem for picture in pictures} & {other.path.stem for other in others}
    for place, (picture, other) in enumerate(zip(pictures, others, strict=True), 1):
        names = {picture.path.stem, other.path.stem}
        if len(names) > 1 and names & common:
            raise PreparationError(
                f"by sorted order, {picture} and {other} (number {place:,}) would be a pair, though one of them has "
                "another picture of its own name: correct the names, or add what is missing"
            )
