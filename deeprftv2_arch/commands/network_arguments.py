"""The arguments of commands that say which network restores, and where."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deeprftv2_arch.restoring.restorer import Restorer


def add_network(parser: argparse.ArgumentParser) -> None:
    """Add ``--checkpoint``, ``--options`` and ``--device``."""
    parser.add_argument("--checkpoint", required=True, type=Path, metavar="FILE", help="trained weights")
    parser.add_argument(
        "--options",
        type=Path,
        metavar="FILE",
        help="option file of the network, which tells what weights do not, such as train_size and tile; by default the "
        "network is found from the weights",
    )
    parser.add_argument(
        "--device", metavar="NAME", help="cpu, cuda, cuda:1, mps, ... (default: a GPU, if there is one)"
    )


def restorer_of(args: argparse.Namespace, **settings: Any) -> "Restorer":
    """Build the restorer of the arguments of :func:`add_network`; ``settings`` are further ones of its class.

    Raises:
        CheckpointError: The weights cannot be read or do not fit.
        OptionError: The option file cannot be read, or an argument is none that the class takes.
    """
    from deeprftv2_arch.restoring.restorer import Restorer

    if args.options is None:
        return Restorer.from_checkpoint(args.checkpoint, device=args.device, **settings)
    return Restorer.from_options(args.options, args.checkpoint, device=args.device, **settings)
