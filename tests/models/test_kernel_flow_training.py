"""Stage 1 of UFPNet: the flow prior learns simulated kernels in BasicSR's loop."""

import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from launch_helpers import REPOSITORY, changed, differences, load, write_options

from deeprftv2_arch.common.kernel_images import grey_kernel_sheet, sheets_side_by_side
from deeprftv2_arch.data.batch_samplers import KernelBatchSampler
from deeprftv2_arch.data.motion_kernel import MotionKernelSimulator
from deeprftv2_arch.data.motion_kernel_dataset import MotionKernelDataset
from deeprftv2_arch.errors import NonFiniteError, OptionError
from deeprftv2_arch.launch.arguments import Arguments
from deeprftv2_arch.launch.pipeline import run_training
from deeprftv2_arch.measuring.testing import run_testing
from deeprftv2_arch.models.kernel_flow_model import KernelFlowModel, mean_nll
from deeprftv2_arch.networks.kernel_flow import KernelFlow
from deeprftv2_arch.options.loading import load_options
from deeprftv2_arch.options.option_file import read_option_file

OPTION_FILE = REPOSITORY / "options" / "UFPNet_flow.yml"
SIMULATOR: dict[str, Any] = {"length": 3.0, "steps": 40, "anxiety": 0.1}


def flow_options(**changes: Any) -> dict[str, Any]:
    """Options of six steps with a small flow."""
    data = {"type": "MotionKernelDataset", "kernel_size": 7, "simulator": SIMULATOR}
    options = {
        "name": "tiny",
        "model_type": "KernelFlowModel",
        "num_gpu": 0,
        "manual_seed": 7,
        "datasets": {
            "train": {"name": "drawn", "kernels": 20, "batch_size_per_gpu": 8, "num_worker_per_gpu": 0, **data},
            "val": {"name": "held-out", "kernels": 70, **data},
        },
        "network_g": {"type": "KernelFlow", "kernel_size": 7, "blocks": 2, "hidden": 4},
        "path": {"pretrain_network_g": None, "resume_state": None},
        "train": {
            "total_iter": 6,
            "optim_g": {"type": "Adam", "lr": 1.0e-3},
            "scheduler": {"type": "MultiStepLR", "milestones": [4], "gamma": 0.5},
        },
        "val": {"val_freq": 3, "save_img": True},
        "logger": {"print_freq": 1, "save_checkpoint_freq": 3, "use_tb_logger": False},
    }
    return changed(options, changes)


def train_here(folder: Path, options: dict[str, Any], auto_resume: bool = False) -> Path:
    folder.mkdir(exist_ok=True)
    run_training(Arguments(write_options(folder / "run.yml", options), auto_resume=auto_resume), folder)
    return folder / "experiments" / options["name"]


def data_set(phase: str = "train", **options: Any) -> MotionKernelDataset:
    section = {"phase": phase, "kernels": 5, "kernel_size": 7, "simulator": SIMULATOR}
    return MotionKernelDataset(section | options)


def test_kernels_follow_from_seed_phase_and_number() -> None:
    section = data_set(seed=3)
    sequence = np.random.SeedSequence(3, spawn_key=(0, 2))
    expected = MotionKernelSimulator(7, **SIMULATOR).draw(5, np.random.default_rng(sequence))
    item = section[11]
    assert item["number"] == 11
    np.testing.assert_array_equal(item["kernel"].reshape(7, 7), expected[1])
    first = [section[number]["kernel"] for number in range(5)]
    for number in (4, 0, 13, 2):  # whatever was asked for before
        assert torch.equal(section[number]["kernel"], data_set(seed=3)[number]["kernel"])
    others = [data_set(seed=4), data_set("val", seed=3)]
    everything = torch.stack(first + [other[number]["kernel"] for other in others for number in range(5)])
    assert len(everything.unique(dim=0)) == 15


def test_every_pass_goes_through_the_pool_in_another_order() -> None:
    batches = list(KernelBatchSampler(12, False, 4, seed=0, total_iter=6))
    one, two = ([number for batch in part for number in batch] for part in (batches[:3], batches[3:]))
    assert sorted(one) == sorted(two) == list(range(12))
    assert one != two != list(range(12))
    resumed = KernelBatchSampler(12, False, 4, seed=0, start_iter=2, total_iter=6)
    assert list(resumed) == batches[2:]
    assert len(resumed) == 4
    shares = [list(KernelBatchSampler(12, False, 2, 0, rank, 2, total_iter=6)) for rank in range(2)]
    assert [a + b for a, b in zip(*shares, strict=True)] == batches
    assert list(KernelBatchSampler(12, False, 4, seed=1, total_iter=6)) != batches


def test_redrawing_goes_from_pool_to_pool() -> None:
    assert list(KernelBatchSampler(3, True, 2, seed=0, start_iter=1, total_iter=4)) == [[2, 3], [4, 5], [6, 7]]


def test_held_out_figure_is_the_mean_over_all_kernels() -> None:
    flow = KernelFlow(kernel_size=3, blocks=1, hidden=2).eval()
    kernels = torch.rand(1500, 9)
    noise = torch.Generator().manual_seed(0)
    expected = 0.0
    for part in (kernels[:1000], kernels[1000:]):
        codes, log_det = flow.encode(flow.to_logits(part, noise))
        density = torch.distributions.Normal(0.0, 1.0).log_prob(codes).sum(1)
        expected -= (density + log_det).sum().item() / 1500
    assert mean_nll(flow, kernels) == pytest.approx(expected, rel=1e-6)
    assert mean_nll(flow, kernels) == mean_nll(flow, kernels)


def test_training_lowers_the_figure_and_saves_what_stage_two_reads(tmp_path: Path) -> None:
    folder = train_here(tmp_path, flow_options(train__total_iter=60, val__val_freq=20, train__optim_g__lr=0.01))
    flow = KernelFlow(kernel_size=7, blocks=2, hidden=4).eval()
    held_out = data_set("val", kernels=70, seed=0).pool(0)
    torch.manual_seed(7)
    untrained = mean_nll(KernelFlow(kernel_size=7, blocks=2, hidden=4).eval(), held_out)
    flow.load_state_dict(load(folder / "models" / "net_g_latest.pth")["params"])
    trained = mean_nll(flow, held_out)
    assert trained < untrained - 20
    best = load(folder / "training_states" / "60.state")["best_metric_results"]["held-out"]["nll"]
    assert best == {"better": "lower", "val": pytest.approx(trained, rel=1e-6), "iter": 60}


def test_resumed_run_is_the_same_to_the_last_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = flow_options(datasets__train__redraw=True, train__ema_decay=0.9)
    whole = train_here(tmp_path / "whole", options)
    original = KernelFlowModel.optimize_parameters

    def optimise(self: KernelFlowModel, current_iter: int) -> None:
        if current_iter == 5:
            raise InterruptedError
        original(self, current_iter)

    with monkeypatch.context() as patch:
        patch.setattr(KernelFlowModel, "optimize_parameters", optimise)
        with pytest.raises(InterruptedError):
            train_here(tmp_path / "halves", options)
    torch.manual_seed(123)  # whatever a new process begins with
    halves = train_here(tmp_path / "halves", options, auto_resume=True)
    for name in ("models/net_g_6.pth", "training_states/6.state", "models/net_g_latest.pth"):
        assert differences(load(whole / name), load(halves / name)) == [], name


def test_a_trained_prior_is_measured_and_drawn_by_the_test_launcher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = train_here(tmp_path, flow_options(val=None))
    options = flow_options(path__pretrain_network_g=str(folder / "models" / "net_g_latest.pth"), val={"save_img": True})
    del options["train"], options["logger"], options["datasets"]["train"]
    logged = []
    monkeypatch.setattr(
        KernelFlowModel, "_log_validation_metric_values", lambda self, *_: logged.append(self.metric_results)
    )
    run_testing(Arguments(write_options(tmp_path / "test.yml", options)), tmp_path)
    (image,) = (tmp_path / "results").rglob("*.png")
    flow = KernelFlow(kernel_size=7, blocks=2, hidden=4).eval()
    flow.load_state_dict(load(folder / "models" / "net_g_latest.pth")["params"])
    held_out = data_set("val", kernels=70, seed=0).pool(0)
    assert logged == [{"nll": mean_nll(flow, held_out)}]
    drawn = grey_kernel_sheet(flow.sample(64, torch.Generator().manual_seed(0)).numpy())
    simulated = grey_kernel_sheet(held_out[:64].reshape(64, 7, 7).numpy())
    np.testing.assert_array_equal(cv2.imread(str(image), 0), sheets_side_by_side([drawn, simulated]))


def test_a_step_that_is_not_finite_names_its_kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KernelFlow, "forward", lambda self, x: next(self.parameters()).sum() * x.sum(1) * math.nan)
    with pytest.raises(NonFiniteError, match=r"nll is nan.*; kernels: \d+, \d+.*look at the kernels"):
        train_here(tmp_path, flow_options(val=None))


def test_option_file_is_the_documented_recipe(tmp_path: Path) -> None:
    load_options(Arguments(OPTION_FILE), tmp_path, is_train=True)
    opt = read_option_file(OPTION_FILE)
    data, train = opt["datasets"]["train"], opt["train"]
    assert data["kernels"] == 500 * data["batch_size_per_gpu"]
    assert train["total_iter"] == 63 * 500
    assert [step / 500 for step in train["scheduler"]["milestones"]] == [40, 50, 60, 70, 80, 90]
    adam = {"type": "Adam", "lr": 1e-4, "weight_decay": 1e-6, "betas": [0.9, 0.999], "fused": True}
    assert train["optim_g"] == adam
    assert MotionKernelSimulator(data["kernel_size"], **data["simulator"]) == MotionKernelSimulator()
    arguments = {name: value for name, value in opt["network_g"].items() if name != "type"}
    count = sum(value.numel() for value in KernelFlow(**arguments).parameters())
    assert f"({count:,} parameters)" in OPTION_FILE.read_text(encoding="utf-8")
    lines = [line for line in OPTION_FILE.read_text(encoding="utf-8").splitlines() if line and line[0] != "#"]
    assert lines[0] == "plugin: !!python/name:deeprftv2_arch.__version__"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network_g__kernel_size": 9}, "datasets: train: kernel_size: 7, but network_g: kernel_size: 9"),
        ({"datasets__val__kernel_size": 5}, "datasets: val: kernel_size: 5, but network_g: kernel_size: 7"),
        (
            {f"{section}__kernel_size": 8 for section in ("network_g", "datasets__train", "datasets__val")},
            "network_g: kernel_size: expected an odd number, not 8",
        ),
        ({"datasets__train__batch_size_per_gpu": 1}, "batch_size_per_gpu: expected a whole number from 2 on"),
        ({"datasets__train__kernels": 0}, "kernels: expected a whole number from 1 on, not 0"),
        ({"datasets__train__simulator": {"lenght": 3.0}}, "unknown key 'lenght'; did you mean 'length'"),
        ({"datasets__train__simulator": {"length": 4.0}}, "at most kernel_size - 4 = 3"),
        ({"network_g": {"type": "Identity"}}, "network_g: type: expected KernelFlow, not Identity"),
        ({"val__metrics": {}}, "val: unknown key 'metrics'"),
        ({"train__losses": {}}, "train: unknown key 'losses'"),
        ({"datasets__val__type": "DeblurPairDataset"}, "val: unknown key 'kernels'"),
    ],
)
def test_mistakes_in_the_options_are_named(tmp_path: Path, changes: Any, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        train_here(tmp_path, flow_options(**changes))
    assert not (tmp_path / "experiments").exists()
