"""Pixel-wise functions strip by strip give what they give at once."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from deeprftv2_arch.layers.naf_block import NAFBlock
from deeprftv2_arch.layers.nafevs_block import NAFEVSBlock
from deeprftv2_arch.layers.vs_block import VSBlock
from deeprftv2_arch.ops import strips
from deeprftv2_arch.ops.strips import by_strips


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Cut strips of two rows of 4 x 6 pixels and 1 + 2 channels, from small maps already; count the rows seen."""
    monkeypatch.setattr(strips, "SMALLEST_MAPS", 1)
    monkeypatch.setattr(strips, "STRIP_ELEMENTS", 2 * 6 * 3)
    return []


def sum_and_product(calls: list[Any]) -> Callable[..., Any]:
    def function(x: Any, y: Any) -> Any:
        calls.append(x.shape[2])
        return torch.cat([x + y, x * y], dim=1)

    return function


def maps(batch: int = 1, rows: int = 5) -> tuple[Tensor, Tensor]:
    return torch.randn(batch, 1, rows, 6), torch.randn(batch, 2, rows, 6)


def test_strips_are_put_together_in_order(calls: list[Any]) -> None:
    x, y = maps()
    with torch.no_grad():
        result = by_strips(sum_and_product(calls), x, y)
    assert calls == [2, 2, 1]
    assert torch.equal(result, torch.cat([x + y, x * y], dim=1))
    assert result.is_contiguous(memory_format=torch.channels_last)


def test_training_batches_and_small_maps_run_at_once(calls: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    by_strips(sum_and_product(calls), *maps())
    with torch.no_grad():
        by_strips(sum_and_product(calls), *maps(batch=2))
        monkeypatch.setattr(strips, "SMALLEST_MAPS", 5 * 6 * 3 + 1)
        by_strips(sum_and_product(calls), *maps())
    assert calls == [5, 5, 5]


@pytest.mark.parametrize("block", [NAFBlock(4), NAFEVSBlock(4, 0), NAFEVSBlock(4, 1), VSBlock(4)])
def test_blocks_give_the_same_in_strips(calls: list[Any], block: NAFBlock | NAFEVSBlock | VSBlock) -> None:
    block = block.double()
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    x = torch.randn(1, 4, 7, 6, dtype=torch.float64)
    whole = block(x)
    rows = []
    projection = block.ffn_project if isinstance(block, NAFBlock) else block.scan.out_proj
    projection.register_forward_hook(lambda module, inputs, output: rows.append(output.shape[2]))
    with torch.no_grad():
        torch.testing.assert_close(block(x), whole.detach(), rtol=1e-12, atol=1e-12)
    assert len(rows) > 2
    assert sum(rows) in (x.shape[2], x.shape[3])  # a NAFEVS block may have transposed the map
