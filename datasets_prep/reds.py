"""REDS (Nah et al., CVPRW 2019): blurred and compressed frames of 270 clips."""

from pathlib import Path

from datasets_prep.data_set import DataSet, Split
from datasets_prep.sources import Side, Sides, SourceImage, by_key, list_images

_FRAMES = range(100)
_FRAMES_OF_300 = range(9, 100, 10)


def _keys(clips: int, frames: range) -> frozenset[str]:
    return frozenset(f"{clip:03d}/{frame:08d}" for clip in range(clips) for frame in frames)


_KEYS = {"train": _keys(240, _FRAMES), "val": _keys(30, _FRAMES), "val300": _keys(30, _FRAMES_OF_300)}


def _find_side(root: Path, folder: str) -> dict[str, SourceImage]:
    clips = sorted(path for path in (root / folder).glob("*") if path.is_dir())
    return by_key((f"{clip.name}/{path.stem}", SourceImage(path)) for clip in clips for path in list_images(clip))


def find(root: Path, split: str, flags: frozenset[str]) -> Sides | None:
    """Find all frames of the training or validation clips, or those of the validation clips that make REDS-val-300."""
    part = "train" if split == "train" else "val"
    sides = {}
    for side, folder in (("blur", f"{part}/{part}_blur_jpeg"), ("sharp", f"{part}/{part}_sharp")):
        images, where = _find_side(root, folder), f"{folder}/<clip>"
        if split == "val300":
            images = {key: image for key, image in images.items() if key in _KEYS[split]}
            where += " (frames 9, 19, ..., 99)"
        sides[side] = Side(images, where)
    return sides


REDS = DataSet(
    command="reds",
    title="REDS: 24,000 training and 3,000 validation pairs, 300 of which are REDS-val-300",
    description="""\
ROOT holds REDS as downloaded, or one half of it (train or val):
  ROOT/{train,val}/{train,val}_blur_jpeg/000/00000000.jpg
  ROOT/{train,val}/{train,val}_sharp/000/00000000.png
Images pair by clip and frame; keys are e.g. 000/00000009. Clips of val have numbers that clips of train have, too, so
the two are never put together. The result is, of whole images,
  OUT/{train,val}/{blur,sharp}.lmdb    JPEGs are stored as they are, with --folders as PNGs
  OUT/val300/{blur,sharp}.lmdb         frames 9, 19, ..., 99 of the clips of val: REDS-val-300, which the field tests on
What ROOT does not hold is left out, unless --splits asks for it.""",
    sides=("blur", "sharp"),
    splits={name: Split(expected=len(keys), cropped=False, keys=keys) for name, keys in _KEYS.items()},
    default_splits=None,
    crop=None,
    find=find,
)
