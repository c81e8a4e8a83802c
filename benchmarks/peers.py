"""Other networks that deblur, as spandrel builds them (``pip install ".[benchmark]"``), with random weights."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.peak_memory import in_new_process, peak_of_process
from benchmarks.timing import interleaved_medians
from deeprftv2_arch.measuring.costs import count_macs
from deeprftv2_arch.networks.deeprftv2 import DeepRFTv2


@dataclass(frozen=True)
class Peer:
    """A published network.

    Attributes:
        psnr: On GoPro, in dB, as its paper reports it.
        build: Makes it, in the published layout.
    """

    psnr: float
    build: Callable[[], nn.Module]


def nafnet() -> nn.Module:
    """NAFNet of width 64 for GoPro (Chen et al., ECCV 2022)."""
    from spandrel.architectures.NAFNet import NAFNet

    network: nn.Module = NAFNet(width=64, middle_blk_num=1, enc_blk_nums=[1, 1, 1, 28], dec_blk_nums=[1, 1, 1, 1])
    return network


def uformer() -> nn.Module:
    """Uformer-B (Wang et al., CVPR 2022)."""
    from spandrel.architectures.Uformer import Uformer

    network: nn.Module = Uformer(img_size=256, embed_dim=32, depths=[1, 2, 8, 8, 2, 8, 8, 2, 1], modulator=True)
    return network


def fftformer() -> nn.Module:
    """FFTformer (Kong et al., CVPR 2023)."""
    from spandrel.architectures.FFTformer import FFTformer

    network: nn.Module = FFTformer(
        dim=48, num_blocks=[6, 6, 12], num_refinement_blocks=4, ffn_expansion_factor=3, bias=False
    )
    return network


PEERS = {
    "NAFNet-64": Peer(33.69, nafnet),
    "Uformer-B": Peer(32.97, uformer),
    "FFTformer": Peer(34.21, fftformer),
}
OURS = {"B": 34.52, "S": 34.10}  # of the paper; S after 200,000 iterations (Table 6, row 14)
SIDE = 256  # Uformer takes squares of multiples of 128
CPU = torch.device("cpu")
HEADER = """
Beside other networks that deblur, as spandrel {version} builds them, with random weights: inference of 256x256,
medians of {rounds} interleaved rounds. PSNR on GoPro is what their papers report; GMACs are all of convolutions and
matrix products, by PyTorch's counter; memory is what the process grows by beyond weights and image.

| network | GoPro, dB | parameters, M | GMACs | s | times NAFNet-64 | memory, MB |
|---|---|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Measured:
    """What one network takes for one image of 256x256.

    Attributes:
        psnr: On GoPro, in dB, as published.
        parameters: Their number.
        macs: Multiply-accumulates of convolutions and matrix products.
        seconds: Median of one forward pass.
        memory: Growth of the process to its peak, in bytes; None where that cannot be known.
    """

    psnr: float
    parameters: int
    macs: int
    seconds: float
    memory: int | None


def measure(networks: dict[str, dict[str, Any]], rounds: int) -> dict[str, Measured]:
    """Measure networks (arguments of :class:`DeepRFTv2` by name) and all peers in one run."""
    peers = {name: Peer(OURS[name], partial(DeepRFTv2, **arguments)) for name, arguments in networks.items()} | PEERS
    image = torch.rand(1, 3, SIDE, SIDE)
    built = {name: peer.build().eval() for name, peer in peers.items()}
    with torch.no_grad():
        seconds = interleaved_medians({name: partial(net, image) for name, net in built.items()}, rounds, CPU)
    return {
        name: Measured(
            peers[name].psnr,
            sum(parameter.numel() for parameter in network.parameters()),
            count_macs(network, image) or 0,
            seconds[name],
            in_new_process(_peak, peers[name].build),
        )
        for name, network in built.items()
    }


@torch.no_grad()
def _peak(build: Callable[[], nn.Module]) -> int | None:
    torch.set_num_threads(1)
    network, image = build().eval(), torch.rand(1, 3, SIDE, SIDE)
    network(image[:, :, :128, :128])  # what is made once stays out of it
    return peak_of_process(partial(network, image))


def table(measured: dict[str, Measured], rounds: int) -> str:
    """Return the table in Markdown."""
    from spandrel import __version__ as version

    rows = [
        f"| {name} | {one.psnr:.2f} | {one.parameters / 1e6:.1f} | {one.macs / 1e9:.1f} | {one.seconds:.3f} | "
        f"{one.seconds / measured['NAFNet-64'].seconds:.2f} | "
        f"{'' if one.memory is None else round(one.memory / 1e6)} |\n"
        for name, one in measured.items()
    ]
    return HEADER.format(version=version, rounds=rounds) + "".join(rows)


def draw(measured: dict[str, Measured], path: Path) -> None:
    """Draw PSNR against seconds into a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3), layout="constrained")
    axes = figure.subplots()
    for name, one in measured.items():
        ours = name in OURS
        axes.plot(one.seconds, one.psnr, "o", color="tab:red" if ours else "tab:gray")
        label = f"DeepRFTv2-{name}" if ours else name
        axes.annotate(label, (one.seconds, one.psnr), xytext=(5, 4), textcoords="offset points")
    axes.set(xscale="log", xlabel="seconds for 256x256 on this CPU", ylabel="PSNR on GoPro as published, dB")
    axes.margins(x=0.4, y=0.15)  # labels stand right of their points
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)
