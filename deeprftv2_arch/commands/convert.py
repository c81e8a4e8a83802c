"""``python -m deeprftv2_arch convert`` and ``convert-reference``: checkpoints of other layouts."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deeprftv2_arch.errors import OptionError

# The names of networks.cards.authors_layouts, which cannot be imported without PyTorch; a test compares them.
REFERENCES = ("deeprftv2", "ufpnet")
# Of network_g, what has nothing to do with the arguments of a trained network.
OF_TRAINING = ("type", "memory")


def add_convert(commands: Any) -> None:
    """Add ``convert`` and ``convert-reference`` to the commands of ``python -m deeprftv2_arch``."""
    converter = commands.add_parser(
        "convert",
        help="turn any checkpoint into one of BasicSR or of safetensors",
        description="Write the weights in a checkpoint to a file of their own, under the names of the bare network: "
        "BasicSR's {'params': ...} if the name of the new file ends in .pth, safetensors if it ends in .safetensors. "
        "Average weights ('params_ema') are taken where there are such. A checkpoint of the authors' reference is "
        "recognised and gets the names of this package. Values stay as they are; no pickle is executed. A safetensors "
        "file also says which network it is of, with the arguments that weights tell; --options adds the others, so "
        "that no option file is needed to restore with it.",
    )
    converter.add_argument("source", metavar="IN", type=Path, help="checkpoint, also of safetensors")
    converter.add_argument("target", metavar="OUT", type=Path, help="new file; an existing one is not replaced")
    converter.add_argument("--key", help="take these weights, such as params, rather than the average ones")
    converter.add_argument(
        "--options",
        type=Path,
        metavar="FILE",
        help="option file whose network_g has the arguments that the weights do not tell, such as train_size and "
        "fke_window; they go into the safetensors file",
    )
    converter.add_argument("--half", action="store_true", help="in half precision (float16), in files of half the size")
    converter.set_defaults(run=_convert)

    reference = commands.add_parser(
        "convert-reference",
        help="turn a checkpoint of the authors' reference into one for BasicSR",
        description="Turn a checkpoint of the authors' reference into BasicSR's {'params': ...}. Every tensor is "
        "handed over unchanged, those of 'params_ema' rather than 'params' where a file has both; a missing, left-over "
        "or mis-shaped one is named and nothing is written. Layers and constants of UFPNet without effect are left out "
        "and named. No pickle is executed.",
    )
    reference.add_argument("source", metavar="IN.pth", type=Path, help="checkpoint of the reference")
    reference.add_argument("target", metavar="OUT.pth", type=Path, help="new file; an existing one is not replaced")
    reference.add_argument("--arch", choices=REFERENCES, help="whose checkpoint it is; by default as its names tell")
    reference.set_defaults(run=_convert_reference)


def _convert(args: argparse.Namespace) -> Iterator[str]:
    from deeprftv2_arch.checkpoints.convert import convert

    arguments = None if args.options is None else _arguments(args.options)
    yield f"{args.target}: {convert(args.source, args.target, args.key, arguments, args.half)}"


def _arguments(options: Path) -> dict[str, Any]:
    """Return the arguments of the network in an option file that say what it computes."""
    from deeprftv2_arch.options.option_file import read_option_file

    section = read_option_file(options).get("network_g")
    if not isinstance(section, dict):
        raise OptionError(f"{options}: has no section network_g")
    return {name: value for name, value in section.items() if name not in OF_TRAINING}


def _convert_reference(args: argparse.Namespace) -> Iterator[str]:
    from deeprftv2_arch.checkpoints.convert import convert_reference

    yield f"{args.target}: {convert_reference(args.source, args.target, args.arch)}"
