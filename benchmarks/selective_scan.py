"""``python -m benchmarks.selective_scan``: speed and memory of every scan backend, beside what else there is.

For every shape, forward alone and with all gradients: the median time, how many times as fast that is as the sequential
loop, as mambapy's scan and as the backend torch, the share of what the device can do, and the peak memory beyond the
inputs. The competitors take turns, so that a machine that slows down slows all of them; slow ones run less often.

A GPU's limit is the bytes that must move over the bandwidth of a copy; a CPU's is exp(delta A) of every state at every
position, once in the forward and once more in the backward pass, over the rate of exponentials. Both rates are measured
in the same run. On a CPU, the fast backends run also beside as many busy processes as PyTorch has threads, in turns
with runs alone.
"""

import argparse
import re
import signal
import statistics
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks.busy_processes import BusyProcesses
from benchmarks.device_limits import copied_bytes_per_second, exponentials_per_second
from benchmarks.environment import device_slug, environment_lines
from benchmarks.peak_memory import in_new_process, peak_of_gpu, peak_of_process
from benchmarks.scan_peers import mambapy_scan, sequential_loop
from benchmarks.timing import seconds
from deeprftv2_arch.ops import scan_backend, selective_scan
from deeprftv2_arch.ops.scan.backends import BACKENDS, Scan

STATES = 8
LOOP, MAMBAPY = "sequential loop", "mambapy"
BESIDE_OTHERS = ("numba", "torch")  # what is measured beside busy processes too: what runs in practice
CHANNELS, LENGTH = "channels", "length"  # what lies next to each other in u and delta: in the network, channels
MOST_RUNS = 25
BUSY_RUNS, QUICK_BUSY_RUNS = 11, 1
SECONDS, QUICK_SECONDS = 15.0, 0.2  # of all runs of one competitor
TOLERANCE = 1e-3  # of the outputs, relative to the largest
# What a CPU does besides the exponentials of its limit, in instructions of the kernels of the backend numba.
OTHER_WORK = (
    "- The limit counts exponentials alone. For each, numba's forward pass executes about 16 instructions on 16 "
    "channels for delta A and the exponential itself, which PyTorch's function needs too, and 6 more: three "
    "multiplications or additions for the state and the output, and reads and writes of state and A in the innermost "
    "cache; its backward pass executes the 16 once more and 30 others, half of them reads and writes of the states, "
    "decays and sums of a chunk. The rest is softplus, copies between tensors and tiles, and waiting for memory. Above "
    "100 % a fused exponential, which is written nowhere, is faster than PyTorch's"
)
# Seconds. PyTorch's threads spin for milliseconds after a competitor's last operation; a shorter call than this would
# take that for its own time, so it is made twice.
ABSORBING = 0.5
RESULTS = Path(__file__).parent / "results"


class Shape(NamedTuple):
    """Of u: what is scanned at once, side by side, and one after the other."""

    batch: int
    channels: int
    length: int

    def __str__(self) -> str:
        return f"{self.batch} x {self.channels} x {self.length}"


# The scans of DeepRFTv2-B at 256x256, and the first of them at 1280x720.
SHAPES = (Shape(1, 96, 33024), Shape(1, 192, 16384), Shape(1, 384, 4096), Shape(1, 96, 461520))
GPU_SHAPES = (*SHAPES, *(Shape(16, *shape[1:]) for shape in SHAPES[:3]))
QUICK_SHAPES = (Shape(1, 96, 1024), Shape(2, 32, 300))


def shape(text: str) -> Shape:
    """Parse ``1x96x33024``: batch, channels, length.

    Raises:
        argparse.ArgumentTypeError: The text is not such a shape.
    """
    numbers = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)x([1-9]\d*)", text)
    if numbers is None:
        raise argparse.ArgumentTypeError(f"'{text}' is not a shape such as 1x96x33024 (batch, channels, length)")
    return Shape(*map(int, numbers.groups()))


def competitors(device: torch.device) -> tuple[dict[str, Scan], list[str]]:
    """Return every scan that runs here by its name, and a line on each that does not."""
    scans: dict[str, Scan] = {}
    missing = []
    for name, backend in BACKENDS.items():
        reason = backend.why_not(device.type, torch.float32, STATES)
        if reason is None:
            scans[name] = _by_backend(name)
        else:
            missing.append(f"- Not measured: {name}, because {reason}")
    scans[LOOP] = sequential_loop
    if find_spec("mambapy"):
        scans[MAMBAPY] = mambapy_scan
    else:
        missing.append(f"- Not measured: {MAMBAPY}, because it is not installed (pip install '.[benchmark]')")
    return scans, missing


def _by_backend(name: str) -> Scan:
    def scan(*arguments: Any) -> Tensor:
        with scan_backend(name):
            return selective_scan(*arguments)

    return scan


@dataclass(frozen=True)
class Work:
    """A shape, forward alone or with all gradients, on a device."""

    shape: Shape
    fastest: str
    backward: bool
    device: torch.device

    def __str__(self) -> str:
        return f"{self.shape}, {self.fastest} fastest, forward{' and backward' if self.backward else ''}"

    def inputs(self) -> list[Tensor]:
        """Make u, delta, A, B, C, D and delta_bias, as in an untrained network, and the gradient of the output."""
        batch, channels, length = self.shape
        g = torch.Generator().manual_seed(0)
        sequences = [(batch, channels, length)] * 2 + [(batch, STATES, length)] * 2
        u, delta, B, C = (torch.randn(size, generator=g) for size in sequences)
        if self.fastest == CHANNELS:
            u, delta = (x.transpose(1, 2).contiguous().transpose(1, 2) for x in (u, delta))
        A = -torch.arange(1.0, STATES + 1).repeat(channels, 1)
        bias = torch.empty(channels).uniform_(-7, -2, generator=g)  # softplus makes steps of 1e-3 to 1e-1 of it
        inputs = (u, 0.1 * delta, A, B, C, torch.ones(channels), bias)
        leaves = [x.to(self.device).requires_grad_(self.backward) for x in inputs]
        return [*leaves, torch.ones_like(leaves[0], requires_grad=False)]

    def run(self, scan: Scan, inputs: list[Tensor]) -> Tensor:
        """Do it once; returns the output."""
        with torch.set_grad_enabled(self.backward):
            u, delta, A, B, C, D, bias, grad_y = inputs
            y = scan(u, delta, A, B, C, D, bias, True)
        if self.backward:
            torch.autograd.grad(y, inputs[:-1], grad_y)
        return y.detach()

    def limit(self, rate: float) -> float:
        """Return the seconds that it takes at best: ``rate`` is exponentials (CPU) or bytes (GPU) per second."""
        batch, channels, length = self.shape
        if self.device.type != "cuda":
            return (2 if self.backward else 1) * batch * channels * length * STATES / rate
        # u, delta, B, C in and y out; once more in, with dy, and four gradients out.
        wide, narrow = (8, 6) if self.backward else (3, 2)
        return 4 * batch * length * (wide * channels + narrow * STATES) / rate


def peak_memory(work: Work, name: str, threads: int) -> int | None:
    """Measure one competitor's peak memory beyond the inputs, in bytes; on a CPU it has to run in its own process.

    Raises:
        MemoryError: It does not fit.
    """
    scan = competitors(work.device)[0][name]
    if work.device.type == "cuda":
        inputs = work.inputs()
        try:
            work.run(scan, inputs)  # what is compiled and allocated only once
            return peak_of_gpu(lambda: work.run(scan, inputs), work.device)
        except torch.cuda.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            raise MemoryError(str(error)) from error
    torch.set_num_threads(threads)
    small = replace(work, shape=Shape(1, 1, 2))
    small.run(scan, small.inputs())  # what is imported and started only once
    inputs = work.inputs()
    return peak_of_process(lambda: work.run(scan, inputs))


def peaks_by_name(work: Work, names: list[str]) -> dict[str, int | None]:
    """Return the peak memory of every competitor that has enough of it."""
    peaks = {}
    for name in names:
        threads = torch.get_num_threads()
        try:
            if work.device.type == "cuda":
                peaks[name] = peak_memory(work, name, threads)
            else:
                peaks[name] = in_new_process(peak_memory, work, name, threads)
        except MemoryError:
            continue
    return peaks


def interleaved_times(
    calls: Mapping[str, Callable[[], object]], budget: float, device: torch.device
) -> dict[str, list[float]]:
    """Time every run of every competitor: as many as ``budget`` seconds allow, one at least, after a first one.

    The runs of slow competitors are spread evenly among those of fast ones. A first run that takes the whole budget is
    the one that counts.
    """
    first = {name: seconds(call, device) for name, call in calls.items()}
    wanted = {name: min(MOST_RUNS, max(1, int(budget / once))) for name, once in first.items()}
    times: dict[str, list[float]] = {name: [once] if once > budget else [] for name, once in first.items()}
    rounds = max(wanted.values())
    for number in range(rounds):
        for name, call in calls.items():
            due = (number + 1) * wanted[name] // rounds
            if len(times[name]) < due:
                if device.type != "cuda" and first[name] < ABSORBING:
                    call()
                times[name].append(seconds(call, device))
    return times


def slowdowns(calls: Mapping[str, Callable[[], object]], runs: int, device: torch.device) -> dict[str, float]:
    """Measure how many times slower calls are beside as many busy processes as PyTorch has threads, by medians."""
    alone: dict[str, list[float]] = {name: [] for name in calls}
    beside: dict[str, list[float]] = {name: [] for name in calls}
    others = BusyProcesses(torch.get_num_threads())
    try:
        for _ in range(runs):
            for name, call in calls.items():
                alone[name].append(seconds(call, device))
            with others.running():
                for name, call in calls.items():
                    beside[name].append(seconds(call, device))
    finally:
        others.end()
    return {name: statistics.median(beside[name]) / statistics.median(alone[name]) for name in calls}


def calls_of(work: Work, names: Collection[str]) -> dict[str, Callable[[], object]]:
    """Return a call of every competitor that is named.

    Raises:
        ArithmeticError: The competitors do not agree, so that comparing their times would mean nothing.
    """
    scans, _ = competitors(work.device)
    inputs = work.inputs()
    expected = replace(work, backward=False).run(scans["torch"], inputs)
    for name in names:
        if name in (LOOP, "reference") and work.backward:
            continue  # slow, and compared in the forward pass
        error = (work.run(scans[name], inputs) - expected).abs().max() / expected.abs().max()
        if not error < TOLERANCE:
            raise ArithmeticError(f"{name} differs from torch by {error:.1e}: {work}")
    return {name: partial(work.run, scans[name], inputs) for name in names}


def measure(work: Work, names: Collection[str], budget: float) -> dict[str, list[float]]:
    """Measure the seconds of every run of the competitors that are named.

    Args:
        work: Shape, layout, passes, device.
        names: Of the competitors.
        budget: Seconds for all runs of one competitor.

    Raises:
        ArithmeticError: As :func:`calls_of`.
    """
    return interleaved_times(calls_of(work, names), budget, work.device)


def table(work: Work, rate: float, budget: float, busy_runs: int) -> str:
    """Measure one piece of work; returns a table in Markdown.

    Args:
        work: Shape, layout, passes, device.
        rate: Of what limits the device (:meth:`Work.limit`).
        budget: Seconds for all runs of one competitor.
        busy_runs: Runs beside busy processes.

    Raises:
        ArithmeticError: As :func:`calls_of`.
    """
    scans, _ = competitors(work.device)
    peaks = peaks_by_name(work, list(scans))
    calls = calls_of(work, peaks)
    times = interleaved_times(calls, budget, work.device)
    medians = {name: statistics.median(runs) for name, runs in times.items()}

    busy: dict[str, float] = {}
    if work.device.type != "cuda" and hasattr(signal, "SIGSTOP"):
        busy = slowdowns({name: calls[name] for name in BESIDE_OTHERS if name in calls}, busy_runs, work.device)

    limit = work.limit(rate)
    lines = [
        f"### {work}",
        "",
        f"At best {1000 * limit:.2f} ms.",
        "",
        "| | ms | runs | times as fast as the loop | as mambapy | as torch | share of the limit "
        "| beside busy processes, times slower | peak memory, MB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name in scans:
        if name not in peaks:
            lines.append(f"| {name} | out of memory | | | | | | | |")
            continue
        ratios = (
            f"{medians[peer] / medians[name]:.1f}" if peer in medians else "-" for peer in (LOOP, MAMBAPY, "torch")
        )
        peak = peaks[name]
        cells = [
            name,
            f"{1000 * medians[name]:.2f}",
            str(len(times[name])),
            *ratios,
            f"{limit / medians[name]:.0%}",
            f"{busy[name]:.1f}" if name in busy else "-",
            "-" if peak is None else f"{peak / 1e6:.0f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def introduction(device: torch.device, rate: str) -> str:
    """Return what was measured where and how, in Markdown."""
    way = "PyTorch's allocator" if device.type == "cuda" else "the resident memory of a process per measurement"
    lines = [
        *environment_lines(device),
        f"- {rate}",
        f"- float32, {STATES} states, shapes batch x channels x length, with D, bias and softplus; median of the runs",
        *([] if device.type == "cuda" else [OTHER_WORK]),
        f"- Peak memory: by {way}, beyond the inputs; outputs and gradients count",
        *competitors(device)[1],
    ]
    return "# Selective scan\n\nMeasured by `python -m benchmarks.selective_scan`.\n\n" + "\n".join(lines) + "\n"


def main() -> None:
    """Print the tables as they are measured, and write them."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.selective_scan",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--shapes", type=shape, nargs="+", metavar="BxCxL", help="batch, channels, length; default: the network's"
    )
    parser.add_argument(
        "--fastest",
        nargs="+",
        choices=(CHANNELS, LENGTH),
        help="what lies next to each other in u and delta; default: channels, as in the network, and on a GPU also "
        "length, as mamba_ssm's kernel wants it",
    )
    parser.add_argument("--quick", action="store_true", help="small shapes and few runs, to see that everything works")
    parser.add_argument(
        "--device",
        type=torch.device,
        help="default: the GPU if there is one",
        choices=[torch.device("cpu"), torch.device("cuda")],
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="file for the tables; default: benchmarks/results/selective_scan_<device>.md, "
        "but none with --quick or --shapes",
    )
    args = parser.parse_args()

    device = args.device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    on_gpu = device.type == "cuda"
    layouts = (CHANNELS, LENGTH) if on_gpu else (CHANNELS,)
    shapes = args.shapes or (QUICK_SHAPES if args.quick else GPU_SHAPES if on_gpu else SHAPES)
    if on_gpu:
        rate = copied_bytes_per_second(device)
        described = f"Bandwidth of a copy: {rate / 1e9:.0f} GB/s"
    else:
        rate, function = exponentials_per_second()
        described = f"Exponentials: {rate / 1e9:.2f} G/s by torch.{function}, in cache"

    text = introduction(device, described)
    print(text)
    for size, fastest, backward in product(shapes, args.fastest or layouts, (False, True)):
        work = Work(size, fastest, backward, device)
        part = table(work, rate, *((QUICK_SECONDS, QUICK_BUSY_RUNS) if args.quick else (SECONDS, BUSY_RUNS)))
        print(part, flush=True)
        text += "\n" + part
    out = args.out or (None if args.quick or args.shapes else RESULTS / f"selective_scan_{device_slug(device)}.md")
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
