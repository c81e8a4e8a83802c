"""``python -m deeprftv2_arch evaluate``: measuring as the literature does."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deeprftv2_arch.common.working_folder import working_folder
from deeprftv2_arch.launch.arguments import Arguments, add_common_arguments
from deeprftv2_arch.metrics.protocols import PROTOCOLS

DESCRIPTION = """\
Measure the network of an option file for testing on its test sets, as the published values were measured. The file's
`protocol`, or --protocol, says how: which metrics, of 8-bit or float output, over how many images. An average over
another number of images is refused unless --partial is said, and then marked as partial.

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
    add_common_arguments(parser)
    parser.add_argument(
        "--protocol", metavar="NAME", help=f"how to measure, whatever the file says: {', '.join(PROTOCOLS)}"
    )
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
    parser.set_defaults(run=_evaluate)


def _not_negative(word: str) -> int:
    if not word.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 on, not {word!r}")
    return int(word)


def _evaluate(args: argparse.Namespace) -> Iterator[str]:
    from deeprftv2_arch.measuring.evaluation import Request, evaluate

    request = Request(
        arguments=Arguments(args.opt, args.launcher, force_yml=tuple(args.force_yml)),
        protocol=args.protocol,
        tiles="whole" if args.whole else args.tile and tuple(args.tile),
        partial=args.partial,
        workers=args.workers,
        triplets=args.triplets,
        out=args.out,
    )
    yield from evaluate(request, working_folder())
