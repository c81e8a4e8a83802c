"""Whether images are large enough for what is measured on them, before anything of an earlier run is renamed."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from deeprftv2_arch.common.image_bytes import read_image_bytes
from deeprftv2_arch.common.image_format import read_header
from deeprftv2_arch.common.lmdb_io import read_meta_info
from deeprftv2_arch.errors import DataError, PreparationError
from deeprftv2_arch.options.loading import Run

NIQE_BLOCK = 96  # side of the squares whose statistics NIQE compares; it needs two of them


def check_sizes_for_niqe(run: Run, datasets: Mapping[str, Any]) -> None:
    """Refuse images on which BasicSR's NIQE has no value, by the size that they have once restored.

    Raises:
        DataError: There are such images; the message names the first.
    """
    val = run.content.get("val") or {}
    for metric, section in (val.get("metrics") or {}).items():
        if section.get("type") != "calculate_niqe":
            continue
        border = int(section.get("crop_border", 0))
        for phase, dataset in datasets.items():
            if phase == "train":
                continue
            for place, (height, width) in _sizes(dataset):
                blocks = [(run.options.scale * side - 2 * border) // NIQE_BLOCK for side in (height, width)]
                if min(blocks) < 1 or blocks[0] * blocks[1] < 2:
                    raise DataError(
                        f"{run.file}: val: metrics: {metric}: {place} is {width}x{height}, too small for NIQE, which "
                        f"needs two squares of {NIQE_BLOCK}x{NIQE_BLOCK}; take the metric or the image away"
                    )


def _sizes(dataset: Any) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield where the degraded images of a data set are, and their (height, width), as far as headers tell."""
    root = Path(str(dataset.opt.get("dataroot_lq")))
    if root.suffix == ".lmdb":
        for key, shape in read_meta_info(root).items():
            yield f"{root}: {key}", (shape[0], shape[1])
        return
    for path in sorted(entry for entry in root.rglob("*") if entry.is_file() and entry.name[0] != "."):
        try:
            header = read_header(read_image_bytes(path))
        except (OSError, PreparationError):
            continue  # said when it is read
        yield str(path), (header.height, header.width)
