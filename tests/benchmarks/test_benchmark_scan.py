"""The benchmark of the selective scan: its peers compute the scan, and its measures measure."""

import subprocess
import sys
import time
from argparse import ArgumentTypeError
from pathlib import Path
from typing import Any

import pytest
import torch
from scan_oracle import assert_equals_by_hand, random_inputs

from benchmarks import selective_scan as benchmark
from benchmarks.busy_processes import BusyProcesses
from benchmarks.peak_memory import in_new_process, peak_of_process
from benchmarks.scan_peers import mambapy_scan, sequential_loop

REPOSITORY = Path(__file__).resolve().parents[2]
CPU = torch.device("cpu")
linux = pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from Linux's /proc")


@pytest.mark.parametrize("peer", [sequential_loop, mambapy_scan])
@pytest.mark.parametrize("optional", [False, True])
def test_peers_compute_the_scan(peer: Any, optional: bool) -> None:
    if peer is mambapy_scan:
        pytest.importorskip("mambapy")
    assert_equals_by_hand(peer, random_inputs(2, 3, 37, skip=optional, bias=optional), optional, rtol=0, atol=1e-11)


def test_runs_of_slow_competitors_are_spread_among_those_of_fast_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    order = []
    durations = {"fast": 1.0, "slow": 4.0, "endless": 100.0}
    monkeypatch.setattr(benchmark, "seconds", lambda call, device: call())

    def run(name: Any) -> Any:
        order.append(name)
        return durations[name]

    calls = {name: (lambda name=name: run(name)) for name in durations}
    times = benchmark.interleaved_times(calls, 8, CPU)
    assert {name: len(runs) for name, runs in times.items()} == {"fast": 8, "slow": 2, "endless": 1}
    assert order == ["fast", "slow", "endless", *["fast"] * 4, "slow", *["fast"] * 4, "slow"]


def test_limits_by_hand() -> None:
    shape = benchmark.Shape(2, 10, 100)
    assert benchmark.Work(shape, "channels", False, CPU).limit(1e6) == 2 * 10 * 100 * 8 / 1e6
    assert benchmark.Work(shape, "channels", True, CPU).limit(1e6) == 2 * 2 * 10 * 100 * 8 / 1e6
    gpu = torch.device("cuda")
    # u, delta, y of 2000 numbers, B and C of 1600; then these and dy once more, and as many gradients.
    assert benchmark.Work(shape, "channels", False, gpu).limit(1e6) == pytest.approx(4 * (3 * 2000 + 2 * 1600) / 1e6)
    assert benchmark.Work(shape, "channels", True, gpu).limit(1e6) == pytest.approx(4 * (8 * 2000 + 6 * 1600) / 1e6)


@pytest.mark.parametrize("text", ["1x96", "0x96x10", "1x96x-3", "axbxc"])
def test_wrong_shapes_are_refused(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="is not a shape such as 1x96x33024"):
        benchmark.shape(text)


@linux
def test_busy_processes_take_processor_time_only_while_they_run() -> None:
    others = BusyProcesses(1)
    (process,) = others._processes

    def ticks() -> int:
        return sum(map(int, Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii").split()[13:15]))

    try:
        with others.running():
            end = time.monotonic() + 30
            while ticks() < 20 and time.monotonic() < end:
                time.sleep(0.01)
        before = ticks()
        assert before >= 20
        time.sleep(0.2)
        assert ticks() <= before + 1
    finally:
        others.end()
    assert process.poll() is not None


def hold(megabytes: int) -> int | None:
    return peak_of_process(lambda: torch.ones(megabytes * 250_000).sum())


@pytest.mark.slow
@linux
def test_peak_memory_is_what_was_held() -> None:
    assert in_new_process(hold, 200) == pytest.approx(200e6, rel=0.05)
    with pytest.raises(MemoryError):
        in_new_process(hold, 10_000_000)


@pytest.mark.slow
@linux
@pytest.mark.parametrize("name", ["numba", "torch"])
def test_nothing_of_the_size_of_all_states_is_held(name: str) -> None:
    """The peak over both passes, outputs aside, stays below half of one tensor of all states; the loop's does not."""
    shape = benchmark.Shape(1, 32, 65_536)
    states = 4 * 32 * 65_536 * benchmark.STATES  # bytes
    outputs = 4 * 65_536 * (3 * 32 + 2 * benchmark.STATES)  # y and the gradients of u, delta, B and C
    peaks = benchmark.peaks_by_name(benchmark.Work(shape, "channels", True, CPU), [name])
    assert outputs / 2 < peaks[name] < outputs + states / 2
    control = benchmark.Work(benchmark.Shape(1, 32, 4096), "length", False, CPU)
    assert benchmark.peaks_by_name(control, [benchmark.LOOP])[benchmark.LOOP] > 2 * states / 16


@pytest.mark.slow
def test_the_command(tmp_path: Path) -> None:
    out = tmp_path / "results" / "table.md"
    words = [sys.executable, "-m", "benchmarks.selective_scan", "--quick", "--shapes", "1x2x33", "--out", str(out)]
    done = subprocess.run([*words, "--device", "cpu"], cwd=REPOSITORY, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    text = out.read_text(encoding="utf-8")
    assert "### 1 x 2 x 33, channels fastest, forward\n" in text
    assert "### 1 x 2 x 33, channels fastest, forward and backward\n" in text
    assert " | as torch | share of the limit | beside busy processes, times slower | " in text
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith(("| torch", "| sequential loop"))]
    assert [row[0] for row in rows] == ["| torch", "| sequential loop"] * 2
    assert rows[1][3] == rows[3][3] == "1.0"  # the loop beside itself
    assert rows[0][5] == rows[2][5] == "1.0"
    assert float(rows[0][7]) > 0
    assert rows[1][7] == "-"
    assert done.stdout.strip().endswith(text.strip().splitlines()[-1])
