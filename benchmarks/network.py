"""``python -m benchmarks.network``: how fast the whole network runs.

On a CPU the forward pass is timed beside the same network written plainly, beside its convolutions and matrix products
alone, and with ``--only-peers`` beside other networks that deblur (``pip install ".[benchmark]"``). On a GPU inference
and training are timed in float32, TF32 and bf16, eager and compiled, beside eager float32 with mamba_ssm's scan where
that is installed. The tables are printed and written as they come, and of the peers a figure beside them.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks import network_on_cpu, network_on_gpu, peers
from benchmarks.environment import device_slug, environment_lines
from benchmarks.sizes import Size, size

NETWORKS: dict[str, dict[str, Any]] = {"S": {"full_kinds": ("NAF", "NAF", "NAF")}, "B": {}}
RESULTS = Path(__file__).parent / "results"
CPU_SIZES = [Size(256, 256)]
GPU_SIZES = [Size(256, 256), Size(256, 256, 16), Size(1280, 720)]
CPU_ROUNDS, GPU_ROUNDS = 5, 20


def main(arguments: list[str] | None = None) -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.network", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS), help="default: S B")
    parser.add_argument(
        "--sizes",
        nargs="+",
        type=size,
        metavar="WxH[xBATCH]",
        help="default: 256x256; on a GPU also 256x256x16 and 1280x720",
    )
    parser.add_argument(
        "--quick", action="store_true", help="one round; on a GPU only 256x256, and no TF32: to see that all runs"
    )
    parser.add_argument(
        "--output",
        type=Path,
        help="file to write; default: network_<gpu>.md in benchmarks/results, none if --quick; none on a CPU, whose "
        "results benchmarks.on_cpu gathers",
    )
    parser.add_argument(
        "--only-peers",
        action="store_true",
        help="on a CPU: only beside other networks that deblur; into network_cpu_peers.md and .png by default",
    )
    options = parser.parse_args(arguments)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    output = options.output
    if output is None and not options.quick and (options.only_peers or device.type != "cpu"):
        output = RESULTS / f"network_{device_slug(device)}{'_peers' if options.only_peers else ''}.md"
    written = ""
    for part in parts(options, device, output):
        print(part, end="", flush=True)
        written += part
        if output is not None:
            output.write_text(written, encoding="utf-8")


def parts(options: argparse.Namespace, device: torch.device, output: Path | None) -> Iterator[str]:
    """Return the result file, part by part, and draw the figure beside it."""
    command = "python -m benchmarks.network" + (" --only-peers" if options.only_peers else "")
    yield f"Measured by `{command}`.\n\n" + "\n".join(environment_lines(device)) + "\n\n"
    if not options.only_peers:
        yield from tables(options.networks, options.sizes, options.quick, device)
    if options.only_peers and device.type == "cpu" and not options.quick and output is not None:
        measured = peers.measure({name: NETWORKS[name] for name in options.networks}, CPU_ROUNDS)
        yield peers.table(measured, CPU_ROUNDS)
        peers.draw(measured, output.with_suffix(".png"))


def tables(networks: list[str], sizes: list[Size] | None, quick: bool, device: torch.device) -> Iterator[str]:
    """Return the tables of the networks alone, part by part."""
    chosen = {name: NETWORKS[name] for name in networks}
    if device.type == "cuda":
        yield from network_on_gpu.report(
            chosen,
            sizes or (CPU_SIZES if quick else GPU_SIZES),
            1 if quick else GPU_ROUNDS,
            ("float32", "bf16") if quick else network_on_gpu.PRECISIONS,
            device,
        )
    else:
        yield from network_on_cpu.report(chosen, sizes or CPU_SIZES, 1 if quick else CPU_ROUNDS)


if __name__ == "__main__":
    main()
