"""Processes that restore and die, are stopped, or lose the one that has started them."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from working_processes import die_at_once, jobs_called, refuse, write_names

from deeprftv2_arch.common.stopping import Stopped, signals_stop
from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.restoring.batch.outcome import Outcome, Refusal, merged
from deeprftv2_arch.restoring.batch.plan import Plan
from deeprftv2_arch.restoring.batch.supervising import supervise

PATIENCE = 60.0  # seconds


@pytest.mark.slow
def test_file_on_which_a_process_dies_is_lost_and_no_other_one(tmp_path: Path) -> None:
    first = jobs_called(tmp_path, "a", "SIGKILL", "b", "exit", "c")
    second = jobs_called(tmp_path, "d", "SIGABRT")
    first.failures.append("nothing.png: there is no such file")
    first.other_kinds.append(Path("notes.txt"))
    outcome = supervise([write_names, write_names], [first, second], are_others_left=False)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {f"{name}.png": name for name in "abcd"}
    assert (outcome.restored, outcome.left, outcome.left_out) == (4, 0, [Path("notes.txt")])
    lost = "lost, since the process that restored it"
    assert sorted(outcome.failures) == [
        f"SIGABRT.png: {lost} was ended by SIGABRT; the same command tries again",
        f"SIGKILL.png: {lost} was ended by SIGKILL, perhaps for want of memory; the same command tries again",
        f"exit.png: {lost} ended with exit code 7; the same command tries again",
        "nothing.png: there is no such file",
    ]


@pytest.mark.slow
def test_process_that_cannot_begin_loses_its_own_files(tmp_path: Path) -> None:
    plans = [jobs_called(tmp_path, "a"), jobs_called(tmp_path, "b"), jobs_called(tmp_path, "c", "d")]
    outcome = supervise([write_names, refuse, die_at_once], plans, are_others_left=False)
    assert (outcome.restored, [path.name for path in tmp_path.iterdir()]) == (1, ["a.png"])
    assert outcome.failures == [
        "b.png: device: cuda:7 cannot be used here",
        "c.png: not restored, since its process was ended by SIGSEGV; the same command tries again",
        "d.png: not restored, since its process was ended by SIGSEGV; the same command tries again",
    ]


def test_what_no_process_can_do_is_one_error() -> None:
    refusal = Refusal(OptionError("device: mps cannot be used here"), Plan(Path("out")))
    with pytest.raises(OptionError, match="mps cannot be used here"):
        merged([refusal, Outcome(), refusal], are_others_left=False)
    assert merged([refusal, Outcome(done=1)], are_others_left=False) == Outcome(done=1)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals for others")
def test_signal_ends_all_and_what_is_left_is_counted(tmp_path: Path) -> None:
    plans = [jobs_called(tmp_path, "a", "long", "b"), jobs_called(tmp_path, "c")]

    def signal_once_begun() -> None:
        _wait_for(tmp_path / "begun")
        _wait_for(tmp_path / "c.png")
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=signal_once_begun).start()
    with signals_stop():
        outcome = supervise([write_names, write_names], plans, are_others_left=False)
    assert (outcome.restored, outcome.left, outcome.failures) == (2, 2, [])
    assert isinstance(outcome.stop, Stopped)
    assert outcome.stop.exit_code == 143
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "begun", "c.png"]


STARTER = """
import sys
from pathlib import Path
from deeprftv2_arch.common.stopping import signals_stop
from deeprftv2_arch.restoring.batch.supervising import supervise
from working_processes import jobs_called, write_names
if __name__ == "__main__":
    with signals_stop():
        outcome = supervise([write_names], [jobs_called(Path("out"), "a", "long", "b")], False)
        print(outcome, flush=True)
        sys.exit(outcome.stop.exit_code)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals for others")
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=str
)
def test_process_ends_in_order_with_the_one_that_has_started_it(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "starter.py").write_text(STARTER)
    path = os.pathsep.join([str(Path(__file__).parents[2]), str(Path(__file__).parents[1] / "helpers")])
    with subprocess.Popen(
        [sys.executable, "starter.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as starter:
        _wait_for(out / "begun")
        assert list(out.glob(".*.restoring.lock"))
        if number == signal.SIGKILL:
            starter.kill()
        else:
            os.killpg(starter.pid, number)  # all, as a terminal and Slurm do
        said, _ = starter.communicate(timeout=PATIENCE)  # until the last process has ended
    summary = "1 restored, 2 not restored, since the work was stopped (the same command goes on)\n"
    assert (starter.returncode, said) == (code, "" if number == signal.SIGKILL else summary)
    assert sorted(path.name for path in out.iterdir()) == ["a.png", "begun"]


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not path.exists():
        assert time.monotonic() < deadline, path
        time.sleep(0.02)
