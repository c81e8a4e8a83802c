"""``python -m benchmarks.reblur``: the reblur operator beside PyTorch's unfold, in time and memory.

One image with three channels is blurred with kernels of 19x19, forward and backward, with gradients for image and
field. The competitors take turns in every round; seconds are medians. Held and peak are the bytes that autograd holds
after the forward pass and the most that are allocated at any time, both without the inputs and the result; the peak
includes the gradients. The field has the layout that UFPNet's flow gives it, ``channels_last``, or the contiguous one.
"""

import argparse
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.environment import device_slug, environment_lines
from benchmarks.timing import interleaved_medians
from benchmarks.training_memory import cpu_bytes, cuda_bytes
from deeprftv2_arch.ops.reblur import reblur

KERNEL_SIZE = 19
ROUNDS = 5
RESULTS = Path(__file__).parent / "results"


def by_unfold(image: Tensor, field: Tensor) -> Tensor:
    """Do what :func:`reblur` does, by a copy of the image for every entry of a kernel."""
    size = math.isqrt(field.shape[1])
    padded = F.pad(image, [size // 2] * 4, mode="replicate")
    windows = F.unfold(padded, size).view(*image.shape[:2], size**2, *image.shape[2:])
    return (windows * field[:, None]).sum(dim=2)


COMPETITORS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"reblur": reblur, "unfold": by_unfold}
LAYOUTS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}


def inputs(size: int, layout: torch.memory_format, device: torch.device) -> tuple[Tensor, Tensor]:
    """Make an image (1, 3, size, size) and a field of as many kernels."""
    torch.manual_seed(0)
    image = torch.rand(1, 3, size, size, device=device)
    field = torch.rand(1, KERNEL_SIZE**2, size, size, device=device).contiguous(memory_format=layout)
    return image.requires_grad_(), field.requires_grad_()


def rows(size: int, layout: str, device: torch.device) -> Iterator[str]:
    """Return the rows of the table for one size and layout."""
    image, field = inputs(size, LAYOUTS[layout], device)

    def both_passes(name: str) -> Callable[[], None]:
        def step() -> None:
            image.grad = field.grad = None
            COMPETITORS[name](image, field).sum().backward()

        return step

    def forward(name: str) -> Callable[[], Tensor]:
        return lambda: COMPETITORS[name](image, field).sum()

    with torch.no_grad():
        blurring = interleaved_medians({name: forward(name) for name in COMPETITORS}, ROUNDS, device)
    training = interleaved_medians({name: both_passes(name) for name in COMPETITORS}, ROUNDS, device)
    for name in COMPETITORS:
        image.grad = field.grad = None
        held, peak = (cuda_bytes if device.type == "cuda" else cpu_bytes)(forward(name))
        cells = [
            f"{1000 * blurring[name]:,.0f}",
            f"{1000 * training[name]:,.0f}",
            f"{blurring[name] / blurring['unfold']:.2f}",
            f"{training[name] / training['unfold']:.2f}",
            f"{held / 1e6:,.1f}",
            f"{peak / 1e6:,.1f}",
        ]
        yield f"| {size} | {layout} | {name} | " + " | ".join(cells) + " |"


def table(sizes: list[int], device: torch.device) -> Iterator[str]:
    """Return the result file, line by line."""
    yield "# The reblur operator beside unfold"
    yield ""
    yield from environment_lines(device)
    yield f"- Command: `python -m benchmarks.reblur --sizes {' '.join(map(str, sizes))}`"
    yield ""
    yield f"One image with three channels, kernels of {KERNEL_SIZE}x{KERNEL_SIZE}, float32. MB are 10^6 bytes."
    yield ""
    yield (
        "| size | layout of the field | operator | forward, ms | forward and backward, ms | forward / unfold |"
        " both / unfold | held, MB | peak, MB |"
    )
    yield "|---:|---|---|" + "---:|" * 6
    for size in sizes:
        for layout in LAYOUTS:
            yield from rows(size, layout, device)


def main(arguments: list[str] | None = None) -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.reblur", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", nargs="+", type=int, default=[64, 128, 256], help="default: 64 128 256")
    parser.add_argument("--output", type=Path, help="default: reblur_<device>.md in benchmarks/results")
    options = parser.parse_args(arguments)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    output = options.output or RESULTS / f"reblur_{device_slug(device)}.md"
    written = ""
    for line in table(options.sizes, device):
        print(line, flush=True)
        written += f"{line}\n"
        output.write_text(written, encoding="utf-8")


if __name__ == "__main__":
    main()
