"""The benchmark of super-resolution: what it times, and what it compares."""

from itertools import count
from typing import Any

import pytest
import torch

from benchmarks import super_resolution as benchmark
from benchmarks.sizes import Size
from deeprftv2_arch.networks.atd import ATD

CPU = torch.device("cpu")
# Of 48 channels and pixelshuffledirect, which spandrel takes for ATD-light, with groups of 128 pixels.
NARROW: dict[str, Any] = {"upscale": 2, "depths": (2, 2), "num_heads": (2, 2), "window_size": 8, "num_tokens": 8}


def test_attentions_of_all_layers_are_added_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that advances by one at every look: each of the four layers has one attention of either kind."""
    ticks = iter(range(1000))
    watch = benchmark.Stopwatch(ATD(**NARROW).eval(), CPU)
    monkeypatch.setattr(watch, "now", lambda: next(ticks))
    for _ in range(3):
        result = watch.run(torch.rand(1, 3, 8, 8))
    assert result.shape == (1, 3, 16, 16)
    assert [watch.median(part) for part in (benchmark.NETWORK, *benchmark.PARTS)] == [1, 4, 4]
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in watch.network.modules())


def test_rows_say_how_much_faster_and_how_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks, seconds = count(), {"public": 6.0}  # a look at the clock of another network than the public one lasts 1.5 s
    monkeypatch.setattr(
        benchmark.Stopwatch,
        "now",
        lambda watch: next(ticks) * (1.5 if isinstance(watch.network, ATD) else seconds["public"]),
    )
    first, *others = benchmark.measure(NARROW, Size(16, 8), 1, CPU).splitlines()
    assert first.split(" | ")[1:] == [benchmark.NETWORK, "6.000", "1.500", "0.25", "1.00", "0e+00 |"]
    assert [row.split(" | ")[1:5] for row in others] == [[part, "24.000", "6.000", "0.25"] for part in benchmark.PARTS]
