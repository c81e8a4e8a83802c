"""The command line of `python -m datasets_prep`."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from datasets_prep.crops import CropRule
from datasets_prep.data_set import DataSet
from datasets_prep.engine import Request, describe, describe_space, make_plans, prepare
from datasets_prep.errors import PreparationError
from datasets_prep.gopro import GOPRO
from datasets_prep.hide import HIDE
from datasets_prep.verify import verify

DATA_SETS: tuple[DataSet, ...] = (GOPRO, HIDE)

_DESCRIPTION = """\
Prepares a data set for training and testing with BasicSR: from the tree as it is downloaded, or one of the repacks in
circulation, to one LMDB (or folder) per side and split:

  python -m datasets_prep gopro --root GOPRO_Large --out datasets/GoPro
  -> datasets/GoPro/train/{blur,sharp}.lmdb    crops
     datasets/GoPro/test/{blur,sharp}.lmdb     whole pictures

The tree is only read; nothing in it is moved or deleted. Pictures are paired by their names, never by their order, and
counted against the published number. A database gets its name when it is complete; until then the name ends in
.partial. A command that was interrupted, even killed, goes on where it stopped when it is run again; one that was
finished does nothing. Exit status: 0, or 2 with the reason on the error output."""

_EPILOG = "python -m datasets_prep DATA_SET --help tells which trees are accepted, and all options."


def _whole(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return value


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not positive")
    return value


def _add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", data_set: DataSet) -> None:
    parser = commands.add_parser(
        data_set.command,
        help=data_set.title,
        description=f"{data_set.title}\n\n{data_set.description}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(data_set=data_set)
    parser.add_argument("--root", type=Path, help="the tree to read (not needed with --verify)")
    parser.add_argument("--out", type=Path, required=True, help="folder for the result; must not lie in ROOT")
    parser.add_argument(
        "--splits",
        nargs="+",
        choices=tuple(data_set.splits),
        default=data_set.default_splits,
        help=f"what to prepare (default: {' '.join(data_set.default_splits)})",
    )
    for flag, text in data_set.flags.items():
        parser.add_argument(f"--{flag}", action="append_const", dest="flags", const=flag, help=text)
    cropped = " and ".join(name for name, split in data_set.splits.items() if split.cropped)
    parser.add_argument(
        "--crop",
        type=_whole,
        default=data_set.crop.size,
        metavar="PIXELS",
        help=f"side of the square crops of {cropped}; 0 keeps whole pictures (default: {data_set.crop.size})",
    )
    parser.add_argument(
        "--step",
        type=_positive,
        default=data_set.crop.step,
        metavar="PIXELS",
        help="distance between crops; the last row and column are aligned to the picture's far edge "
        f"(default: {data_set.crop.step})",
    )
    parser.add_argument("--folders", action="store_true", help="write flat folders of PNG files instead of LMDBs")
    parser.add_argument(
        "--compression",
        type=int,
        choices=range(10),
        default=1,
        metavar="0..9",
        help="zlib level of PNGs that are encoded anew, 0 is fastest, 9 smallest (default: 1); whole pictures that are "
        "PNGs already are copied byte for byte",
    )
    processors = os.cpu_count() or 1
    parser.add_argument(
        "--workers", type=_positive, default=processors, metavar="N", help=f"processes (default: {processors})"
    )
    action = parser.add_mutually_exclusive_group()
    action.add_argument(
        "--dry-run",
        action="store_true",
        help="find, pair and count the pictures, say what would be made, write nothing",
    )
    action.add_argument(
        "--verify",
        action="store_true",
        help="check an earlier result in OUT: every picture decodes, pairs are complete, sizes are equal",
    )


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line, one sub-command per data set."""
    parser = argparse.ArgumentParser(
        prog="python -m datasets_prep",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="data sets", metavar="DATA_SET", required=True)
    for data_set in DATA_SETS:
        _add_command(commands, data_set)
    return parser


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _warn(text: str) -> None:
    sys.stderr.write(f"warning: {text}\n")


def _verify(request: Request) -> None:
    problems = []
    for split in request.splits:
        targets = [request.target(split, side) for side in request.data_set.sides]
        count, found = verify(targets, request.workers)
        problems += found
        _say(f"{split}: checked {count:,} pairs, {len(found):,} problems")
    if problems:
        raise PreparationError("the result is damaged; move it away and prepare it again\n  " + "\n  ".join(problems))


def _run(request: Request, dry_run: bool) -> None:
    plans = make_plans(request)
    for plan in plans:
        _say(describe(request, plan))
        for text in (*plan.warnings, *(f"{line}; it is left out" for line in plan.too_small)):
            _warn(text)
    space = describe_space(request, plans)
    _say(space)
    if not dry_run:
        prepare(request, plans, _say)
        return
    problems = [problem for plan in plans for problem in plan.problems]
    if problems:
        raise PreparationError(f"{len(problems):,} pictures are not usable\n  " + "\n  ".join(problems))
    _say("dry run: nothing was written")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    if options.root is None and not options.verify:
        parser.error("--root is required, except with --verify")
    request = Request(
        data_set=options.data_set,
        root=options.root or Path(),
        out=options.out,
        splits=tuple(dict.fromkeys(options.splits)),
        flags=frozenset(getattr(options, "flags", None) or ()),
        crop=CropRule(options.crop, options.step) if options.crop else None,
        folders=options.folders,
        compression=options.compression,
        workers=options.workers,
    )
    try:
        if options.verify:
            _verify(request)
        else:
            _run(request, options.dry_run)
    except PreparationError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("interrupted: run the same command again to go on\n")
        return 130
    return 0
