"""The command line as a whole. A command loads PyTorch when it runs, never to show its help or to refuse a word."""

import argparse
import os
import sys
from pathlib import Path

from deeprftv2_arch import __version__
from deeprftv2_arch.commands.analyze import add_analyze
from deeprftv2_arch.commands.backends import add_backends
from deeprftv2_arch.commands.convert import add_convert
from deeprftv2_arch.commands.demo import add_demo
from deeprftv2_arch.commands.evaluate import add_evaluate
from deeprftv2_arch.commands.export import add_export
from deeprftv2_arch.commands.install_basicsr import add_install_basicsr
from deeprftv2_arch.commands.options import add_options
from deeprftv2_arch.commands.outcome import errors_in_one_line
from deeprftv2_arch.commands.restore import add_restore
from deeprftv2_arch.commands.train_and_test import add_train_and_test
from deeprftv2_arch.common.working_folder import working_folder
from deeprftv2_arch.errors import printable

SCRIPT = "deeprftv2"  # what an installation puts on the PATH
NOBODY_READS = 141  # what shells report of a program that a closed pipe ended
DESCRIPTION = "Train, measure and use networks that deblur or enlarge images by estimating blur kernels."


def build_parser() -> argparse.ArgumentParser:
    """Build the command line, one sub-command per job.

    Each sets ``run``, which takes the parsed arguments and yields the texts that it prints.
    """
    parser = argparse.ArgumentParser(prog=_program(), description=DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"deeprftv2_arch {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_train_and_test(commands)
    add_evaluate(commands)
    add_restore(commands)
    add_demo(commands)
    add_analyze(commands)
    add_export(commands)
    add_convert(commands)
    add_options(commands)
    add_backends(commands)
    add_install_basicsr(commands)
    return parser


def main() -> None:
    """Run one command; a user's error is one line and exit code 2."""
    with errors_in_one_line(_program()):
        args = build_parser().parse_args()
        working_folder()  # without which the names of files mean nothing
        for text in args.run(args):
            _print(text)


def _print(text: str) -> None:
    """Print a text; end quietly where nobody reads on, as behind ``| head``.

    Raises:
        OSError: The output goes to a file that cannot be written.
    """
    try:
        sys.stdout.write(printable(text) + "\n")
        sys.stdout.flush()
    except OSError as error:  # where nobody reads on, or the output goes to a full disk
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python's own flush fails at its end
        if not isinstance(error, BrokenPipeError):
            raise
        raise SystemExit(NOBODY_READS) from None


def _program() -> str:
    """Return what the user typed to start this program."""
    return SCRIPT if Path(sys.argv[0]).stem == SCRIPT else "python -m deeprftv2_arch"
