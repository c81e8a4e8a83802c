"""``python -m deeprftv2_arch train`` and ``test``, which are also modules: ``python -m deeprftv2_arch.train``."""

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from deeprftv2_arch.commands.outcome import errors_in_one_line
from deeprftv2_arch.common.working_folder import working_folder
from deeprftv2_arch.launch.arguments import Arguments, add_run_arguments, arguments_of

Action = Callable[[Arguments, Path], None]

TRAIN = """\
Train the network of an option file by BasicSR's own loop. torchrun and srun start it in several processes: torchrun
--nproc_per_node 8 -m deeprftv2_arch train -opt FILE. Everything goes to experiments/<name> in the working directory.
"""
TEST = """\
Test the network of an option file by BasicSR's own loop: restore its test sets, save the images, and measure them by
the file's metrics, in 8 bits, with the baseline of the task beside them. Everything goes to results/<name> in the
working directory, the table to report.md and report.json. To measure as published, see evaluate.
"""


def add_train_and_test(commands: Any) -> None:
    """Add ``train`` and ``test`` to the commands of ``python -m deeprftv2_arch``."""
    for name, summary, description, action in (
        ("train", "train the network of an option file", TRAIN, train),
        ("test", "restore and measure the test sets of an option file, by BasicSR's loop", TEST, test),
    ):
        parser = commands.add_parser(name, help=summary, description=description, allow_abbrev=False)
        add_run_arguments(parser)
        parser.set_defaults(run=partial(_run, action))


def train(arguments: Arguments, root: Path) -> None:
    """Train; see :func:`deeprftv2_arch.launch.pipeline.run_training`."""
    from deeprftv2_arch.launch.pipeline import run_training

    run_training(arguments, root)


def test(arguments: Arguments, root: Path) -> None:
    """Test; see :func:`deeprftv2_arch.measuring.testing.run_testing`."""
    from deeprftv2_arch.measuring.testing import run_testing

    run_testing(arguments, root)


def run_as_program(program: str, description: str, action: Action) -> None:
    """Parse the command line of a program of its own and act on it.

    Experiments and results go to folders of the working directory.

    Args:
        program: What the user typed to start it, for usage and errors.
        description: What its help says.
        action: What to do.
    """
    with errors_in_one_line(program):
        parser = argparse.ArgumentParser(prog=program, description=description, allow_abbrev=False)
        add_run_arguments(parser)
        action(arguments_of(parser.parse_args()), working_folder())


def _run(action: Action, args: argparse.Namespace) -> Iterator[str]:
    action(arguments_of(args), working_folder())
    yield from ()
