"""``python -m deeprftv2_arch <command>``: what there is to do beside training and testing."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from deeprftv2_arch.checkpoints.convert import convert, convert_reference
from deeprftv2_arch.checkpoints.reference import LAYOUTS
from deeprftv2_arch.commands.analyze import add_analyze
from deeprftv2_arch.commands.demo import add_demo
from deeprftv2_arch.commands.evaluate import add_evaluate
from deeprftv2_arch.commands.export import add_export
from deeprftv2_arch.commands.outcome import errors_in_one_line
from deeprftv2_arch.commands.restore import add_restore
from deeprftv2_arch.ops.scan.report import backends_report


def _convert(args: argparse.Namespace) -> Iterator[str]:
    yield f"{args.target}: {convert(args.source, args.target, args.key)}"


def _convert_reference(args: argparse.Namespace) -> Iterator[str]:
    yield f"{args.target}: {convert_reference(args.source, args.target, args.arch)}"


def _backends(args: argparse.Namespace) -> Iterator[str]:
    yield backends_report()


def build_parser() -> argparse.ArgumentParser:
    """The command line, one sub-command per job."""
    parser = argparse.ArgumentParser(prog="python -m deeprftv2_arch", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    converter = commands.add_parser(
        "convert",
        help="turn any checkpoint into one of BasicSR or of safetensors",
        description="Write the weights in a checkpoint to a file of their own, under the names of the bare network: "
        "BasicSR's {'params': ...} if the name of the new file ends in .pth, safetensors if it ends in .safetensors. "
        "Average weights ('params_ema') are taken where there are such. A checkpoint of the authors' reference is "
        "recognised and gets the names of this package. Values stay as they are; no pickle is executed.",
    )
    converter.add_argument("source", metavar="IN", type=Path, help="checkpoint, also of safetensors")
    converter.add_argument("target", metavar="OUT", type=Path, help="new file; an existing one is not replaced")
    converter.add_argument("--key", help="take these weights, such as params, rather than the average ones")
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
    reference.add_argument("--arch", choices=list(LAYOUTS), help="whose checkpoint it is; by default as its names tell")
    reference.set_defaults(run=_convert_reference)

    backends = commands.add_parser(
        "backends",
        help="show which backends of the selective scan there are here, and which one is chosen",
        description="Show the backends of the selective scan, what hinders those that cannot run here, and which one "
        "is chosen for every device. To choose another (mamba, triton, torch, reference, or auto), set the environment "
        "variable DEEPRFTV2_SCAN_BACKEND, the key scan_backend of an option file, or, in Python, "
        "deeprftv2_arch.ops.scan_backend(name).",
    )
    backends.set_defaults(run=_backends)

    add_evaluate(commands)
    add_restore(commands)
    add_demo(commands)
    add_export(commands)
    add_analyze(commands)
    return parser


def main() -> None:
    """Run one command; a user's error is one line and exit code 2."""
    parser = build_parser()
    args = parser.parse_args()
    with errors_in_one_line(parser.prog):
        for text in args.run(args):
            sys.stdout.write(text + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
