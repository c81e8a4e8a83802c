"""What will be done for one split, found out before anything is decoded or written."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tqdm import tqdm

from datasets_prep.data_set import DataSet, Split
from datasets_prep.pairing import BY_ORDER
from datasets_prep.sources import Side, Sides
from datasets_prep.views import CropRule, View, Window, view_pair, windows
from deeprftv2_arch.common.image_format import Header
from deeprftv2_arch.common.lmdb_io import require_valid_key
from deeprftv2_arch.common.partial_folder import file_name
from deeprftv2_arch.errors import PreparationError, name_some


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
        problems: What is wrong with images, one line each; samples with a problem are not in ``samples``.
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
        """``test``, or with its scale ``Set5 x2``."""
        return name_part(self.split, self.scale)

    @property
    def multiple(self) -> int:
        """Height and width of the ground truth are cut to a multiple of this."""
        return _multiple(self.sides)

    @property
    def keys(self) -> list[str]:
        """Keys of all output images, in the order in which they are written."""
        return [key for sample in self.samples for key, _ in sample.outputs]

    def fingerprint(self) -> str:
        """Return a hash of all output keys with their windows and of the images too small to have any."""
        described = [repr(sample.outputs) for sample in self.samples] + list(self.too_small)
        return hashlib.sha256("\n".join(described).encode()).hexdigest()


def name_part(split: str, scale: int) -> str:
    """Name a part: ``test``, or with its scale ``Set5 x2``."""
    return split if scale == 1 else f"{split} x{scale}"


def _multiple(sides: Sides) -> int:
    """Return what height and width of the ground truth, which comes last, are cut to a multiple of."""
    return list(sides.values())[-1].multiple


def _require_pairs(sides: Mapping[str, Side]) -> list[str]:
    """Return the keys that every side has, sorted; refuse an image that another side lacks."""
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
    """Say ``3 of 3,450 expected pairs (DIV2K 3 of 800, Flickr2K 0 of 2,650)``."""
    if split.expected is None:
        return f"{len(keys):,} pairs"
    firsts = Counter(key.split("/")[0] for key in keys)
    parts = ", ".join(f"{name} {firsts[name]:,} of {expected:,}" for name, expected in split.parts.items())
    return f"{len(keys):,} of {split.expected:,} expected pairs" + (f" ({parts})" if parts else "")


def _count_warnings(name: str, keys: list[str], split: Split) -> list[str]:
    if split.expected is None or len(keys) == split.expected:
        return []
    gaps = sorted(split.keys - set(keys)) or (_gaps(keys) if split.numbered else [])
    # More gaps than pairs are missing: then the numbers do not count the frames one by one.
    missing = f", missing e.g. {name_some(gaps)}" if 0 < len(gaps) <= split.expected - len(keys) else ""
    found = _count(split, keys).replace(" expected pairs", " pairs")
    return [f"found {found} in {name}{missing}: the result is not the published set"]


def _order_warnings(name: str, sides: Sides, keys: list[str], split: Split) -> list[str]:
    """Warn of pairs by order: two folders that lack images of different pairs may be as many, and pair wrongly."""
    if len(keys) == split.expected or not any(side.rule == BY_ORDER for side in sides.values()):
        return []
    return [
        f"the pairs of {name} follow the sorted order, which is safe for the whole set only: check images_by_key in "
        "preparation.json, or give both images of every pair the same name"
    ]


def _gaps(keys: list[str]) -> list[str]:
    """Return the keys between the first and the last number of each sequence that are not in ``keys``."""
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


def _full_view(views: Mapping[str, View]) -> View:
    """Return a view of full size, so that what is said of the ground truth is the same at every scale."""
    return next(view for view in views.values() if view.scale == 1)


def _make_sample(sides: Sides, key: str, headers: Sequence[Header], scale: int, rule: CropRule | None) -> Sample:
    """Say what is made of one pair; it has no outputs if it is smaller than a crop.

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
) -> dict[str, float]:
    """Estimate for each side how much will be written of it."""
    height, width = _full_view(sample.views).size
    share = len(sample.outputs) * rule.size**2 / (height * width) if rule else 1.0
    estimated = {}
    for (side, view), (header, size) in zip(sample.views.items(), headers, strict=True):
        becomes_png = header.is_jpeg and (rule or flat_names)  # which takes about half of what the samples do
        taken = header.height * header.width * header.channels // 2 if becomes_png else size
        estimated[side] = share * taken / view.image.shrink**2
    return estimated


@dataclass(frozen=True)
class _PlannedPair:
    """What becomes of one pair: a sample, or why there is none.

    Attributes:
        sample: What is made of it.
        bytes: Side -> about how much will be written.
        problems: What is wrong with its images, one line each.
        too_small: That it gives no crops, in one line.
    """

    sample: Sample | None = None
    bytes: Mapping[str, float] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    too_small: str = ""


def _plan_pair(sides: Sides, key: str, scale: int, rule: CropRule | None, flat_names: bool) -> _PlannedPair:
    """Read the headers of one pair and say what is made of it.

    Raises:
        PreparationError: The key of an output is not valid.
    """
    headers: list[tuple[Header, int]] = []
    problems: list[str] = []
    for side in sides.values():
        image = side.images[key]
        try:
            headers.append(image.read_header())
        except PreparationError as error:
            problems.append(f"{image} {error}")
        except OSError as error:
            problems.append(f"{image} cannot be read: {error.strerror}")
    if problems:
        return _PlannedPair(problems=tuple(problems))
    try:
        sample = _make_sample(sides, key, [header for header, _ in headers], scale, rule)
    except PreparationError as error:
        return _PlannedPair(problems=(str(error),))
    if rule is not None and not sample.outputs:
        full = _full_view(sample.views)
        size, crop = f"{full.size[1]}x{full.size[0]}", f"{rule.size}x{rule.size}"
        return _PlannedPair(too_small=f"{full.image} is {size}, smaller than a crop of {crop}")
    for output, _ in sample.outputs:
        require_valid_key(output)
    return _PlannedPair(sample, _estimate_bytes(sample, headers, rule, flat_names))


def _require_whole_pixels(rule: CropRule | None, multiple: int) -> None:
    """Refuse crops of a larger image that would not fall on whole pixels of a smaller one."""
    if rule is not None and (rule.size % multiple or rule.step % multiple):
        raise PreparationError(
            f"--crop {rule.size} and --step {rule.step} must be multiples of {multiple}, so that crops are the same at "
            "every scale"
        )


def make_plan(data_set: DataSet, split: str, scale: int, sides: Sides, rule: CropRule | None, flat_names: bool) -> Plan:
    """Pair the images, read their headers and list what will be written.

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
    _require_whole_pixels(rule, _multiple(sides))
    name, declared = name_part(split, scale), data_set.splits[split]
    pairs = [
        _plan_pair(sides, key, scale, rule, flat_names)
        for key in tqdm(keys, desc=f"{name}: reading headers", unit="pair", leave=False, delay=2)
    ]
    plan = Plan(
        split=split,
        scale=scale,
        found=_count(declared, keys),
        sides=sides,
        samples=tuple(pair.sample for pair in pairs if pair.sample is not None),
        problems=tuple(dict.fromkeys(problem for pair in pairs for problem in pair.problems)),
        too_small=tuple(pair.too_small for pair in pairs if pair.too_small),
        warnings=(*_count_warnings(split, keys, declared), *_order_warnings(split, sides, keys, declared)),
        estimated_bytes={side: int(sum(pair.bytes.get(side, 0.0) for pair in pairs)) for side in sides},
    )
    if rule is not None and not plan.samples and not plan.problems:
        raise PreparationError(f"{name}: nothing to cut: {plan.too_small[0]}, and so are all; choose a smaller --crop")
    _require_unique(plan.keys, flat_names)
    return plan


def _require_unique(keys: list[str], flat_names: bool) -> None:
    seen: dict[str, str] = {}
    for key in keys:
        name = file_name(key) if flat_names else key
        if name in seen:
            raise PreparationError(f"the images {seen[name]} and {key} would both be stored as {name}: rename one")
        seen[name] = key
