"""What a device can do at best, measured now: exponentials per second, and bytes copied per second."""

import time
from collections.abc import Callable

import torch

SECONDS = 0.5  # of every measurement
ELEMENTS_IN_CACHE = tuple(2**power for power in range(14, 20))  # 64 KiB to 2 MiB of float32


def exponentials_per_second() -> tuple[float, str]:
    """Return the fastest rate of float32 exponentials on all threads of the CPU, in cache, and its function's name."""
    return max(
        (_rate(function, elements), function.__name__)
        for function in (torch.exp, torch.exp2)
        for elements in ELEMENTS_IN_CACHE
    )


def _rate(function: Callable[..., torch.Tensor], elements: int) -> float:
    x = torch.linspace(-8, 0, elements)
    out = torch.empty_like(x)
    best = float("inf")
    end = time.perf_counter() + SECONDS / len(ELEMENTS_IN_CACHE)
    while time.perf_counter() < end:
        start = time.perf_counter()
        function(x, out=out)
        best = min(best, time.perf_counter() - start)
    return elements / best


def copied_bytes_per_second(device: torch.device) -> float:
    """Return the bytes per second, read plus written, of the fastest copy of 1 GiB within a GPU."""
    source = torch.empty(2**28, device=device)
    target = torch.empty_like(source)
    best = float("inf")
    for _ in range(20):
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        first.record()
        target.copy_(source)
        last.record()
        last.synchronize()
        best = min(best, first.elapsed_time(last) / 1000)
    return 2 * source.numel() * source.element_size() / best
