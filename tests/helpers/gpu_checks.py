"""What the tests marked ``gpu`` check of operators and networks, without pytest and without BasicSR.

So it runs wherever PyTorch does: the tests call it, and ``benchmarks.all_on_gpu`` where pytest is missing. On a CPU the
kernels run in Triton's interpreter (TRITON_INTERPRET=1).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import product
from typing import Any, NamedTuple, get_args

import torch
from compare_modules import assert_same, values_and_gradients, with_all_branches
from torch import Tensor, nn

from deeprftv2_arch.layers.nafevs_block import NAFEVSBlock
from deeprftv2_arch.layers.vs_block import VSBlock
from deeprftv2_arch.networks.deeprftv2 import DeepRFTv2
from deeprftv2_arch.ops import scan_backend, selective_scan
from deeprftv2_arch.ops.reversible import Memory
from deeprftv2_arch.ops.scan.backends import BACKENDS
from deeprftv2_arch.ops.scan.chunked import selective_scan_chunked
from deeprftv2_arch.ops.scan.triton_scan import selective_scan_triton

LAYOUTS = ("channels", "length")
SCANS = [  # batch, channels, length, states, dtype
    (1, 96, 33024, 8, torch.float32),
    (2, 192, 16384, 8, torch.bfloat16),
    (3, 100, 4097, 16, torch.float16),
    (16, 384, 1000, 8, torch.float32),
]
SMALL_SCANS = [(1, 2, 40, 4, torch.float32)]
SIZES, SMALL_SIZES = [(8, 12), (6, 20)], [(2, 3)]  # height and width
BLOCKS: dict[str, Callable[[], nn.Module]] = {
    "NAFEVS, transposing": lambda: NAFEVSBlock(4, 0),
    "VS": lambda: VSBlock(4),
}
MEMORY_MODES = get_args(Memory)
NARROW: dict[str, Any] = {"dim": 4, "blocks": (1, 1, 4), "full_kinds": ("NAF", "NAF", "NAFEVS"), "fke_blocks": (1,)}
NARROWEST: dict[str, Any] = {"dim": 2, "units": 1, "blocks": (1, 1, 1), "full_kinds": ("NAF",) * 3, "fke_blocks": (1,)}


class Check(NamedTuple):
    """One check by name: what to call, and why it cannot be done here (else None)."""

    name: str
    call: Callable[[], None]
    why_not: str | None = None


def all_checks(device: str) -> list[Check]:
    """Every check, in the order of worth; on a CPU with small tensors and without generating code."""
    small = device == "cpu"
    triton = why_not("triton", device)
    scans = product(SMALL_SCANS if small else SCANS, LAYOUTS)
    modes, blocks = (MEMORY_MODES[-1:], ["VS"]) if small else (MEMORY_MODES, list(BLOCKS))
    return [
        *(
            Check(f"Triton's scan, {scan}, {layout} fastest", partial(check_triton, *scan, layout, device), triton)
            for scan, layout in scans
        ),
        Check("mamba_ssm's scan", partial(check_mamba, device), why_not("mamba", device)),
        *(Check(f"network, memory: {mode}", partial(check_network, mode, device)) for mode in modes),
        *(Check(f"{name} block in generated code", partial(check_compiled, name, device), triton) for name in blocks),
    ]


def why_not(backend: str, device: str) -> str | None:
    """Why a scan backend does not serve here, or None if it does."""
    return BACKENDS[backend].why_not(device, torch.float32, 8)


def scan_inputs(
    batch: int, channels: int, length: int, states: int, dtype: torch.dtype, layout: str, device: str = "cpu"
) -> list[Tensor]:
    """u, delta, A, B, C, D and delta_bias, the same on every device."""
    g = torch.Generator().manual_seed(0)
    u, delta = (torch.randn(batch, channels, length, generator=g) for _ in range(2))
    if layout == "channels":
        u, delta = (x.transpose(1, 2).contiguous().transpose(1, 2) for x in (u, delta))
    B, C = (torch.randn(batch, states, length, generator=g) for _ in range(2))
    A = -torch.rand(channels, states, generator=g) * 3
    D, bias = torch.randn(channels, generator=g), torch.randn(channels, generator=g) - 2
    return [x.to(device) for x in (u.to(dtype), delta.to(dtype), A, B.to(dtype), C.to(dtype), D, bias)]


def check_triton(
    batch: int, channels: int, length: int, states: int, dtype: torch.dtype, layout: str, device: str
) -> None:
    """Check that outputs and gradients of Triton's scan are those of the ``torch`` backend in float64."""
    given = scan_inputs(batch, channels, length, states, dtype, layout, device)
    ours = [x.detach().requires_grad_() for x in given]
    exact = [x.detach().double().requires_grad_() for x in given]
    y, expected = selective_scan_triton(*ours, True), selective_scan_chunked(*exact, True)
    assert y.stride() == given[0].stride()
    dy = torch.randn_like(y)
    results, exacts = torch.autograd.grad(y, ours, dy), torch.autograd.grad(expected, exact, dy.double())
    for name, result, truth in zip(
        ("y", "u", "delta", "A", "B", "C", "D", "bias"), (y, *results), (expected, *exacts), strict=True
    ):
        tolerance = {"rtol": torch.finfo(result.dtype).eps, "atol": 1e-5 * truth.detach().abs().max().item()}
        torch.testing.assert_close(result.double(), truth, **tolerance, msg=partial("{}: {}".format, name))


def check_mamba(device: str) -> None:
    """Check that outputs of mamba_ssm's scan are those of a CPU."""
    given = scan_inputs(2, 96, 3000, 8, torch.float32, "length")
    with scan_backend("mamba"):
        y = selective_scan(*(x.to(device) for x in given), True)
    with scan_backend("torch"):
        torch.testing.assert_close(y.cpu(), selective_scan(*given, True), rtol=1e-4, atol=1e-4)


def check_compiled(name: str, device: str) -> None:
    """Check that a block with Triton's scan is one graph for all sizes, with the values and gradients of eager mode."""
    compiler, sizes = ("aot_eager", SMALL_SIZES) if device == "cpu" else ("inductor", SIZES)
    torch.compiler.reset()
    block = with_all_branches(BLOCKS[name]()).float().to(device)
    compiled = torch.compile(block, fullgraph=True, dynamic=True, backend=compiler)
    with scan_backend("triton"), without_tf32():
        for height, width in sizes:
            x = torch.randn(2, 4, height, width, device=device, requires_grad=True)
            assert_same(values_and_gradients(compiled, block, x), values_and_gradients(block, block, x), 1e-3)


def check_network(memory: Memory, device: str) -> None:
    """Check that images and gradients of a network, with the backend chosen here, are those of float64 on a CPU."""
    network = with_all_branches(DeepRFTv2(**(NARROWEST if device == "cpu" else NARROW), memory=memory))
    image = torch.rand(1, 3, 16, 24, dtype=torch.float64)
    every_image = partial(network, supervise=True)
    expected = values_and_gradients(every_image, network, image)
    network.float().to(device)
    with without_tf32():
        found = values_and_gradients(every_image, network, image.float().to(device))
    assert_same([x.cpu().double() for x in found], expected, 1e-3)


@contextmanager
def without_tf32() -> Iterator[None]:
    """Convolutions in full float32, which cuDNN otherwise rounds to 10 bits."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before
