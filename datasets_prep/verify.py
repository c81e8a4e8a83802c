"""Checks a finished preparation: complete pairs, sizes that fit, and every image decodes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from datasets_prep.sources import SourceImage, find_side
from deeprftv2_arch.common.images import decode
from deeprftv2_arch.common.lmdb_io import read_keys, read_meta_info
from deeprftv2_arch.common.parallel import map_in_order
from deeprftv2_arch.common.partial_folder import metadata_path, partial_path, read_metadata
from deeprftv2_arch.errors import PreparationError, name_some


@dataclass(frozen=True)
class Pair:
    """The images of one key, one per side.

    Attributes:
        key: Their key.
        images: One per side.
        shapes: The shape that the metadata of each states, if it does.
        scales: How many times smaller than the ground truth each is.
    """

    key: str
    images: tuple[SourceImage, ...]
    shapes: tuple[tuple[int, int, int] | None, ...]
    scales: tuple[int, ...]


def is_begun(target: Path) -> bool:
    """Tell whether ``target`` was prepared or its preparation was interrupted."""
    return target.is_dir() or partial_path(target).is_dir()


@dataclass(frozen=True)
class _Side:
    """A finished database or folder.

    Attributes:
        target: Where it is.
        images: Those that it should hold, by key.
        shapes: The shapes that its meta_info.txt states; none for a folder.
        scale: How many times smaller than the ground truth its images are.
    """

    target: Path
    images: dict[str, SourceImage]
    shapes: dict[str, tuple[int, int, int]]
    scale: int


def _load_side(target: Path) -> tuple[_Side | None, list[str]]:
    """Load what is at ``target``, None if that cannot be read, and what is wrong with it, one line each."""
    is_lmdb = target.suffix == ".lmdb"
    try:
        images = find_side(target, str)
        shapes = read_meta_info(target) if is_lmdb else {}
        unlisted = sorted(read_keys(target) - images.keys()) if is_lmdb else []
        metadata = read_metadata(target)
    except PreparationError as error:
        return None, [str(error)]
    problems = []
    if unlisted:
        problems.append(f"{target}: not listed in meta_info.txt: {name_some(unlisted)}")
    entries = metadata.get("entries")
    if entries != len(images):
        problems.append(f"{target}: {len(images):,} images, {metadata_path(target).name} says {entries}")
    return _Side(target, images, shapes, metadata.get("settings", {}).get("scale", 1)), problems


def _find_lonely(sides: Sequence[_Side]) -> list[str]:
    """Name the images that one side has and another lacks, one line for each two sides."""
    problems = []
    for side in sides:
        for other in sides:
            lonely = sorted(side.images.keys() - other.images.keys())
            if lonely:
                problems.append(f"{side.target}: missing in {other.target}: {name_some(lonely)}")
    return problems


def _make_pairs(sides: Sequence[_Side]) -> list[Pair]:
    scales = tuple(side.scale for side in sides)
    return [
        Pair(key, tuple(side.images[key] for side in sides), tuple(side.shapes.get(key) for side in sides), scales)
        for key in sorted(set.intersection(*(set(side.images) for side in sides)))
    ]


def verify(targets: Sequence[Path], name: str, workers: int) -> tuple[int, list[str]]:
    """Check the sides of one split against each other and against their metadata.

    Args:
        targets: The finished databases or folders, one per side.
        name: What the progress bar calls them.
        workers: Number of processes.

    Returns:
        The number of pairs that were checked, none if a side cannot be read at all, and what is wrong, one line each.

    Raises:
        PreparationError: A side is not there.
    """
    for target in targets:
        if not target.is_dir():
            partial_note = "; its preparation was interrupted" if is_begun(target) else ""
            raise PreparationError(f"{target} is not there{partial_note}: run the same without --verify")
    loaded = [_load_side(target) for target in targets]
    problems = [problem for _, found in loaded for problem in found]
    sides = [side for side, _ in loaded if side is not None]
    if len(sides) < len(loaded):
        return 0, problems
    problems += _find_lonely(sides)
    pairs = _make_pairs(sides)
    for found in tqdm(map_in_order(check_pair, pairs, workers), desc=name, total=len(pairs), unit="pair"):
        problems += found
    return len(pairs), problems


def check_pair(pair: Pair) -> list[str]:
    """Decode the images of a pair; return what is wrong with them."""
    problems, sizes = [], set()
    for source, shape, scale in zip(pair.images, pair.shapes, pair.scales, strict=True):
        try:
            image = decode(source.read())
        except (PreparationError, OSError) as error:
            problems.append(f"{source} {error}")
            continue
        sizes.add((image.shape[0] * scale, image.shape[1] * scale))
        if shape is not None and image.shape != shape:
            problems.append(f"{source} has the shape {image.shape}, meta_info.txt says {shape}")
    if len(sizes) > 1:
        scaled = "" if max(pair.scales) == 1 else f", seen at x{max(pair.scales)}"
        listed = " and ".join(map(str, sorted(sizes)))
        problems.append(f"sizes differ within the pair {pair.key}{scaled}: {listed}")
    return problems
