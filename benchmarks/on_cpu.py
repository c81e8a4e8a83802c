"""``python -m benchmarks.on_cpu``: what is claimed of networks on a CPU, part by part, in a quarter of an hour.

Every part is a section of the result file, written as soon as it is measured, in the place of what stood there: parts
that are left out, or that an interruption has prevented, stay as they were. Name parts to measure them alone.
"""

import argparse
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from benchmarks import network_on_cpu
from benchmarks.ablation_training import Settings, narrow_network
from benchmarks.device_limits import exponentials_per_second
from benchmarks.environment import environment_lines
from benchmarks.network import NETWORKS
from benchmarks.peers import nafnet
from benchmarks.selective_scan import BESIDE_OTHERS, CHANNELS, SHAPES, Shape, Work, calls_of, measure, slowdowns
from benchmarks.sizes import Size
from benchmarks.timing import interleaved_medians
from deeprftv2_arch.common.atomic import write_atomically
from deeprftv2_arch.common.kept_memory import keep_freed_memory
from deeprftv2_arch.layers import pointwise
from deeprftv2_arch.losses.criteria import MultiScaleLoss
from deeprftv2_arch.networks.atd import ATD
from deeprftv2_arch.networks.deeprftv2 import DeepRFTv2
from deeprftv2_arch.options.option_file import read_option_file
from quickstart.task import OPTION_FILES

CPU = torch.device("cpu")
SMALL, LARGE = Size(256, 256), Size(1280, 720)
OUTPUT = Path(__file__).parent / "results" / "network_cpu.md"
TITLE = "# Networks on a CPU\n\nMeasured by `python -m benchmarks.on_cpu`, each section by itself.\n"
MEDIANS = "Inference, batch 1; medians of {rounds} interleaved rounds after one of warming up.\n\n"
TRAINED = {"quickstart": "quickstart", "quickstart-sr": "quickstart_sr", "ablation": "table6_row08"}
ABLATION = Settings(iterations=0, dim=16, shorten=8, patch=64, batch=8, exposures=0)  # as benchmarks.ablation has them
QUICK_SHAPES = (Shape(1, 32, 256),)
SCAN_SECONDS = 5.0  # of all runs of one backend


def build(name: str, quick: bool) -> nn.Module:
    """Make S, B or NAFNet-64; if quick, S and B narrow."""
    narrow: dict[str, Any] = {"dim": 8} if quick else {}
    network = nafnet() if name == "NAFNet-64" else DeepRFTv2(**NETWORKS[name], **narrow)
    return network.eval()


@torch.no_grad()
def beside_nafnet(size: Size, rounds: int, quick: bool) -> str:
    """Time S and B beside NAFNet-64."""
    size, rounds = (Size(32, 32), 1) if quick else (size, rounds)
    image = torch.rand(1, 3, size.height, size.width)
    calls = {name: partial(build(name, quick), image) for name in (*NETWORKS, "NAFNet-64")}
    times = interleaved_medians(calls, rounds, CPU)
    lines = [f"| {name} | {time:.3f} | {time / times['NAFNet-64']:.2f} |\n" for name, time in times.items()]
    return MEDIANS.format(rounds=rounds) + f"| {size} | s | times NAFNet-64 |\n|---|---|---|\n" + "".join(lines)


@torch.no_grad()
def half_precision(quick: bool) -> str:
    """Time S and B under autocast to bf16, and compare the images."""
    side, rounds = (32, 1) if quick else (256, 4)
    image = torch.rand(1, 3, side, side)
    table = MEDIANS.format(rounds=rounds)
    table += f"{side}x{side}, random weights; PSNR of the bf16 image against the float32 one, values of 0..1.\n\n"
    table += "| network | float32, s | bf16, s | times as fast | PSNR, dB |\n|---|---|---|---|---|\n"
    for name in NETWORKS:
        torch.manual_seed(0)
        network = build(name, quick)
        for parameter in network.parameters():  # at their start, blocks do nothing
            parameter.add_(0.02 * torch.randn_like(parameter))

        def in_bf16(network: nn.Module = network) -> Tensor:
            with torch.autocast("cpu", torch.bfloat16):
                image_out: Tensor = network(image)
                return image_out

        times = interleaved_medians({"float32": partial(network, image), "bf16": in_bf16}, rounds, CPU)
        error = (in_bf16().float() - network(image)).square().mean()
        table += f"| {name} | {times['float32']:.3f} | {times['bf16']:.3f} | {times['float32'] / times['bf16']:.2f} | "
        table += f"{-10 * error.log10().item():.1f} |\n"
    return table


def training_step(name: str) -> Callable[[], None]:
    """Return a forward and backward pass of a training, without data loading and optimiser, on its batch of patches."""
    torch.manual_seed(0)
    if name == "ablation":
        network, batch, patch_size = narrow_network(TRAINED[name], ABLATION).train(), ABLATION.batch, ABLATION.patch
    else:
        options: dict[str, Any] = dict(read_option_file(OPTION_FILES / f"{TRAINED[name]}.yml"))
        stage = options["datasets"]["train"]["patch_stages"][0]
        batch, patch_size = stage["batch_size"], stage["patch_size"]
        arguments = dict(options["network_g"])
        network = {"DeepRFTv2": DeepRFTv2, "ATD": ATD}[arguments.pop("type")](**arguments).train()
    image = torch.rand(batch, 3, patch_size, patch_size)
    criterion = MultiScaleLoss({"l1": nn.L1Loss()})

    def step() -> None:
        network.zero_grad(set_to_none=True)
        if isinstance(network, ATD):
            loss = network(image).abs().mean()
        else:
            loss = torch.stack(list(criterion(network(image, supervise=True), image).values())).sum()
        loss.backward()

    return step


def training(quick: bool) -> str:
    """Count steps per second on one thread: 1x1 convolutions in PyTorch's own way, in the package's, and in bf16."""
    threads, rounds = torch.get_num_threads(), 1 if quick else 7
    table = "Forward and backward passes on one thread, on the batches of each training; before: 1x1 convolutions as "
    table += f"PyTorch does them; bf16: now, under autocast. Medians of {rounds} interleaved rounds.\n\n"
    table += "| training | before, steps/s | now, steps/s | times as fast | bf16, steps/s | times as fast as now |\n"
    table += "|---|---|---|---|---|---|\n"
    torch.set_num_threads(1)
    try:
        for name in TRAINED:
            step = training_step(name)

            def before(step: Callable[[], None] = step) -> None:
                with patch.object(pointwise, "_may_go_to_onednn", lambda x: False):
                    step()

            def in_bf16(step: Callable[[], None] = step) -> None:
                with torch.autocast("cpu", torch.bfloat16):
                    step()

            times = interleaved_medians({"before": before, "now": step, "bf16": in_bf16}, rounds, CPU)
            rates = {way: 1 / time for way, time in times.items()}
            table += f"| {name} | {rates['before']:.2f} | {rates['now']:.2f} | {rates['now'] / rates['before']:.2f} | "
            table += f"{rates['bf16']:.2f} | {rates['bf16'] / rates['now']:.2f} |\n"
    finally:
        torch.set_num_threads(threads)
    return table


def keeping_memory(part: Callable[[bool], str], quick: bool) -> str:
    """Measure a part in a process of its own that keeps what it has freed, as the commands of this package do."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        word = "is" if pool.submit(keep_freed_memory).result() else "could not be"
        return f"Freed memory {word} kept (`common/kept_memory.py`).\n\n" + pool.submit(part, quick).result()


def kept(quick: bool) -> str:
    """Time S and B beside NAFNet-64 at both sizes."""
    return "\n".join(beside_nafnet(size, rounds, quick) for size, rounds in ((SMALL, 5), (LARGE, 2)))


def scans(quick: bool) -> str:
    """Time the scan's backends, alone and beside busy processes."""
    rate, _ = exponentials_per_second()
    budget, busy_runs = (0.05, 1) if quick else (SCAN_SECONDS, 7)
    table = "| scan | | numba, ms | share of the limit | times as fast as torch | numba beside busy processes, times "
    table += "slower | torch |\n|---|---|---|---|---|---|---|\n"
    for shape in QUICK_SHAPES if quick else SHAPES[:3]:
        for backward in (False, True):
            work = Work(shape, CHANNELS, backward, CPU)
            # One after the other, since PyTorch's threads spin for a while after their last operation.
            numba, by_torch = (sorted(measure(work, [name], budget)[name]) for name in BESIDE_OTHERS)
            ours, theirs = (runs[len(runs) // 2] for runs in (numba, by_torch))
            busy = slowdowns(calls_of(work, BESIDE_OTHERS), busy_runs, CPU)
            table += f"| {shape} | {'with gradients' if backward else 'forward'} | {1000 * ours:.2f} | "
            table += (
                f"{work.limit(rate) / ours:.0%} | {theirs / ours:.1f} | {busy['numba']:.1f} | {busy['torch']:.1f} |\n"
            )
    return table


def bound(quick: bool) -> str:
    """Compare with the networks' convolutions and matrix products alone, and with the networks written plainly."""
    networks: dict[str, dict[str, Any]] = {"tiny": {"dim": 8}} if quick else NETWORKS
    return "".join(network_on_cpu.report(networks, [Size(32, 32) if quick else SMALL], 1 if quick else 3))


PARTS: dict[str, tuple[str, Callable[[bool], str]]] = {  # in the order of their worth
    "nafnet": ("256x256 beside NAFNet-64", partial(beside_nafnet, SMALL, 5)),
    "scans": ("The scan", scans),
    "training": ("Training on one thread", training),
    "bf16": ("bf16 on a CPU", half_precision),
    "large": ("1280x720 beside NAFNet-64", partial(beside_nafnet, LARGE, 2)),
    "kept": ("256x256 and 1280x720 once more", partial(keeping_memory, kept)),
    "bound": ("The bound of the convolutions and matrix products", bound),
}


def sections_of(text: str) -> dict[str, str]:
    """Return the sections of a result file by their headings."""
    parts = (part.split("\n", 1) for part in f"\n{text}".split("\n## ")[1:])
    return {heading: body.strip("\n") for heading, body in parts}


def update(path: Path, heading: str, body: str) -> None:
    """Put a section into the result file, in the order of ``PARTS``; the others stay."""
    sections = sections_of(path.read_text(encoding="utf-8")) if path.exists() else {}
    sections[heading] = body.strip("\n")
    headings = [title for title, _ in PARTS.values() if title in sections]
    text = TITLE + "".join(f"\n## {title}\n\n{sections[title]}\n" for title in headings)
    write_atomically(path, text.encode())


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.on_cpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"from: {', '.join(PARTS)}; default: all, in this order"
    )
    parser.add_argument("--quick", action="store_true", help="narrow networks and one round, to see that all runs")
    parser.add_argument("--output", type=Path, help="default: benchmarks/results/network_cpu.md, none if --quick")
    options = parser.parse_args(arguments)
    unknown = [part for part in options.parts if part not in PARTS]
    if unknown:
        parser.error(f"argument PART: '{unknown[0]}' is none of {', '.join(PARTS)}")
    output = options.output or (None if options.quick else OUTPUT)
    for part in options.parts or PARTS:
        heading, run = PARTS[part]
        body = "\n".join(environment_lines(CPU)) + "\n\n" + run(options.quick)
        print(f"## {heading}\n\n{body}", flush=True)
        if output is not None:
            update(output, heading, body)


if __name__ == "__main__":
    main()
