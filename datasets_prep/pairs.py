"""Pictures of one's own: two folders of any names, paired by equal names, by a pattern, or by a list."""

import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from datasets_prep.data_set import DataSet, Split
from datasets_prep.pairing import BY_NAME, ITS_NAMES_ARE_THE_KEYS, made_from
from datasets_prep.sources import Side, Sides, SourceImage, by_key, find_side
from datasets_prep.views import CropRule
from deeprftv2_arch.common.image_format import EXTENSIONS
from deeprftv2_arch.common.listing import files_below
from deeprftv2_arch.common.name_template import expected_name, fitting_template
from deeprftv2_arch.errors import PreparationError, UnusableImagesError, name_some

PLAIN = "{}"  # the pattern of equal names
SPLITS = ("train", "val", "test")
# BasicSR's meta_info_file has the shape behind the name: 0001_s001.png (480,480,3)
_SHAPE = re.compile(r"\s+\([\d, ]+\).*$")


@dataclass(frozen=True)
class OwnPairs:
    """What the user says of two folders of pictures.

    Attributes:
        degraded: Folder (or LMDB) of the degraded images; None to make them smaller from the ground truth.
        truth: Folder (or LMDB) of the ground truth.
        pattern: Name of a degraded image whose ground truth is called ``{}``.
        pair_list: A file that lists the pairs, instead of names that match.
        scale: How many times smaller the degraded images are.
        split: What the pairs are for.
        val_count: So many of the last pairs, by name, are for validation instead.
        val_list: A file that lists the names of those that are.
    """

    degraded: Path | None
    truth: Path
    pattern: str = PLAIN
    pair_list: Path | None = None
    scale: int = 1
    split: str = "train"
    val_count: int = 0
    val_list: Path | None = None

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders that are read."""
        return (self.truth,) if self.degraded is None else (self.degraded, self.truth)

    @property
    def root(self) -> Path:
        """The folder that holds both."""
        return Path(os.path.commonpath([folder.absolute() for folder in self.folders]))

    @property
    def splits(self) -> tuple[str, ...]:
        """The parts that are to be made."""
        divides = self.val_count > 0 or self.val_list is not None
        return (self.split, "val") if divides and self.split != "val" else (self.split,)


def pairs_data_set(pairs: OwnPairs, crop: CropRule | None) -> DataSet:
    """Declare the data set that two folders are."""

    def find(root: Path, split: str, flags: frozenset[str]) -> Sides | None:
        return _part(_find(pairs), pairs, split)

    return DataSet(
        command="pairs",
        title=TITLE,
        description=DESCRIPTION,
        sides=("blur", "sharp") if pairs.scale == 1 else ("LRx{scale}", "HRx{scale}"),
        splits={name: Split(expected=None, cropped=name == "train", numbered=False) for name in SPLITS},
        default_splits=pairs.splits,
        crop=crop,
        find=find,
        scales=(pairs.scale,),
    )


def _find(pairs: OwnPairs) -> tuple[Side, Side]:
    """Find all pairs, the degraded side first."""
    truth = _images(pairs.truth)
    if pairs.degraded is None:
        found, rule = made_from(truth, pairs.scale), ""
    else:
        degraded = _images(pairs.degraded)
        if pairs.pair_list is None:
            found = _by_pattern(degraded, truth, pairs)
            rule = BY_NAME if pairs.pattern == PLAIN else f"by the pattern {pairs.pattern}"
        else:
            found, truth = _by_list(degraded, truth, pairs, pairs.pair_list)
            rule = f"by {pairs.pair_list.name}"
    low, high = (_shown(folder, pairs.root) for folder in (pairs.degraded or pairs.truth, pairs.truth))
    return (
        Side(found, low, pairs.scale, rule=rule and ITS_NAMES_ARE_THE_KEYS),
        Side(truth, high, multiple=pairs.scale, rule=rule),
    )


def _shown(folder: Path, root: Path) -> str:
    return Path(os.path.relpath(folder, root)).as_posix()


def _images(folder: Path) -> dict[str, SourceImage]:
    """Find the images of a folder at any depth, by their paths below it without extension, or those of an LMDB."""
    if not folder.is_dir():
        raise PreparationError(f"{folder} is not a folder: name the one that holds the images")
    if folder.suffix == ".lmdb":
        return find_side(folder, str)
    try:
        files = sorted(path for path in files_below(folder) if path.name.lower().endswith(EXTENSIONS))
    except OSError as error:
        raise PreparationError(f"{error.filename} cannot be read: {error.strerror}: check who may read it") from error
    visible = (path for path in files if not any(part[0] == "." for part in path.relative_to(folder).parts))
    images = by_key((path.relative_to(folder).with_suffix("").as_posix(), SourceImage(path)) for path in visible)
    if not images:
        raise PreparationError(f"{folder} holds no images ({', '.join(EXTENSIONS)}): name the folder that does")
    return images


def _by_pattern(
    degraded: dict[str, SourceImage], truth: dict[str, SourceImage], pairs: OwnPairs
) -> dict[str, SourceImage]:
    """Give the degraded images the names of their ground truth; those without one keep theirs."""
    names = {_expected(pairs.pattern, name): name for name in truth}
    found = by_key((names.get(name, name), image) for name, image in degraded.items())
    better = fitting_template(degraded, list(truth)) if found.keys() != truth.keys() else None
    if better is not None:
        raise PreparationError(
            f"the names in {pairs.degraded} and {pairs.truth} differ: --pattern '{better}' would pair them all"
        )
    return found


def _expected(pattern: str, name: str) -> str:
    try:
        return expected_name(pattern, name)
    except ValueError as error:
        raise PreparationError(f"--pattern {pattern!r}: write {{}} for the name of the ground truth") from error


def _by_list(
    degraded: dict[str, SourceImage], truth: dict[str, SourceImage], pairs: OwnPairs, path: Path
) -> tuple[dict[str, SourceImage], dict[str, SourceImage]]:
    """Pair what a list says; the names of the degraded images become the keys.

    Raises:
        PreparationError: The list is missing, empty or no text, or lines name what is not there or a pair twice.
    """
    found: dict[str, tuple[SourceImage, SourceImage]] = {}
    problems = []
    for number, line, names in _lines(path):
        # One name, as in BasicSR's meta_info_file, is that of the ground truth.
        fields = [_expected(pairs.pattern, names[0]), names[0]] if len(names) == 1 else names
        if len(fields) != 2:
            problems.append(
                f"line {number}: {line!r} is not '<degraded> <ground truth>' (with a tab between, if names have spaces)"
            )
            continue
        low, high = fields
        missing = [
            f"line {number}: {name} is not in {folder}"
            for name, images, folder in ((low, degraded, pairs.degraded), (high, truth, pairs.truth))
            if name not in images
        ]
        if low in found:
            missing.append(f"line {number}: {low} is listed twice")
        problems += missing
        if not missing:
            found[low] = degraded[low], truth[high]
    if problems:
        raise UnusableImagesError(f"{path}: correct the list, whose paths are relative to the two folders", problems)
    if not found:
        raise PreparationError(f"{path}: lists no pairs")
    return {key: pair[0] for key, pair in found.items()}, {key: pair[1] for key, pair in found.items()}


def _lines(path: Path) -> Iterator[tuple[int, str, list[str]]]:
    """Yield number, text and names, without extension, of every line that is not empty."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise PreparationError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise PreparationError(f"{path} is no text in UTF-8 (byte {error.start}): save it as such") from error
    for number, line in enumerate(text.splitlines(), 1):
        # Lists that were made on Windows have backslashes.
        names = _SHAPE.sub("", line.strip()).replace("\\", "/")
        fields = names.split("\t") if "\t" in names else names.split()
        if fields:
            yield number, line.strip(), [_name(field.strip()) for field in fields]


def _name(field: str) -> str:
    """Return the name of an image: without extension, and without ``./`` before it."""
    field = field.removeprefix("./")
    extension = next((end for end in EXTENSIONS if field.lower().endswith(end)), "")
    return field[: len(field) - len(extension)]


def _part(sides: tuple[Side, Side], pairs: OwnPairs, split: str) -> Sides | None:
    """Return the pairs of one split."""
    low, high = sides
    names = [name.format(scale=pairs.scale) for name in pairs_data_set(pairs, None).sides]
    if len(pairs.splits) == 1:
        return dict(zip(names, sides, strict=True))
    keys = _validation_keys(list(high.images), pairs)
    wanted = keys if split == "val" else (low.images.keys() | high.images.keys()) - keys
    label = f"{len(wanted & high.images.keys()):,} for {split}"
    return {
        name: Side(
            {key: image for key, image in side.images.items() if key in wanted},
            f"{side.where} ({label})",
            side.scale,
            side.multiple,
            side.rule,
        )
        for name, side in zip(names, sides, strict=True)
    }


def _validation_keys(keys: Collection[str], pairs: OwnPairs) -> set[str]:
    """Return the keys of the pairs for validation: those of the list, or the last ones by name.

    The last ones, not some of all: neighbours in a sequence are nearly the same picture.
    """
    if pairs.val_list is not None:
        chosen = {name for _, _, names in _lines(pairs.val_list) for name in names[:1]}
        unknown = sorted(chosen - set(keys))
        if unknown:
            raise PreparationError(f"{pairs.val_list}: there are no pairs of these names: {name_some(unknown)}")
    else:
        chosen = set(sorted(keys)[-pairs.val_count :])
    if not chosen or len(chosen) >= len(keys):
        raise PreparationError(
            f"{len(chosen):,} of {len(keys):,} pairs for validation leaves none for one of the two: choose others"
        )
    return chosen


TITLE = "pictures of your own: two folders, paired by names, a pattern or a list"
DESCRIPTION = """\
Two folders of any names, with PNGs and JPEGs at any depth, or two LMDBs:
  --blurred DIR --sharp DIR                 of equal sizes (also called --lq and --gt)
  --lq DIR --gt DIR --scale 4               of low and of high resolution
  --gt DIR --scale 4                        the low resolution is made, bit for bit as MATLAB's imresize makes it
An image and its ground truth are a pair if their names are equal (extensions do not count), or if they follow the
pattern: --pattern '{}_blur' pairs house_blur.jpg with house.png. A list (--pairs) says it where names do not: a line
for every pair, '<degraded> <ground truth>', relative to the two folders, or one name, as in BasicSR's meta_info_file.
Without a list, an image without a partner is refused. The result is
  OUT/train/{blur,sharp}.lmdb               or {LRx4,HRx4}.lmdb; crops with --crop
  OUT/val/{blur,sharp}.lmdb                 with --val or --val-list: whole images, not among those for training
Set dataroot_lq and dataroot_gt of an option file to these."""
