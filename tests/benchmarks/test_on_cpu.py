"""The benchmark of networks on a CPU writes sections one by one."""

from pathlib import Path

import pytest
import torch

from benchmarks import on_cpu
from benchmarks.on_cpu import PARTS, main, training_step, update


def test_a_section_takes_the_place_of_its_former_self_alone(tmp_path: Path) -> None:
    path = tmp_path / "results.md"
    titles = [title for title, _ in PARTS.values()]
    path.write_text("# Something else\n\nstale\n\n## Gone\n\nx\n", encoding="utf-8")
    update(path, titles[2], "| first |\n")
    update(path, titles[0], "| second |\n\n### with a heading inside\n")
    update(path, titles[2], "| third |\n")
    text = path.read_text(encoding="utf-8")
    assert text.split("\n## ")[1:] == [
        f"{titles[0]}\n\n| second |\n\n### with a heading inside\n",
        f"{titles[2]}\n\n| third |\n",
    ]


def test_parts_that_are_named_are_measured_and_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(quick: bool) -> str:
        raise KeyboardInterrupt

    monkeypatch.setitem(PARTS, "bf16", ("interrupted", fail))
    monkeypatch.setitem(PARTS, "scans", ("measured", lambda quick: f"quick: {quick}"))
    with pytest.raises(KeyboardInterrupt):
        main(["scans", "bf16", "--quick", "--output", str(tmp_path / "results.md")])
    text = (tmp_path / "results.md").read_text(encoding="utf-8")
    assert "quick: True" in text
    assert "interrupted" not in text


def test_unknown_parts_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["nothing"])
    assert "'nothing' is none of nafnet, scans" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("name", on_cpu.TRAINED)
def test_every_training_has_a_step(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = []
    monkeypatch.setattr(torch.Tensor, "backward", lambda loss: losses.append(loss.item()))
    training_step(name)()
    assert len(losses) == 1
    assert losses[0] > 0
