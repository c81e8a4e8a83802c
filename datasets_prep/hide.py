"""HIDE (Shen et al., ICCV 2019): blurred images of people, used to test networks trained on GoPro."""

from pathlib import Path

from datasets_prep.data_set import DataSet, Split
from datasets_prep.sources import Side, Sides, SourceImage, by_key, find_side, find_side_by_side, list_images
from datasets_prep.views import CropRule

_TEST_FOLDERS = ("test-close-ups", "test-long-shot")


def find(root: Path, split: str, flags: frozenset[str]) -> Sides | None:
    """Find the tree as downloaded, with one GT folder for both splits, else a repack."""
    folders = ["train"] if split == "train" else [f"test/{name}" for name in _TEST_FOLDERS]
    blurred = [path for folder in folders for path in list_images(root / folder)]
    if not blurred:
        return find_side_by_side(root, (split, f"{split}/HIDE", "."), (("input", "target"), ("blur", "sharp")), str)
    # The same GT folder serves both splits, so a sharp image that no blurred one asks for is not missed here.
    sharp = find_side(root / "GT", str)
    pairs = {path: (path.stem if split == "train" else f"{path.parent.name}/{path.stem}") for path in blurred}
    return {
        "blur": Side(by_key((key, SourceImage(path)) for path, key in pairs.items()), ", ".join(folders)),
        "sharp": Side(by_key((key, sharp[path.stem]) for path, key in pairs.items() if path.stem in sharp), "GT"),
    }


HIDE = DataSet(
    command="hide",
    title="HIDE: 2,025 test pairs (and 6,397 for training)",
    description="""\
ROOT is HIDE_dataset as downloaded:
  ROOT/train/*.png, ROOT/test/test-close-ups/*.png, ROOT/test/test-long-shot/*.png, ROOT/GT/*.png
or one of its repacks:
  ROOT/{train,test}/{input,target}/*.png, also as .lmdb
  ROOT/{train,test}/HIDE/{input,target}/...
  ROOT/{input,target}, ROOT/{input,target}.lmdb: of one split, named with --splits
The field tests on HIDE and does not train on it, so only the test split is prepared unless --splits asks for more.""",
    sides=("blur", "sharp"),
    splits={"train": Split(expected=6397, cropped=True), "test": Split(expected=2025, cropped=False)},
    default_splits=("test",),
    crop=CropRule(size=512, step=256),
    find=find,
)
