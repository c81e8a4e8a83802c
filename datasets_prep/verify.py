"""Checks a finished preparation: complete pairs, sizes that fit, and every picture decodes."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tqdm import tqdm

from datasets_prep.errors import PreparationError
from datasets_prep.lmdb_reader import read_keys, read_meta_info
from datasets_prep.parallel import map_in_order
from datasets_prep.partial_folder import metadata_path, read_metadata
from datasets_prep.pictures import decode
from datasets_prep.sources import Picture, find_side
from datasets_prep.wording import name_some


@dataclass(frozen=True)
class Pair:
    """The pictures of one key, one per side.

    Attributes:
        key: Their key.
        pictures: One per side.
        shapes: The shape that the metadata of each states, if it does.
        scales: How many times smaller than the ground truth each is.
    """

    key: str
    pictures: tuple[Picture, ...]
    shapes: tuple[tuple[int, int, int] | None, ...]
    scales: tuple[int, ...]


def _partial(target: Path) -> Path:
    return target.with_name(target.name + ".partial")


def is_begun(target: Path) -> bool:
    """True where `target` was prepared or its preparation was interrupted."""
    return target.is_dir() or _partial(target).is_dir()


def verify(targets: Sequence[Path], name: str, workers: int) -> tuple[int, list[str]]:
    """Checks the sides of one split against each other and against their metadata.

    Args:
        targets: The finished databases or folders, one per side.
        name: What the progress bar calls them.
        workers: Number of processes.

    Returns:
        The number of pairs, and what is wrong, one line each.
    """
    problems: list[str] = []
    sides: list[dict[str, Picture]] = []
    shapes: list[dict[str, tuple[int, int, int]]] = []
    scales: list[int] = []
    for target in targets:
        if not target.is_dir():
            partial_note = "; its preparation was interrupted" if is_begun(target) else ""
            raise PreparationError(f"{target} is not there{partial_note}: run the same without --verify")
        is_lmdb = target.suffix == ".lmdb"
        sides.append(find_side(target, str))
        shapes.append(read_meta_info(target) if is_lmdb else {})
        if is_lmdb:
            unlisted = sorted(read_keys(target) - sides[-1].keys())
            if unlisted:
                problems.append(f"{target}: not listed in meta_info.txt: {name_some(unlisted)}")
        metadata = read_metadata(target)
        scales.append(metadata.get("settings", {}).get("scale", 1))
        entries = metadata.get("entries")
        if entries != len(sides[-1]):
            problems.append(f"{target}: {len(sides[-1]):,} pictures, {metadata_path(target).name} says {entries}")
    for target, side in zip(targets, sides, strict=True):
        for other_target, other in zip(targets, sides, strict=True):
            lonely = sorted(side.keys() - other.keys())
            if lonely:
                problems.append(f"{target}: missing in {other_target}: {name_some(lonely)}")
    keys = sorted(set.intersection(*(set(side) for side in sides)))
    pairs = [
        Pair(key, tuple(side[key] for side in sides), tuple(known.get(key) for known in shapes), tuple(scales))
        for key in keys
    ]
    for found in tqdm(map_in_order(partial(check_pair), pairs, workers), desc=name, total=len(pairs), unit="pair"):
        problems += found
    return len(pairs), problems


def check_pair(pair: Pair) -> list[str]:
    """Decodes the pictures of a pair; returns what is wrong with them."""
    problems, sizes = [], set()
    for picture, shape, scale in zip(pair.pictures, pair.shapes, pair.scales, strict=True):
        try:
            image = decode(picture.read())
        except (PreparationError, OSError) as error:
            problems.append(f"{picture} {error}")
            continue
        sizes.add((image.shape[0] * scale, image.shape[1] * scale))
        if shape is not None and image.shape != shape:
            problems.append(f"{picture} has the shape {image.shape}, meta_info.txt says {shape}")
    if len(sizes) > 1:
        scaled = "" if max(pair.scales) == 1 else f", seen at x{max(pair.scales)}"
        listed = " and ".join(map(str, sorted(sizes)))
        problems.append(f"sizes differ within the pair {pair.key}{scaled}: {listed}")
    return problems
