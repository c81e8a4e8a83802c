"""Inference and training on a GPU: precisions, eager and compiled, against eager float32 with mamba_ssm's scan.

The floor of a pass is what its convolutions and matrix products cannot go below: their multiply-accumulates at the rate
of a large matrix product in the same precision, or the bytes of their inputs, weights and outputs at the bandwidth of a
large copy, whichever takes longer. A training step counts them three times, once each for the output, the gradient of
the input and that of the weights.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import nn

from benchmarks.plain_network import PlainDeepRFTv2
from benchmarks.products import products_of, total_elements, total_macs
from benchmarks.sizes import Size
from benchmarks.timing import interleaved_medians, seconds
from deeprftv2_arch.layers.vs_block import STATES
from deeprftv2_arch.losses.criteria import MultiScaleLoss
from deeprftv2_arch.losses.frequency_loss import FrequencyLoss
from deeprftv2_arch.networks.deeprftv2 import DeepRFTv2
from deeprftv2_arch.ops import scan_backend
from deeprftv2_arch.ops.scan.backends import BACKENDS, choose_backend

PRECISIONS = ("float32", "TF32", "bf16")
PASSES = {"inference": 1, "training step": 3}  # how often the products of a forward pass run in each
HEADER = """\
Medians of {rounds} interleaved rounds after one of warming up; speed-ups are over {baseline}. The training step is
forward pass, the paper's loss, backward pass and AdamW, in the memory mode that is the network's default; bf16 is
autocast. The floor is the larger of two times: that of the multiply-accumulates of all convolutions and matrix products
(three times for a training step) at the rate of a large matrix product, and that of the bytes of their inputs, weights
and outputs at the bandwidth of a large copy; the share is the floor over the time.

Measured: {rates}; a copy moves {bandwidth:.0f} GB/s.
"""
COLUMNS = (
    "| precision | mode | scan | ms | times as fast | floor, ms | share of floor |\n|---|---|---|---|---|---|---|\n"
)


class Variant(NamedTuple):
    """One way to run the network."""

    precision: str
    compiled: bool
    scan: str

    def __str__(self) -> str:
        return f"{self.precision} | {'compiled' if self.compiled else 'eager'} | {self.scan}"


class Rates(NamedTuple):
    """Limits of the device: multiply-accumulates per second of every precision, and bytes per second."""

    macs: dict[str, float]
    bandwidth: float


def report(
    networks: dict[str, dict[str, Any]],
    sizes: Sequence[Size],
    rounds: int,
    precisions: Sequence[str],
    device: torch.device,
) -> Iterator[str]:
    """Measure every network at every size; yields the tables part by part, in Markdown.

    Args:
        networks: Arguments of :class:`DeepRFTv2` by name.
        sizes: Sizes and batches of the images.
        rounds: Measured rounds.
        precisions: Some of :data:`PRECISIONS`.
        device: The GPU; the CPU serves to try the benchmark out.
    """
    rates = measure_rates(precisions, device)
    own = choose_backend(device.type, torch.float32)
    variants = [Variant(precision, compiled, own) for precision in precisions for compiled in (False, True)]
    if BACKENDS["mamba"].why_not(device.type, torch.float32, STATES) is None:
        variants.insert(0, Variant("float32", False, "mamba"))
    baseline = variants[0]
    yield HEADER.format(
        rounds=rounds,
        baseline=f"eager {baseline.precision} with the scan backend `{baseline.scan}`",
        rates=", ".join(f"{rate / 1e12:.1f} TMAC/s in {precision}" for precision, rate in rates.macs.items()),
        bandwidth=rates.bandwidth / 1e9,
    )
    for name, arguments in networks.items():
        for size in sizes:
            floors = Floors(arguments, size, rates)
            for task in PASSES:
                torch.compiler.reset()  # so that no limit on the number of compiled versions is reached
                times = measure(task, arguments, size, variants, rounds, device)
                yield f"\n{name} at {size}, {task}:\n\n{COLUMNS}"
                for variant in variants:
                    yield _row(variant, times[variant], times[baseline], floors.of(variant.precision, task))


class Floors:
    """The least time that a pass can take on a device with these rates."""

    def __init__(self, arguments: dict[str, Any], size: Size, rates: Rates) -> None:
        with torch.device("meta"):
            image = torch.empty(size.batch, 3, size.height, size.width)
            products = products_of(PlainDeepRFTv2(**arguments).eval(), image)
        self.macs, self.elements = total_macs(products), total_elements(products)
        self.rates = rates

    def of(self, precision: str, task: str) -> float:
        """Return the seconds of one pass."""
        bytes_moved = self.elements * (2 if precision == "bf16" else 4)
        return PASSES[task] * max(self.macs / self.rates.macs[precision], bytes_moved / self.rates.bandwidth)


def measure_rates(precisions: Sequence[str], device: torch.device) -> Rates:
    """Time a large matrix product in every precision, and a large copy."""
    side, length = (8192, 2**28) if device.type == "cuda" else (256, 2**20)
    macs = {}
    for precision in precisions:
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        first, second = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
        with running_in(precision, device, autocast=False):
            macs[precision] = side**3 / _best(partial(torch.mm, first, second), device)
    source = torch.zeros(length, device=device)
    target = torch.empty_like(source)
    return Rates(macs, 2 * 4 * length / _best(lambda: target.copy_(source), device))


def _best(call: Callable[[], object], device: torch.device) -> float:
    return min(seconds(call, device) for _ in range(10))


@contextmanager
def running_in(precision: str, device: torch.device, autocast: bool = True) -> Iterator[None]:
    """Return the context of a precision: TF32 allowed in all but float32, and autocast to bf16 in bf16."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision != "float32"
    try:
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=autocast and precision == "bf16"):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def measure(
    task: str,
    arguments: dict[str, Any],
    size: Size,
    variants: Sequence[Variant],
    rounds: int,
    device: torch.device,
    compiler: str = "inductor",
) -> dict[Variant, float | None]:
    """Return the seconds of every variant, None where the device's memory does not suffice; compilation is not in them.

    Args:
        task: One of :data:`PASSES`.
        arguments: Of :class:`DeepRFTv2`.
        size: Size and batch of the images.
        variants: What to compare, side by side.
        rounds: Measured rounds.
        device: Where all runs.
        compiler: Backend of ``torch.compile``.
    """
    network = DeepRFTv2(**arguments).to(device)
    blurred, sharp = (torch.rand(size.batch, 3, size.height, size.width, device=device) for _ in range(2))
    once = inference(network, blurred) if task == "inference" else training_step(network, blurred, sharp)
    forms: dict[bool, nn.Module] = {False: network, True: torch.compile(network, backend=compiler)}  # type: ignore[dict-item]
    calls = {variant: _in_variant(variant, once, forms[variant.compiled], device) for variant in variants}
    fitting = {variant: call for variant, call in calls.items() if _fits(call)}
    times = interleaved_medians(fitting, rounds, device)
    return {variant: times.get(variant) for variant in variants}


def _in_variant(
    variant: Variant, once: Callable[[nn.Module], None], network: nn.Module, device: torch.device
) -> Callable[[], None]:
    def call() -> None:
        with running_in(variant.precision, device), scan_backend(variant.scan):
            once(network)

    return call


def _fits(call: Callable[[], None]) -> bool:
    try:
        call()
    except torch.cuda.OutOfMemoryError:
        torch.cuda.empty_cache()
        return False
    return True


def inference(network: DeepRFTv2, blurred: torch.Tensor) -> Callable[[nn.Module], None]:
    """Return a pass without gradients of the network, or of its compiled form."""
    network.eval()

    def once(form: nn.Module) -> None:
        with torch.no_grad():
            form(blurred)

    return once


def training_step(network: DeepRFTv2, blurred: torch.Tensor, sharp: torch.Tensor) -> Callable[[nn.Module], None]:
    """Return a training step of the network, run in its own or its compiled form: forward, loss, backward, AdamW."""
    network.train()
    loss = MultiScaleLoss({"l1": nn.L1Loss(), "frequency": FrequencyLoss(0.01)})
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-5, betas=(0.9, 0.9), weight_decay=1e-3)

    def once(form: nn.Module) -> None:
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(loss(form(blurred, supervise=True), sharp).values())).sum().backward()
        optimizer.step()

    return once


def _row(variant: Variant, time: float | None, baseline: float | None, floor: float) -> str:
    if time is None:
        return f"| {variant} | out of memory | | {1000 * floor:.2f} | |\n"
    speed_up = "" if baseline is None else f"{baseline / time:.2f}"
    return f"| {variant} | {1000 * time:.2f} | {speed_up} | {1000 * floor:.2f} | {100 * floor / time:.0f} % |\n"
