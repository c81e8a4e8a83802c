"""``python -m quickstart``: prepare photographs, train on some of them, restore the others, and report."""

import argparse
import os
import time
from pathlib import Path

import torch
from tqdm import tqdm

from datasets_prep.errors import PreparationError
from deeprftv2_arch.errors import DeepRFTv2Error, OptionError
from quickstart.comparison import comparison_png
from quickstart.photographs import HELD_OUT, load_photograph
from quickstart.prepare import motion_of, prepare
from quickstart.report import Result, average, markdown_table, measure, to_json, write_atomically
from quickstart.restoring import load_network, restore
from quickstart.synthetic_blur import blur_photograph
from quickstart.training import read_options, train

MARKER = "made_by_quickstart"


def positive(text: str) -> int:
    """A whole number of at least 1, for argparse."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not at least 1")
    return number


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m quickstart",
        description="Trains a small DeepRFTv2 on photographs that come with scikit-image, blurred by simulated camera "
        "shake and moving objects, and shows what it makes of photographs that it never saw. Needs no GPU.",
    )
    parser.add_argument("--out", type=Path, default=Path("quickstart_output"), help="folder for all that is written")
    steps = read_options()["train"]["total_iter"]
    parser.add_argument("--iterations", type=positive, default=steps, help="training steps (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="another number is another run (default: %(default)s)")
    parser.add_argument(
        "--threads", type=positive, default=os.cpu_count(), help="threads of PyTorch (default: all, here %(default)s)"
    )
    return parser


def claim_folder(out: Path) -> None:
    """Makes the output folder, or checks that an earlier quickstart made it, so that nobody's files are overwritten."""
    if out.is_dir() and any(out.iterdir()) and not (out / MARKER).is_file():
        raise OptionError(f"--out {out}: holds files that are not the quickstart's; name an empty or a new folder")
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_atomically(out / MARKER, b"")
    except OSError as error:
        raise OptionError(f"--out {out}: cannot be written to ({error.strerror})") from error


def restore_held_out(weights: Path, out: Path, seed: int) -> list[Result]:
    """Restores every held-out photograph, writes its comparison picture, and returns the figures."""
    network = load_network(weights)
    results = []
    for file_name in tqdm(HELD_OUT, desc="restoring", unit="photo"):
        sharp = load_photograph(file_name)
        blurred = blur_photograph(sharp, motion_of(file_name, 0, seed))
        restored = restore(network, blurred)
        name = Path(file_name).stem
        result = measure(name, blurred, restored.photograph, sharp, restored.seconds)
        columns = {
            f"blurred, {result.blurred_psnr:.2f} dB": blurred,
            f"restored, {result.restored_psnr:.2f} dB": restored.photograph,
            "sharp": sharp,
        }
        write_atomically(out / f"{name}.png", comparison_png(columns, restored.kernels))
        results.append(result)
    return results


def run(out: Path, iterations: int, seed: int, threads: int) -> list[Result]:
    """All steps in order; see the module's docstring."""
    torch.set_num_threads(threads)
    claim_folder(out)
    prepare(out, seed)
    results = restore_held_out(train(out, iterations, seed, threads), out, seed)
    write_atomically(out / "results.md", markdown_table(results).encode())
    write_atomically(out / "results.json", to_json(results).encode())
    return results


def main() -> None:
    """Runs the quickstart; an error that the user can mend is one line and exit code 2."""
    parser = build_parser()
    arguments = parser.parse_args()
    start = time.monotonic()
    try:
        results = run(arguments.out, arguments.iterations, arguments.seed, arguments.threads)
    except (DeepRFTv2Error, PreparationError) as error:
        parser.exit(2, f"error: {error}\n")
    print(f"\n{markdown_table(results)}")
    print(f"Mean gain on photographs that it never saw: {average(results).gain:+.2f} dB", end=", ")
    print(f"{time.monotonic() - start:.0f} s in all. Table and comparison pictures: {arguments.out}/")


if __name__ == "__main__":
    main()
