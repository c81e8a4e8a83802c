"""``python -m deeprftv2_arch train`` and ``test``, which are also modules: ``python -m deeprftv2_arch.train``."""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from deeprftv2_arch.commands.cpu_memory import keep_memory_on_cpu
from deeprftv2_arch.commands.measured_arguments import add_measured, check_what_is_measured
from deeprftv2_arch.commands.outcome import errors_in_one_line
from deeprftv2_arch.common.working_folder import working_folder
from deeprftv2_arch.launch.arguments import add_loop_arguments, add_run_arguments, arguments_of

Action = Callable[[argparse.Namespace, Path], None]

TRAIN = """\
Train the network of an option file by BasicSR's own loop. torchrun and srun start it in several processes: torchrun
--nproc_per_node 8 -m deeprftv2_arch train -opt FILE. Everything goes to experiments/<name> in the working directory.
"""
TEST = """\
Test the network of an option file by BasicSR's own loop: restore its test sets, save the images, and measure them by
the file's metrics, in 8 bits, with the baseline of the task beside them. A training file is tested by its `val`, with
the network that it has trained. --checkpoint measures the network of a file instead, and needs no option file with
--protocol and --data. Everything goes to results/<name> in the working directory, the table to report.md and
report.json. To measure as published, or several networks, see evaluate.
"""


def add_train_and_test(commands: Any) -> None:
    """Add ``train`` and ``test`` to the commands of ``python -m deeprftv2_arch``."""
    for summary, program in (
        ("train the network of an option file", TRAINING),
        ("restore and measure the test sets of an option file, by BasicSR's loop", TESTING),
    ):
        parser = commands.add_parser(program.name, help=summary, description=program.description, allow_abbrev=False)
        program.add_arguments(parser)
        parser.set_defaults(run=partial(_run, program.action))


def train(args: argparse.Namespace, root: Path) -> None:
    """Train; see :func:`deeprftv2_arch.launch.pipeline.run_training`."""
    from deeprftv2_arch.launch.pipeline import run_training

    keep_memory_on_cpu()
    run_training(arguments_of(args), root)


def test(args: argparse.Namespace, root: Path) -> None:
    """Test; see :func:`deeprftv2_arch.measuring.testing.run_testing`."""
    check_what_is_measured(args, several=False)
    from deeprftv2_arch.measuring.testing import run_testing

    keep_memory_on_cpu()
    checkpoint = args.checkpoint[0] if args.checkpoint else None
    args.opt = args.opt[0] if args.opt else checkpoint
    run_testing(arguments_of(args), root, checkpoint, args.protocol, args.data)


def add_test_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what testing takes."""
    add_measured(parser, several=False)
    add_loop_arguments(parser)


@dataclass(frozen=True)
class Program:
    """A command that is also a module of its own.

    Attributes:
        name: Of the command.
        description: What its help says.
        add_arguments: Completes its parser.
        action: What it does with the parsed arguments, in a folder that gets its results.
    """

    name: str
    description: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    action: Action


TRAINING = Program("train", TRAIN, add_run_arguments, train)
TESTING = Program("test", TEST, add_test_arguments, test)


def run_as_program(program: Program) -> None:
    """Parse the command line of a module of its own, and act on it.

    Experiments and results go to folders of the working directory.
    """
    typed = f"python -m deeprftv2_arch.{program.name}"
    with errors_in_one_line(typed):
        parser = argparse.ArgumentParser(prog=typed, description=program.description, allow_abbrev=False)
        program.add_arguments(parser)
        program.action(parser.parse_args(), working_folder())


def _run(action: Action, args: argparse.Namespace) -> Iterator[str]:
    action(args, working_folder())
    yield from ()
