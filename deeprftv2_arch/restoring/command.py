"""The command line of ``python -m deeprftv2_arch restore``."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deeprftv2_arch.errors import OptionError

FAILED = 1  # exit code where a picture could not be restored

DESCRIPTION = """\
Restore pictures with a trained network: deblur them, or enlarge them, whatever the checkpoint was trained for.

  python -m deeprftv2_arch restore photo.jpg -o restored --checkpoint net_g_latest.pth
  python -m deeprftv2_arch restore holiday 'scans/**/*.png' -o restored --checkpoint net_g_latest.pth --compare

Inputs are PNGs and JPEGs, folders of them at any depth, and patterns. JPEGs are turned upright as their Exif data say.
Results are PNGs, since a JPEG would lose again what was restored; those of a folder lie below OUT as in the folder.
8 and 16 bits, grey, alpha and colour profiles stay what they are. Inputs are never changed, nothing is written outside
of OUT, and what is in OUT already is not restored again.

A picture that does not fit into the memory is restored in overlapping tiles. One that cannot be restored does not stop
the others; all such are named at the end.

Exit code: 0 if all pictures are there, 1 if some could not be restored, 2 if nothing was done because of a mistake in
the command line, the option file or the checkpoint.
"""


def add_restore(commands: Any) -> None:
    """Add ``restore`` to the commands of ``python -m deeprftv2_arch``."""
    parser = commands.add_parser(
        "restore",
        help="deblur or enlarge pictures, folders of them, and patterns",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="a picture, a folder, or a pattern in quotes")
    parser.add_argument("-o", "--out", required=True, type=Path, metavar="OUT", help="folder of the results")
    parser.add_argument("--checkpoint", required=True, type=Path, metavar="FILE", help="trained weights")
    parser.add_argument(
        "--options",
        type=Path,
        metavar="FILE",
        help="option file of the network, which tells what weights do not, such as train_size and tile; by default the "
        "network is found from the weights",
    )
    parser.add_argument("--overwrite", action="store_true", help="restore also what is done, and replace it")
    parser.add_argument("--compare", action="store_true", help="also write NAME_compare.png: before and after")
    parser.add_argument(
        "--save-kernels",
        action="store_true",
        help="also write NAME_kernels.png: the strongest blur kernels estimated in the middle of the picture",
    )
    tiles = parser.add_mutually_exclusive_group()
    tiles.add_argument(
        "--tile",
        nargs=2,
        type=int,
        metavar=("SIZE", "OVERLAP"),
        help="restore larger pictures in tiles of SIZE that share OVERLAP pixels, whatever the memory allows",
    )
    tiles.add_argument(
        "--memory-limit",
        metavar="BYTES",
        help="the most memory to take, such as 3G: of the process or of the GPU (default: 80 %% of what is free)",
    )
    parser.add_argument(
        "--max-pixels",
        type=int,
        metavar="N",
        help="refuse files that announce more pixels, which may be made to fill the memory (default: 250,000,000)",
    )
    parser.add_argument("--device", metavar="NAME", help="cpu, cuda, cuda:1, ... (default: the GPU, if there is one)")
    parser.set_defaults(run=_restore)


def _restore(args: argparse.Namespace) -> Iterator[str]:
    # Only now, so that the other commands start as fast as without them.
    from deeprftv2_arch.restoring.kernels import last_estimator
    from deeprftv2_arch.restoring.memory import parse_bytes
    from deeprftv2_arch.restoring.picture_files import MAX_PIXELS
    from deeprftv2_arch.restoring.plan import plan
    from deeprftv2_arch.restoring.restore_files import restore_files
    from deeprftv2_arch.restoring.restorer import Restorer

    if args.max_pixels is not None and args.max_pixels < 1:
        raise OptionError(f"--max-pixels: expected a number above 0, got {args.max_pixels}")
    jobs = plan(args.inputs, args.out, args.compare, args.save_kernels)
    settings = {
        "device": args.device,
        "tile": args.tile and tuple(args.tile),
        "memory_limit": args.memory_limit and parse_bytes(args.memory_limit),
        "max_pixels": args.max_pixels or MAX_PIXELS,
    }
    if args.options is None:
        restorer = Restorer.from_checkpoint(args.checkpoint, **settings)
    else:
        restorer = Restorer.from_options(args.options, args.checkpoint, **settings)
    if args.save_kernels:
        last_estimator(restorer.network)  # refused now rather than once for every picture
    _make_folder(args.out)
    restorer.progress = True
    outcome = restore_files(restorer, jobs, args.out, args.overwrite)
    for failure in outcome.failures:
        sys.stderr.write(f"{failure}\n")
    yield f"{args.out}: {outcome}"
    if outcome.failures:
        raise SystemExit(FAILED)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OptionError(f"{folder}: cannot be made: {error.strerror}; choose another folder") from error
