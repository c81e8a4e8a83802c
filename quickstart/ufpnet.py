"""The quickstart of UFPNet: kernels are learnt, then to be estimated from blurred photographs, then to deblur with.

Run it with ``make quickstart-ufpnet`` or ``python -m quickstart.ufpnet`` from the checkout's folder. Its three stages
train one after the other, each by its own option file. The photographs are blurred by simulated kernels, so that the
true kernel of every pixel is known; no stage is told it.

The estimator tells photographs apart, and in each what moves on its own, although all motions are nearly straight here.
The published recipe would not do so in a few minutes; docs/ufpnet.md says what does. Beside it stands the mean of
simulated kernels, which ignores the photograph.
"""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from typing import cast
from zlib import crc32

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from deeprftv2_arch.common.atomic import write_atomically
from deeprftv2_arch.data.motion_kernel import MotionKernelSimulator
from deeprftv2_arch.errors import DeepRFTv2Error
from deeprftv2_arch.networks.ufpnet import UFPNet
from deeprftv2_arch.options.option_file import read_option_file
from quickstart.databases import write_databases
from quickstart.deblurring import Deblurring
from quickstart.kernel_blur import KernelBlur, blur_by_kernels, random_kernel_blur
from quickstart.kernel_image import kernel_field_png, kernel_panel, shown_pixels
from quickstart.kernel_metrics import KernelMetrics, measure_field, same_everywhere
from quickstart.photographs import HELD_OUT, load_photograph
from quickstart.restoring import Restored, load_network, restore
from quickstart.results import Result, average, metric_columns, table
from quickstart.steps import build_parser, claim_folder, restore_held_out, say_how_to_restore
from quickstart.task import OPTION_FILES
from quickstart.training import train

FLOW, ESTIMATOR = (OPTION_FILES / f"quickstart_ufpnet_{stage}.yml" for stage in ("flow", "kernel"))
NOTE = """\
On photographs that it never saw. Kernel similarity: largest normalised cross-correlation with the true kernel, mean
over the pixels. Reblurred: the sharp photograph, blurred by the kernels, beside the blurred one. The mean kernel is
that of simulated kernels, a guess that ignores the photograph. The last stage, which deblurs, has hardly begun: the
published one takes 800,000 steps.
"""
VERSIONS = 32  # of every training photograph
AVERAGED = 5000  # simulated kernels whose mean is what an image's kernels are guessed to be without looking at it


class KernelDeblurring(Deblurring):
    """Every version of a photograph is blurred by two other kernels of the simulator of stage 1."""

    command = "python -m quickstart.ufpnet"
    description = (
        "Trains the three stages of a narrow UFPNet on photographs that come with scikit-image, blurred by simulated "
        "kernels, and shows which kernels it finds in photographs that it never saw, and what it makes of them. Needs "
        "no GPU."
    )
    option_file = OPTION_FILES / "quickstart_ufpnet.yml"
    network: type[nn.Module] = UFPNet
    threads = 1  # As for super-resolution: so narrow networks have no work to share.

    def __init__(self) -> None:
        section = read_option_file(FLOW)["datasets"]["train"]
        self.simulator = MotionKernelSimulator(section["kernel_size"], **section["simulator"])

    def versions(self, file_name: str) -> int:
        """Return the number of blurs: every one has other kernels, and the estimator is to know them all."""
        return VERSIONS

    def true_version(self, file_name: str, version: int) -> np.ndarray:
        """Return the photograph in one of its eight positions, from which every version is blurred on its own.

        A blurred photograph is not turned or flipped: its kernels would be so too, and lie where the prior has none.
        """
        photograph = np.rot90(load_photograph(file_name), version % 4)
        return np.ascontiguousarray(photograph[:, ::-1] if version % 8 >= 4 else photograph)

    def blur(self, file_name: str, version: int, seed: int) -> KernelBlur:
        """Draw the blur of one version of a photograph: a pure function of its arguments."""
        height, width = self.true_version(file_name, version).shape[:2]
        rng = np.random.default_rng((seed, crc32(file_name.encode()), version))
        return random_kernel_blur(self.simulator, rng, height, width)

    def restore(self, network: nn.Module, degraded: np.ndarray) -> Restored:
        """Deblur the photograph; its kernels have an image of their own."""
        return restore(network, degraded)

    def shipped(self, degraded: np.ndarray) -> np.ndarray | None:
        """Return None: kernels of this kind it never saw."""
        return None

    def degrade(self, photograph: np.ndarray, file_name: str, version: int, seed: int) -> np.ndarray:
        """Blur the photograph by the kernels of that version."""
        return blur_by_kernels(photograph, self.blur(file_name, version, seed))


@dataclass(frozen=True)
class Found:
    """What was found out about one held-out photograph.

    Attributes:
        result: How well it was deblurred.
        estimated: Of the kernels that were estimated from it.
        mean_kernel: Of the mean of simulated kernels, the same for all photographs and pixels.
    """

    result: Result
    estimated: KernelMetrics
    mean_kernel: KernelMetrics


def train_stages(task: KernelDeblurring, out: Path, iterations: int, seed: int, threads: int) -> Path:
    """Train one stage after the other and return the weights of the last, which hold those of the others.

    Args:
        task: Whose option file is that of the last stage.
        out: Folder that gets ``experiments/``.
        iterations: Steps of the last stage; the others keep their proportion to it.
        seed: Of all stages.
        threads: That PyTorch may use.
    """
    share = iterations / task.options["train"]["total_iter"]
    for option_file in (FLOW, ESTIMATOR):
        steps = read_option_file(option_file)["train"]["total_iter"]
        train(option_file, out, max(1, round(share * steps)), seed, threads)
    return train(task.option_file, out, iterations, seed, threads)


@torch.no_grad()
def measure_kernels(
    task: KernelDeblurring, network: UFPNet, file_name: str, out: Path, seed: int
) -> list[KernelMetrics]:
    """Measure the kernels of a held-out photograph, estimated and mean ones, and write the image of the field."""
    sharp, blur = load_photograph(file_name), task.blur(file_name, 0, seed)
    blurred = blur_by_kernels(sharp, blur)
    field = network.estimate_kernels(torch.from_numpy(blurred.transpose(2, 0, 1) / 255.0).float()[None])
    guess = task.simulator.draw(AVERAGED, np.random.default_rng(seed)).mean(axis=0)
    height, width = blur.mask.shape
    fields = {"estimated": field, "mean": same_everywhere(guess, height, width)}
    rows, columns = shown_pixels(height, width, len(guess))
    panels = {
        "estimated kernels": kernel_panel(blurred, rows, columns, _kernels_at(field, rows, columns)),
        "true kernels": kernel_panel(blurred, rows, columns, blur.kernels(rows, columns)),
    }
    write_atomically(out / f"{Path(file_name).stem}_kernels.png", kernel_field_png(panels))
    return [measure_field(kernels, blur, sharp, blurred) for kernels in fields.values()]


def _kernels_at(field: Tensor, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    kernels = field[0][:, rows, columns].T.numpy()
    size = round(kernels.shape[1] ** 0.5)
    return kernels.reshape(-1, size, size)


def markdown_table(found: list[Found], task: KernelDeblurring) -> str:
    """Write what was found, and its mean, as a Markdown table."""
    rows = [*(one.result for one in found), average([one.result for one in found])]
    columns = metric_columns(rows, task.words)
    for heading, name, form in (("kernel similarity", "similarity", ".3f"), ("reblurred", "reblur_psnr", ".2f")):
        for kernels in ("estimated", "mean_kernel"):
            measured = [getattr(getattr(one, kernels), name) for one in found]
            unit = " dB" if name == "reblur_psnr" else ""
            cells = [f"{value:{form}}{unit}" for value in (*measured, mean(measured))]
            columns[f"{heading}: {kernels.replace('_', ' ')}"] = cells
    return table([row.photograph for row in rows], columns)


def run(task: KernelDeblurring, out: Path, iterations: int, seed: int, threads: int) -> list[Found]:
    """Take all steps in order; see the module's docstring."""
    torch.set_num_threads(threads)
    claim_folder(out, task.options["name"])
    write_databases(task, out, seed)
    weights = train_stages(task, out, iterations, seed, threads)
    results = restore_held_out(task, weights, out, seed)
    network = cast(UFPNet, load_network(task.network, task.options["network_g"], weights))
    found = [
        Found(result, *measure_kernels(task, network, file_name, out, seed))
        for result, file_name in zip(results, tqdm(HELD_OUT, desc="measuring kernels", unit="photo"), strict=True)
    ]
    write_atomically(out / "results.md", f"{markdown_table(found, task)}\n{NOTE}".encode())
    write_atomically(out / "results.json", (json.dumps([asdict(one) for one in found], indent=2) + "\n").encode())
    return found


def main() -> None:
    """Run the quickstart; an error that the user can mend is one line and exit code 2."""
    task = KernelDeblurring()
    parser = build_parser(task)
    arguments = parser.parse_args()
    start = time.monotonic()
    try:
        found = run(task, arguments.out, arguments.iterations, arguments.seed, arguments.threads)
    except DeepRFTv2Error as error:
        parser.exit(2, f"error: {error}\n")
    print(f"\n{markdown_table(found, task)}")
    print(NOTE)
    print(f"{time.monotonic() - start:.0f} s in all. Table, comparison and kernel images: {arguments.out}/")
    say_how_to_restore(task, arguments.out)


if __name__ == "__main__":
    main()
