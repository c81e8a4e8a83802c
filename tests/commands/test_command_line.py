"""What every command answers before it does anything: its help, its name, and a refusal of what makes no sense."""

import argparse
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from launch_helpers import run

from deeprftv2_arch import __version__
from deeprftv2_arch.commands.convert import REFERENCES
from deeprftv2_arch.commands.main import build_parser, main
from deeprftv2_arch.commands.outcome import errors_in_one_line
from deeprftv2_arch.commands.train_and_test import test as run_test
from deeprftv2_arch.commands.train_and_test import train
from deeprftv2_arch.errors import WriteError
from deeprftv2_arch.networks.cards import authors_layouts

HEAVY = ("torch", "torchvision", "basicsr", "matplotlib", "gradio")
# Runs a module as `python -m` does, and ends with a line of JSON: the exit code, and what was imported of HEAVY.
PROGRAM = f"""
import json, runpy, sys
module, program, *words = sys.argv[1:]
sys.argv = [program, *words]
code = 0
try:
    runpy.run_module(module, run_name="__main__")
except SystemExit as end:
    code = end.code
print()
print(json.dumps([code, [name for name in {HEAVY!r} if name in sys.modules]]))
"""


def answer(folder: Path, *words: str, module: str = "deeprftv2_arch", program: str = "__main__.py") -> str:
    """Return what a command writes, which is to import nothing heavy for it, and its exit code on the last line."""
    code, output = run("-c", PROGRAM, module, program, *words, cwd=folder)
    assert code == 0, output
    text, end = output.rstrip().rsplit("\n", 1)
    exit_code, imported = json.loads(end)
    assert imported == []
    return f"{text.strip()}\n{exit_code}"


def command_words(parser: argparse.ArgumentParser, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the words of every command and of the commands below it, the program itself first."""
    yield words
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                yield from command_words(command, (*words, name))


COMMANDS = list(command_words(build_parser()))


def test_version(tmp_path: Path) -> None:
    assert answer(tmp_path, "--version") == f"deeprftv2_arch {__version__}\n0"


def test_there_are_all_commands() -> None:
    expected = {
        "analyze", "analyze cka", "analyze fft-relu", "analyze kernels", "backends", "convert", "convert-reference",
        "demo", "evaluate", "export", "restore", "test", "train",
    }  # fmt: skip
    assert {" ".join(words) for words in COMMANDS} >= expected


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_needs_nothing_heavy(tmp_path: Path, words: tuple[str, ...]) -> None:
    text = answer(tmp_path, *words, "--help")
    assert text.startswith(f"usage: {' '.join(('python -m deeprftv2_arch', *words))} ")
    assert text.endswith("\n0")


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_an_unknown_argument_is_refused_by_itself(tmp_path: Path, words: tuple[str, ...]) -> None:
    text = answer(tmp_path, *words, "--nonsense")
    assert text.startswith("usage: python -m deeprftv2_arch")
    assert ": error: " in text.splitlines()[-2]
    assert text.endswith("\n2")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("evaluate", "-opt", "a.yml", "--workers", "-1"), "expected a whole number from 0 on, not '-1'"),
        (("evaluate", "-opt", "a.yml", "--tile", "8", "2", "--whole"), "not allowed with argument"),
        (("train", "-opt", "a.yml", "--launcher", "mpi"), "invalid choice: 'mpi'"),
        (("train", "--debug"), "the following arguments are required: -opt"),
        (("test", "--debug"), "--checkpoint, --protocol, --data: missing; name an option file by -opt FILE, or"),
        (("evaluate", "--checkpoint", "a.pth"), "--protocol, --data: missing; name an option file by -opt FILE, or"),
        (("test", "-opt", "a.yml", "--protocol", "gopro"), "--protocol: an option file names its own metrics"),
        (("evaluate", "-opt", "a.yml", "--data", "."), "--data: an option file names its own data"),
        (("restore", "a.png", "-o", "", "--checkpoint", "a.pth"), "expected the name of a folder"),
        (("convert-reference", "a.pth", "b.pth", "--arch", "resnet"), "invalid choice: 'resnet'"),
        (("export", "--checkpoint", "a.pth", "-o", "a"), "a: end the name in .pt2 or .onnx, or give --format"),
        (("demo", "--checkpoint", "a.pth", "--port", "0"), "--port: expected a number in 1..65535, got 0"),
        (("demo", "--checkpoint", "a.pth", "--max-pixels", "0"), "--max-pixels: expected a number above 0, got 0"),
        (("analyze", "kernels", "a.png", "--checkpoint", "a.pth", "--channels", "a"), "--channels a: write numbers"),
        (("analyze", "cka", "--pairs", "a", "--checkpoint", "a.pth", "--seed", "-1"), "--seed -1: take a number"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_makes_no_sense_is_refused_before_anything_heavy(
    tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    text = answer(tmp_path, *words)
    assert message in text.splitlines()[-2]
    assert text.endswith("\n2")


@pytest.mark.parametrize("name", ["train", "test"])
def test_modules_of_their_own_answer_the_same(tmp_path: Path, name: str) -> None:
    module = f"deeprftv2_arch.{name}"
    text = answer(tmp_path, "--help", module=module, program=f"{name}.py")
    assert text.startswith(f"usage: python -m {module} [-h] {'-opt' if name == 'train' else '[-opt'} FILE")
    as_command = answer(tmp_path, name, "--help")
    begin = text.index("options:")
    assert text[begin:] == as_command[as_command.index("options:") :]
    assert answer(tmp_path, module=module).splitlines()[-2].startswith(f"python -m {module}: error: ")


@pytest.mark.parametrize(
    ("program", "name"),
    [
        ("/usr/local/bin/deeprftv2", "deeprftv2"),
        ("C:/Scripts/deeprftv2.exe", "deeprftv2"),
        ("/somewhere/deeprftv2_arch/__main__.py", "python -m deeprftv2_arch"),
    ],
)
def test_usage_names_what_was_typed(tmp_path: Path, program: str, name: str) -> None:
    assert answer(tmp_path, "convert", "--help", program=program).startswith(f"usage: {name} convert ")
    assert answer(tmp_path, "export", "--checkpoint", "a", "-o", "a", program=program).startswith(f"{name}: error: a:")


@pytest.mark.parametrize("name", ["train", "test"])
def test_training_and_testing_are_commands_too(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = build_parser()
    words = ["-opt", "none.yml", "--debug", "--force_yml", "name=a", "train:ema_decay=0"]
    args = parser.parse_args([name, *words])
    assert args.run.args == ({"train": train, "test": run_test}[name],)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["deeprftv2", name, *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("deeprftv2: error: none.yml: ")
    assert list(tmp_path.iterdir()) == []


def test_the_references_are_those_that_can_be_converted() -> None:
    assert list(authors_layouts()) == list(REFERENCES)


def fail_with_workers() -> None:
    signal.signal(signal.SIGCHLD, lambda number, frame: pytest.fail("a worker has ended"))  # as PyTorch does
    raise WriteError("no room")


@pytest.mark.skipif(not hasattr(signal, "SIGCHLD"), reason="Windows tells of no child that has ended")
def test_workers_that_end_with_a_command_are_no_fault(capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGCHLD)
    try:
        with pytest.raises(SystemExit), errors_in_one_line("program"):
            fail_with_workers()
        subprocess.run([sys.executable, "-c", ""], check=True)
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert capsys.readouterr().err == "program: error: no room\n"
