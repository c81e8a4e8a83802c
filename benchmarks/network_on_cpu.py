"""The forward pass on a CPU: the package's network, the same network written plainly, and the bound of its products."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from benchmarks.complexity import count
from benchmarks.plain_network import PlainDeepRFTv2, leave_out_scans, weights_for_plain
from benchmarks.products import find_bound, products_of
from benchmarks.sizes import Size
from benchmarks.timing import interleaved_medians
from deeprftv2_arch.networks.deeprftv2 import DeepRFTv2

CPU = torch.device("cpu")
HEADER = """\
Inference in float32; medians of {rounds} interleaved rounds after one of warming up. GMACs as in the paper (ptflops).
The plain network is `benchmarks/plain_network.py`: with its scans left out (y = u), and with the package's selective
scan. The bound is the time of the network's convolutions and matrix products alone, back to back, each in its fastest
layout; the share is the bound over the network's time.

| network | size, batch | s | GMAC/s | plain without scans, s | times its time | plain with scans, s | times as fast | \
bound, s | share of bound |
|---|---|---|---|---|---|---|---|---|---|
"""


def report(networks: dict[str, dict[str, Any]], sizes: Sequence[Size], rounds: int) -> Iterator[str]:
    """Measure every network at every size; yields the tables part by part, in Markdown.

    Args:
        networks: Arguments of :class:`DeepRFTv2` by name.
        sizes: Sizes and batches of the images.
        rounds: Measured rounds.
    """
    yield HEADER.format(rounds=rounds)
    product_tables = []
    for name, arguments in networks.items():
        for size in sizes:
            row, product_table = _measure(arguments, size, rounds)
            yield f"| {name} | {size} | {row} |\n"
            product_tables.append(f"\nProducts of {name} at {size}, each on its own:\n\n{product_table}")
    yield from product_tables


@torch.no_grad()
def _measure(arguments: dict[str, Any], size: Size, rounds: int) -> tuple[str, str]:
    """Return one row of the table without its first two cells, and the table of products."""
    network = DeepRFTv2(**arguments).eval()
    plain, scanless = PlainDeepRFTv2(**arguments).eval(), leave_out_scans(PlainDeepRFTv2(**arguments).eval())
    for competitor in (plain, scanless):
        competitor.load_state_dict(weights_for_plain(network.state_dict()))
    image = torch.rand(size.batch, 3, size.height, size.width)
    bound = find_bound(products_of(scanless, image), rounds, CPU)
    time = interleaved_medians(
        {
            "network": lambda: network(image),
            "scanless": lambda: scanless(image),
            "plain": lambda: plain(image),
            "bound": bound.run,
        },
        rounds,
        CPU,
    )
    macs = size.batch * count(arguments, size.height, size.width)[1]
    ours = time["network"]
    row = (
        f"{ours:.3f} | {macs / ours / 1e9:.1f} | {time['scanless']:.3f} | {ours / time['scanless']:.2f} | "
        f"{time['plain']:.3f} | {time['plain'] / ours:.2f} | {time['bound']:.3f} | {100 * time['bound'] / ours:.0f} %"
    )
    return row, bound.table()
