"""The test sets of an option file."""

from collections.abc import Collection

from deeprftv2_arch.common.partial_folder import read_metadata
from deeprftv2_arch.data.image_pair_dataset import ImagePairDataset
from deeprftv2_arch.errors import DataError, OptionError, PreparationError
from deeprftv2_arch.launch.loaders import build_datasets
from deeprftv2_arch.metrics.protocols import Protocol
from deeprftv2_arch.options.loading import Run


def open_test_sets(run: Run, protocol: Protocol, partial: bool) -> dict[str, ImagePairDataset]:
    """Open the test sets of the options, and refuse those that are not the published ones.

    Args:
        run: The evaluation.
        protocol: Says how many images the published sets have.
        partial: Whether sets may be others all the same.

    Returns:
        The sets by their names.

    Raises:
        DataError: Images are missing or do not pair.
        OptionError: A set is not the published one, or has no ground truth that this package knows of.
    """
    test_sets = {}
    for phase, dataset in build_datasets(run.to_basicsr()).items():
        name = run.data[phase].name
        if not isinstance(dataset, ImagePairDataset):
            raise OptionError(
                f"datasets: {phase}: type: evaluate needs pairs of images, DeblurPairDataset or "
                f"SuperResolutionPairDataset, not {run.data[phase].type}"
            )
        if not partial:
            _check_number(name, len(dataset), protocol)
        test_sets[name] = dataset
    return test_sets


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
    except PreparationError as error:
        raise DataError(str(error)) from error
    return {name: frozenset(groups[name]) for name in names if name in groups}
