"""The benchmark of the ablations: equal conditions, its figures, and that a stopped run goes on."""

import json
import statistics
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from skimage.metrics import peak_signal_noise_ratio
from torch import nn

from benchmarks import ablation, ablation_training
from benchmarks.ablation_training import ROW_FILES, Settings, narrow_network, psnr, random_batch
from deeprftv2_arch.options.option_file import read_option_file

TINY = Settings(iterations=2, dim=4, shorten=8, patch=16, batch=2, exposures=1)
OPTIONS = ["--iterations", "2", "--dim", "4", "--patch", "16", "--batch", "2", "--exposures", "1"]


@pytest.fixture(autouse=True)
def _small_photographs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a bright frame, lost in the blurred version, in place of the photographs."""
    sharp = np.full((24, 32, 3), 100, np.uint8)
    sharp[4:20, 4:28] = 160
    pairs = [(np.full_like(sharp, 120), sharp)]
    monkeypatch.setattr(ablation_training, "training_pairs", lambda settings: pairs)
    monkeypatch.setattr(ablation_training, "held_out_pairs", lambda: pairs)


def run(tmp_path: Path, *more: str) -> str:
    output = tmp_path / "table.md"
    ablation.main([*OPTIONS, "--runs", str(tmp_path / "runs"), "--output", str(output), *more])
    return output.read_text(encoding="utf-8")


@pytest.mark.parametrize("row", sorted(path.stem for path in ROW_FILES.glob("*.yml")))
def test_every_row_has_a_narrow_network_and_a_figure_of_the_paper(row: str) -> None:
    with torch.device("meta"):
        network = narrow_network(row, TINY)
    text = (ROW_FILES / f"{row}.yml").read_text(encoding="utf-8")
    low, high = ablation.PAPER[row]
    assert (f"reports {low:.2f} dB" if low == high else f"between {low:.2f} and {high:.2f} dB") in text
    assert sum(parameter.numel() for parameter in network.parameters()) < 250_000
    assert type(network).__name__ == read_option_file(ROW_FILES / f"{row}.yml")["network_g"]["type"]


def test_wider_rows_keep_their_ratio_and_scanning_levels_their_fours() -> None:
    wide = narrow_network("table6_row01", Settings(1, 12, 4, 16, 1, 1))
    assert wide.units[0].full_scale.embed.out_channels == 14
    levels = narrow_network("table6_row12", TINY).units[0].full_scale.encoder.levels
    assert [len(level.blocks) for level in levels] == [1, 4, 4]
    doubled = narrow_network("table6_row13", Settings(1, 4, 2, 16, 1, 1)).units[0].full_scale
    assert [len(level.blocks) for level in doubled.encoder.levels] == [1, 4, 8]
    assert [len(level.blocks) for level in doubled.fke.sub_resnet.levels] == [2, 2, 2, 2]


def test_patches_show_the_same_place_in_both_versions() -> None:
    sharp = np.random.default_rng(0).integers(0, 200, (40, 30, 3), dtype=np.uint8)
    blurred, other = random_batch([(sharp + 50, sharp)], TINY, np.random.default_rng(1))
    assert blurred.shape == (2, 3, 16, 16)
    torch.testing.assert_close(blurred - other, torch.full_like(other, 50 / 255))
    places = {tuple(row) for row in sharp.reshape(-1, 3).tolist()}
    assert {tuple(row) for row in (other * 255).round().int().permute(0, 2, 3, 1).reshape(-1, 3).tolist()} <= places


def test_psnr_is_that_of_the_photographs_in_8_bits() -> None:
    first, second = np.random.default_rng(0).integers(0, 256, (2, 9, 7, 3), dtype=np.uint8)
    assert psnr(first, second) == pytest.approx(peak_signal_noise_ratio(second, first, data_range=255))

    class Brighter(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + 10.4 / 255

    dark = np.full((8, 8, 3), 100, np.uint8)
    found = ablation_training.measure(Brighter(), [(dark, dark)], torch.device("cpu"))
    assert found == [pytest.approx(10 * np.log10(255**2 / 10**2))]


def test_equal_seeds_give_equal_runs() -> None:
    def losses(row: str, seed: int) -> list[float]:
        found: list[float] = []
        pairs = ablation_training.training_pairs(TINY)
        ablation_training.train(row, seed, TINY, pairs, torch.device("cpu"), found.append)
        return found

    assert losses("table7_full", 0) == losses("table7_full", 0) != losses("table7_full", 1)
    assert losses("table7_full", 0)[0] != losses("table7_added", 0)[0]


def test_stopped_benchmark_goes_on_and_tables_say_what_was_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(tmp_path, "--rows", "table7_no_fke", "--seeds", "0")
    assert "| table7_no_fke | 1 |" in first
    trained: list[str] = []
    train = ablation_training.train
    monkeypatch.setattr(
        ablation_training, "train", lambda row, seed, *rest: trained.append(row) or train(row, seed, *rest)
    )
    table = run(tmp_path, "--rows", "table7_no_fke", "table7_full", "--seeds", "0")
    assert trained == ["table7_full"]
    command = f"--rows table7_no_fke table7_full --seeds 0 --threads {torch.get_num_threads()}\n"
    assert f"python -m benchmarks.ablation {TINY.as_arguments()} \\\n        {command}" in table
    assert str(tmp_path) not in table
    assert capsys.readouterr().out.endswith(table)
    means = [
        statistics.mean(json.loads((tmp_path / "runs" / f"{row}_seed0.json").read_text())["psnr"])
        for row in ("table7_no_fke", "table7_full")
    ]
    line = f"| table7_full | 1 | {means[1]:.3f} | {means[1] - means[0]:+.3f} | one seed: no interval | 33.06 | +0.32 |"
    assert line in table
    assert not list(tmp_path.rglob("*.tmp"))


def test_runs_of_other_settings_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path, "--rows", "table7_no_fke", "--seeds", "0")
    with pytest.raises(SystemExit) as stop:
        run(tmp_path, "--rows", "table7_no_fke", "--seeds", "0", "--iterations", "3")
    assert stop.value.code == 2
    assert "made with other settings; name another folder with --runs" in capsys.readouterr().err
    kept = json.loads((tmp_path / "runs" / "table7_no_fke_seed0.json").read_text())
    assert kept["settings"] == asdict(TINY)


@pytest.mark.parametrize("content", ['{"settings": {"iterat', "[]", "{}", '{"settings": {}, "psnr": []}'])
def test_torn_run_is_one_line(content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "runs" / "table7_no_fke_seed0.json"
    file.parent.mkdir()
    file.write_text(content)
    with pytest.raises(SystemExit) as stop:
        run(tmp_path, "--rows", "table7_no_fke", "--seeds", "0")
    assert stop.value.code == 2
    assert capsys.readouterr().err == f"error: {file}: is torn, or no run of this benchmark; remove it\n"
    assert file.read_text() == content


def test_seed_below_zero_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        run(tmp_path, "--seeds", "0", "-1")
    assert stop.value.code == 2
    assert "argument --seeds: -1 is not at least 0" in capsys.readouterr().err.splitlines()[-1]
    assert not list(tmp_path.iterdir())


def test_differences_are_paired_and_read_by_their_interval() -> None:
    firsts = {0: 30.0, 1: 31.0, 2: 32.0}
    # Mean 1 and standard deviation 0.5 of three seeds: 4.3027 * 0.5 / sqrt(3) = 1.2421 to either side.
    assert ablation.confidence_interval([0.5, 1.0, 1.5]) == pytest.approx((-0.2421, 2.2421), abs=1e-4)
    unclear = ablation.difference({0: 30.5, 1: 32.0, 2: 33.5}, firsts, False)
    assert unclear == ("+1.000 (-0.242 to +2.242)", "undecided")
    clear = ablation.difference({0: 30.4, 1: 31.5, 2: 32.6, 3: 99.0}, firsts, False)  # of the seeds that both have
    assert clear == ("+0.500 (+0.252 to +0.748)", "better")
    assert ablation.difference({0: 29.6, 1: 30.5, 2: 31.4}, firsts, False) == ("-0.500 (-0.748 to -0.252)", "worse")
    assert ablation.difference({2: 33.0}, firsts, False) == ("+1.000", "one seed: no interval")
    assert ablation.difference(firsts, firsts, True) == ("", "")
    ours = {0: 30.5, 1: 32.0, 2: 33.5}
    line = ablation.table_line("table7_from_e1", "table7_no_fke", {"table7_no_fke": firsts, "table7_from_e1": ours})
    assert line == (
        "| table7_from_e1 | 3 | 32.000 ± 1.500 | +1.000 (-0.242 to +2.242) | undecided | 32.72 to 32.84 "
        "| -0.02 to +0.10 |"
    )


def test_interval_is_that_of_a_paired_t_test() -> None:
    ours, firsts = np.random.default_rng(0).normal(size=(2, 8))
    expected = stats.ttest_rel(ours, firsts).confidence_interval(0.95)
    assert ablation.confidence_interval(list(ours - firsts)) == pytest.approx(tuple(expected), rel=1e-12)
