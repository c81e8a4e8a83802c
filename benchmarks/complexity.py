"""``python -m benchmarks.complexity``: parameters and operations of DeepRFTv2, counted in two ways.

The paper's GMACs follow ptflops' PyTorch backend, which leaves out the selective scan and its projections, the Fourier
transforms, 2-D layer normalisation and elementwise work. The second figure counts all of it. Both are counted on
tensors without data, at 3x256x256.
"""

import argparse
import math
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from ptflops import get_model_complexity_info
from ptflops.pytorch_ops import conv_flops_counter_hook
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from deeprftv2_arch.layers.pointwise import PointwiseConv2d
from deeprftv2_arch.layers.vs_block import STATES
from deeprftv2_arch.networks.deeprftv2 import DeepRFTv2

NAF = {"full_kinds": ("NAF", "NAF", "NAF")}
NETWORKS: dict[str, tuple[dict[str, Any], str, str]] = {
    "DeepRFTv2-B": ({}, "30.1", "120.3"),
    "DeepRFTv2-S": (NAF, "21.2", "75.34"),
    "2 units, no FKE": ({**NAF, "fke_blocks": ()}, "20.8", "67.19"),
    "1 unit": ({**NAF, "units": 1}, "10.6", "37.18"),
    "1 unit, no FKE": ({**NAF, "units": 1, "fke_blocks": ()}, "10.4", "33.40"),
    "one-scale UNet": ({**NAF, "units": 1, "scales": 1}, "5.1", "28.84"),
    "one-scale UNet, no FKE": ({**NAF, "units": 1, "scales": 1, "fke_blocks": ()}, "5.0", "25.81"),
    "1 unit, NAF+VS": ({"units": 1}, "15.0", "59.67"),
}
# ptflops knows modules by their exact type.
OWN_CONVOLUTIONS = {PointwiseConv2d: conv_flops_counter_hook}
SCAN_STEP_OPERATIONS = 7  # of one state at one position: delta A, exp, decay h, delta u B and its sum, C h and its sum
SCAN_CHANNEL_OPERATIONS = 5  # of one channel at one position: bias, softplus, delta u, D u and its sum


class OperationCounter(TorchDispatchMode):
    """Counts floating-point operations by kind while it is active; a multiply-accumulate is two of them."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # of PyTorch
        self.operations: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        first = out[0] if isinstance(out, tuple | list) else out
        name = func.overloadpacket._qualified_op_name
        if func.overloadpacket in flop_registry:
            self.operations["convolutions and products"] += flop_registry[func.overloadpacket](
                *args, **(kwargs or {}), out_val=out
            )
        elif name.startswith("aten::_fft"):
            self.operations["Fourier transforms"] += _fft_operations(name, args[0], first)
        elif name == "deeprftv2::chunked_scan":
            operations = SCAN_STEP_OPERATIONS * STATES + SCAN_CHANNEL_OPERATIONS
            self.operations["selective scans"] += operations * args[0].numel()
        elif name == "aten::addcmul":
            self.operations["elementwise and reductions"] += 2 * first.numel()
        elif not func.is_view and isinstance(first, Tensor):
            self.operations["elementwise and reductions"] += first.numel()
        return out


def _fft_operations(name: str, source: Tensor, result: Tensor) -> int:
    """Count 2.5 N log2 N of a real transform of N = H W points, for every map."""
    real = result if name == "aten::_fft_c2r" else source
    if real.is_complex():  # the columns, which are part of the real transform that comes before or after
        return 0
    points = real.shape[-2] * real.shape[-1]
    return int(2.5 * points * math.log2(points)) * (real.numel() // points)


def count(arguments: dict[str, Any], height: int = 256, width: int = 256) -> tuple[int, int, Counter[str]]:
    """Count parameters, MACs as in the paper, and all operations by kind, for one image."""
    with torch.device("meta"):
        network = DeepRFTv2(**arguments).eval()
        image = torch.empty(1, 3, height, width)
    with torch.no_grad():
        macs, parameters = get_model_complexity_info(
            network,
            (3, height, width),
            as_strings=False,
            print_per_layer_stat=False,
            verbose=False,
            backend="pytorch",
            custom_modules_hooks=OWN_CONVOLUTIONS,
        )
        with OperationCounter() as counter:
            network(image)
    return int(parameters), int(macs), counter.operations


def table() -> str:
    """Return the table, in Markdown."""
    lines = [
        "| network | parameters | paper, M | GMACs as in the paper | paper | all operations, G (half of it in GMACs) |"
        " of these: products / scans / FFT / elementwise |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, (arguments, paper_parameters, paper_macs) in NETWORKS.items():
        parameters, macs, operations = count(arguments)
        total = sum(operations.values())
        kinds = ("convolutions and products", "selective scans", "Fourier transforms", "elementwise and reductions")
        parts = " / ".join(f"{operations[kind] / 1e9:.2f}" for kind in kinds)
        lines.append(
            f"| {name} | {parameters:,} | {paper_parameters} | {macs / 1e9:.3f} | {paper_macs} | "
            f"{total / 1e9:.1f} ({total / 2e9:.1f}) | {parts} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the table, and write it where asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.complexity", description=__doc__)
    parser.add_argument("--out", type=Path, help="also write the table to this file")
    args = parser.parse_args()
    text = table()
    print(text)
    if args.out:
        args.out.write_text(f"Counted by `python -m benchmarks.complexity` at 3x256x256.\n\n{text}", encoding="utf-8")


if __name__ == "__main__":
    main()
