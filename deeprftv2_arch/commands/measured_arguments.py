"""The arguments of ``evaluate`` and ``test`` that say what is measured, and on what."""

import argparse
from pathlib import Path

from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.launch.arguments import add_launch_arguments
from deeprftv2_arch.metrics.protocols import PROTOCOLS


def add_measured(parser: argparse.ArgumentParser, several: bool) -> None:
    """Add ``-opt``, ``--checkpoint``, ``--protocol`` and ``--data``, and what every command takes that runs a file.

    Args:
        parser: The parser.
        several: Whether several networks may be named.
    """
    number = "+" if several else 1
    files = "option files (YAML)" if several else "option file (YAML)"
    parser.add_argument(
        "-opt", nargs=number, type=Path, default=[], metavar="FILE", help=f"{files}, for testing or for training"
    )
    beside = "networks to measure beside those of the option files" if several else "in place of the option file's"
    parser.add_argument(
        "--checkpoint",
        nargs=number,
        type=Path,
        default=[],
        metavar="FILE",
        help=f"weights that tell their network, {beside}; with spandrel also of other projects",
    )
    parser.add_argument(
        "--protocol",
        metavar="NAME",
        help=f"how to measure, {'whatever the file says' if several else 'without an option file'}: "
        f"{', '.join(PROTOCOLS)}",
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="without an option file: the folder of the protocol's test sets, as datasets_prep makes it, or of one "
        "with blur/ and sharp/, input/ and target/, HR/ and LR_bicubic/X4/",
    )
    add_launch_arguments(parser)


def check_what_is_measured(args: argparse.Namespace, several: bool) -> None:
    """Refuse a command line that names nothing to measure, or nothing to measure on; arguments as above.

    Raises:
        OptionError: It is so.
    """
    if args.opt and args.data is not None:
        raise OptionError("--data: an option file names its own data; take one of the two away")
    if args.opt and args.protocol is not None and not several:
        raise OptionError("--protocol: an option file names its own metrics; evaluate measures by a protocol")
    if args.opt:
        return
    missing = [
        name
        for name, value in (("--checkpoint", args.checkpoint), ("--protocol", args.protocol), ("--data", args.data))
        if not value
    ]
    if missing:
        raise OptionError(
            f"{', '.join(missing)}: missing; name an option file by -opt FILE, or a network and what to measure on by "
            "--checkpoint FILE --protocol NAME --data DIR"
        )
