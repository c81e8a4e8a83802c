"""The benchmark of the reblur operator."""

from pathlib import Path

import pytest
import torch

from benchmarks import reblur as benchmark


def test_competitors_compute_the_same() -> None:
    image, field = benchmark.inputs(12, torch.channels_last, torch.device("cpu"))
    ours, theirs = (compete(image, field) for compete in benchmark.COMPETITORS.values())
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_table_is_printed_and_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark, "ROUNDS", 1)
    output = tmp_path / "table.md"
    benchmark.main(["--sizes", "24", "--output", str(output)])
    text = output.read_text(encoding="utf-8")
    assert text == capsys.readouterr().out
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:4] == "| 24"]
    assert [row[1:3] for row in rows] == [
        [layout, name] for layout in ("channels_last", "contiguous") for name in ("reblur", "unfold")
    ]
    assert all(row[5:7] == ["1.00", "1.00"] for row in rows[1::2])
    # unfold holds a copy of the image for each of 361 offsets, 361 * 3 * 24 * 24 * 4 bytes; reblur needs the gradient
    # of the field, a third of that, and as much for the strip of another layout, which is here the whole image.
    assert [float(row[7]) for row in rows] == [0.0, pytest.approx(2.5, abs=0.1)] * 2
    assert float(rows[0][8]) == pytest.approx(2 * 0.83, abs=0.1)
    assert float(rows[2][8]) == pytest.approx(0.83, abs=0.1)
