"""What SIGTERM, Ctrl-C and kills leave of a training, and what a start that fails leaves of the run before."""

import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest
from basicsr.models.sr_model import SRModel
from launch_helpers import changed, differences, finish, load, run, start, training_options, write_images, write_options

from deeprftv2_arch.common.stopping import Stopped, signals_stop
from deeprftv2_arch.errors import CheckpointError, OptionError
from deeprftv2_arch.launch.arguments import Arguments
from deeprftv2_arch.launch.pipeline import run_training
from deeprftv2_arch.models.deblur_model import DeblurModel

TRAIN = ("-m", "deeprftv2_arch", "train")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("images")
    write_images(folder / "train")
    write_images(folder / "val", count=2, size=40)
    return folder / "train", folder / "val"


def train_here(folder: Path, options: dict[str, Any], auto_resume: bool = False) -> Path:
    folder.mkdir(exist_ok=True)
    run_training(Arguments(write_options(folder / "run.yml", options), auto_resume=auto_resume), folder)
    return folder / "experiments" / options["name"]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signal_saves_and_the_resumed_run_is_the_same(
    images: tuple[Path, Path], tmp_path: Path, number: signal.Signals, code: int
) -> None:
    options = training_options(
        *images,
        datasets__train__num_worker_per_gpu=2,
        datasets__train__patch_stages=[{"iters": 40, "patch_size": 16, "batch_size": 4}],
        train__total_iter=40,
        logger__save_checkpoint_freq=1000,
        val__val_freq=1000,
    )
    file = write_options(tmp_path / "run.yml", options)
    process = start(*TRAIN, "-opt", file, cwd=tmp_path)
    assert process.stdout is not None
    for line in process.stdout:
        if "[epoch:" in line:
            break
    process.send_signal(number)
    found, output = finish(process)
    assert found == code, output
    assert "Traceback" not in output
    assert "Exception ignored" not in output
    folder = tmp_path / "experiments" / "tiny"
    (state,) = (folder / "training_states").iterdir()
    assert re.search(rf"iteration {state.stem} is saved in .*{state.name}; --auto_resume goes on", output)
    code, output = run(*TRAIN, "-opt", file, "--auto_resume", cwd=tmp_path)
    assert code == 0, output
    whole = train_here(tmp_path / "whole", options)
    for name in ("models/net_g_latest.pth",):
        assert differences(load(whole / name), load(folder / name)) == []


@pytest.mark.slow
def test_signal_to_torchrun_saves_what_two_processes_have_done(images: tuple[Path, Path], tmp_path: Path) -> None:
    options = training_options(
        *images,
        datasets__train__patch_stages=[{"iters": 200, "patch_size": 16, "batch_size": 4}],
        train__total_iter=200,
        logger__save_checkpoint_freq=1000,
        val__val_freq=1000,
    )
    file = write_options(tmp_path / "run.yml", options)
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    process = start(*torchrun, *TRAIN, "-opt", file, cwd=tmp_path)
    assert process.stdout is not None
    for line in process.stdout:
        if "[epoch:" in line:
            break
    process.send_signal(signal.SIGTERM)
    _, output = finish(process)
    (state,) = (tmp_path / "experiments" / "tiny" / "training_states").iterdir()
    assert re.search(rf"terminated: iteration {state.stem} is saved in .*{state.name}; --auto_resume goes on", output)
    assert "/deeprftv2_arch/" not in output  # as in a traceback of ours; torchrun shows its own
    assert len(load(state)["random_states"]) == 2
    assert load(state)["iter"] == int(state.stem)


def test_signal_saves_a_model_of_basicsr_too(
    images: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = training_options(
        *images,
        model_type="SRModel",
        network_g={"type": "EDSR", "num_in_ch": 3, "num_out_ch": 3, "num_feat": 4, "num_block": 1, "upscale": 1},
        train__optim_g={"type": "Adam", "lr": 1.0e-3, "weight_decay": 0, "betas": [0.9, 0.99]},
        train__pixel_opt={"type": "L1Loss", "loss_weight": 1.0, "reduction": "mean"},
        train__scheduler={"type": "MultiStepLR", "milestones": [4], "gamma": 0.5},
        logger__save_checkpoint_freq=1000,
        val__val_freq=1000,
    )
    del options["train"]["losses"], options["train"]["clip_grad_norm"]
    whole = train_here(tmp_path / "whole", options)

    def optimize(self: SRModel, current_iter: int) -> None:
        original(self, current_iter)
        if current_iter == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    original = SRModel.optimize_parameters
    with monkeypatch.context() as patch:
        patch.setattr(SRModel, "optimize_parameters", optimize)
        with (
            pytest.raises(Stopped, match=r"iteration 2 is saved in .*2\.state; --auto_resume goes") as stop,
            signals_stop(),
        ):
            train_here(tmp_path / "halves", options)
    assert stop.value.exit_code == 143
    halves = train_here(tmp_path / "halves", options, auto_resume=True)
    assert differences(load(whole / "models/net_g_latest.pth"), load(halves / "models/net_g_latest.pth")) == []


class KilledError(Exception):
    """Stands for a kill."""


def test_kill_between_saving_and_validating_changes_no_best_result(
    images: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = training_options(*images, logger__save_checkpoint_freq=2, val__val_freq=2)
    whole = train_here(tmp_path / "whole", options)
    with monkeypatch.context() as patch:

        def validate(self: DeblurModel, loader: Any, current_iter: int, *arguments: Any) -> None:
            if current_iter == 4:
                raise KilledError
            original(self, loader, current_iter, *arguments)

        original = DeblurModel.nondist_validation
        patch.setattr(DeblurModel, "nondist_validation", validate)
        with pytest.raises(KilledError):
            train_here(tmp_path / "halves", options)
    halves = tmp_path / "halves" / "experiments" / "tiny"
    assert load(halves / "training_states" / "4.state")["validated"] == []
    train_here(tmp_path / "halves", options, auto_resume=True)
    for iteration in (4, 6):
        name = f"training_states/{iteration}.state"
        assert differences(load(whole / name), load(halves / name)) == [], name


def test_state_of_an_earlier_run_does_not_outlive_its_network(
    images: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = training_options(*images)
    folder = train_here(tmp_path, options)
    assert (folder / "training_states" / "6.state").exists()
    again = changed(options, {"path__resume_state": str(folder / "training_states" / "3.state")})

    def save(self: DeblurModel, *arguments: Any) -> None:
        raise KilledError

    monkeypatch.setattr(DeblurModel, "save_training_state", save)
    with pytest.raises(KilledError):
        train_here(tmp_path, again)
    assert [path.name for path in (folder / "training_states").iterdir()] == ["3.state"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"datasets__train__type": "PairedImageDataset"}, "patch_stages: PairedImageDataset does not know them"),
        ({"logger__use_tb_logger": True, "logger__wandb": {"project": "x"}}, "logger: wandb: needs the package wandb"),
        ({"logger__wandb": {"project": "x"}}, "logger: wandb: .*set use_tb_logger: true"),
    ],
)
def test_start_that_fails_leaves_the_finished_run_where_it_is(
    images: tuple[Path, Path], tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    result = tmp_path / "experiments" / "tiny" / "result"
    result.parent.mkdir(parents=True)
    result.write_text("finished")
    with pytest.raises(OptionError, match=message):
        train_here(tmp_path, training_options(*images, **changes))
    assert [path.name for path in (tmp_path / "experiments").iterdir()] == ["tiny"]
    assert [path.name for path in result.parent.iterdir()] == ["result"]


def test_network_whose_first_step_fails_is_found_before(
    images: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: DeblurModel) -> Any:
        raise ZeroDivisionError("in a network\nof somebody's")

    monkeypatch.setattr(DeblurModel, "supervised_images", fail)
    with pytest.raises(OptionError, match=r"Error: in a network of somebody's .*stopped.py, line \d+"):
        train_here(tmp_path, training_options(*images))
    assert not (tmp_path / "experiments").exists()


def test_state_under_the_name_of_another_iteration_is_refused(images: tuple[Path, Path], tmp_path: Path) -> None:
    options = training_options(*images)
    states = train_here(tmp_path, options) / "training_states"
    (states / "3.state").rename(states / "60.state")
    with pytest.raises(CheckpointError, match=r"60\.state: is of iteration 3; take a state under its own name"):
        train_here(tmp_path, changed(options, {"path__resume_state": str(states / "60.state")}))
