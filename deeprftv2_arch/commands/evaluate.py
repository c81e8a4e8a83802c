"""``python -m deeprftv2_arch evaluate``: measuring as the literature does."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deeprftv2_arch.commands.cpu_memory import keep_memory_on_cpu
from deeprftv2_arch.commands.measured_arguments import add_measured, check_what_is_measured
from deeprftv2_arch.common.working_folder import working_folder
from deeprftv2_arch.launch.arguments import Arguments

DESCRIPTION = """\
Measure networks on test sets as the published values were measured:

  python -m deeprftv2_arch evaluate -opt options/test/DeepRFTv2_GoPro.yml
  python -m deeprftv2_arch evaluate --checkpoint ours.pth nafnet.pth --protocol gopro --data datasets/GoPro
  python -m deeprftv2_arch evaluate -opt options/test/ATDlight_SRx*.yml --checkpoint swinir.pth --table table.tex

Networks are those of the option files, for testing or for training (their `val`), and of the checkpoints: any of this
project and, with the package spandrel, NAFNet, SwinIR, HAT and whatever else it knows. Sets are those of the option
files or, without one, those of the protocol that lie in the folder --data; all networks of a scale are measured on the
same. A set that is missing is left out, and the table says so.

The file's `protocol`, or --protocol, says how: which metrics, of 8-bit or float output, over how many images. An
average over another number of images is refused unless --partial is said, and then marked as partial.

Started by torchrun or srun, the processes share the images; each measures in worker processes of its own while its
network restores the next images. Neither changes a value.

Results, in results/<name>/evaluation of the working directory, replacing those of the same names:
  <protocol>_<tiles>.csv      every metric of every image
  <protocol>_<tiles>.json     averages, and all that makes them comparable: protocol, numbers of images, tiles,
                              weights with their SHA-256, versions
  <protocol>_<tiles>.md       the table that is printed: the network beside the option file's `published`
  <protocol>_<tiles>_triplets with --triplets: a folder of images, <data set>_<best, median or worst>.png
<tiles> is whole or tiled_<size>_<overlap>; with another number of images than the published one, _partial follows it.
An image that cannot be measured does not stop the others; but then there is no average, all such images are named at
the end, the values of the others are in <protocol>_<tiles>_incomplete.csv, and the exit code is 2.

With --checkpoint, several option files or --table the table also has parameters, GMACs, seconds, the scales and what
papers report; files are called <protocol>_compared.csv, .json and .md, and a network that fails on an image is left out
of the table.

`network_g: {type: Identity}`, which needs no pretrain_network_g, measures the degraded images themselves.
"""


def add_evaluate(commands: Any) -> None:
    """Add ``evaluate`` to the commands of ``python -m deeprftv2_arch``."""
    parser = commands.add_parser(
        "evaluate",
        help="measure a network as the published values of its test sets were measured",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_measured(parser, several=True)
    tiles = parser.add_mutually_exclusive_group()
    tiles.add_argument(
        "--tile",
        nargs=2,
        type=int,
        metavar=("SIZE", "OVERLAP"),
        help="restore images larger than SIZE in tiles of it that share OVERLAP pixels, whatever the file says",
    )
    tiles.add_argument("--whole", action="store_true", help="restore images whole, whatever the file says")
    parser.add_argument(
        "--partial", action="store_true", help="measure what there is, be it more or less than the published test set"
    )
    parser.add_argument(
        "--workers",
        type=_not_negative,
        metavar="N",
        help="processes that measure, for each that restores; 0: none beside it (default: from the number of CPUs)",
    )
    parser.add_argument(
        "--triplets",
        action="store_true",
        help="also save the best, the median and the worst image by the first metric: input, restored, ground truth",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder of the results (default: results/<name>/evaluation)"
    )
    parser.add_argument(
        "--table", type=Path, metavar="FILE", help="also write the table there: .md, .csv (all digits) or .tex (LaTeX)"
    )
    parser.set_defaults(run=_evaluate)


def _not_negative(word: str) -> int:
    if not word.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 on, not {word!r}")
    return int(word)


def _evaluate(args: argparse.Namespace) -> Iterator[str]:
    check_what_is_measured(args, several=True)
    from deeprftv2_arch.measuring.evaluation import Request, evaluate

    keep_memory_on_cpu()
    first, *more = args.opt or args.checkpoint
    request = Request(
        arguments=Arguments(first, args.launcher, force_yml=tuple(args.force_yml)),
        protocol=args.protocol,
        tiles="whole" if args.whole else args.tile and tuple(args.tile),
        partial=args.partial,
        workers=args.workers,
        triplets=args.triplets,
        out=args.out,
        more=tuple(more) if args.opt else (),
        checkpoints=tuple(args.checkpoint),
        data=args.data,
        table=args.table,
    )
    yield from evaluate(request, working_folder())
