"""The command line that the launchers share; it is BasicSR's own."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from deeprftv2_arch.options.arguments import Arguments as Arguments


def parse_arguments(arguments: Sequence[str] | None = None, program: str | None = None) -> Arguments:
    """Parse a command line.

    Args:
        arguments: The words of the command line; those of this process by default.
        program: What to call the program in its help.
    """
    parser = argparse.ArgumentParser(prog=program, allow_abbrev=False)
    add_run_arguments(parser)
    return arguments_of(parser.parse_args(arguments))


def arguments_of(words: argparse.Namespace) -> Arguments:
    """Return what was parsed by a parser that :func:`add_run_arguments` has completed."""
    return Arguments(words.opt, words.launcher, words.auto_resume, words.debug, tuple(words.force_yml))


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what training takes."""
    parser.add_argument("-opt", type=Path, required=True, metavar="FILE", help="option file (YAML)")
    add_launch_arguments(parser)
    add_loop_arguments(parser)


def add_loop_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what BasicSR's loops take beside an option file."""
    parser.add_argument("--auto_resume", action="store_true", help="go on from the newest readable training state")
    parser.add_argument("--debug", action="store_true", help="log every step, save and validate every 8 steps")


def add_launch_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what every command takes that runs option files, but for these."""
    parser.add_argument(
        "--launcher", choices=["none", "pytorch", "slurm"], help="what started the processes; found out by default"
    )
    parser.add_argument(
        "--force_yml", nargs="+", default=[], metavar="KEY=VALUE", help="change options, e.g. train:ema_decay=0.999"
    )
    # Older launchers of PyTorch pass the local rank; the environment says the same, so that it is read and forgotten.
    parser.add_argument("--local_rank", "--local-rank", type=int, help=argparse.SUPPRESS)
