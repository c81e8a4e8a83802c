"""``python -m benchmarks.super_resolution``: ATD-light beside the public implementation, and what the FKE costs.

The public implementation is the one inside spandrel (``pip install ".[benchmark]"``), with equal weights. Whole
networks and, within them, all window attentions and all category attentions are timed in the same run. The table is
printed and written.
"""

import argparse
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.environment import device_slug, environment_lines
from benchmarks.sizes import Size, size
from deeprftv2_arch.networks.atd import ATD

RESULTS = Path(__file__).parent / "results"
PARTS = {"window attention": "attn_win", "category attention": "attn_aca"}
NETWORK = "whole network"
ROUNDS = 9
HEADER = """\
Inference of ATD-light in float32, seconds: medians of {rounds} interleaved rounds after one of warming up. Attentions
are the sum over all 24 layers. The public implementation is spandrel's {version}, with the same weights; the largest
difference of a result is in the last column. FKE is the time of ATD-light+FKE over that of ATD-light; above 64x64 the
former works in overlapping tiles.

| scale, size, batch | | public, s | here, s | here / public | FKE | difference |
|---|---|---|---|---|---|---|
"""


class Stopwatch:
    """Seconds that a network takes, whole and within the modules of PARTS, over several runs."""

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        self.network = network
        self.device = device
        self.runs: dict[str, list[float]] = {name: [] for name in (NETWORK, *PARTS)}

    def now(self) -> float:
        """Return the time, once everything that was asked for is done."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    @contextmanager
    def watched(self) -> Iterator[dict[str, float]]:
        """Return the sums of the seconds within the modules of PARTS."""
        sums = dict.fromkeys(PARTS, 0.0)
        starts: list[float] = []

        def begin(module: nn.Module, inputs: object) -> None:
            starts.append(self.now())

        handles = []
        for part, suffix in PARTS.items():

            def end(module: nn.Module, inputs: object, output: object, part: str = part) -> None:
                sums[part] += self.now() - starts.pop()

            for name, module in self.network.named_modules():
                if name.endswith(f".{suffix}"):
                    handles += [module.register_forward_pre_hook(begin), module.register_forward_hook(end)]
        try:
            yield sums
        finally:
            for handle in handles:
                handle.remove()

    @torch.no_grad()
    def run(self, image: Tensor) -> Tensor:
        """Run the network once as a whole and return its result, and once for its parts."""
        start = self.now()
        result: Tensor = self.network(image)
        self.runs[NETWORK].append(self.now() - start)
        with self.watched() as sums:
            self.network(image)
        for part, seconds in sums.items():
            self.runs[part].append(seconds)
        return result

    def median(self, part: str) -> float:
        """Return the median of all runs but the first."""
        return statistics.median(self.runs[part][1:])


def measure(arguments: dict[str, Any], of: Size, rounds: int, device: torch.device) -> str:
    """Return the rows of one network and size.

    Args:
        arguments: Of :class:`ATD`, without ``fke``.
        of: Size of the low resolution.
        rounds: Measured rounds, after one of warming up.
        device: Where to run.
    """
    from spandrel import ModelLoader

    torch.manual_seed(0)
    upscale = arguments["upscale"]
    light = ATD(**arguments).eval()
    public = ModelLoader().load_from_state_dict(light.state_dict()).model.eval()
    theirs, ours, with_fke = (
        Stopwatch(network.to(device), device) for network in (public, light, ATD(**arguments, fke=True).eval())
    )
    image = torch.rand(of.batch, 3, of.height, of.width, device=device)
    difference = 0.0
    for _ in range(1 + rounds):
        difference = max(difference, (theirs.run(image) - ours.run(image)).abs().max().item())
        with_fke.run(image)
    overhead = with_fke.median(NETWORK) / ours.median(NETWORK)
    rows = ""
    for part in (NETWORK, *PARTS):
        last = f"{overhead:.2f} | {difference:.0e}" if part == NETWORK else " | "
        rows += (
            f"| x{upscale}, {of} | {part} | {theirs.median(part):.3f} | {ours.median(part):.3f} | "
            f"{ours.median(part) / theirs.median(part):.2f} | {last} |\n"
        )
    return rows


def main(arguments: list[str] | None = None) -> None:
    """Measure, print and write."""
    from spandrel import __version__ as version

    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.super_resolution",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--scale", type=int, choices=(2, 3, 4), default=4, help="default: %(default)s")
    parser.add_argument(
        "--sizes",
        nargs="+",
        type=size,
        default=[Size(64, 64), Size(128, 128)],
        metavar="WxH[xBATCH]",
        help="of the low resolution; default: 64x64 128x128",
    )
    parser.add_argument("--quick", action="store_true", help="one round: to see that all runs")
    parser.add_argument(
        "--output",
        type=Path,
        help="file to write; default: super_resolution_<device>.md in benchmarks/results, none if --quick",
    )
    options = parser.parse_args(arguments)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rounds = 1 if options.quick else ROUNDS
    output = options.output
    if output is None and not options.quick:
        output = RESULTS / f"super_resolution_{device_slug(device)}.md"
    table = "Measured by `python -m benchmarks.super_resolution`.\n\n" + "\n".join(environment_lines(device)) + "\n\n"
    table += HEADER.format(rounds=rounds, version=version)
    print(table, end="", flush=True)
    for of in options.sizes:
        rows = measure({"upscale": options.scale}, of, rounds, device)
        print(rows, end="", flush=True)
        table += rows
    if output is not None:
        output.write_text(table, encoding="utf-8")


if __name__ == "__main__":
    main()
