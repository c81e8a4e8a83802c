"""The benchmark of the training memory: what it measures, against bytes counted by hand."""

from pathlib import Path

import pytest
import torch

from benchmarks import training_memory
from benchmarks.training_memory import TrainingStep, cpu_bytes

MEGABYTE = 2**20


def test_held_and_peak_are_those_counted_by_hand() -> None:
    x = torch.rand(MEGABYTE // 4, requires_grad=True)
    x.grad = torch.zeros_like(x)
    held, peak = cpu_bytes(lambda: x.exp().sin().sum())
    assert held == pytest.approx(MEGABYTE, rel=1e-3)  # exp(x), which both derivatives need
    assert peak == pytest.approx(3 * MEGABYTE, rel=1e-3)  # with cos(exp(x)) and its product with the gradient


@pytest.mark.slow
def test_every_mode_takes_less_than_the_one_before() -> None:
    none, reversible, lean = (
        TrainingStep("tiny", mode, 32, 1, "float32", torch.device("cpu")).bytes() for mode in training_memory.MODES
    )
    assert reversible.held <= 0.29 * none.held
    assert reversible.peak <= 0.29 * none.peak
    assert lean.held <= 0.6 * reversible.held
    assert lean.peak < reversible.peak
    assert none.fixed == reversible.fixed == lean.fixed


@pytest.mark.slow
def test_table_is_printed_and_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_memory, "CPU_ROUNDS", 1)
    output = tmp_path / "table.md"
    arguments = ["--network", "tiny", "--size", "16", "--modes", "none", "lean", "--precision", "float32", "--output"]
    training_memory.main([*arguments, str(output)])
    assert output.read_text(encoding="utf-8") == capsys.readouterr().out
    rows = [line.split(" | ") for line in output.read_text(encoding="utf-8").splitlines() if line.startswith("| 1 |")]
    assert [row[:3] for row in rows] == [["| 1", "float32", "none"], ["| 1", "float32", "lean"]]
    assert rows[0][6:8] == ["1.000", "1.000"]
    assert float(rows[1][6]) < 0.3
