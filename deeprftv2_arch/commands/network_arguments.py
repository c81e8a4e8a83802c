"""The arguments of commands that say which network restores, and where."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deeprftv2_arch.commands.outcome import is_first_on_machine
from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.restoring.pretrained import default_name, pretrained_file

if TYPE_CHECKING:
    from deeprftv2_arch.restoring.restorer import Restorer


PRECISIONS = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}  # PyTorch's names


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
    """Add ``--checkpoint``, which may be left out where weights come with this package."""
    default = default_name()
    parser.add_argument(
        "--checkpoint",
        required=default is None,
        type=Path,
        metavar="FILE",
        help="trained weights" + (f" (default: {default}, which comes with this package)" if default else ""),
    )


def add_network(parser: argparse.ArgumentParser) -> None:
    """Add ``--checkpoint``, ``--options``, ``--device`` and ``--precision``."""
    add_checkpoint(parser)
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
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="fp32",
        help="in what the network computes where that loses little: bf16 and, on a GPU, fp16 take less time and memory "
        "there (default: %(default)s)",
    )


def chosen_checkpoint(args: argparse.Namespace) -> Path:
    """Return the file of :func:`add_checkpoint`; where none was named, say on the terminal whose weights are taken.

    Raises:
        CheckpointError: None was named, and no weights come with this package.
    """
    if args.checkpoint is not None:
        return Path(args.checkpoint)
    shipped = pretrained_file()
    if is_first_on_machine():
        sys.stderr.write(f"no --checkpoint: taking {default_name()}, which comes with this package\n")
    return shipped


def restorer_of(args: argparse.Namespace, **settings: Any) -> "Restorer":
    """Build the restorer of the arguments of :func:`add_network`; ``settings`` are further ones of its class.

    Raises:
        CheckpointError: The weights cannot be read or do not fit.
        OptionError: The option file cannot be read, or an argument is none that the class takes.
    """
    if args.options is not None and args.checkpoint is None:
        raise OptionError("--options: name the weights as well, with --checkpoint")

    import torch

    from deeprftv2_arch.restoring.restorer import Restorer

    settings["dtype"] = getattr(torch, PRECISIONS[args.precision])
    checkpoint = chosen_checkpoint(args)
    if args.options is None:
        return Restorer.from_checkpoint(checkpoint, device=args.device, **settings)
    return Restorer.from_options(args.options, checkpoint, device=args.device, **settings)
