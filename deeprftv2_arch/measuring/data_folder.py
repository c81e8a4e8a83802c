"""Where the test sets of a protocol lie in a folder, for measuring without an option file."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deeprftv2_arch.common.image_format import EXTENSIONS
from deeprftv2_arch.common.lmdb_io import read_meta_info
from deeprftv2_arch.common.name_template import fitting_template
from deeprftv2_arch.errors import PreparationError
from deeprftv2_arch.metrics.protocols import Protocol

# Where a set for deblurring lies in the folder that the user names, as ``datasets_prep`` makes them.
PLACES = {
    "GoPro-test": ("GoPro/test", "test", "."),
    "HIDE-test": ("HIDE/test", "test", "."),
    "RealBlur-R-test": ("RealBlur/RealBlur_R/test", "RealBlur_R/test"),
    "RealBlur-J-test": ("RealBlur/RealBlur_J/test", "RealBlur_J/test"),
    "REDS-val-300": ("REDS/val300", "val300", "."),
    "DPDD-test": ("DPDD/test", "test", "."),
}
# Degraded images and ground truth in such a place; also in other people's repacks.
SIDES = (("blur.lmdb", "sharp.lmdb"), ("blur", "sharp"), ("blurred", "sharp"), ("input", "target"))
# Ground truth and low resolution in the folder of a set for super-resolution, at a scale.
ENLARGED_SIDES = (
    ("HRx{}.lmdb", "LRx{}.lmdb"),
    ("GTmod{}", "LRbicx{}"),
    ("GTmod12", "LRbicx{}"),
    ("HR", "LR_bicubic/X{}"),
    ("HR", "LR_bicubic/x{}"),
)
BIT_DEPTH = {"DPDD-test": 8}
OTHER_NAMES = {"B100": ("BSD100", "BSDS100")}


def content_for(protocol: Protocol, folder: Path, scale: int, name: str) -> dict[str, Any]:
    """Return what an option file says that measures the sets of a folder by a protocol, but for the network.

    Args:
        protocol: The protocol.
        folder: Holds the sets, or is one of them.
        scale: By which the network enlarges.
        name: Of the run.
    """
    names = list(protocol.test_sets)
    if protocol.name == "sr":
        # A folder that is one of the sets holds no other.
        names = [known for known in names if folder.absolute().name.lower() in _all_names(known)] or names
        sections = [_enlarged(folder, known, scale) for known in names]
    else:
        sections = [_deblurred(folder, known) for known in names]
    return {
        "name": name,
        "model_type": "SRModel",
        "scale": scale,
        "num_gpu": "auto",
        "protocol": protocol.name,
        "datasets": {f"test_{number}": section for number, section in enumerate(sections, 1)},
        "val": {"save_img": True, "metrics": protocol.metric_sections(scale)},
    }


def _deblurred(folder: Path, name: str) -> dict[str, Any]:
    """Return the section of a set for deblurring; where it is not found, of where it should be."""
    depth = {"bit_depth": BIT_DEPTH[name]} if name in BIT_DEPTH else {}
    for place in (folder / part for part in PLACES[name]):
        for lq, gt in SIDES:
            if (place / lq).is_dir() and (place / gt).is_dir():
                return _section(name, "DeblurPairDataset", place / lq, place / gt) | depth
    place = folder / PLACES[name][0]
    return _section(name, "DeblurPairDataset", place / SIDES[0][0], place / SIDES[0][1]) | depth


def _enlarged(folder: Path, name: str, scale: int) -> dict[str, Any]:
    """Return the section of a set for super-resolution at a scale; where it is not found, of where it should be."""
    kind = "SuperResolutionPairDataset"
    for place in _places(folder, name):
        for gt, lq in ((side.format(scale) for side in sides) for sides in ENLARGED_SIDES):
            if (place / gt).is_dir() and (place / lq).is_dir():
                template = fitting_template(_names(place / lq), sorted(_names(place / gt)))
                return _section(name, kind, place / lq, place / gt) | ({"filename_tmpl": template} if template else {})
    place = folder / name
    return _section(name, kind, place / f"LRx{scale}.lmdb", place / f"HRx{scale}.lmdb")


def _places(folder: Path, name: str) -> Iterator[Path]:
    names = _all_names(name)
    if folder.absolute().name.lower() in names:
        yield folder
    for parent in (folder, folder / "SR"):
        if parent.is_dir():
            yield from sorted(entry for entry in parent.iterdir() if entry.is_dir() and entry.name.lower() in names)


def _all_names(name: str) -> set[str]:
    return {known.lower() for known in (name, *OTHER_NAMES.get(name, ()))}


def _names(folder: Path) -> set[str]:
    if folder.suffix == ".lmdb":
        try:
            return set(read_meta_info(folder))
        except PreparationError:  # which is said when the set is opened
            return set()
    return {
        path.relative_to(folder).with_suffix("").as_posix()
        for path in folder.rglob("*")
        if path.suffix.lower() in EXTENSIONS and not path.name.startswith(".")
    }


def _section(name: str, kind: str, lq: Path, gt: Path) -> dict[str, Any]:
    backend = "lmdb" if lq.suffix == ".lmdb" else "disk"
    return {
        "name": name,
        "type": kind,
        "dataroot_gt": str(gt),
        "dataroot_lq": str(lq),
        "io_backend": {"type": backend},
    }
