"""The command line of ``python -m datasets_prep``."""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from datasets_prep import synthetic_blur
from datasets_prep.data_set import DataSet
from datasets_prep.df2k import DF2K
from datasets_prep.dpdd import DPDD
from datasets_prep.engine import Request, absent, describe, describe_space, make_plans, prepare
from datasets_prep.gopro import GOPRO
from datasets_prep.hide import HIDE
from datasets_prep.pairs import DESCRIPTION, PLAIN, SPLITS, TITLE, OwnPairs, pairs_data_set
from datasets_prep.plan import name_part
from datasets_prep.realblur import REALBLUR
from datasets_prep.reds import REDS
from datasets_prep.sr_benchmarks import SR_BENCHMARKS
from datasets_prep.verify import is_begun, verify
from datasets_prep.views import CropRule
from deeprftv2_arch.common.standard_streams import open_closed_streams
from deeprftv2_arch.common.stopping import Stopped, signals_stop
from deeprftv2_arch.common.system_faults import system_fault
from deeprftv2_arch.common.working_folder import working_folder
from deeprftv2_arch.errors import (
    LONGEST_MESSAGE,
    DeepRFTv2Error,
    PreparationError,
    UnusableImagesError,
    cut,
    escaped,
    printable,
)

DATA_SETS: tuple[DataSet, ...] = (GOPRO, HIDE, REALBLUR, REDS, DPDD, DF2K, SR_BENCHMARKS)

_DESCRIPTION = """\
Prepares a data set for training and testing with BasicSR: from the tree as it is downloaded, or one of the repacks in
circulation, to one LMDB (or folder) per side and split:

  python -m datasets_prep gopro --root GOPRO_Large --out datasets/GoPro
  -> datasets/GoPro/train/{blur,sharp}.lmdb    crops
     datasets/GoPro/test/{blur,sharp}.lmdb     whole images
  python -m datasets_prep realblur --root DIR --out datasets/RealBlur
  -> datasets/RealBlur/{RealBlur_J,RealBlur_R}/{train,test}/{blur,sharp}.lmdb    whole images
  python -m datasets_prep reds --root DIR --out datasets/REDS
  -> datasets/REDS/{train,val,val300}/{blur,sharp}.lmdb      whole images
  python -m datasets_prep dpdd --root dd_dp_dataset_png --out datasets/DPDD
  -> datasets/DPDD/{train,val,test}/{blur,sharp}.lmdb        16 bits; crops for training, else whole images
  python -m datasets_prep df2k --root DIR --out datasets/DF2K
  -> datasets/DF2K/train/{HR,LRx2,LRx3,LRx4}.lmdb    crops, one HR for all scales
  python -m datasets_prep sr-benchmarks --root DIR --out datasets/SR
  -> datasets/SR/Set5/{HRx2,LRx2,...}.lmdb            whole images
  python -m datasets_prep pairs --blurred DIR --sharp DIR --val 20 --out datasets/mine
  -> datasets/mine/{train,val}/{blur,sharp}.lmdb      pictures of your own
  python -m datasets_prep synthetic-blur --root PHOTOGRAPHS --out datasets/shake
  -> datasets/shake/{blur,sharp,kernels}              whole images, blurred by simulated cameras

The tree is only read; nothing in it is moved or deleted. Images are paired by their names or by the list that comes
with them, by their order only where there is nothing else (DPDD), and counted against the published number. For
super-resolution, low resolutions that are not there are made from the ground truth as MATLAB's imresize makes them. A
database gets its name when it is complete; until then the name ends in .partial. A command that was interrupted, even
killed, goes on where it stopped when it is run again; one that was finished does nothing. Exit status: 0, or 2 with the
reason on the error output."""

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


def _add_crop_options(parser: argparse.ArgumentParser, data_set: DataSet) -> None:
    crop = data_set.crop
    if crop is None:
        parser.set_defaults(crop=0)
        return
    cropped = " and ".join(name for name, split in data_set.splits.items() if split.cropped)
    parser.add_argument(
        "--crop",
        type=_whole,
        default=crop.size,
        metavar="PIXELS",
        help=f"side of the square crops of {cropped}; 0 keeps whole images (default: {crop.size})",
    )
    parser.add_argument(
        "--step",
        type=_positive,
        default=crop.step,
        metavar="PIXELS",
        help="distance between crops; the last row and column are aligned to the image's far edge "
        f"(default: {crop.step})",
    )


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
    default_splits = " ".join(data_set.default_splits) if data_set.default_splits else "those that are in ROOT"
    parser.add_argument(
        "--splits", nargs="+", choices=tuple(data_set.splits), help=f"what to prepare (default: {default_splits})"
    )
    parser.set_defaults(scales=data_set.scales)
    if data_set.scales != (1,):
        parser.add_argument(
            "--scales",
            nargs="+",
            type=int,
            choices=data_set.scales,
            help=f"how many times smaller the low resolution is (default: {' '.join(map(str, data_set.scales))}); "
            "another one can be added later by the same command",
        )
    parser.set_defaults(flags=[])
    for flag, text in data_set.flags.items():
        parser.add_argument(f"--{flag}", action="append_const", dest="flags", const=flag, help=text)
    _add_crop_options(parser, data_set)
    _add_common_options(parser)


def _add_common_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folders", action="store_true", help="write flat folders of PNG files instead of LMDBs")
    parser.add_argument(
        "--compression",
        type=int,
        choices=range(10),
        default=1,
        metavar="0..9",
        help="zlib level of PNGs that are encoded anew, 0 is fastest, 9 smallest (default: 1); whole images that are "
        "PNGs already, and in LMDBs also JPEGs, are copied byte for byte",
    )
    processors = os.cpu_count() or 1
    parser.add_argument(
        "--workers", type=_positive, default=processors, metavar="N", help=f"processes (default: {processors})"
    )
    action = parser.add_mutually_exclusive_group()
    action.add_argument(
        "--dry-run",
        action="store_true",
        help="find, pair and count the images, say what would be made, write nothing",
    )
    action.add_argument(
        "--verify",
        action="store_true",
        help="check an earlier result in OUT, LMDBs or folders: every image decodes, pairs are complete, sizes fit; "
        "PNGs have checksums, but JPEGs do not: only their structure is checked, a JPEG that is garbled in the middle "
        "may pass",
    )


def _add_pairs(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``pairs``, whose data set is what the user says."""
    parser = commands.add_parser(
        "pairs",
        help=TITLE,
        description=f"{TITLE}\n\n{DESCRIPTION}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--blurred", "--lq", dest="degraded", type=Path, metavar="DIR", help="the degraded images")
    parser.add_argument("--sharp", "--gt", dest="truth", type=Path, metavar="DIR", help="their ground truth")
    parser.add_argument("--out", type=Path, required=True, help="folder for the result; must not lie in the two")
    parser.add_argument(
        "--scale", type=_positive, default=1, help="how many times smaller the degraded images are (default: 1)"
    )
    parser.add_argument(
        "--pattern", default=PLAIN, help="name of a degraded image whose ground truth is called {} (default: {})"
    )
    parser.add_argument("--pairs", type=Path, metavar="FILE", help="list of the pairs, or BasicSR's meta_info_file")
    parser.add_argument("--split", choices=SPLITS, default="train", help="what the pairs are for (default: train)")
    validation = parser.add_mutually_exclusive_group()
    validation.add_argument(
        "--val", type=_positive, default=0, metavar="N", help="the last N pairs, by name, are for validation"
    )
    validation.add_argument("--val-list", type=Path, metavar="FILE", help="the pairs that this lists are")
    parser.add_argument(
        "--crop",
        type=_whole,
        default=0,
        metavar="PIXELS",
        help="side of the square crops of train, such as 512, which load faster than large photographs; pictures that "
        "are smaller are left out, with a warning (default: 0, whole images)",
    )
    parser.add_argument(
        "--step", type=_positive, metavar="PIXELS", help="distance between crops (default: half of --crop)"
    )
    _add_common_options(parser)
    parser.set_defaults(data_set=None)


def _request_of_pairs(parser: argparse.ArgumentParser, options: argparse.Namespace) -> Request:
    if not options.verify and (options.truth is None or (options.degraded is None and options.scale == 1)):
        parser.error("pairs: --blurred and --sharp are required, except with --verify; --gt and --scale alone will do")
    pairs = OwnPairs(
        options.degraded,
        options.truth or Path(),
        options.pattern,
        options.pairs,
        options.scale,
        options.split,
        options.val,
        options.val_list,
    )
    crop = CropRule(options.crop, options.step or max(1, options.crop // 2)) if options.crop else None
    return Request(
        data_set=pairs_data_set(pairs, crop),
        root=pairs.root,
        out=options.out,
        splits=SPLITS if options.verify else pairs.splits,
        scales=(pairs.scale,),
        only_present=bool(options.verify),
        flags=frozenset(),
        crop=crop,
        folders=options.folders,
        compression=options.compression,
        workers=options.workers,
        sources=pairs.folders,
    )


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of the whole command line, one sub-command per data set."""
    parser = argparse.ArgumentParser(
        prog="python -m datasets_prep",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="data sets", metavar="DATA_SET", required=True)
    for data_set in DATA_SETS:
        _add_command(commands, data_set)
    _add_pairs(commands)
    synthetic_blur.add_command(commands)
    return parser


def _say(text: str) -> None:
    sys.stdout.write(printable(text) + "\n")
    sys.stdout.flush()


def _warn(text: str) -> None:
    sys.stderr.write(f"warning: {escaped(text)}\n")


def _made(request: Request, split: str, scale: int) -> list[Path]:
    """Return the LMDBs or folders of one part, of the form that is asked for, unless only the other one is there."""
    sides = request.data_set.side_names(scale, request.flags)
    forms = [
        [replace(request, folders=folders).target(split, side) for side in sides]
        for folders in (request.folders, not request.folders)
    ]
    return next((targets for targets in forms if any(map(is_begun, targets))), forms[0])


def _verify(request: Request) -> None:
    problems = []
    checked = False
    for split in request.splits:
        for scale in request.scales:
            targets = _made(request, split, scale)
            if request.only_present and not any(is_begun(target) for target in targets):
                continue
            name = name_part(split, scale)
            count, found = verify(targets, name, request.workers)
            checked = True
            problems += found
            _say(f"{name}: checked {count:,} pairs, {len(found):,} problems")
    if not checked:
        raise PreparationError(f"no {request.data_set.command} in {request.out}: run the same without --verify")
    if problems:
        # Several scales may share the database of the ground truth.
        raise UnusableImagesError(
            "the result is damaged; move it away and prepare it again", list(dict.fromkeys(problems))
        )


def _run(request: Request, dry_run: bool) -> None:
    plans = make_plans(request)
    warned: set[str] = set()
    for plan in plans:
        _say(describe(request, plan))
        for text in (*plan.warnings, *(f"{line}; it is left out" for line in plan.too_small)):
            # Several scales share their ground truth, and what is wrong with it.
            if text not in warned:
                _warn(text)
            warned.add(text)
    missing = absent(request, plans)
    if missing:
        _say(f"not in {request.root}, so not prepared: {', '.join(missing)}")
    space = describe_space(request, plans)
    _say(space)
    if not dry_run:
        prepare(request, plans, _say)
        return
    problems = list(dict.fromkeys(problem for plan in plans for problem in plan.problems))
    if problems:
        raise UnusableImagesError(f"{len(problems):,} images are not usable", problems)
    _say("dry run: nothing was written")


def _request(parser: argparse.ArgumentParser, options: argparse.Namespace) -> Request:
    if options.root is None and not options.verify:
        parser.error("--root is required, except with --verify")
    data_set: DataSet = options.data_set
    only_present = options.splits is None and data_set.default_splits is None
    return Request(
        data_set=data_set,
        root=options.root or Path(),
        out=options.out,
        splits=tuple(dict.fromkeys(options.splits or data_set.default_splits or data_set.splits)),
        scales=tuple(sorted(set(options.scales))),
        only_present=only_present,
        flags=frozenset(options.flags),
        crop=CropRule(options.crop, options.step) if options.crop else None,
        folders=options.folders,
        compression=options.compression,
        workers=options.workers,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    open_closed_streams()
    return _status_of(lambda: _act(arguments))


def _act(arguments: Sequence[str] | None) -> None:
    parser = build_parser()
    options = parser.parse_args(arguments)
    working_folder()  # without which the names of files mean nothing
    if options.data_set is None and not hasattr(options, "truth"):
        synthetic_blur.run(options, _say)
        return
    request = _request_of_pairs(parser, options) if options.data_set is None else _request(parser, options)
    if options.verify:
        _verify(request)
    else:
        _run(request, options.dry_run)


def _status_of(work: Callable[[], None]) -> int:
    """Do what the command says; returns the exit status."""
    try:
        with signals_stop():
            work()
    except DeepRFTv2Error as error:
        lines = error.lines if isinstance(error, UnusableImagesError) else [str(error)]
        sys.stderr.write("error: " + "\n  ".join(cut(escaped(line), LONGEST_MESSAGE) for line in lines) + "\n")
        return 2
    except OSError as error:
        line = system_fault(error)
        if line is None:
            raise
        sys.stderr.write(f"error: {escaped(line)}\n")
        return 2
    except KeyboardInterrupt as stop:
        known = stop if isinstance(stop, Stopped) else Stopped(signal.SIGINT)
        sys.stderr.write(f"{known}: run the same command again to go on\n")
        return known.exit_code
    return 0
