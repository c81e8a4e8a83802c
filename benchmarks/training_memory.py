"""``python -m benchmarks.training_memory``: what a training step of DeepRFTv2 keeps in memory, in every memory mode.

A step is a forward pass in training mode, the mean absolute value of every restored image, and a backward pass that
adds to gradients that exist already. Two figures are taken, both without the parameters, their gradients and the
images, which the column "in all" adds:

held   bytes that autograd holds at the end of the forward pass
peak   the most bytes that are allocated at any time of the step, workspaces of operators included

On a GPU they come from ``torch.cuda.memory_allocated`` and ``max_memory_allocated``. On a CPU they are at the level of
PyTorch's allocator too: its profiler reports every block that is allocated or freed, in Python, in C++ or in a custom
operator, and the blocks alive are summed over time.

Seconds per step are medians of rounds in which the modes take turns.
"""

import argparse
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile, record_function

from benchmarks.environment import device_slug, environment_lines
from benchmarks.timing import interleaved_medians
from deeprftv2_arch.networks.deeprftv2 import DeepRFTv2
from deeprftv2_arch.ops.reversible import Memory

NETWORKS: dict[str, dict[str, Any]] = {
    "B": {},
    "S": {"full_kinds": ("NAF", "NAF", "NAF")},
    "tiny": {"dim": 8, "blocks": (1, 1, 4), "full_kinds": ("NAF", "NAF", "NAFEVS"), "fke_blocks": (1, 1)},
}
MODES = get_args(Memory)
PRECISIONS = {"float32": None, "bf16": torch.bfloat16}
RESULTS = Path(__file__).parent / "results"
CPU_ROUNDS, GPU_ROUNDS = 3, 10
BACKWARD = "backward pass"


@dataclass(frozen=True)
class Bytes:
    """What a step allocates beyond parameters, gradients and images; ``fixed`` is what those take."""

    held: int
    peak: int
    fixed: int


class TrainingStep:
    """One network, in one memory mode, and a batch of images (batch, 3, size, size) to train on."""

    def __init__(self, network: str, mode: Memory, size: int, batch: int, precision: str, device: torch.device) -> None:
        torch.manual_seed(0)
        self.network = DeepRFTv2(**NETWORKS[network], memory=mode).to(device)
        for parameter in self.network.parameters():
            parameter.grad = torch.zeros_like(parameter)
        self.images = torch.rand(batch, 3, size, size, device=device)
        self.half_precision = PRECISIONS[precision]

    def __call__(self) -> None:
        """Run one step: forward and backward."""
        loss = self.forward()
        loss.backward()

    def forward(self) -> Tensor:
        """Return the sum of the restored images' mean magnitudes, a loss."""
        with self._autocast():
            restored = self.network(self.images, supervise=True)
            return torch.stack([image.abs().mean() for scale in restored.values() for image in scale]).sum()

    def _autocast(self) -> AbstractContextManager[None]:
        return torch.autocast(
            self.images.device.type, dtype=self.half_precision, enabled=self.half_precision is not None
        )

    def bytes(self) -> Bytes:
        """Measure one step, after another one that lets libraries allocate what they keep."""
        self()
        measure = cuda_bytes if self.images.is_cuda else cpu_bytes
        held, peak = measure(self.forward)
        tensors = [self.images, *self.network.parameters(), *self.network.parameters()]  # and as many gradients
        return Bytes(held, peak, sum(tensor.nbytes for tensor in tensors))


def cuda_bytes(forward: Callable[[], Tensor]) -> tuple[int, int]:
    """Return the bytes held after ``forward``, and at the peak of it and of the backward pass of its result."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    loss = forward()
    torch.cuda.synchronize()
    held = torch.cuda.memory_allocated() - before
    loss.backward()
    torch.cuda.synchronize()
    return held, torch.cuda.max_memory_allocated() - before


def cpu_bytes(forward: Callable[[], Tensor]) -> tuple[int, int]:
    """Measure as :func:`cuda_bytes` does."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        loss = forward()
        with record_function(BACKWARD):
            loss.backward()
    events = profiler.profiler.kineto_results.events()
    start = next(event.start_ns() for event in events if event.name() == BACKWARD)
    held = allocated = peak = 0
    for time, change in sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]"):
        allocated += change
        peak = max(peak, allocated)
        if time < start:
            held = allocated
    return held, peak


def measure(
    network: str, modes: list[Memory], size: int, batch: int, precision: str, device: torch.device
) -> tuple[dict[Memory, Bytes], dict[Memory, float]]:
    """Return the bytes and seconds of a step, by mode; modes for which the GPU's memory is too small are left out."""
    taken: dict[Memory, Bytes] = {}
    steps: dict[Memory, TrainingStep] = {}
    for mode in modes:
        step = TrainingStep(network, mode, size, batch, precision, device)
        try:
            taken[mode] = step.bytes()
        except torch.cuda.OutOfMemoryError:
            continue
        steps[mode] = step
    rounds = GPU_ROUNDS if device.type == "cuda" else CPU_ROUNDS
    return taken, interleaved_medians(steps, rounds, device)


def rows(
    network: str, modes: list[Memory], size: int, batch: int, precision: str, device: torch.device
) -> Iterator[str]:
    """Return the rows of the table for one batch and precision."""
    taken, seconds = measure(network, modes, size, batch, precision, device)

    def ratio(figures: dict[Memory, float], mode: Memory, to: Memory) -> str:
        return f"{figures[mode] / figures[to]:.3f}" if to in figures else ""

    held: dict[Memory, float] = {mode: found.held for mode, found in taken.items()}
    peak: dict[Memory, float] = {mode: found.peak for mode, found in taken.items()}
    for mode in modes:
        if mode not in taken:
            yield f"| {batch} | {precision} | {mode} | out of memory |" + " |" * 9
            continue
        cells = [
            f"{taken[mode].held / 1e6:,.0f}",
            f"{taken[mode].peak / 1e6:,.0f}",
            f"{(taken[mode].peak + taken[mode].fixed) / 1e6:,.0f}",
            ratio(held, mode, "none"),
            ratio(peak, mode, "none"),
            ratio(held, mode, "reversible"),
            ratio(peak, mode, "reversible"),
            f"{seconds[mode]:.3f}",
            ratio(seconds, mode, "none"),
            ratio(seconds, mode, "reversible"),
        ]
        yield f"| {batch} | {precision} | {mode} | " + " | ".join(cells) + " |"


def table(
    network: str, modes: list[Memory], size: int, batches: list[int], precisions: list[str], device: torch.device
) -> Iterator[str]:
    """Return the result file, line by line."""
    yield f"# Training memory of DeepRFTv2 ({network}) at {size}x{size}"
    yield ""
    yield from environment_lines(device)
    yield f"- Command: `python -m benchmarks.training_memory --network {network} --size {size}`"
    yield ""
    yield "MB are 10^6 bytes. Held and peak leave out parameters, gradients and images; the peak in all has them too."
    if network == "B" and size == 256:
        yield "The paper reports 12,027 MB without and 3,439 MB with reversible columns, for one image on a GPU."
    yield ""
    yield (
        "| batch | precision | mode | held, MB | peak, MB | peak in all, MB | held / none | peak / none |"
        " held / reversible | peak / reversible | s per step | time / none | time / reversible |"
    )
    yield "|---|---|---|" + "---:|" * 10
    for batch in batches:
        for precision in precisions:
            yield from rows(network, modes, size, batch, precision, device)


def main(arguments: list[str] | None = None) -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.training_memory",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--network", choices=NETWORKS, default="B", help="default: B; tiny: to see that all runs")
    parser.add_argument("--size", type=int, default=256, help="height and width of the images; default: 256")
    parser.add_argument("--batch", nargs="+", type=int, help="default: 1; on a GPU 1 and 4")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES), help="default: all")
    parser.add_argument("--precision", nargs="+", choices=PRECISIONS, default=list(PRECISIONS), help="default: all")
    parser.add_argument(
        "--output", type=Path, help="default: training_memory_<device>.md in benchmarks/results; none if tiny"
    )
    options = parser.parse_args(arguments)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    output = options.output
    if output is None and options.network != "tiny":
        output = RESULTS / f"training_memory_{device_slug(device)}.md"
    batches = options.batch or ([1, 4] if device.type == "cuda" else [1])
    written = ""
    for line in table(options.network, options.modes, options.size, batches, options.precision, device):
        print(line, flush=True)
        written += f"{line}\n"
        if output is not None:
            output.write_text(written, encoding="utf-8")


if __name__ == "__main__":
    main()
