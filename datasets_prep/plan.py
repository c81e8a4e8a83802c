"""What will be done for one split, found out before anything is decoded or written."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from tqdm import tqdm

from datasets_prep.crops import CropRule, Window, windows
from datasets_prep.data_set import DataSet
from datasets_prep.errors import PreparationError
from datasets_prep.folder_writer import file_name
from datasets_prep.lmdb_writer import require_valid_key
from datasets_prep.pictures import Header
from datasets_prep.sources import Picture, Side

_NAMED = 5


@dataclass(frozen=True)
class Sample:
    """The pictures that belong together, one per side, and what is made of them.

    Attributes:
        pictures: In the order of the data set's sides.
        size: Height and width that every side has.
        outputs: Key of each output picture, with its window, or None for the whole picture.
    """

    pictures: tuple[Picture, ...]
    size: tuple[int, int]
    outputs: tuple[tuple[str, Window | None], ...]


@dataclass(frozen=True)
class Plan:
    """One split of a data set, ready to be encoded.

    Attributes:
        split: Its name.
        pairs: Number of pairs that were found.
        where: Side -> where its pictures are, relative to the root.
        samples: In the order of their keys.
        problems: What is wrong with pictures, one line each; samples with a problem are not in `samples`.
        too_small: Pictures smaller than a crop, which give no crops, one line each.
        warnings: What is unusual but does not stop the preparation.
        estimated_bytes: About how much will be written.
    """

    split: str
    pairs: int
    where: dict[str, str]
    samples: tuple[Sample, ...]
    problems: tuple[str, ...]
    too_small: tuple[str, ...]
    warnings: tuple[str, ...]
    estimated_bytes: int

    @property
    def keys(self) -> list[str]:
        """Keys of all output pictures, in the order in which they are written."""
        return [key for sample in self.samples for key, _ in sample.outputs]

    def fingerprint(self) -> str:
        """Hash of all output keys with their windows and of the pictures too small to have any."""
        described = [repr(sample.outputs) for sample in self.samples] + list(self.too_small)
        return hashlib.sha256("\n".join(described).encode()).hexdigest()


def name_some(names: list[str]) -> str:
    """`a, b, c, d, e and 7 more`."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def _require_pairs(sides: Mapping[str, Side]) -> list[str]:
    """Keys that every side has, sorted; PreparationError if one side has a picture that another lacks."""
    for name, side in sides.items():
        for other_name, other in sides.items():
            lonely = sorted(side.pictures.keys() - other.pictures.keys())
            if lonely:
                pictures = name_some([str(side.pictures[key]) for key in lonely])
                raise PreparationError(
                    f"{len(lonely):,} of {len(side.pictures):,} {name} pictures have no {other_name} picture in "
                    f"{other.where}: {pictures}; add the missing half or take these away"
                )
    return sorted(next(iter(sides.values())).pictures)


def _count_warnings(split: str, keys: list[str], expected: int) -> list[str]:
    if len(keys) == expected:
        return []
    gaps = _gaps(keys)
    # More gaps than pairs are missing: then the numbers do not count the frames one by one.
    missing = f", missing e.g. {name_some(gaps)}" if 0 < len(gaps) <= expected - len(keys) else ""
    return [f"found {len(keys):,} of {expected:,} pairs in {split}{missing}: the result is not the published set"]


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


def _read_headers(pictures: tuple[Picture, ...], problems: list[str]) -> list[tuple[Header, int]]:
    """Header and bytes of each picture; what cannot be read is added to `problems` instead."""
    headers = []
    for picture in pictures:
        try:
            headers.append(picture.read_header())
        except PreparationError as error:
            problems.append(f"{picture} {error}")
        except OSError as error:
            problems.append(f"{picture} cannot be read: {error.strerror}")
    return headers


def make_plan(
    data_set: DataSet, split: str, sides: Mapping[str, Side], rule: CropRule | None, flat_names: bool
) -> Plan:
    """Pairs the pictures, reads their headers and lists what will be written.

    Args:
        data_set: The declaration.
        split: Name of the part.
        sides: What the data set's finder found for it.
        rule: The crop rule, or None to keep pictures whole.
        flat_names: Whether the keys become file names in one flat folder.

    Raises:
        PreparationError: A picture has no partner, or a key is not valid or not unique.
    """
    keys = _require_pairs(sides)
    problems: list[str] = []
    too_small: list[str] = []
    samples: list[Sample] = []
    estimated = 0.0
    for key in tqdm(keys, desc=f"{split}: reading headers", unit="pair", leave=False, delay=2):
        pictures = tuple(sides[name].pictures[key] for name in data_set.sides)
        headers = _read_headers(pictures, problems)
        if len(headers) < len(pictures):
            continue
        sizes = [str(header) for header, _ in headers]
        if len(set(sizes)) > 1:
            listed = " and ".join(f"{picture} {size}" for picture, size in zip(pictures, sizes, strict=True))
            problems.append(f"sizes differ within the pair {key}: {listed}")
            continue
        header = headers[0][0]
        area = header.height * header.width
        outputs: tuple[tuple[str, Window | None], ...] = ((key, None),)
        share = 1.0
        if rule is not None:
            cut = windows(header.height, header.width, rule)
            if not cut:
                too_small.append(f"{pictures[0]} is {header}, smaller than a crop of {rule.size}x{rule.size}")
                continue
            outputs = tuple((f"{key}_s{number:03d}", window) for number, window in enumerate(cut, 1))
            share = len(cut) * rule.size**2 / area
        for name, _ in outputs:
            require_valid_key(name)
        estimated += share * sum(size for _, size in headers)
        samples.append(Sample(pictures, (header.height, header.width), outputs))
    plan = Plan(
        split=split,
        pairs=len(keys),
        where={name: sides[name].where for name in data_set.sides},
        samples=tuple(samples),
        problems=tuple(problems),
        too_small=tuple(too_small),
        warnings=tuple(_count_warnings(split, keys, data_set.splits[split].expected)),
        estimated_bytes=int(estimated),
    )
    _require_unique(plan.keys, flat_names)
    return plan


def _require_unique(keys: list[str], flat_names: bool) -> None:
    seen: dict[str, str] = {}
    for key in keys:
        name = file_name(key) if flat_names else key
        if name in seen:
            raise PreparationError(f"the pictures {seen[name]} and {key} would both be stored as {name}: rename one")
        seen[name] = key
