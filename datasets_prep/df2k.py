"""DF2K = DIV2K (Agustsson and Timofte, CVPRW 2017) + Flickr2K (Lim et al., CVPRW 2017): training super-resolution."""

from functools import partial
from pathlib import Path

from datasets_prep.data_set import DataSet, Split
from datasets_prep.pairing import low_key, made_from
from datasets_prep.sources import Side, Sides, SourceImage, find_side
from datasets_prep.views import CropRule

_SCALES = (2, 3, 4)
# Crops that lie on multiples of this lie on whole pixels at every scale, so that one ground truth serves all.
_MULTIPLE = 12
_FOLDERS = {
    "DIV2K": ("DIV2K/DIV2K_train_HR", "DIV2K/DIV2K_train_LR_bicubic"),
    "Flickr2K": ("Flickr2K/Flickr2K_HR", "Flickr2K/Flickr2K_LR_bicubic"),
}


def _key(part: str, scale: int, stem: str) -> str:
    return f"{part}/{low_key(stem, scale) if scale > 1 else stem}"


def find(root: Path, split: str, flags: frozenset[str]) -> Sides | None:
    """Find both sets, or the one that is there; where one has no low resolution at a scale, it is to be made."""
    truth: dict[str, SourceImage] = {}
    truth_folders: list[str] = []
    low: dict[int, dict[str, SourceImage]] = {scale: {} for scale in _SCALES}
    low_folders: dict[int, list[str]] = {scale: [] for scale in _SCALES}
    for part, (truth_folder, low_folder) in _FOLDERS.items():
        sharp = find_side(root / truth_folder, partial(_key, part, 1))
        small = {scale: find_side(root / low_folder / f"X{scale}", partial(_key, part, scale)) for scale in _SCALES}
        if not sharp and not any(small.values()):
            continue
        truth |= sharp
        truth_folders.append(truth_folder)
        for scale in _SCALES:
            low[scale] |= small[scale] or made_from(sharp, scale)
            low_folders[scale].append(f"{low_folder}/X{scale}" if small[scale] else truth_folder)
    if not truth_folders:
        return None
    sides = {f"LRx{scale}": Side(low[scale], " and ".join(low_folders[scale]), scale) for scale in _SCALES}
    return {**sides, "HR": Side(truth, " and ".join(truth_folders), multiple=_MULTIPLE)}


DF2K = DataSet(
    command="df2k",
    title="DF2K = DIV2K + Flickr2K: 800 + 2,650 training images of super-resolution",
    description="""\
ROOT holds the two sets as downloaded, or one of them:
  ROOT/DIV2K/DIV2K_train_HR/0001.png
  ROOT/DIV2K/DIV2K_train_LR_bicubic/X2/0001x2.png
  ROOT/Flickr2K/Flickr2K_HR/000001.png
  ROOT/Flickr2K/Flickr2K_LR_bicubic/X2/000001x2.png
also with X3 and X4. A set that has no images at a scale gets them made from its ground truth, bit for bit as MATLAB's
bicubic imresize makes them. The result is
  OUT/train/HR.lmdb                      crops, e.g. DIV2K/0001_s001
  OUT/train/{LRx2,LRx3,LRx4}.lmdb        the same crops, so many times smaller
Height and width of the ground truth are first cut to multiples of 12; thus one HR serves all scales, and a scale that
is added later leaves it as it is.""",
    sides=("LRx{scale}", "HR"),
    splits={"train": Split(expected=3450, cropped=True, parts={"DIV2K": 800, "Flickr2K": 2650})},
    default_splits=("train",),
    crop=CropRule(size=480, step=240),
    find=find,
    scales=_SCALES,
)
