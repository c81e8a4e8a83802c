"""Training and testing through the launchers, as a user starts them."""

import argparse
import os
import shutil
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from launch_helpers import (
    changed,
    differences,
    evaluation_options,
    finish,
    load,
    run,
    start,
    training_options,
    write_images,
    write_options,
)

from deeprftv2_arch.commands.train_and_test import TRAINING, run_as_program
from deeprftv2_arch.common.folder_lock import folder_locked
from deeprftv2_arch.errors import CheckpointError, DataError, DeepRFTv2Error, EvaluationError, OptionError
from deeprftv2_arch.launch import resume
from deeprftv2_arch.launch.arguments import Arguments
from deeprftv2_arch.launch.pipeline import run_training
from deeprftv2_arch.measuring.testing import run_testing
from deeprftv2_arch.models.deblur_model import DeblurModel

PROGRAM = "python -m deeprftv2_arch.train"  # what the user typed

TRAIN = ("-m", "deeprftv2_arch.train")
TRAIN_COMMAND = ("-m", "deeprftv2_arch", "train")  # the same
TEST = ("-m", "deeprftv2_arch", "test")
TORCHRUN = ("-m", "torch.distributed.run")


class StoppedError(Exception):
    """Stands for a power cut."""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("images")
    write_images(folder / "train")
    write_images(folder / "val", count=2, size=40)
    return folder / "train", folder / "val"


def train_here(folder: Path, options: dict[str, Any], auto_resume: bool = False) -> Path:
    """Train in this process; return the run's folder."""
    folder.mkdir(exist_ok=True)
    run_training(Arguments(write_options(folder / "run.yml", options), auto_resume=auto_resume), folder)
    return folder / "experiments" / options["name"]


def stop_before(monkeypatch: pytest.MonkeyPatch, iteration: int) -> None:
    original = DeblurModel.optimize_parameters

    def optimise(self: DeblurModel, current_iter: int) -> None:
        if current_iter == iteration:
            raise StoppedError
        original(self, current_iter)

    monkeypatch.setattr(DeblurModel, "optimize_parameters", optimise)


@pytest.mark.slow
@pytest.mark.parametrize(("ema_decay", "auto_resume"), [(0, True), (0.9, True), (0.9, False)])
def test_resumed_run_is_the_same_to_the_last_bit(
    images: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ema_decay: float, auto_resume: bool
) -> None:
    options = training_options(*images, train__ema_decay=ema_decay)
    whole = train_here(tmp_path / "whole", options)
    with monkeypatch.context() as patch:
        stop_before(patch, 5)
        with pytest.raises(StoppedError):
            train_here(tmp_path / "halves", options)
    halves = tmp_path / "halves" / "experiments" / "tiny"
    assert [path.name for path in (halves / "training_states").iterdir()] == ["3.state"]
    torch.manual_seed(123)  # whatever a new process begins with
    named = None if auto_resume else str(halves / "training_states" / "3.state")
    train_here(tmp_path / "halves", changed(options, {"path__resume_state": named}), auto_resume)
    for name in ("models/net_g_6.pth", "training_states/6.state", "models/net_g_latest.pth"):
        assert differences(load(whole / name), load(halves / name)) == [], name
    assert ("params_ema" in load(whole / "models/net_g_6.pth")) == (ema_decay > 0)
    assert differences(load(whole / "models/net_g_3.pth"), load(whole / "models/net_g_6.pth")) != []


def test_torn_newest_state_is_skipped(
    images: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = training_options(*images, logger__save_checkpoint_freq=2, val__val_freq=3)
    folder = train_here(tmp_path, options)
    expected = load(folder / "training_states" / "6.state")
    six, four = (folder / "training_states" / f"{number}.state" for number in (6, 4))
    six.write_bytes(six.read_bytes()[: six.stat().st_size // 2])
    network = folder / "models" / "net_g_4.pth"
    network.write_bytes(network.read_bytes()[:-100])
    train_here(tmp_path, options, auto_resume=True)
    assert "Skipping training state 6: " in caplog.text
    assert "Skipping training state 4: " in caplog.text
    assert str(six) in caplog.text
    assert str(network) in caplog.text
    assert four.exists()
    assert differences(expected, load(six)) == []


def test_auto_resume_refuses_to_begin_anew_where_all_states_are_torn(images: tuple[Path, Path], tmp_path: Path) -> None:
    options = training_options(*images, train__total_iter=3)
    folder = train_here(tmp_path, options)
    states = list((folder / "training_states").iterdir())
    assert states
    for state in states:
        state.write_bytes(state.read_bytes()[:100])
    with pytest.raises(CheckpointError, match=r"training_states: none .* can be read .*without --auto_resume"):
        train_here(tmp_path, options, auto_resume=True)
    assert [path.name for path in (tmp_path / "experiments").iterdir()] == ["tiny"]
    assert (folder / "models" / "net_g_3.pth").exists()


def test_auto_resume_reads_state_and_network_once(
    images: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = training_options(*images, train__total_iter=3)
    folder = train_here(tmp_path, options)
    read: list[str] = []
    monkeypatch.setattr(resume, "load_checkpoint", lambda path: read.append(path.name) or load(path))
    opt = {"auto_resume": True, "path": {key: str(folder / key) for key in ("models", "training_states")}}
    opt |= {"network_g": {}, "is_train": True, "datasets": {"train": {"type": "DeblurPairDataset"}}}
    state = resume.load_resume_state(opt)
    assert state is not None
    assert state["iter"] == 3
    assert read == ["3.state", "net_g_3.pth"]
    assert opt["path"]["pretrain_network_g"] == str(folder / "models" / "net_g_3.pth")


def test_auto_resume_of_a_run_that_has_not_begun_starts_it(images: tuple[Path, Path], tmp_path: Path) -> None:
    folder = train_here(tmp_path, training_options(*images, train__total_iter=3), auto_resume=True)
    assert load(folder / "training_states" / "3.state")["iter"] == 3


def weights_of(folder: Path, number: object) -> torch.Tensor:
    state = load(folder / "models" / f"net_g_{number}.pth")["params"]
    return torch.cat([tensor.double().flatten() for tensor in state.values()])


def free_port() -> int:
    with socket.socket() as candidate:
        candidate.bind(("127.0.0.1", 0))
        return candidate.getsockname()[1]


@pytest.fixture(scope="module")
def alone(images: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run one process, saved after every step."""
    return train_here(tmp_path_factory.mktemp("alone"), training_options(*images, logger__save_checkpoint_freq=1))


def assert_same_training(alone: Path, other: Path) -> None:
    """Two runs end at the same weights: they differ by less than 1e-5 of the way that training has gone.

    Not to the last bit, since the gradients of a batch are added up in another order when two processes share it.
    """
    first, last = weights_of(alone, 1), weights_of(alone, 6)
    way = (last - first).norm()
    assert way > 0.1
    assert (weights_of(other, 6) - last).norm() < 1e-5 * way


@pytest.mark.slow
def test_two_processes_train_as_one_with_the_double_batch(
    images: tuple[Path, Path], tmp_path: Path, alone: Path
) -> None:
    options = write_options(tmp_path / "run.yml", training_options(*images))
    code, output = run(*TORCHRUN, "--standalone", "--nproc_per_node=2", *TRAIN, "-opt", options, cwd=tmp_path)
    assert code == 0, output
    assert_same_training(alone, tmp_path / "experiments" / "tiny")


@pytest.mark.slow
def test_two_machines_meet_through_torchrun(images: tuple[Path, Path], tmp_path: Path, alone: Path) -> None:
    options = write_options(tmp_path / "run.yml", training_options(*images))
    meeting = (
        *("--nnodes=2", "--nproc_per_node=1", "--rdzv_backend=c10d", "--rdzv_id=test"),
        f"--rdzv_endpoint=127.0.0.1:{free_port()}",
    )
    agents = [
        start(*TORCHRUN, *meeting, "--local_addr=127.0.0.1", *TRAIN, "-opt", options, cwd=tmp_path) for _ in range(2)
    ]
    for agent in agents:
        code, output = finish(agent)
        assert code == 0, output
    assert_same_training(alone, tmp_path / "experiments" / "tiny")


@pytest.mark.slow
def test_two_tasks_of_slurm_meet(images: tuple[Path, Path], tmp_path: Path, alone: Path) -> None:
    options = write_options(tmp_path / "run.yml", training_options(*images))
    step = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NODELIST": "localhost", "MASTER_PORT": str(free_port())}
    tasks = [
        start(*TRAIN_COMMAND, "-opt", options, cwd=tmp_path, SLURM_PROCID=str(rank), SLURM_LOCALID=str(rank), **step)
        for rank in range(2)
    ]
    for task in tasks:
        code, output = finish(task)
        assert code == 0, output
    assert_same_training(alone, tmp_path / "experiments" / "tiny")


def test_testing_saves_the_images_that_it_measures(images: tuple[Path, Path], tmp_path: Path, alone: Path) -> None:
    options = evaluation_options(images[1], alone / "models" / "net_g_6.pth")
    code, output = run(*TEST, "-opt", write_options(tmp_path / "test.yml", options), cwd=tmp_path)
    assert code == 0, output
    saved = sorted((tmp_path / "results" / "tiny_test" / "visualization" / "val").iterdir())
    assert [path.name for path in saved] == ["000_tiny_test.png", "001_tiny_test.png"]
    sharp = sorted((images[1] / "sharp").iterdir())
    errors = [cv2.imread(str(a)).astype(float) - cv2.imread(str(b)) for a, b in zip(saved, sharp, strict=True)]
    expected = np.mean([10 * np.log10(255**2 / np.square(error).mean()) for error in errors])
    assert float(output.split("# psnr: ")[1].split()[0]) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("side", ["lq", "gt"])
@pytest.mark.parametrize("missing", ["folder", "images"])
def test_missing_data_leaves_an_earlier_run_alone(
    images: tuple[Path, Path], tmp_path: Path, side: str, missing: str
) -> None:
    earlier = tmp_path / "experiments" / "tiny"
    earlier.mkdir(parents=True)
    (earlier / "weights.pth").write_bytes(b"precious")
    nowhere = tmp_path / "nowhere"
    if missing == "images":
        nowhere.mkdir()
    options = changed(training_options(*images), {f"datasets__train__dataroot_{side}": str(nowhere)})
    with pytest.raises(DataError, match="nowhere"):
        train_here(tmp_path, options)
    assert [path.name for path in (tmp_path / "experiments").iterdir()] == ["tiny"]
    assert (earlier / "weights.pth").read_bytes() == b"precious"
    assert not (tmp_path / "results").exists()


def test_missing_test_data_leaves_earlier_results_alone(images: tuple[Path, Path], tmp_path: Path, alone: Path) -> None:
    results = tmp_path / "results" / "tiny_test"
    results.mkdir(parents=True)
    options = evaluation_options(tmp_path / "nowhere", alone / "models" / "net_g_6.pth")
    with pytest.raises(DataError, match="nowhere"):
        run_testing(Arguments(write_options(tmp_path / "test.yml", options)), tmp_path)
    assert [path.name for path in results.parent.iterdir()] == ["tiny_test"]


def what_the_user_reads(
    folder: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    """Let the command train in a folder, which is to fail with exit code 2; return what it wrote to stderr."""
    write_options(folder / "run.yml", options)
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.argv", ["train.py", "-opt", "run.yml"])
    with pytest.raises(SystemExit) as caught:
        run_as_program(TRAINING)
    assert caught.value.code == 2
    return capsys.readouterr().err


def test_user_reads_one_line(
    images: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    message = what_the_user_reads(tmp_path, training_options(*images, network_g__dimm=4), monkeypatch, capsys)
    assert message == f"{PROGRAM}: error: run.yml: network_g: unknown key 'dimm'; did you mean 'dim'?\n"
    assert [path.name for path in tmp_path.iterdir()] == ["run.yml"]


@pytest.mark.parametrize(
    ("environment", "kind", "told"),
    [
        ({}, OptionError, True),
        ({"RANK": "8", "LOCAL_RANK": "0"}, OptionError, True),  # the first of the second machine
        ({"RANK": "8", "LOCAL_RANK": "0"}, CheckpointError, True),
        ({"RANK": "9", "LOCAL_RANK": "1"}, OptionError, False),
        ({"RANK": "9", "LOCAL_RANK": "1"}, CheckpointError, False),
        ({"RANK": "9", "LOCAL_RANK": "1"}, DataError, True),  # an image that no other process may have read
        ({"RANK": "9", "LOCAL_RANK": "1"}, EvaluationError, True),  # an image too large for the GPU, a dead worker
        ({"SLURM_PROCID": "4", "SLURM_LOCALID": "0"}, OptionError, True),
        ({"SLURM_PROCID": "5", "SLURM_LOCALID": "1"}, OptionError, False),
    ],
)
def test_one_process_of_each_machine_tells(
    environment: dict[str, str],
    kind: type[DeepRFTv2Error],
    told: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID", "SLURM_LOCALID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MASTER_ADDR", "localhost")  # without which RANK is what is left of a launcher
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    def fail(args: argparse.Namespace, root: Path) -> None:
        raise kind("what is wrong")

    monkeypatch.setattr("sys.argv", ["train.py", "-opt", "run.yml"])
    with pytest.raises(SystemExit) as caught:
        run_as_program(replace(TRAINING, action=fail))
    assert caught.value.code == 2
    assert capsys.readouterr().err == (f"{PROGRAM}: error: what is wrong\n" if told else "")


def test_error_in_a_worker_is_one_line_too(
    images: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(images[0], tmp_path / "data")
    for path in (tmp_path / "data" / "blur").iterdir():
        path.write_bytes(path.read_bytes()[:100])
    options = training_options(tmp_path / "data", images[1], datasets__train__num_worker_per_gpu=1)
    message = what_the_user_reads(tmp_path, options, monkeypatch, capsys)
    last = message.splitlines()[-1]
    assert last.startswith(
        f"python -m deeprftv2_arch.train: error: datasets: train: data: {tmp_path / 'data' / 'blur'}"
    )
    assert "Traceback" not in message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train__total_iter": 7}, "total_iter"),
        ({"num_gpu": 64}, "num_gpu: 64, but this machine has"),
        ({"path__pretrain_network_g": "no.pth"}, "no.pth: there is no such file"),
    ],
)
def test_faults_found_late_still_leave_an_earlier_run_alone(
    images: tuple[Path, Path], tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    (tmp_path / "experiments" / "tiny").mkdir(parents=True)
    with pytest.raises(DeepRFTv2Error, match=message):
        train_here(tmp_path, training_options(*images, **changes))
    assert [path.name for path in (tmp_path / "experiments").iterdir()] == ["tiny"]


def test_weights_of_another_variant_leave_an_earlier_run_alone(
    images: tuple[Path, Path], tmp_path: Path, alone: Path
) -> None:
    (tmp_path / "experiments" / "tiny").mkdir(parents=True)
    weights = alone / "models" / "net_g_6.pth"
    options = training_options(*images, path__pretrain_network_g=str(weights), network_g__dim=10)
    with pytest.raises(CheckpointError, match=r"net_g_6\.pth: does not fit .* dim 8, .*dim 8 instead of 10"):
        train_here(tmp_path, options)
    assert [path.name for path in (tmp_path / "experiments").iterdir()] == ["tiny"]


@pytest.mark.parametrize("strict", [True, False])
def test_unreadable_weights_leave_an_earlier_run_alone(images: tuple[Path, Path], tmp_path: Path, strict: bool) -> None:
    (tmp_path / "experiments" / "tiny").mkdir(parents=True)
    weights = tmp_path / "torn.pth"
    weights.write_bytes(b"PK")
    options = training_options(*images, path__pretrain_network_g=str(weights), path__strict_load_g=strict)
    with pytest.raises(CheckpointError, match=r"torn\.pth: "):
        train_here(tmp_path, options)
    assert [path.name for path in (tmp_path / "experiments").iterdir()] == ["tiny"]


def test_weights_in_the_folder_to_be_renamed_are_refused(
    images: tuple[Path, Path], tmp_path: Path, alone: Path
) -> None:
    models = tmp_path / "experiments" / "tiny" / "models"
    models.mkdir(parents=True)
    weights = Path(shutil.copy(alone / "models" / "net_g_6.pth", models))
    with pytest.raises(OptionError, match=r"net_g_6\.pth lies in the folder .*; copy it elsewhere"):
        train_here(tmp_path, training_options(*images, path__pretrain_network_g=str(weights)))
    assert weights.exists()
    assert [path.name for path in (tmp_path / "experiments").iterdir()] == ["tiny"]


def test_training_begins_with_given_weights(images: tuple[Path, Path], tmp_path: Path, alone: Path) -> None:
    weights = alone / "models" / "net_g_6.pth"
    options = training_options(
        *images, path__pretrain_network_g=str(weights), train__total_iter=1, train__optim_g__lr=0.0
    )
    folder = train_here(tmp_path, options)
    assert torch.equal(weights_of(folder, "latest"), weights_of(alone, 6))


def test_second_run_of_a_name_is_refused_before_anything_is_renamed(images: tuple[Path, Path], tmp_path: Path) -> None:
    folder = tmp_path / "experiments" / "tiny"
    folder.mkdir(parents=True)
    (folder / "result").write_text("of the run that goes on")
    options = write_options(tmp_path / "run.yml", training_options(*images))
    with folder_locked(folder):
        code, output = run(*TRAIN, "-opt", options, cwd=tmp_path)
    assert code == 2
    lines = [line for line in output.splitlines() if "error:" in line]
    assert len(lines) == 1
    assert f"process {os.getpid()} on {socket.gethostname()} is writing there" in lines[0]
    assert [path.name for path in (tmp_path / "experiments").iterdir()] == ["tiny"]
    assert [path.name for path in folder.iterdir()] == ["result"]
