"""Prepares any declared data set: find, pair, check, encode in parallel, write."""

import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from tqdm import tqdm

from datasets_prep.crops import CropRule
from datasets_prep.data_set import DataSet
from datasets_prep.errors import PreparationError
from datasets_prep.folder_writer import FolderWriter
from datasets_prep.lmdb_writer import LmdbWriter
from datasets_prep.parallel import map_in_order
from datasets_prep.partial_folder import is_finished
from datasets_prep.pictures import Image, decode, encode_png, is_plain_png
from datasets_prep.plan import Plan, Sample, make_plan
from datasets_prep.sources import Picture, Sides


@dataclass(frozen=True)
class Request:
    """What the user asks for.

    Attributes:
        data_set: The declaration of the data set.
        root: The user's tree, which is only read.
        out: Folder that gets `<split>/<side>.lmdb`, or `<split>/<side>/` for folders.
        splits: The parts to prepare.
        flags: Switches of the data set that are on.
        crop: Rule for the cropped parts; None keeps every picture whole.
        folders: Write folders of PNGs instead of LMDBs.
        compression: zlib level of the PNGs that are encoded anew, 0 to 9.
        workers: Number of processes that decode and encode.
    """

    data_set: DataSet
    root: Path
    out: Path
    splits: tuple[str, ...]
    flags: frozenset[str]
    crop: CropRule | None
    folders: bool
    compression: int
    workers: int

    def target(self, split: str, side: str) -> Path:
        """The finished database or folder of one side of a split."""
        return self.out / split / (side if self.folders else f"{side}.lmdb")

    def rule(self, split: str) -> CropRule | None:
        """The crop rule that applies to a split."""
        return self.crop if self.data_set.splits[split].cropped else None


Say = Callable[[str], None]


class Writer(Protocol):
    """What the engine needs of a writer; see LmdbWriter and FolderWriter."""

    def __contains__(self, key: str) -> bool: ...
    def put_png(self, key: str, data: bytes) -> None: ...
    def finish(self) -> None: ...
    def abandon(self) -> None: ...


def make_plans(request: Request) -> list[Plan]:
    """Finds and checks the pictures of every requested split.

    Raises:
        PreparationError: The root is missing or holds no known tree, the output would lie in it, or pictures do not
            pair.
    """
    root, out = request.root.resolve(), request.out.resolve()
    if not root.is_dir():
        raise PreparationError(f"--root {request.root} is not a folder: give the folder that holds the data set")
    if out == root or root in out.parents:
        raise PreparationError(f"--out {request.out} lies in --root {request.root}, which is only read: choose another")
    found = {split: _find(request, split) for split in request.splits}
    places: dict[tuple[str, ...], str] = {}
    for split, sides in found.items():
        where = tuple(side.where for side in sides.values())
        if where in places:
            raise PreparationError(
                f"{' and '.join(where)} in {request.root} would serve as both {places[where]} and {split}: "
                f"say which of them it is, e.g. --splits {split}"
            )
        places[where] = split
    return [
        make_plan(request.data_set, split, sides, request.rule(split), request.folders)
        for split, sides in found.items()
    ]


def _find(request: Request, split: str) -> Sides:
    sides = request.data_set.find(request.root, split, request.flags)
    if sides is None or not any(side.pictures for side in sides.values()):
        flags = "".join(f" with --{flag}" for flag in sorted(request.flags))
        raise PreparationError(
            f"no pictures of {request.data_set.command}'s split {split}{flags} in {request.root}: leave the split out "
            f"with --splits, or give another --root.\n{request.data_set.description}"
        )
    return sides


def describe(request: Request, plan: Plan) -> str:
    """One paragraph: what was found, what is made of it, and about how much that is."""
    rule = request.rule(plan.split)
    made = f"{rule.size}x{rule.size} crops every {rule.step} pixels" if rule else "whole pictures"
    sources = " and ".join(plan.where.values())
    targets = " and ".join(str(request.target(plan.split, side)) for side in plan.where)
    expected = request.data_set.splits[plan.split].expected
    return (
        f"{plan.split}: {plan.pairs:,} of {expected:,} expected pairs in {sources}\n"
        f"  -> {len(plan.keys):,} pairs of {made}, about {_gigabytes(plan.estimated_bytes)}, in {targets}"
    )


def describe_space(request: Request, plans: Sequence[Plan]) -> str:
    """About how much will be written, and how much room there is."""
    folder = request.out.resolve()
    while not folder.exists():
        folder = folder.parent
    needed = sum(plan.estimated_bytes for plan in plans)
    free = shutil.disk_usage(folder).free
    verdict = "" if needed < free else ": not enough"
    return f"about {_gigabytes(needed)} to write, {_gigabytes(free)} free{verdict}"


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e8 else f"{size / 1e6:,.1f} MB"


def _settings(request: Request, plan: Plan, side: str) -> dict[str, Any]:
    rule = request.rule(plan.split)
    return {
        "data_set": request.data_set.command,
        "split": plan.split,
        "side": side,
        "source": str(request.root.resolve()),
        "source_folder": plan.where[side],
        "flags": sorted(request.flags),
        "crop": rule.size if rule else None,
        "step": rule.step if rule else None,
        "compression": request.compression,
        "pairs": len(plan.samples),
        "pairs_expected": request.data_set.splits[plan.split].expected,
        "pictures_too_small": len(plan.too_small),
        "pictures": len(plan.keys),
        "fingerprint": plan.fingerprint(),
    }


Encoded = tuple[list[dict[str, bytes]], list[str]]
"""The outputs of one sample: per side key -> PNG, and the problems that there were instead."""


def _read_picture(picture: Picture, size: tuple[int, int]) -> tuple[bytes, Image]:
    data = picture.read()
    image = decode(data)
    if image.shape[:2] != size:
        raise PreparationError(f"is decoded to {image.shape[1]}x{image.shape[0]}, not to {size[1]}x{size[0]}")
    return data, image


def encode_sample(sample: Sample, compression: int) -> Encoded:
    """Decodes every side of a sample and encodes its outputs; a whole plain PNG keeps its bytes."""
    sides, problems = [], []
    for picture in sample.pictures:
        try:
            data, image = _read_picture(picture, sample.size)
        except PreparationError as error:
            problems.append(f"{picture} {error}")
            continue
        except OSError as error:
            problems.append(f"{picture} cannot be read: {error.strerror}")
            continue
        outputs = {}
        for key, window in sample.outputs:
            if window is not None:
                rows = slice(window.top, window.top + window.size)
                columns = slice(window.left, window.left + window.size)
                outputs[key] = encode_png(image[rows, columns], compression)
            else:
                outputs[key] = data if is_plain_png(data) else encode_png(image, compression)
        sides.append(outputs)
    return sides, problems


def prepare(request: Request, plans: Sequence[Plan], say: Say) -> None:
    """Writes every plan; a split that is there already, made with the same settings, is left alone.

    Raises:
        PreparationError: Pictures are damaged (all of them are named), or the output cannot be written. What is
            written so far stays, under a name that ends in `.partial`, and is taken up by the next run.
    """
    problems: list[str] = []
    for plan in plans:
        problems += _prepare_split(request, plan, say)
    if problems:
        listed = "".join(f"\n  {problem}" for problem in problems)
        count = "1 picture is" if len(problems) == 1 else f"{len(problems):,} pictures are"
        raise PreparationError(f"{count} not usable: replace, then run the same again, it continues{listed}")


def _prepare_split(request: Request, plan: Plan, say: Say) -> list[str]:
    """Writes one split; returns the problems of its pictures, with which nothing gets its final name."""
    targets = {side: request.target(plan.split, side) for side in plan.where}
    missing = [side for side, path in targets.items() if not is_finished(path, _settings(request, plan, side))]
    if not missing:
        say(f"{plan.split}: done before, {len(plan.keys):,} pairs")
        return []
    writers: dict[str, Writer] = {}
    if plan.problems:
        return [*plan.problems, *_write_samples(request, plan, writers)]
    with ExitStack() as stack:
        for side in missing:
            writers[side] = _open_writer(request, targets[side], _settings(request, plan, side))
            stack.callback(writers[side].abandon)
        problems = _write_samples(request, plan, writers)
        if not problems:
            for writer in writers.values():
                writer.finish()
            say(f"{plan.split}: wrote {len(plan.keys):,} pairs")
    return problems


def _open_writer(request: Request, path: Path, settings: dict[str, Any]) -> Writer:
    if request.folders:
        return FolderWriter(path, settings)
    return LmdbWriter(path, request.compression, settings)


def _write_samples(request: Request, plan: Plan, writers: dict[str, Writer]) -> list[str]:
    """Encodes and writes what the writers do not have yet; without writers, only checks all pictures.

    From the first damaged picture on, the rest is only checked, so that all damage is reported at once, while what is
    written stays the beginning of the undamaged sequence.
    """
    sides = list(plan.where)
    remaining = [
        sample
        for sample in plan.samples
        if not writers or not all(key in writer for writer in writers.values() for key, _ in sample.outputs)
    ]
    problems: list[str] = []
    progress = tqdm(total=len(plan.samples), initial=len(plan.samples) - len(remaining), desc=plan.split, unit="pair")
    with progress:
        encode = partial(encode_sample, compression=request.compression)
        for outputs, found in map_in_order(encode, remaining, request.workers):
            progress.update()
            problems += found
            if problems:
                continue
            for side, writer in writers.items():
                for key, data in outputs[sides.index(side)].items():
                    writer.put_png(key, data)
    return problems
