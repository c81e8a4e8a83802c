"""RealBlur (Rim et al., ECCV 2020): real blurred images with aligned sharp ones, from JPEG (J) and raw (R) files."""

import re
from pathlib import Path, PurePosixPath

from datasets_prep.data_set import DataSet, Split
from datasets_prep.pairing import read_keys_of_list, read_pair_list
from datasets_prep.sources import Side, Sides, find_side_by_side
from deeprftv2_arch.errors import PreparationError, name_some

_FOLDERS = {
    "RealBlur_J": "RealBlur-J_ECC_IMCORR_centroid_itensity_ref",  # "itensity" is what the folder is called
    "RealBlur_R": "RealBlur-R_BM3D_ECC_IMCORR_centroid_itensity_ref",
}
_PAIRS = {"train": 3758, "test": 980}
_REPACKED = re.compile(r"(?P<scene>scene\d+)[-_](blur|gt)_(?P<number>\d+)")


def key_of_line(sharp: PurePosixPath, blurred: PurePosixPath) -> str | None:
    """Turn ``<folder>/scene001/gt/gt_1.png`` and ``<folder>/scene001/blur/blur_1.png`` into ``scene001/blur_1``."""
    scene = blurred.parent.parent
    is_pair = (sharp.parent, blurred.parent) == (scene / "gt", scene / "blur")
    return f"{scene.name}/{blurred.stem}" if is_pair and scene.name else None


def key_of_stem(stem: str) -> str:
    """Turn ``scene001-blur_1``, ``scene001_blur_1`` (or ``gt``) into ``scene001/blur_1``; keep other stems."""
    match = _REPACKED.fullmatch(stem)
    return f"{match['scene']}/blur_{match['number']}" if match else stem


def _list_name(subset: str, part: str) -> str:
    return f"{subset}_{part}_list.txt"


def _find_repack(root: Path, subset: str, part: str) -> Sides | None:
    bases = (f"{subset}/{part}", f"{part}/{subset}", subset, ".")
    sides = find_side_by_side(root, bases, (("input", "target"), ("blur", "sharp")), key_of_stem)
    pair_list = root / _list_name(subset, part)
    renamed = [folder.name for folder in root.glob(f"{subset.replace('_', '-')}*") if folder.is_dir()]
    if sides is None and pair_list.exists() and renamed:
        raise PreparationError(
            f"{pair_list} is there, but its folder {root / _FOLDERS[subset]} is not: name {renamed[0]} so, 'itensity' "
            "included; or leave this half out with --splits"
        )
    return sides


def _require_apart(root: Path, subset: str) -> None:
    """Refuse lists that have a pair both for training and for testing."""
    lists = [root / _list_name(subset, part) for part in _PAIRS]
    if not all(path.exists() for path in lists):
        return
    in_train, in_test = (read_keys_of_list(path, key_of_line) for path in lists)
    both = sorted(in_train & in_test)
    if both:
        raise PreparationError(
            f"{lists[0]} and {lists[1]} both list {name_some(both)}: a pair is either for training or for testing, "
            "download the lists again"
        )


def find(root: Path, split: str, flags: frozenset[str]) -> Sides | None:
    """Find the pairs that the list of the tree as downloaded states, else a repack."""
    subset, part = split.split("/")
    folder = _FOLDERS[subset]
    if not (root / folder).is_dir():
        return _find_repack(root, subset, part)
    name = _list_name(subset, part)
    pairs = read_pair_list(root / name, key_of_line)
    _require_apart(root, subset)
    return {
        "blur": Side({key: blurred for key, (_, blurred) in pairs.items()}, f"{folder}/<scene>/blur ({name})"),
        "sharp": Side({key: sharp for key, (sharp, _) in pairs.items()}, f"{folder}/<scene>/gt ({name})"),
    }


REALBLUR = DataSet(
    command="realblur",
    title="RealBlur-J and RealBlur-R: 3,758 training and 980 test pairs each",
    description="""\
ROOT holds RealBlur as downloaded, or one half of it (J or R); the folders are really called so:
  ROOT/RealBlur-J_ECC_IMCORR_centroid_itensity_ref/scene001/{blur/blur_1.png,gt/gt_1.png}
  ROOT/RealBlur-R_BM3D_ECC_IMCORR_centroid_itensity_ref/scene001/{blur/blur_1.png,gt/gt_1.png}
  ROOT/RealBlur_{J,R}_{train,test}_list.txt     one pair per line: "<gt path> <blur path>", relative to ROOT
or one of its repacks:
  ROOT/RealBlur_{J,R}/{train,test}/{input,target}/scene001-blur_1.png, also ROOT/{train,test}/RealBlur_{J,R}/...
  ROOT/RealBlur_{J,R}/{input,target}, ROOT/{input,target}: of one split, named with --splits, e.g. RealBlur_J/test
The sides may also be called blur and sharp, or be LMDBs. The lists alone say which images are pairs and which of them
are for training; keys are e.g. scene001/blur_1. The result is, of whole images,
  OUT/{RealBlur_J,RealBlur_R}/{train,test}/{blur,sharp}.lmdb
What ROOT does not hold is left out, unless --splits asks for it.""",
    sides=("blur", "sharp"),
    splits={
        f"{subset}/{part}": Split(expected=pairs, cropped=False)
        for subset in _FOLDERS
        for part, pairs in _PAIRS.items()
    },
    default_splits=None,
    crop=None,
    find=find,
)
