"""GoPro (Nah et al., CVPR 2017): blurred frames of 33 sequences, averaged from high-speed video."""

import re
from pathlib import Path

from datasets_prep.data_set import DataSet, Split
from datasets_prep.sources import Side, Sides, SourceImage, by_key, find_side_by_side, list_images
from datasets_prep.views import CropRule

_REPACKED = re.compile(r"(?P<sequence>GOPR\d{4}_\d{2}_\d{2})[-_](?P<frame>\d+)")


def key_of(stem: str) -> str:
    """Turn ``GOPR0372_07_00-000047`` and ``GOPR0372_07_00_000047`` into ``GOPR0372_07_00/000047``; keep other stems."""
    match = _REPACKED.fullmatch(stem)
    return f"{match['sequence']}/{match['frame']}" if match else stem


def _find_sequences(root: Path, split: str, blur: str) -> Sides | None:
    """Find the tree as downloaded: ``<split>/<sequence>/{blur,blur_gamma,sharp}/<frame>.png``."""
    sequences = sorted(
        {folder.parent for name in ("blur", "blur_gamma", "sharp") for folder in (root / split).glob(f"*/{name}")}
    )
    if not sequences:
        return None
    return {
        side: Side(
            by_key(
                (f"{sequence.name}/{path.stem}", SourceImage(path))
                for sequence in sequences
                for path in list_images(sequence / folder)
            ),
            f"{split}/<sequence>/{folder}",
        )
        for side, folder in (("blur", blur), ("sharp", "sharp"))
    }


def find(root: Path, split: str, flags: frozenset[str]) -> Sides | None:
    """Find the tree as downloaded, else, unless gamma is asked for, one of the repacks."""
    gamma = "gamma" in flags
    sides = _find_sequences(root, split, "blur_gamma" if gamma else "blur")
    if sides is None and not gamma:
        sides = find_side_by_side(
            root, (split, f"{split}/GoPro", "."), (("input", "target"), ("blur", "sharp")), key_of
        )
    return sides


GOPRO = DataSet(
    command="gopro",
    title="GoPro: 2,103 training and 1,111 test pairs",
    description="""\
ROOT is GOPRO_Large as downloaded:
  ROOT/{train,test}/GOPR0372_07_00/{blur,blur_gamma,sharp}/000047.png
or one of its repacks:
  ROOT/{train,test}/{input,target}/GOPR0372_07_00-000047.png
  ROOT/{train,test}/{blur,sharp}/GOPR0372_07_00_000047.png
  ROOT/{train,test}/GoPro/{input,target}/...
  ROOT/{train,test}/{input,target}.lmdb
  ROOT/{input,target}, ROOT/{input,target}.lmdb: of one split, named with --splits
All of them give the same keys, e.g. GOPR0372_07_00/000047 and, for its third crop, GOPR0372_07_00/000047_s003.""",
    sides=("blur", "sharp"),
    splits={"train": Split(expected=2103, cropped=True), "test": Split(expected=1111, cropped=False)},
    default_splits=("train", "test"),
    crop=CropRule(size=512, step=256),
    find=find,
    flags={"gamma": "take the images of blur_gamma instead of those of blur, which the field uses"},
)
