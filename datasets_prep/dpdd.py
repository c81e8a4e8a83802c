"""DPDD (Abuolaim and Brown, ECCV 2020): defocused images, 16 bits, with the two views of a dual-pixel sensor."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from datasets_prep.data_set import DataSet, Split
from datasets_prep.pairing import natural, pair_in_order
from datasets_prep.sources import Sides
from datasets_prep.views import CropRule
from deeprftv2_arch.errors import PreparationError

_DOWNLOADED = {"blur": "_c/source", "left": "_l/source", "right": "_r/source", "sharp": "_c/target"}
_REPACKED = {"blur": "/inputC", "left": "/inputL", "right": "/inputR", "sharp": "/target"}
_GROUPS = ("indoor", "outdoor")


def _read_labels(path: Path) -> list[int]:
    try:
        labels = np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise PreparationError(f"{path} is missing: add it, or take the list of the other group away") from error
    except (OSError, ValueError, EOFError) as error:
        raise PreparationError(f"{path} cannot be read as an array of NumPy ({error}): download it again") from error
    if not np.issubdtype(labels.dtype, np.integer):
        raise PreparationError(f"{path} holds {labels.dtype}, not whole numbers: download it again")
    return [int(label) for label in labels.reshape(-1)]


def _find_groups(folders: list[Path], keys: list[str]) -> dict[str, tuple[str, ...]]:
    """Find the keys of the indoor and outdoor images; none where no folder has the two lists of their numbers."""
    for folder in folders:
        files = {group: folder / f"{group}_labels.npy" for group in _GROUPS}
        if not any(file.exists() for file in files.values()):
            continue
        labels = {group: _read_labels(file) for group, file in files.items()}
        listed = sorted(label for numbers in labels.values() for label in numbers)
        if listed != list(range(1, len(keys) + 1)):
            raise PreparationError(
                f"{' and '.join(map(str, files.values()))} do not name each of the {len(keys):,} test images once, "
                f"by its number from 1 on, but {len(listed):,} numbers: add what is missing, or prepare without them"
            )
        return {group: tuple(keys[number - 1] for number in sorted(numbers)) for group, numbers in labels.items()}
    return {}


def find(root: Path, split: str, flags: frozenset[str]) -> Sides | None:
    """Find the tree as downloaded, else a repack; the test split with its groups, where they are known."""
    wanted = DPDD.side_names(1, flags)
    for base, names in ((split, _DOWNLOADED), (split, _REPACKED), (f"{split}/DPDD", _REPACKED)):
        folders = {side: f"{base}{names[side]}" for side in wanted}
        if not any((root / folder).is_dir() for folder in folders.values()):
            continue
        sides = pair_in_order(root, folders)
        keys = sorted(sides["blur"].images, key=natural)
        groups = _find_groups([root / base, root / split, root], keys) if split == "test" and keys else {}
        return {name: replace(side, groups=groups) for name, side in sides.items()}
    return None


DPDD = DataSet(
    command="dpdd",
    title="DPDD: 350 training, 74 validation and 76 test pairs, of 16 bits",
    description="""\
ROOT is dd_dp_dataset_png as downloaded:
  ROOT/{train,val,test}_{c,l,r}/{source,target}/*.png
or its repack:
  ROOT/{train,val,test}/{inputC,inputL,inputR,target}/*.png, also ROOT/{train,val,test}/DPDD/...
Where the names of the two sides differ, images pair by sorted order, and the command says so; this needs as many of
the one as of the other, and it warns if the set is not whole, since then the order may make wrong pairs. Keys are the
names of the blurred images. preparation.json of each database lists the image of every key, to be checked by eye.
The result is
  OUT/train/{blur,sharp}.lmdb         crops, e.g. 1P0A0917_s001
  OUT/{val,test}/{blur,sharp}.lmdb    whole images
The training of options/DeepRFTv2_S_DPDD.yml has patches of 640x640 and needs whole images instead: --crop 0.
If indoor_labels.npy and outdoor_labels.npy are beside the folders of the repack, in ROOT/test or in ROOT,
preparation.json of the test databases has the keys of both groups under settings: groups.""",
    sides=("blur", "sharp"),
    splits={
        "train": Split(expected=350, cropped=True, numbered=False),
        "val": Split(expected=74, cropped=False, numbered=False),
        "test": Split(expected=76, cropped=False, numbered=False),
    },
    default_splits=("train", "val", "test"),
    crop=CropRule(size=512, step=204),
    find=find,
    flags={"dual-pixel": "also make left.lmdb and right.lmdb, of the two views of the sensor; can be added later"},
    more_sides={"dual-pixel": ("left", "right")},
)
