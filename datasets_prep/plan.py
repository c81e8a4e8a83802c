"""What will be done for one split, found out before anything is decoded or written."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tqdm import tqdm

from datasets_prep.crops import CropRule, Window, windows
from datasets_prep.data_set import DataSet, Split
from datasets_prep.sorted_order import BY_ORDER
from datasets_prep.sources import Side, Sides, SourceImage
from datasets_prep.views import View, view_pair
from deeprftv2_arch.common.folder_writer import file_name
from deeprftv2_arch.common.images import Header
from deeprftv2_arch.common.lmdb_writer import require_valid_key
from deeprftv2_arch.common.wording import name_some
from deeprftv2_arch.errors import PreparationError


@dataclass(frozen=True)
class Sample:
    """The images that belong together, one per side, and what is made of them.

    Attributes:
        views: Side -> what is taken of its image.
        outputs: Key of each output image, with its window in the ground truth, or None for the whole image.
    """

    views: dict[str, View]
    outputs: tuple[tuple[str, Window | None], ...]


@dataclass(frozen=True)
class Plan:
    """One split of a data set at one scale, ready to be encoded.

    Attributes:
        split: Its name.
        scale: How many times smaller than the ground truth the degraded images are.
        found: In words, how many pairs of how many; with the figures of each part, where the split has parts.
        sides: What was found, the degraded side first.
        samples: In the order of their keys.
        problems: What is wrong with images, one line each; samples with a problem are not in `samples`.
        too_small: Images smaller than a crop, which give no crops, one line each.
        warnings: What is unusual but does not stop the preparation.
        estimated_bytes: Side -> about how much will be written.
    """

    split: str
    scale: int
    found: str
    sides: Sides
    samples: tuple[Sample, ...]
    problems: tuple[str, ...]
    too_small: tuple[str, ...]
    warnings: tuple[str, ...]
    estimated_bytes: dict[str, int]

    @property
    def name(self) -> str:
        """`test`, or with its scale `Set5 x2`."""
        return name_part(self.split, self.scale)

    @property
    def multiple(self) -> int:
        """Height and width of the ground truth are cut to a multiple of this."""
        return list(self.sides.values())[-1].multiple

    @property
    def keys(self) -> list[str]:
        """Keys of all output images, in the order in which they are written."""
        return [key for sample in self.samples for key, _ in sample.outputs]

    def fingerprint(self) -> str:
        """Hash of all output keys with their windows and of the images too small to have any."""
        described = [repr(sample.outputs) for sample in self.samples] + list(self.too_small)
        return hashlib.sha256("\n".join(described).encode()).hexdigest()


def name_part(split: str, scale: int) -> str:
    """`test`, or with its scale `Set5 x2`."""
    return split if scale == 1 else f"{split} x{scale}"


def _require_pairs(sides: Mapping[str, Side]) -> list[str]:
    """Keys that every side has, sorted; PreparationError if one side has an image that another lacks."""
    for name, side in sides.items():
        for other_name, other in sides.items():
            lonely = sorted(side.images.keys() - other.images.keys())
            if lonely:
                images = name_some([str(side.images[key]) for key in lonely])
                raise PreparationError(
                    f"{len(lonely):,} of {len(side.images):,} {name} images have no {other_name} image in "
                    f"{other.where}: {images}; add the missing half or take these away"
                )
    return sorted(next(iter(sides.values())).images)


def _count(split: Split, keys: list[str]) -> str:
    """`3 of 3,450 expected pairs (DIV2K 3 of 800, Flickr2K 0 of 2,650)`."""
    firsts = Counter(key.split("/")[0] for key in keys)
    parts = ", ".join(f"{name} {firsts[name]:,} of {expected:,}" for name, expected in split.parts.items())
    return f"{len(keys):,} of {split.expected:,} expected pairs" + (f" ({parts})" if parts else "")


def _count_warnings(name: str, keys: list[str], split: Split) -> list[str]:
    if len(keys) == split.expected:
        return []
    gaps = sorted(split.keys - set(keys)) or (_gaps(keys) if split.numbered else [])
    # More gaps than pairs are missing: then the numbers do not count the frames one by one.
    missing = f", missing e.g. {name_some(gaps)}" if 0 < len(gaps) <= split.expected - len(keys) else ""
    found = _count(split, keys).replace(" expected pairs", " pairs")
    return [f"found {found} in {name}{missing}: the result is not the published set"]


def _order_warnings(name: str, sides: Sides, keys: list[str], split: Split) -> list[str]:
    """Two folders that each lack an image, but not of the same pair, are as many, and give wrong pairs by order."""
    if len(keys) == split.expected or not any(side.rule == BY_ORDER for side in sides.values()):
        return []
    return [
        f"the pairs of {name} follow the sorted order, which is safe for the whole set only: check images_by_key in "
        "preparation.json, or give both images of every pair the same name"
    ]


def _gaps(keys: list[str]) -> list[str]:
    """Keys between the first and the last number of each sequence that are not in `keys`."""
    numbers: dict[tuple[str, int], set[int]] = {}
    for key in keys:
        prefix = key.rstrip("0123456789")
        if prefix != key:
            numbers.setdefault((prefix, len(key) - len(prefix)), set()).add(int(key[len(prefix) :]))
    return [
        f"{prefix}{number:0{digits}d}"
        for (prefix, digits), present in numbers.items()
        if max(present) - min(present) < 2 * len(present)
        for number in range(min(present), max(present))
        if number not in present
    ]


def _read_headers(images: Iterable[SourceImage], problems: list[str]) -> list[tuple[Header, int]]:
    """Header and bytes of each image; what cannot be read is added to `problems` instead."""
    headers = []
    for image in images:
        try:
            headers.append(image.read_header())
        except PreparationError as error:
            problems.append(f"{image} {error}")
        except OSError as error:
            problems.append(f"{image} cannot be read: {error.strerror}")
    return headers


def _full_view(views: Mapping[str, View]) -> View:
    """A view of full size, so that what is said of the ground truth is the same at every scale."""
    return next(view for view in views.values() if view.scale == 1)


def _make_sample(sides: Sides, key: str, headers: Sequence[Header], scale: int, rule: CropRule | None) -> Sample:
    """What is made of one pair; it has no outputs if it is smaller than a crop.

    Raises:
        PreparationError: The sizes do not fit together, or nothing is left of a whole image at this scale.
    """
    views = view_pair(sides, key, headers)
    full = _full_view(views)
    if rule is not None:
        cut = enumerate(windows(*full.kept, rule), 1)
        return Sample(views, tuple((f"{key}_s{number:03d}", window) for number, window in cut))
    if 0 in full.kept:
        raise PreparationError(f"{full.image} is {full.size[1]}x{full.size[0]}: nothing is left at x{scale}")
    return Sample(views, ((key, None),))


def _estimate_bytes(
    sample: Sample, headers: Sequence[tuple[Header, int]], rule: CropRule | None, flat_names: bool
) -> Iterator[tuple[str, float]]:
    """Each side, with about how much will be written of it."""
    height, width = _full_view(sample.views).size
    share = len(sample.outputs) * rule.size**2 / (height * width) if rule else 1.0
    for (side, view), (header, size) in zip(sample.views.items(), headers, strict=True):
        if header.is_jpeg and (rule or flat_names):  # becomes a PNG, which takes about half of what the samples do
            size = header.height * header.width * header.channels // 2
        yield side, share * size / view.image.shrink**2


def make_plan(data_set: DataSet, split: str, scale: int, sides: Sides, rule: CropRule | None, flat_names: bool) -> Plan:
    """Pairs the images, reads their headers and lists what will be written.

    Args:
        data_set: The declaration.
        split: Name of the part.
        scale: How many times smaller than the ground truth the degraded images are.
        sides: What the data set's finder found for it, the degraded side first.
        rule: The crop rule, or None to keep images whole.
        flat_names: Whether the keys become file names in one flat folder.

    Raises:
        PreparationError: An image has no partner, a key is not valid or not unique, all images are smaller than a
            crop, or the crops of a larger image would not fall on whole pixels of a smaller one.
    """
    keys = _require_pairs(sides)
    multiple = list(sides.values())[-1].multiple
    if rule is not None and (rule.size % multiple or rule.step % multiple):
        raise PreparationError(
            f"--crop {rule.size} and --step {rule.step} must be multiples of {multiple}, so that crops are the same at "
            "every scale"
        )
    problems: list[str] = []
    too_small: list[str] = []
    samples: list[Sample] = []
    estimated = dict.fromkeys(sides, 0.0)
    name = name_part(split, scale)
    for key in tqdm(keys, desc=f"{name}: reading headers", unit="pair", leave=False, delay=2):
        images = [side.images[key] for side in sides.values()]
        headers = _read_headers(images, problems)
        if len(headers) < len(images):
            continue
        try:
            sample = _make_sample(sides, key, [header for header, _ in headers], scale, rule)
        except PreparationError as error:
            problems.append(str(error))
            continue
        if rule is not None and not sample.outputs:
            full = _full_view(sample.views)
            too_small.append(
                f"{full.image} is {full.size[1]}x{full.size[0]}, smaller than a crop of {rule.size}x{rule.size}"
            )
            continue
        for output, _ in sample.outputs:
            require_valid_key(output)
        for side, size in _estimate_bytes(sample, headers, rule, flat_names):
            estimated[side] += size
        samples.append(sample)
    if rule is not None and not samples and not problems:
        raise PreparationError(f"{name}: nothing to cut: {too_small[0]}, and so are all; choose a smaller --crop")
    plan = Plan(
        split=split,
        scale=scale,
        found=_count(data_set.splits[split], keys),
        sides=sides,
        samples=tuple(samples),
        problems=tuple(dict.fromkeys(problems)),
        too_small=tuple(too_small),
        warnings=(
            *_count_warnings(split, keys, data_set.splits[split]),
            *_order_warnings(split, sides, keys, data_set.splits[split]),
        ),
        estimated_bytes={side: int(size) for side, size in estimated.items()},
    )
    _require_unique(plan.keys, flat_names)
    return plan


def _require_unique(keys: list[str], flat_names: bool) -> None:
    seen: dict[str, str] = {}
    for key in keys:
        name = file_name(key) if flat_names else key
        if name in seen:
            raise PreparationError(f"the images {seen[name]} and {key} would both be stored as {name}: rename one")
        seen[name] = key
