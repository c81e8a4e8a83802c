"""Prepares any declared data set: find, pair, check, encode in parallel, write."""

import os
import shutil
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from tqdm import tqdm

from datasets_prep.data_set import DataSet
from datasets_prep.encode import Encoded, encode_sample
from datasets_prep.plan import Plan, Sample, make_plan, name_part
from datasets_prep.sources import Sides
from datasets_prep.views import CropRule
from deeprftv2_arch.common.lmdb_io import LmdbWriter
from deeprftv2_arch.common.parallel import map_in_order
from deeprftv2_arch.common.partial_folder import FolderWriter, is_finished
from deeprftv2_arch.errors import PreparationError, UnusableImagesError


@dataclass(frozen=True)
class Request:
    """What the user asks for.

    Attributes:
        data_set: The declaration of the data set.
        root: The user's tree, which is only read.
        sources: The folders of it that are read, where these are not all of it.
        out: Folder that gets ``<split>/<side>.lmdb``, or ``<split>/<side>/`` for folders.
        splits: The parts to prepare.
        scales: The scales to prepare them at.
        only_present: Leave out what the root does not hold, rather than refuse.
        flags: Switches of the data set that are on.
        crop: Rule for the cropped parts; None keeps every image whole.
        folders: Write folders of PNGs instead of LMDBs.
        compression: zlib level of the PNGs that are encoded anew, 0 to 9.
        workers: Number of processes that decode and encode.
    """

    data_set: DataSet
    root: Path
    out: Path
    splits: tuple[str, ...]
    scales: tuple[int, ...]
    only_present: bool
    flags: frozenset[str]
    crop: CropRule | None
    folders: bool
    compression: int
    workers: int
    sources: tuple[Path, ...] = ()

    def target(self, split: str, side: str) -> Path:
        """Return the finished database or folder of one side of a split."""
        return self.out / split / (side if self.folders else f"{side}.lmdb")

    def rule(self, split: str) -> CropRule | None:
        """Return the crop rule that applies to a split."""
        return self.crop if self.data_set.splits[split].cropped else None


Say = Callable[[str], None]


class Writer(Protocol):
    """What the engine needs of a writer; see LmdbWriter and FolderWriter."""

    def __contains__(self, key: str) -> bool:
        """Tell whether an earlier, interrupted run has stored ``key`` for good."""

    def put_encoded(self, key: str, data: bytes) -> None:
        """Store the bytes of an image, unless they are stored already."""

    def finish(self) -> None:
        """Give the result its final name."""

    def abandon(self) -> None:
        """Stop without finishing; what is stored stays, for the next run."""


def make_plans(request: Request) -> list[Plan]:
    """Find and check the images of every requested split.

    Raises:
        PreparationError: The root is missing or holds no known tree, the output would lie in it, or images do not
            pair.
    """
    root, out = request.root.resolve(), request.out.resolve()
    if not root.is_dir():
        raise PreparationError(f"--root {request.root} is not a folder: give the folder that holds the data set")
    file = next((path for path in (out, *out.parents) if path.is_file()), None)
    if file is not None:
        raise PreparationError(f"--out {request.out} cannot be a folder, {file} is a file: choose another")
    inside = next((path for path in request.sources or (request.root,) if path.resolve() in (out, *out.parents)), None)
    if inside is not None:
        option = f"{inside}" if request.sources else f"--root {inside}"
        raise PreparationError(f"--out {request.out} lies in {option}, which is only read: choose another")
    found = _find(request)
    places: dict[tuple[str, ...], str] = {}
    for (split, _), sides in found.items():
        where = tuple(side.where for side in sides.values())
        if places.setdefault(where, split) != split:
            raise PreparationError(
                f"{' and '.join(where)} in {request.root} would serve as both {places[where]} and {split}: "
                f"say which of them it is, e.g. --splits {split}"
            )
    return [
        make_plan(request.data_set, split, scale, sides, request.rule(split), request.folders)
        for (split, scale), sides in found.items()
    ]


def _find(request: Request) -> dict[tuple[str, int], Sides]:
    """Find all that is asked for: (split, scale) -> the sides of its pairs."""
    data_set = request.data_set
    found: dict[tuple[str, int], Sides] = {}
    for split in request.splits:
        sides = data_set.find(request.root, split, request.flags) or {}
        for scale in request.scales:
            pair = {name: sides[name] for name in data_set.side_names(scale, request.flags) if name in sides}
            if any(side.images for side in pair.values()):
                found[split, scale] = pair
            elif not request.only_present:
                raise _nothing_found(request, name_part(split, scale))
    if not found:
        raise _nothing_found(request)
    return found


def _nothing_found(request: Request, part: str | None = None) -> PreparationError:
    command = request.data_set.command
    flags = "".join(f" with --{flag}" for flag in sorted(request.flags))
    missing, advice = command + flags, ""
    if part is not None:
        selection = "--splits" if request.data_set.scales == (1,) else "--splits or --scales"
        missing, advice = f"{command}'s split {part}{flags}", f"leave it out with {selection}, or "
    return PreparationError(
        f"no images of {missing} in {request.root}: {advice}give another --root; "
        f"python -m datasets_prep {command} --help tells which trees are known"
    )


def absent(request: Request, plans: Sequence[Plan]) -> list[str]:
    """Name what the root does not hold and was left out: ``Set14``, or ``Set14 x3`` where other scales are there."""
    planned = {(plan.split, plan.scale) for plan in plans}
    names = []
    for split in request.splits:
        missing = [scale for scale in request.scales if (split, scale) not in planned]
        names += [split] if len(missing) == len(request.scales) else [name_part(split, scale) for scale in missing]
    return names


def describe(request: Request, plan: Plan) -> str:
    """Say in a paragraph what was found, what is made of it, and about how much that is."""
    rule = request.rule(plan.split)
    sources = " and ".join(dict.fromkeys(side.where for side in plan.sides.values()))
    targets = " and ".join(str(request.target(plan.split, side)) for side in plan.sides)
    made = f"{rule.size}x{rule.size} crops every {rule.step} pixels" if rule else "whole images"
    if rule and plan.scale > 1:
        made += f" ({rule.size // plan.scale}x{rule.size // plan.scale} in {next(iter(plan.sides))})"
    size = _gigabytes(sum(plan.estimated_bytes.values()))
    lines = [
        f"{plan.name}: {plan.found} in {sources}",
        *(
            f"  {side.made:,} of the {name} images are made from the ground truth, as MATLAB's imresize makes them"
            for name, side in plan.sides.items()
            if side.made
        ),
        *_describe_rule(plan),
        f"  -> {len(plan.keys):,} pairs of {made}, about {size}, in {targets}",
    ]
    return "\n".join(lines)


def _describe_rule(plan: Plan) -> list[str]:
    """Say how the images were paired, with the first and the last of them, and the groups that they make."""
    (first, _), *others = plan.sides.items()
    lines = []
    for name, side in others:
        if side.rule and plan.samples:
            ends = [plan.samples[at].views for at in (0, -1)]
            pairs = [f"{views[first].image.path.name} with {views[name].image.path.name}" for views in ends]
            lines.append(f"  {first} and {name} paired {side.rule}: {', ..., '.join(pairs)}")
    groups = plan.sides[first].groups
    if groups:
        lines.append("  groups: " + ", ".join(f"{name} {len(keys):,}" for name, keys in groups.items()))
    return lines


def describe_space(request: Request, plans: Sequence[Plan]) -> str:
    """Say about how much will be written, and how much room there is."""
    folder = request.out.resolve()
    while not folder.exists():
        folder = folder.parent
    # Plans of several scales may share the database of the ground truth.
    sizes = {request.target(plan.split, side): size for plan in plans for side, size in plan.estimated_bytes.items()}
    needed = sum(sizes.values())
    free = shutil.disk_usage(folder).free
    verdict = "" if needed < free else ": not enough"
    return f"about {_gigabytes(needed)} to write, {_gigabytes(free)} free{verdict}"


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e8 else f"{size / 1e6:,.1f} MB"


def _settings(request: Request, plan: Plan, side: str) -> dict[str, Any]:
    rule, found = request.rule(plan.split), plan.sides[side]
    settings: dict[str, Any] = {
        "data_set": request.data_set.command,
        "split": plan.split,
        "side": side,
        "source": str(request.root.resolve()),
        "source_folder": found.where,
        "flags": sorted(request.flags - request.data_set.more_sides.keys()),
        "crop": rule.size if rule else None,
        "step": rule.step if rule else None,
        "compression": request.compression,
        "pairs": len(plan.samples),
        "pairs_expected": request.data_set.splits[plan.split].expected,
        "images_too_small": len(plan.too_small),
        "pictures": len(plan.keys),
        "fingerprint": plan.fingerprint(),
    }
    if request.data_set.scales != (1,):
        settings["scale"] = found.scale
        settings["made_by_imresize"] = found.made
        settings["cut_to_multiple_of"] = plan.multiple
    if found.rule:
        settings["paired"] = found.rule
        settings["images_by_key"] = {
            key: Path(os.path.relpath(image.path, request.root)).as_posix() for key, image in found.images.items()
        }
    if found.groups:
        settings["groups"] = dict(found.groups)
    return settings


def prepare(request: Request, plans: Sequence[Plan], say: Say) -> None:
    """Write every plan; a split that is there already, made with the same settings, is left alone.

    Raises:
        PreparationError: Images are damaged (all of them are named), or the output cannot be written. What is
            written so far stays, under a name that ends in ``.partial``, and is taken up by the next run.
    """
    problems: list[str] = []
    for plan in plans:
        problems += _prepare_split(request, plan, say)
    problems = list(dict.fromkeys(problems))
    if problems:
        count = "1 image is" if len(problems) == 1 else f"{len(problems):,} images are"
        raise UnusableImagesError(f"{count} not usable: replace, then run the same again, it continues", problems)


def _prepare_split(request: Request, plan: Plan, say: Say) -> list[str]:
    """Write one split at one scale; return the problems of its images, with which nothing gets its final name."""
    if plan.problems:
        return [*plan.problems, *_check_samples(request, plan)]
    targets = {side: request.target(plan.split, side) for side in plan.sides}
    missing = [side for side, path in targets.items() if not is_finished(path, _settings(request, plan, side))]
    if not missing:
        say(f"{plan.name}: done before, {len(plan.keys):,} pairs")
        return []
    writers: dict[str, Writer] = {}
    with ExitStack() as stack:
        for side in missing:
            writers[side] = _open_writer(request, targets[side], _settings(request, plan, side))
            stack.callback(writers[side].abandon)
        problems = _write_samples(request, plan, writers)
        if not problems:
            for writer in writers.values():
                writer.finish()
            say(f"{plan.name}: wrote {len(plan.keys):,} pairs")
    return problems


def _open_writer(request: Request, path: Path, settings: dict[str, Any]) -> Writer:
    if request.folders:
        return FolderWriter(path, settings)
    return LmdbWriter(path, request.compression, settings)


def _encode(
    request: Request, plan: Plan, samples: Sequence[Sample], sides: Sequence[str]
) -> Generator[Encoded, None, None]:
    """Yield the outputs of the samples that remain to be done, in order, under a progress bar of all."""
    # The files of a folder are PNGs by their names, and pair with PNGs.
    encode = partial(encode_sample, sides=sides, compression=request.compression, keep_jpegs=not request.folders)
    done = len(plan.samples) - len(samples)
    with tqdm(total=len(plan.samples), initial=done, desc=plan.name, unit="pair") as progress:
        for encoded in map_in_order(encode, samples, request.workers):
            progress.update()
            yield encoded


def _check_samples(request: Request, plan: Plan) -> list[str]:
    """Return the problems of all images."""
    return [problem for _, found in _encode(request, plan, plan.samples, tuple(plan.sides)) for problem in found]


def _write_samples(request: Request, plan: Plan, writers: Mapping[str, Writer]) -> list[str]:
    """Encode and write what the writers do not have yet; return the problems of images.

    From the first damaged image on, the rest is only checked, so that all damage is reported at once, while what is
    written stays the beginning of the undamaged sequence.
    """
    remaining = [
        sample
        for sample in plan.samples
        if not all(key in writer for writer in writers.values() for key, _ in sample.outputs)
    ]
    problems: list[str] = []
    # Closed, so that the progress bar ends before what cannot be written is said.
    with closing(_encode(request, plan, remaining, tuple(writers))) as encoded:
        for outputs, found in encoded:
            problems += found
            if problems:
                continue
            for side, writer in writers.items():
                for key, data in outputs[side].items():
                    writer.put_encoded(key, data)
    return problems
