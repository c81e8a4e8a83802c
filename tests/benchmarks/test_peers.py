"""The table and the figure of networks beside ours."""

from pathlib import Path

import pytest

from benchmarks.peers import PEERS, Measured, draw, table

MEASURED = {"B": Measured(34.52, 30_100_000, 120_300_000_000, 3.0, 500_000_000)} | {
    name: Measured(peer.psnr, 1_000_000, 10_000_000_000, 1.5, None) for name, peer in PEERS.items()
}


def test_table_compares_with_nafnet() -> None:
    pytest.importorskip("spandrel")
    text = table(MEASURED, 5)
    assert "| B | 34.52 | 30.1 | 120.3 | 3.000 | 2.00 | 500 |" in text
    assert "| NAFNet-64 | 33.69 | 1.0 | 10.0 | 1.500 | 1.00 |  |" in text


def test_figure_is_a_png(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    draw(MEASURED, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_nafnet_has_the_published_size() -> None:
    pytest.importorskip("spandrel")
    import torch

    with torch.device("meta"):
        network = PEERS["NAFNet-64"].build()
    assert round(sum(p.numel() for p in network.parameters()) / 1e6, 1) == 67.9
