"""The test sets of an option file."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deeprftv2_arch.common.partial_folder import read_metadata
from deeprftv2_arch.data.image_pair_dataset import ImagePairDataset
from deeprftv2_arch.errors import DataError, OptionError, PreparationError
from deeprftv2_arch.launch.loaders import build_held_out
from deeprftv2_arch.metrics.protocols import Protocol
from deeprftv2_arch.options.loading import Run

STOCK = "PairedImageDataset"  # the data set of BasicSR's that has pairs of images


@dataclass(frozen=True)
class TestSets:
    """The test sets of one scale.

    Attributes:
        found: Those that can be measured on, by their names.
        missing: Why others cannot, by their names.
    """

    found: dict[str, ImagePairDataset]
    missing: dict[str, str]


def open_test_sets(run: Run, protocol: Protocol, partial: bool) -> TestSets:
    """Open the test sets of the options, and refuse those that are not the published ones.

    A set that is not there, or whose images do not pair, is left out and named.

    Args:
        run: The evaluation.
        protocol: Says how many images the published sets have.
        partial: Whether sets may be others all the same.

    Raises:
        OptionError: A set is not the published one, or has no ground truth that this package knows of.
    """
    sections = run.to_basicsr()["datasets"]
    for phase, section in sections.items():
        if section["type"] == STOCK:
            sections[phase] = _with_our_type(section, phase, run.options.scale)
    datasets, missing = build_held_out(sections)
    for phase, dataset in datasets.items():
        name = run.data[phase].name
        if not isinstance(dataset, ImagePairDataset):
            raise OptionError(
                f"datasets: {phase}: type: evaluate needs pairs of images, DeblurPairDataset, "
                f"SuperResolutionPairDataset or {STOCK}, not {run.data[phase].type}"
            )
        _take_listed(dataset, sections[phase])
        if not partial:
            _check_number(name, len(dataset), protocol)
    return TestSets({run.data[phase].name: dataset for phase, dataset in datasets.items()}, missing)


def _with_our_type(section: Mapping[str, Any], phase: str, scale: int) -> dict[str, Any]:
    """Return the section of BasicSR's pairs of images as that of this project's, which read and pair them alike.

    Raises:
        OptionError: The section asks for what is no image as it is stored.
    """
    for key in ("color", "mean", "std"):
        if section.get(key) is not None:
            raise OptionError(
                f"datasets: {phase}: {key}: evaluate measures images as they are stored; take the key away"
            )
    return dict(section) | {"type": "SuperResolutionPairDataset" if scale > 1 else "DeblurPairDataset"}


def _take_listed(dataset: ImagePairDataset, section: Mapping[str, Any]) -> None:
    """Leave the pairs alone whose ground truth is in the list of BasicSR's ``meta_info_file``, where there is one.

    Raises:
        DataError: There is no such list, or it has other images.
    """
    if section.get("meta_info_file") is None:
        return
    path = Path(section["meta_info_file"])
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}; correct meta_info_file") from error
    listed = {Path(line.split(" ")[0]).with_suffix("").as_posix() for line in lines if line.strip()}
    pairs = [pair for pair in dataset.pairs if pair[1] in listed]
    if len(pairs) != len(listed):
        raise DataError(f"{path}: lists {len(listed):,} images, of which {dataset.gt.root} has {len(pairs):,}")
    dataset.pairs = pairs


def _check_number(name: str, images: int, protocol: Protocol) -> None:
    published = protocol.published_images(name)
    if published is None:
        raise OptionError(
            f"{name!r} is no test set of the protocol {protocol.name}, which has {', '.join(protocol.test_sets)}; name "
            "it as one of these, or say --partial"
        )
    if images != published:
        raise OptionError(
            f"{name} has {images:,} images, but published values of the protocol {protocol.name} are averages "
            f"over {published:,}; complete the data set, or say --partial"
        )


def parts_of(dataset: ImagePairDataset, names: Collection[str]) -> dict[str, frozenset[str]]:
    """Return which images belong to the parts of a set, for those parts that the preparation of the data knows.

    Raises:
        DataError: What the preparation wrote is damaged.
    """
    if not names:
        return {}
    try:
        groups = (read_metadata(dataset.lq.root).get("settings") or {}).get("groups") or {}
        return {name: frozenset(groups[name]) for name in names if name in groups}
    except PreparationError as error:
        raise DataError(str(error)) from error
    except TypeError as error:
        raise DataError(f"{dataset.lq.root}: its groups of images are damaged; prepare it again") from error
