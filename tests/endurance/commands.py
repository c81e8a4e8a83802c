"""The commands that are killed, stopped and left without room: what they do, and when their result is right."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from launch_helpers import (
    TINY_NETWORK,
    differences,
    evaluation_options,
    load,
    training_options,
    write_images,
    write_options,
)
from restoring_helpers import save_identity

from deeprftv2_arch.common.atomic import is_left_over
from deeprftv2_arch.networks.deeprftv2 import DeepRFTv2
from tests.endurance.processes import run_command

STEPS = 6
IMAGES = 6
ARCHIVED = "_archived_"  # in the name of a folder that BasicSR has put aside
PAGE = 4096  # bytes, in whose multiples a small disk keeps files
DATED = (".log", ".pdf", ".json")  # files that say when they were written, or how long that took


@dataclass
class Command:
    """A command, which is run in an empty folder and, after it was disturbed, again there.

    Attributes:
        name: For the table.
        words: Its command line.
        torn: Tells what in a folder, at whatever time, is not whole; the other one is of an undisturbed run.
        wrong: Tells in what a folder of a finished run differs from another one.
        failed: Exit code where the disk is full.
        is_brief: Whether it is over before a signal would say anything; it is tried on full disks alone.
        folder: Of an undisturbed run.
        seconds: How long that took.
        size: KiB of what it wrote.
    """

    name: str
    words: list[str]
    torn: Callable[[Path, Path], list[str]]
    wrong: Callable[[Path, Path], list[str]]
    failed: int
    is_brief: bool = False
    folder: Path = Path()
    seconds: float = 0.0
    size: int = 0

    def run_undisturbed(self, folder: Path) -> None:
        """Run it once, to compare with."""
        folder.mkdir()
        ended = run_command(self.words, folder)
        fault = ended.fault(0)
        if fault:
            raise RuntimeError(f"{self.name} fails even undisturbed: {fault}")
        self.folder, self.seconds = folder, ended.seconds
        self.size = sum(-(-path.stat().st_size // PAGE) for path in folder.rglob("*")) * PAGE // 1024


def prepare_commands(folder: Path) -> list[Command]:
    """Make the input of every command, and run each once."""
    torch.manual_seed(0)
    write_images(folder / "train", IMAGES)
    write_images(folder / "val", 2, 40)
    options = training_options(
        folder / "train",
        folder / "val",
        datasets__train__num_worker_per_gpu=2,
        datasets__train__patch_stages=[{"iters": STEPS, "patch_size": 16, "batch_size": 2}],
        train__total_iter=STEPS,
        val__val_freq=3,
        val__save_img=True,
        logger__use_tb_logger=True,
    )
    write_options(folder / "run.yml", options)
    save_identity(folder / "net.pth")
    pairs = ["--blurred", str(folder / "train/blur"), "--sharp", str(folder / "train/sharp"), "--out", "made"]
    write_options(folder / "test.yml", evaluation_options(folder / "val", folder / "tiny.pth", name="tiny"))
    network = DeepRFTv2(**{name: value for name, value in TINY_NETWORK.items() if name != "type"})
    torch.save({"params": network.state_dict()}, folder / "tiny.pth")
    evaluated = ["-opt", str(folder / "test.yml"), "--protocol", "gopro", "--partial", "--workers", "0", "--triplets"]
    blurred = str(folder / "train/blur/000.png")
    checkpoint = ["--checkpoint", str(folder / "net.pth"), "--device", "cpu"]
    commands = [
        Command(
            "train", ["train", "-opt", str(folder / "run.yml"), "--auto_resume"], torn_trainings, wrong_training, 2
        ),
        Command("prep", ["prep", "pairs", *pairs, "--workers", "2"], torn_databases, wrong_files, 2),
        Command(
            "restore", ["restore", str(folder / "train/blur"), "-o", "made", *checkpoint], torn_images, wrong_files, 1
        ),
        Command("test", ["test", "-opt", str(folder / "test.yml")], torn_results, wrong_results, 2, is_brief=True),
        Command("evaluate", ["evaluate", *evaluated], torn_results, wrong_results, 2, is_brief=True),
        Command(
            "figures", ["analyze", "fft-relu", blurred, "-o", "figure"], torn_results, wrong_results, 2, is_brief=True
        ),
    ]
    for command in commands:
        command.run_undisturbed(folder / f"whole_{command.name}")
    return commands


def torn_databases(folder: Path, whole: Path) -> list[str]:
    """Return the databases that have their names and are not as they should be."""
    found = (folder / "made").glob("*/*.lmdb/data.mdb")
    return [str(path) for path in found if path.read_bytes() != (whole / path.relative_to(folder)).read_bytes()]


def torn_trainings(folder: Path, whole: Path) -> list[str]:
    """Return the checkpoints, states and images of trainings that are there and not whole."""
    torn = []
    for path in (folder / "experiments").rglob("*"):
        if path.name.startswith(".") or not path.is_file():
            continue
        try:
            if path.suffix in (".pth", ".state"):
                load(path)
            elif path.suffix == ".png" and not path.read_bytes().endswith(b"IEND\xaeB`\x82"):
                torn.append(str(path))
        except Exception as error:
            torn.append(f"{path}: {error}")
    return torn


def torn_results(folder: Path, whole: Path) -> list[str]:
    """Return the results of measuring and figures that have their names and are not as they should be."""
    torn = []
    for path in folder.rglob("*"):
        if path.name.startswith(".") or not path.is_file() or ARCHIVED in str(path):
            continue
        if path.suffix == ".json":
            json.loads(path.read_bytes())
        elif path.suffix not in DATED and path.read_bytes() != (whole / path.relative_to(folder)).read_bytes():
            torn.append(str(path))
    return torn


def torn_images(folder: Path, whole: Path) -> list[str]:
    """Return the images that are there and not what they should be."""
    found = [path for path in (folder / "made").glob("*") if not path.name.startswith(".")]
    return [str(path) for path in found if path.read_bytes() != (whole / "made" / path.name).read_bytes()]


def wrong_training(folder: Path, whole: Path) -> list[str]:
    """Return in what weights, state and best results of a finished training differ from those of another one."""
    wrong = left_overs(folder)
    for name in ("models/net_g_latest.pth", f"training_states/{STEPS}.state"):
        one, other = (load(place / "experiments/tiny" / name) for place in (folder, whole))
        wrong += [f"{name}{where}" for where in differences(one, other)]
    return wrong + [f"{path} was put aside" for path in (folder / "experiments").glob(f"*{ARCHIVED}*/*/*.state")]


def wrong_results(folder: Path, whole: Path) -> list[str]:
    """Return the results that are missing or not as they should be."""
    wanted = [path for path in whole.rglob("*") if path.suffix != ".log"]
    missing = [path for path in wanted if not (folder / path.relative_to(whole)).exists()]
    return torn_results(folder, whole) + [f"no {path.name}" for path in missing] + left_overs(folder)


def wrong_files(folder: Path, whole: Path) -> list[str]:
    """Return the files that are missing, too many, or of other bytes."""
    sums = [
        {
            path.relative_to(place): hashlib.sha256(path.read_bytes()).digest()
            for path in place.rglob("*")
            if path.is_file()
        }
        for place in (folder, whole)
    ]
    return [str(name) for name in sums[0].keys() | sums[1].keys() if sums[0].get(name) != sums[1].get(name)]


def left_overs(folder: Path) -> list[str]:
    """Return unfinished files and locks of theirs."""
    return [str(path) for path in folder.rglob("*") if is_left_over(path.name)]


def emptied(folder: Path) -> Path:
    """Return a folder with nothing in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder
