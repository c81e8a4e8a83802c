"""``python -m deeprftv2_arch export``: networks as files for other programs."""

import argparse
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deeprftv2_arch.commands.network_arguments import add_checkpoint, chosen_checkpoint
from deeprftv2_arch.errors import OptionError

FORMATS = ("pt2", "onnx")

DESCRIPTION = """\
Write the network of a checkpoint as a file that other programs run, for one image of any height and width: a program
of torch.export (pt2), or an ONNX model. Neither needs this package. Which network it is, is read off the weights. It
restores images whole; large ones are cut into tiles by the program that runs it. Large networks take minutes.
"""


def add_export(commands: Any) -> None:
    """Add ``export`` to the commands of ``python -m deeprftv2_arch``."""
    parser = commands.add_parser(
        "export",
        help="write a network as a program of torch.export or as an ONNX model",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_checkpoint(parser)
    parser.add_argument(
        "--format", choices=FORMATS, help="what to write; by default as the name of the new file ends, .pt2 or .onnx"
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", type=Path, required=True, help="new file; an existing one is not replaced"
    )
    parser.set_defaults(run=_export)


def _export(args: argparse.Namespace) -> Iterator[str]:
    written = _format(args.output, args.format)

    from deeprftv2_arch.checkpoints.building import network_of_checkpoint
    from deeprftv2_arch.checkpoints.recognition import describe
    from deeprftv2_arch.export import export_onnx, export_program
    from deeprftv2_arch.networks.protocol import TiledNetwork

    logging.basicConfig(format="%(message)s")
    logging.getLogger("deeprftv2_arch.export").setLevel(logging.INFO)
    start = time.monotonic()
    network = network_of_checkpoint(chosen_checkpoint(args))
    if isinstance(network, TiledNetwork):
        network.use_tiles(None)
    write = export_program if written == "pt2" else export_onnx
    write(network, args.output)
    yield f"{args.output}: {describe(network.state_dict())}, written in {time.monotonic() - start:.0f} s"


def _format(output: Path, wanted: str | None) -> str:
    ending = output.suffix.removeprefix(".")
    if ending not in FORMATS and wanted is None:
        raise OptionError(f"{output}: end the name in .pt2 or .onnx, or give --format")
    if ending in FORMATS and wanted not in (None, ending):
        raise OptionError(f"{output}: ends in .{ending}, but --format is {wanted}; change one of them")
    return wanted or ending
