"""The convolutions and matrix products of a forward pass, alone: what no way of writing the network can leave out."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.timing import seconds


@dataclass(frozen=True)
class Product:
    """One of them, written as the two-dimensional convolution that it is.

    A convolution along a sequence has height 1. A matrix product of C-vectors at P positions is a 1x1 convolution of
    (1, C, 1, P).

    Attributes:
        source: Shape of the input, (B, C, H, W).
        channels: Number of output channels.
        kernel: Height and width.
        stride: In both directions.
        padding: Rows and columns of zeros on every side.
        groups: As in ``torch.nn.Conv2d``.
        bias: Whether a bias is added.
    """

    source: tuple[int, int, int, int]
    channels: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    padding: tuple[int, int] = (0, 0)
    groups: int = 1
    bias: bool = False

    @property
    def kind(self) -> str:
        """Name of the kind, for tables."""
        if self.groups > 1:
            return "depthwise"
        return "1x1 and matrices" if self.kernel == (1, 1) else "3x3 and 2x2"

    @property
    def macs(self) -> int:
        """Multiply-accumulates, without the bias."""
        return self._outputs() * self._inputs_per_output()

    @property
    def elements(self) -> int:
        """Numbers that must be read or written: input, weights and output."""
        batch, channels, height, width = self.source
        weights = self.channels * self._inputs_per_output()
        return batch * channels * height * width + weights + self._outputs()

    def calls(self, device: torch.device, dtype: torch.dtype = torch.float32) -> dict[str, Callable[[], Tensor]]:
        """Return ways to compute it on random tensors, allocated beforehand in each way's own layout."""
        x = torch.randn(self.source, device=device, dtype=dtype)
        weight = torch.randn(self.channels, self.source[1] // self.groups, *self.kernel, device=device, dtype=dtype)
        bias = torch.randn(self.channels, device=device, dtype=dtype) if self.bias else None
        calls = {}
        for name, layout in (("NCHW", torch.contiguous_format), ("channels_last", torch.channels_last)):
            calls[name] = self._convolution(x.contiguous(memory_format=layout), weight.to(memory_format=layout), bias)
        if self.kernel == (1, 1) and self.stride == 1 and self.groups == 1:
            calls["matrix"] = _linear(x.permute(0, 2, 3, 1).flatten(0, 2).contiguous(), weight.flatten(1), bias)
        return calls

    def _convolution(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Callable[[], Tensor]:
        return lambda: F.conv2d(x, weight, bias, self.stride, self.padding, groups=self.groups)

    def _outputs(self) -> int:
        sizes = [
            (length + 2 * padding - kernel) // self.stride + 1
            for length, padding, kernel in zip(self.source[2:], self.padding, self.kernel, strict=True)
        ]
        return self.source[0] * self.channels * sizes[0] * sizes[1]

    def _inputs_per_output(self) -> int:
        return self.source[1] // self.groups * self.kernel[0] * self.kernel[1]


def _linear(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Callable[[], Tensor]:
    return lambda: F.linear(rows, weight, bias)


class _Recorder(TorchDispatchMode):
    """Collects the products that run while it is active."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # of PyTorch
        self.products: Counter[Product] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket._qualified_op_name
        if name == "aten::convolution":
            self.products[_of_convolution(*args)] += 1
        elif name in ("aten::mm", "aten::addmm", "aten::bmm"):
            self.products[_of_matrices(args[-2], args[-1], bias=name == "aten::addmm")] += 1
        return func(*args, **(kwargs or {}))


def _of_convolution(x: Tensor, weight: Tensor, bias: Tensor | None, *options: Any) -> Product:
    stride, padding, dilation, transposed, _, groups = options
    if transposed or set(dilation) != {1} or len(set(stride)) != 1:
        raise ValueError(f"a convolution of this kind is not expected in DeepRFTv2: {options}")
    if x.dim() == 3:
        x, weight, padding = x[:, :, None], weight[:, :, None], [0, *padding]
    return Product(
        source=(x.shape[0], x.shape[1], x.shape[2], x.shape[3]),
        channels=weight.shape[0],
        kernel=(weight.shape[2], weight.shape[3]),
        stride=stride[0],
        padding=(padding[0], padding[1]),
        groups=groups,
        bias=bias is not None,
    )


def _of_matrices(first: Tensor, second: Tensor, bias: bool) -> Product:
    """Describe (..., m, k) times (..., k, n): the longer of m and n counts positions, the other one channels."""
    rows, inner, columns = first.shape[-2], first.shape[-1], second.shape[-1]
    batch = first.shape[0] if first.dim() == 3 else 1
    return Product(source=(batch, inner, 1, max(rows, columns)), channels=min(rows, columns), bias=bias)


def products_of(network: nn.Module, image: Tensor) -> Counter[Product]:
    """Return the products of one forward pass, and how often each occurs."""
    recorder = _Recorder()
    with torch.no_grad(), recorder:
        network(image)
    return recorder.products


@dataclass(frozen=True)
class Bound:
    """The products of a network, each in the fastest way that was found for it.

    Attributes:
        calls: The fastest way of each product.
        counts: How often each product occurs.
        seconds: Time of one call of each product in every way.
    """

    calls: dict[Product, Callable[[], Tensor]]
    counts: Counter[Product]
    seconds: dict[Product, dict[str, float]]

    def run(self) -> None:
        """Compute all products of a forward pass, back to back."""
        for product, call in self.calls.items():
            for _ in range(self.counts[product]):
                call()

    def table(self) -> str:
        """Return what the kinds of products cost in either layout, in Markdown."""
        lines = [
            "| products | number | GMACs | NCHW, GMAC/s | channels_last, GMAC/s | fastest, GMAC/s | fastest, s |",
            "|---|---|---|---|---|---|---|",
        ]
        for kind in sorted({product.kind for product in self.counts}):
            of_kind = {product: count for product, count in self.counts.items() if product.kind == kind}
            macs = sum(count * product.macs for product, count in of_kind.items())
            nchw, channels_last, fastest = (
                sum(count * choose(self.seconds[product]) for product, count in of_kind.items())
                for choose in (lambda ways: ways["NCHW"], lambda ways: ways["channels_last"], _fastest)
            )
            lines.append(
                f"| {kind} | {sum(of_kind.values())} | {macs / 1e9:.2f} | {macs / nchw / 1e9:.0f} | "
                f"{macs / channels_last / 1e9:.0f} | {macs / fastest / 1e9:.0f} | {fastest:.3f} |"
            )
        return "\n".join(lines) + "\n"


def _fastest(ways: dict[str, float]) -> float:
    return min(ways.values())


def find_bound(products: Counter[Product], repeats: int, device: torch.device) -> Bound:
    """Time every product in every way, ``repeats`` times after one warm-up, and keep the fastest way."""
    calls, times = {}, {}
    for product in products:
        ways = product.calls(device)
        times[product] = {name: min(seconds(call, device) for _ in range(1 + repeats)) for name, call in ways.items()}
        calls[product] = ways[min(times[product], key=times[product].__getitem__)]
    return Bound(calls, products, times)


def total_macs(products: Counter[Product]) -> int:
    """Return the multiply-accumulates of all products."""
    return sum(count * product.macs for product, count in products.items())


def total_elements(products: Counter[Product]) -> int:
    """Return the numbers that all products read and write."""
    return sum(count * product.elements for product, count in products.items())
