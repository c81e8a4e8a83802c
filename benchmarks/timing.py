"""Timing of competitors side by side."""

import statistics
import time
from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

import torch

Key = TypeVar("Key", bound=Hashable)


def seconds(call: Callable[[], object], device: torch.device) -> float:
    """Time one call in seconds: by CUDA events on a GPU, by the clock elsewhere."""
    if device.type != "cuda":
        start = time.perf_counter()
        call()
        return time.perf_counter() - start
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    first.record()
    call()
    last.record()
    last.synchronize()
    return float(first.elapsed_time(last)) / 1000


def interleaved_medians(
    competitors: Mapping[Key, Callable[[], object]], rounds: int, device: torch.device
) -> dict[Key, float]:
    """Return the median seconds of every competitor over ``rounds`` rounds, after one round of warming up.

    Every round runs each competitor once, so that a machine that slows down or is shared slows all of them.
    """
    times: dict[Key, list[float]] = {name: [] for name in competitors}
    for _ in range(1 + rounds):
        for name, call in competitors.items():
            times[name].append(seconds(call, device))
    return {name: statistics.median(of_rounds[1:]) for name, of_rounds in times.items()}
