"""What every quickstart does: prepare photographs, train on some of them, restore the others, and report."""

import argparse
import shlex
import sys
import time
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from deeprftv2_arch.common.atomic import write_atomically
from deeprftv2_arch.common.images import encode_png
from deeprftv2_arch.errors import DeepRFTv2Error, OptionError, WriteError
from quickstart.comparison import comparison_png, kernel_column, photograph_columns
from quickstart.databases import write_databases
from quickstart.photographs import HELD_OUT
from quickstart.restoring import load_network
from quickstart.results import Result, average, markdown_table, to_json
from quickstart.task import Task
from quickstart.training import train

PNG_COMPRESSION = 6


def positive(text: str) -> int:
    """Read a whole number of at least 1, for argparse."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not at least 1")
    return number


def build_parser(task: Task) -> argparse.ArgumentParser:
    """Build the parser of the command line."""
    parser = argparse.ArgumentParser(prog=task.command, description=task.description)
    out, steps = Path(f"{task.options['name']}_output"), task.options["train"]["total_iter"]
    parser.add_argument("--out", type=Path, default=out, help="folder for all that is written (default: %(default)s)")
    parser.add_argument("--iterations", type=positive, default=steps, help="training steps (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="another number is another run (default: %(default)s)")
    parser.add_argument(
        "--threads", type=positive, default=task.threads, help="threads of PyTorch (default here: %(default)s)"
    )
    return parser


def claim_folder(out: Path, name: str) -> None:
    """Make the output folder, or check that the same quickstart made it, so that nobody's files are overwritten."""
    marker = out / f"made_by_{name}"
    if out.is_dir() and any(out.iterdir()) and not marker.is_file():
        raise OptionError(f"--out {out}: holds files that are not this quickstart's; name an empty or a new folder")
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_atomically(marker, b"")
    except (OSError, WriteError) as error:
        reason = error.reason if isinstance(error, WriteError) else error.strerror
        raise OptionError(f"--out {out}: cannot be written to ({reason})") from error


def write_pair(task: Task, out: Path, file_name: str, degraded: np.ndarray, truth: np.ndarray) -> None:
    """Write a held-out photograph and its degraded version as PNGs, into folders called as the databases are."""
    for kind, photograph in (("lq", degraded), ("gt", truth)):
        folder = out / "held_out" / Path(task.options["datasets"]["val"][f"dataroot_{kind}"]).stem
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / f"{Path(file_name).stem}.png", encode_png(photograph[:, :, ::-1], PNG_COMPRESSION))


def restore_held_out(task: Task, weights: Path, out: Path, seed: int) -> list[Result]:
    """Restore every held-out photograph, write its comparison image, and return its metrics."""
    network = load_network(task.network, task.options["network_g"], weights)
    results = []
    for file_name in tqdm(HELD_OUT, desc="restoring", unit="photo"):
        truth = task.true_version(file_name, 0)
        degraded = task.degrade(truth, file_name, 0, seed)
        write_pair(task, out, file_name, degraded, truth)
        before, restored = task.without_network(degraded), task.restore(network, degraded)
        shipped = task.shipped(degraded)
        result = Result(
            photograph=Path(file_name).stem,
            psnr_before=task.psnr(before, truth),
            psnr_after=task.psnr(restored.photograph, truth),
            ssim_before=task.ssim(before, truth),
            ssim_after=task.ssim(restored.photograph, truth),
            seconds=restored.seconds,
            psnr_shipped=None if shipped is None else task.psnr(shipped, truth),
        )
        shown = {
            f"{task.words.before}, {result.psnr_before:.2f} dB": before,
            f"{task.words.after}, {result.psnr_after:.2f} dB": restored.photograph,
            **({} if shipped is None else {f"shipped network, {result.psnr_shipped:.2f} dB": shipped}),
            task.words.truth: truth,
        }
        columns = photograph_columns(shown, task.detail_zoom)
        if restored.kernels is not None:
            columns.append(kernel_column(restored.kernels, columns[0].whole.height))
        write_atomically(out / f"{result.photograph}.png", comparison_png(columns))
        results.append(result)
    return results


def restore_command(task: Task, out: Path) -> str:
    """Return the command that restores the held-out photographs, or any others, with the network that was trained."""
    python = Path(sys.executable)
    python = python.relative_to(Path.cwd()) if python.is_relative_to(Path.cwd()) else python
    options = task.options
    degraded = out / "held_out" / Path(options["datasets"]["val"]["dataroot_lq"]).stem
    weights = out / "experiments" / options["name"] / "models" / "net_g_latest.pth"
    words = [python, "-m", "deeprftv2_arch", "restore", degraded, "-o", out / "restored", "--checkpoint", weights]
    return shlex.join(map(str, words))


def say_how_to_restore(task: Task, out: Path) -> None:
    """Print that command, as the last line."""
    print("Restore these photographs, or others in their place, with the network that was trained:")
    print(restore_command(task, out))


def run(task: Task, out: Path, iterations: int, seed: int, threads: int) -> list[Result]:
    """Take all steps in order; see the module's docstring."""
    torch.set_num_threads(threads)
    claim_folder(out, task.options["name"])
    write_databases(task, out, seed)
    results = restore_held_out(task, train(task.option_file, out, iterations, seed, threads), out, seed)
    write_atomically(out / "results.md", markdown_table(results, task.words).encode())
    write_atomically(out / "results.json", to_json(results, task.words).encode())
    return results


def main(task: Task) -> None:
    """Run a quickstart; an error that the user can mend is one line and exit code 2."""
    parser = build_parser(task)
    arguments = parser.parse_args()
    start = time.monotonic()
    try:
        results = run(task, arguments.out, arguments.iterations, arguments.seed, arguments.threads)
    except DeepRFTv2Error as error:
        parser.exit(2, f"error: {error}\n")
    print(f"\n{markdown_table(results, task.words)}")
    print(f"Mean gain on photographs that it never saw: {average(results).gain:+.2f} dB", end=", ")
    print(f"{time.monotonic() - start:.0f} s in all. Table and comparison images: {arguments.out}/")
    say_how_to_restore(task, arguments.out)
