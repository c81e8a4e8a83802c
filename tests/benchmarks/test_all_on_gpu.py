"""The sitting on a GPU: rehearsed on a CPU without optional packages, and stages that crash, hang or come too late."""

import json
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import gpu_report
from benchmarks.all_on_gpu import main, sit
from benchmarks.gpu_report import MISSED, NOT_MEASURED, REACHED, Sitting, goals, markdown
from benchmarks.gpu_stages import ON_GPU, Stage, marked_tests, stages

REPOSITORY = Path(__file__).resolve().parents[2]
BLOCKED = [
    "torchvision",
    "cv2",
    "lmdb",
    "yaml",
    "tqdm",
    "pytest",
    "numba",
    "ptflops",
    "safetensors",
    "scipy",
    "skimage",
]
SITECUSTOMIZE = f"""
import sys

class Blocking:
    def find_spec(self, name, path=None, target=None):
        if name in ("basicsr", "mamba_ssm"):
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Blocking())
for name in {BLOCKED}:
    sys.modules[name] = None
"""


@pytest.mark.slow
def test_rehearsal_without_what_a_borrowed_machine_lacks(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(SITECUSTOMIZE, encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "benchmarks.all_on_gpu",
        "--rehearse",
        "--minutes",
        "10",
        "--output",
        str(tmp_path),
    ]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=environment, cwd=REPOSITORY, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    raw = json.loads((tmp_path / "gpu_rehearsal.json").read_text(encoding="utf-8"))
    assert [(outcome["stage"], outcome["status"], outcome["log"]) for outcome in raw["outcomes"]] == [
        (name, "done", "")
        for name in (
            "device",
            "tests",
            "selective scan",
            "training memory",
            "inference, eager",
            "training step, eager",
            "inference, compiled: B at 24x16 in bf16",
        )
    ]
    records = {kind: [r for r in raw["records"] if r["kind"] == kind] for kind in ("test", "scan", "memory", "network")}
    tests = {record["name"]: (record["outcome"], record["detail"]) for record in records["test"]}
    assert {outcome for outcome, _ in tests.values()} == {"passed", "skipped"}, tests
    assert tests["mamba_ssm's scan"] == ("skipped", "mamba_ssm is not installed")
    assert tests["VS block in generated code"][0] == "passed"
    assert [(r["backend"], r["backward"]) for r in records["scan"]] == [
        (name, backward) for backward in (False, True) for name in ("triton", "torch")
    ]
    assert [r["mode"] for r in records["memory"]] == ["reversible"]
    assert all(r["seconds"] > 0 for kind in ("scan", "memory", "network") for r in records[kind])
    variants = [(r["task"], r["network"], r["precision"], r["compiled"]) for r in records["network"]]
    precisions = ("float32", "TF32", "bf16")
    assert variants == [
        *(("inference", network, precision, False) for network in "BBSS" for precision in precisions),
        *(("training step", "B", precision, False) for precision in precisions),
        ("inference", "B", "float32", False),
        ("inference", "B", "bf16", True),
    ]
    text = (tmp_path / "gpu_rehearsal.md").read_text(encoding="utf-8")
    assert "- Not measured: mamba, because mamba_ssm is not installed" in text
    assert "reached: no test on a GPU fails" in done.stdout


def measured(send: Any) -> None:
    send({"kind": "test", "name": "this", "outcome": "passed", "detail": ""})


def raises(send: Any) -> None:
    measured(send)
    raise ValueError("why it fails")


def hangs(send: Any) -> None:
    measured(send)
    time.sleep(1000)


def dies(send: Any) -> None:
    os._exit(7)


def run(tmp_path: Path, *to_run: Stage, minutes: float = 2) -> Sitting:
    sitting = Sitting(minutes, rehearsed=True)
    sit(sitting, to_run, tmp_path)
    assert json.loads((tmp_path / "gpu_rehearsal.json").read_text())["outcomes"] == [
        o.__dict__ for o in sitting.outcomes
    ]
    return sitting


def test_what_becomes_of_a_stage_costs_no_other(tmp_path: Path) -> None:
    sitting = run(
        tmp_path,
        Stage("raises", raises, 0, 60),
        Stage("hangs", hangs, 0, 12),
        Stage("dies", dies, 0, 60),
        Stage("works", measured, 0, 60),
        Stage("too long", measured, 500, 600),
    )
    raised, hung, died, worked, late = sitting.outcomes
    assert (raised.status, raised.reason) == ("failed", "ValueError: why it fails")
    assert (hung.status, hung.reason) == ("out of time", "ended after 12 s")
    assert "in hangs" in hung.log
    assert (died.status, died.reason) == ("failed", "ended with exit code 7")
    assert (worked.status, worked.reason, worked.log) == ("done", "", "")
    assert late.status == "not begun"
    assert late.reason.startswith("needs about 500 s, and ")
    assert len(sitting.records) == 3
    text = (tmp_path / "gpu_rehearsal.md").read_text(encoding="utf-8")
    assert "ValueError: why it fails\n```" in text
    assert "| too long | not begun |" in text


def test_stages_of_a_kind_need_as_long_as_those_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.all_on_gpu.RESERVE", 0)
    clock = iter([0, 10, 10, 40, 45, 45])  # the end is at 60: 50 s left; the first takes 30 s, the second would too
    monkeypatch.setattr("benchmarks.all_on_gpu.time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(
        "benchmarks.all_on_gpu.run_stage",
        lambda stage, limit, *_: gpu_report.Outcome(stage.name, "done", 30, f"limit {limit}"),
    )
    sitting = Sitting(1, rehearsed=True)
    sit(
        sitting,
        [Stage("one", measured, 20, 90, "a"), Stage("two", measured, 1, 90, "b"), Stage("three", measured, 1, 9, "a")],
        tmp_path,
    )
    assert [(o.status, o.reason) for o in sitting.outcomes] == [
        ("done", "limit 50"),
        ("done", "limit 50"),
        ("not begun", "needs about 30 s, and 20 s are left"),
    ]


def test_marked_tests_are_recorded_one_by_one(tmp_path: Path) -> None:
    tests = tmp_path / "tests"
    tests.mkdir()
    (tests / "test_marked.py").write_text(
        "import pytest\npytestmark = pytest.mark.gpu\n"
        "def test_good(): pass\ndef test_bad(): assert 1 == 2\ndef test_skipped(): pytest.skip('no such GPU')\n"
    )
    (tests / "test_not_imported.py").write_text("import pytest, no_such_package  # pytest.mark.gpu\n")
    (tests / "test_unmarked.py").write_text("raise AssertionError('never imported')\n")
    sitting = run(tmp_path, Stage("tests", partial(marked_tests, tests), 0, 60))
    assert [outcome.status for outcome in sitting.outcomes] == ["done"], sitting.outcomes
    found = {record["name"].rpartition("/")[2]: (record["outcome"], record["detail"]) for record in sitting.records}
    assert found["test_marked.py::test_good"] == ("passed", "")
    assert found["test_marked.py::test_bad"][0] == "failed"
    assert "assert 1 == 2" in found["test_marked.py::test_bad"][1]
    assert found["test_marked.py::test_skipped"] == ("skipped", "Skipped: no such GPU")
    assert found["test_not_imported.py"] == (
        "skipped",
        "not imported: ModuleNotFoundError: No module named 'no_such_package'",
    )


def scanned(
    backend: Any, fastest: Any, seconds: Any, length: int = 16_384, batch: int = 1, backward: bool = False
) -> Any:
    shape = [batch, 192, length]
    record = {"kind": "scan", "shape": shape, "fastest": fastest, "backward": backward, "backend": backend}
    return {**record, "seconds": seconds, "runs": [seconds], "least_seconds": seconds / 2, "peak_bytes": 10**6}


def kept(mode: Any, megabytes: Any) -> Any:
    record = {"kind": "memory", "network": "B", "size": 256, "precision": "float32", "mode": mode, "seconds": 1.0}
    return {**record, "held_bytes": 0, "peak_bytes": (megabytes - 240) * 10**6, "fixed_bytes": 240 * 10**6}


def timed(network: Any, seconds: Any, size: tuple[int, ...] = (1280, 720, 1)) -> Any:
    record = {"kind": "network", "task": "inference", "network": network, "size": list(size), "precision": "bf16"}
    numbers = {"seconds": seconds, "eager_float32_seconds": 0.75, "least_seconds": 0.05}
    return {**record, "compiled": True, "scan": "triton", **numbers}


def test_goals_by_hand() -> None:
    nothing = goals([])
    assert [goal.verdict for goal in nothing] == [NOT_MEASURED] * 6
    records = [
        {"kind": "test", "name": "one", "outcome": "passed", "detail": ""},
        {"kind": "test", "name": "two", "outcome": "skipped", "detail": "no mamba_ssm"},
        scanned("triton", "channels", 1.0),
        scanned("triton", "length", 9.0),  # not the network's layout
        scanned("mamba", "channels", 9.0),
        scanned("mamba", "length", 2.5),
        scanned("triton", "channels", 1.0, length=4096),
        scanned("mamba", "channels", 1.0, length=4096),  # too short to count
        scanned("triton", "channels", 1.0, batch=16),
        scanned("mamba", "channels", 1.0, batch=16),  # not batch 1
        kept("reversible", 3439),
        kept("lean", 1719),
        timed("B", 0.25),
        timed("S", 0.375),
        timed("S", 0.1, (256, 256, 1)),  # not the size of the goal
    ]
    assert [(goal.verdict, goal.found) for goal in goals(records)] == [
        (REACHED, "1 passed, 0 failed, 1 skipped"),
        (REACHED, "2.50 to 2.50 times"),
        (REACHED, "3,439 MB"),
        (REACHED, "1,719 MB, 0.50 of it"),
        (REACHED, "3.00 times"),
        (MISSED, "2.00 times"),
    ]
    worse = [
        {"kind": "test", "name": "three", "outcome": "failed", "detail": ""},
        scanned("triton", "channels", 1.5, backward=True),
        scanned("mamba", "length", 2.5, backward=True),
        kept("reversible", 3440),
        kept("lean", 1720),
    ]
    assert [goal.verdict for goal in goals(records + worse)] == [MISSED, MISSED, MISSED, MISSED, REACHED, MISSED]


def test_tables_hold_what_was_measured() -> None:
    sitting = Sitting(10, rehearsed=False)
    device = {
        "kind": "device",
        "slug": "a_gpu",
        "environment": ["- GPU: A"],
        "scan": "triton",
        "missing": {"mamba": "x"},
    }
    sitting.records += [
        {**device, "macs_per_second": {"bf16": 4e14}, "bytes_per_second": 3e12},
        scanned("triton", "channels", 0.001),
        {**scanned("torch", "channels", 1.0), "failure": "out of memory"},
        kept("lean", 715),
        timed("B", 0.25),
        {"kind": "test", "name": "one", "outcome": "failed", "detail": "a\nb | c"},
    ]
    text = markdown(sitting)
    assert sitting.slug == "a_gpu"
    for line in (
        "- GPU: A",
        "- Large matrix product: 400.0 TMAC/s in bf16; a copy moves 3000 GB/s",
        "- Not measured: mamba, because x",
        "| 1 x 192 x 16384 | channels | forward | triton | 1.000 | 1 | 50% | 1 |",
        "| 1 x 192 x 16384 | channels | forward | torch | out of memory |  |  |  |",
        "| B | 256 | float32 | lean | 0 | 475 | 715 | 1.000 |",
        "| inference | B | 1280x720, 1 | bf16 | compiled | triton | 250.00 | 3.00 | 50.00 | 20% |",
        "| one | failed | a b \\| c |",
    ):
        assert line in text.splitlines()


def test_the_goals_are_measured_first_and_compilation_comes_last() -> None:
    names = [stage.name for stage in stages(ON_GPU)]
    first_compiled = names.index("inference, compiled: B at 1280x720 in bf16")
    assert names[:2] == ["device", "tests"]
    assert names[first_compiled + 1] == "inference, compiled: S at 1280x720 in bf16"
    assert ["compiled" in name for name in names] == [False] * first_compiled + [True] * (len(names) - first_compiled)
    assert len(names) == len({*names})


def test_wrong_calls_are_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    for arguments, message in ((["--minutes", "0"], "--minutes 0: must be more than 0"), ([], "no CUDA device here")):
        with pytest.raises(SystemExit):
            main(arguments)
        assert message in capsys.readouterr().err.splitlines()[-1]
