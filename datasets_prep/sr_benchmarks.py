"""The five test sets of super-resolution, in the conventions in which they circulate."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from datasets_prep.data_set import DataSet, Split
from datasets_prep.pairing import low_key, made_from, truth_key
from datasets_prep.sources import Side, Sides, SourceImage, by_key, find_side, list_images
from deeprftv2_arch.errors import PreparationError

_SCALES = (2, 3, 4)
_LARGEST = 4
_IMAGES = {"Set5": 5, "Set14": 14, "B100": 100, "Urban100": 100, "Manga109": 109}
_OTHER_NAMES = {"B100": ("BSD100", "BSDS100")}


def _is_named(folder: Path, split: str) -> bool:
    return folder.name.lower() in {name.lower() for name in (split, *_OTHER_NAMES.get(split, ()))}


def _set_folders(folder: Path, split: str) -> list[Path]:
    """List the folders in ``folder`` with a name of the set, in any case."""
    return sorted(entry for entry in folder.glob("*") if entry.is_dir() and _is_named(entry, split))


def _candidates(root: Path, split: str, names: tuple[str, ...], common: str, scale: int) -> list[Path]:
    """List what may hold one side: ``names`` in the folder of the set, or the set's in the folder ``common`` to all."""
    # The root may also be the folder of one set.
    bases = [*([root] if _is_named(root.resolve(), split) else []), *_set_folders(root, split)]
    in_common = _set_folders(root / common, split) or [root / common / split]
    return [base / name for base in bases for name in names] + [folder / f"x{scale}" for folder in in_common]


def _first_side(root: Path, folders: list[Path], key_of: Callable[[str], str], scale: int, multiple: int) -> Side:
    """Find the first of the folders that holds images; without images, and with all the names, if none does."""
    for folder in folders:
        images = find_side(folder, key_of)
        if images:
            return Side(images, folder.relative_to(root).as_posix(), scale, multiple)
    return Side({}, " or ".join(folder.relative_to(root).as_posix() for folder in folders), scale, multiple)


def _self_ex_sides(root: Path, split: str, scale: int) -> tuple[Side, Side] | None:
    """Find the (low resolution, ground truth) of SelfExSR's layout at a scale; None without that layout.

    Urban100 is from there. Its ground truth in ``image_SRF_2`` is half as large as that which the field measures on,
    which is that of ``image_SRF_4``; so all scales are made from the latter.
    """
    truth_scale = _LARGEST if split == "Urban100" else scale
    for base in [*([root] if _is_named(root.resolve(), split) else []), *_set_folders(root, split)]:
        folder = base / f"image_SRF_{truth_scale}"
        if not folder.is_dir():
            if split == "Urban100" and (base / "image_SRF_2").is_dir():
                raise PreparationError(
                    f"{folder} is missing: the ground truth of Urban100 in image_SRF_2 is half as large as the one "
                    "that published values are of; add it, or leave Urban100 out with --splits"
                )
            continue
        where = folder.relative_to(root).as_posix()
        truth = _self_ex_images(folder, truth_scale, "HR")
        low = _self_ex_images(folder, truth_scale, "LR") if truth_scale == scale else {}
        if truth:
            return Side(low or made_from(truth, scale), where, scale), Side(truth, where, 1, scale)
    return None


def _self_ex_images(folder: Path, scale: int, kind: str) -> dict[str, SourceImage]:
    """Find the images of a kind, ``<key>_SRF_<scale>_<kind>``, in a folder that has both."""
    end = f"_SRF_{scale}_{kind}"
    return by_key(
        (image.stem.removesuffix(end), SourceImage(image)) for image in list_images(folder) if image.stem.endswith(end)
    )


def find(root: Path, split: str, flags: frozenset[str]) -> Sides | None:
    """Find the first ground truth and low resolution at each scale; a missing low resolution is to be made."""
    sides: Sides = {}
    for scale in _SCALES:
        # Cut for this scale, not cut at all, cut for every scale.
        truths = (f"GTmod{scale}", "HR", "GT", "GTmod12", "original", ".")
        lows = (f"LRbicx{scale}", f"LR_bicubic/X{scale}")
        truth = _first_side(root, _candidates(root, split, truths, "HR", scale), truth_key, 1, scale)
        low = _first_side(
            root, _candidates(root, split, lows, "LR/LRBI", scale), partial(low_key, scale=scale), scale, 1
        )
        of_self_ex = None if truth.images else _self_ex_sides(root, split, scale)
        if of_self_ex is not None:
            low, truth = of_self_ex
        elif not low.images:
            low = Side(made_from(truth.images, scale), truth.where, scale)
        sides |= {f"LRx{scale}": low, f"HRx{scale}": truth}
    return sides


SR_BENCHMARKS = DataSet(
    command="sr-benchmarks",
    title="Set5, Set14, B100, Urban100 and Manga109: the test images of super-resolution",
    description="""\
ROOT holds the folders of the sets, or is one of them, in any of the conventions in circulation:
  ROOT/Set5/GTmod4/baby.png           ROOT/Set5/LRbicx4/baby.png
  ROOT/Set5/HR/baby.png               ROOT/Set5/LR_bicubic/X4/babyx4.png
  ROOT/HR/Set5/x4/baby_HR_x4.png      ROOT/LR/LRBI/Set5/x4/baby_LRBI_x4.png
  ROOT/Set5/image_SRF_4/img_001_SRF_4_HR.png and ..._LR.png     (SelfExSR, where Urban100 is from; of Urban100 all
                                      scales are made from image_SRF_4, whose ground truth is the one of the literature)
and the same for the other scales (GTmod2, LRbicx2, ...). B100 may be called BSD100 or BSDS100. Ground truth is also
taken from ROOT/Set5/{GT,GTmod12,original} and from ROOT/Set5 itself. Where there is nothing but ground truth, the low
resolution is made from it, bit for bit as MATLAB's bicubic imresize makes it. The result is, of whole images, e.g.
  OUT/Set5/{HRx2,LRx2,HRx3,LRx3,HRx4,LRx4}.lmdb    baby, bird, butterfly, head, woman
where the ground truth of each scale is cut to a multiple of it. Sets that are not there are left out, unless --splits
asks for them.""",
    sides=("LRx{scale}", "HRx{scale}"),
    splits={name: Split(expected=count, cropped=False) for name, count in _IMAGES.items()},
    default_splits=None,
    crop=None,
    find=find,
    scales=_SCALES,
)
