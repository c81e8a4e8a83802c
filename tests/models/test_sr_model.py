"""SuperResolutionModel: its steps by hand, and ATD with Fourier Kernel Estimators trained through the launcher."""

import copy
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from basicsr.archs import build_network
from deblur_model_helpers import model_options
from launch_helpers import changed, differences, load, run, write_options
from torch.nn import functional
from torch.optim import AdamW

from deeprftv2_arch.common.imresize import imresize
from deeprftv2_arch.errors import CheckpointError
from deeprftv2_arch.launch.arguments import Arguments
from deeprftv2_arch.launch.pipeline import run_training
from deeprftv2_arch.measuring.testing import run_testing
from deeprftv2_arch.models.super_resolution_model import SuperResolutionModel

NARROW_ATD: dict[str, Any] = {
    "type": "ATD",
    "embed_dim": 16,
    "depths": [2, 2],
    "num_heads": [2, 2],
    "window_size": 8,
    "num_tokens": 16,
    "category_size": 32,
    "reducted_dim": 4,
    "fke": True,
}
UPSAMPLER = "upsample."


class StoppedError(Exception):
    """Stands for a power cut."""


def build(root: Path, network: dict[str, Any], train: dict[str, Any], **more: Any) -> SuperResolutionModel:
    """Build a model with the same weights every time."""
    torch.manual_seed(0)
    return SuperResolutionModel(model_options(root, train, network_g=network, **more))


def batch(seed: int, scale: int = 2) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(seed)
    lq = torch.rand(2, 3, 8, 8, generator=generator)
    gt = torch.rand(2, 3, 8 * scale, 8 * scale, generator=generator)
    return {"lq": lq, "gt": gt, "lq_path": ["a", "b"], "scheduled": torch.ones(2, dtype=torch.bool)}


def test_steps_are_those_of_a_plain_loop(tmp_path: Path) -> None:
    """AdamW on the weighted sum of the terms, with a clipped gradient and an averaged network."""
    network = {"type": "MSRResNet", "num_feat": 4, "num_block": 1, "upscale": 2}
    settings = {
        "losses": {"l1": {"type": "L1Loss", "loss_weight": 0.7}, "square": {"type": "MSELoss", "loss_weight": 2.0}},
        "optim_g": {"type": "AdamW", "lr": 1e-2, "weight_decay": 0.1, "betas": [0.9, 0.9]},
        "scheduler": {"type": "MultiStepLR", "milestones": [3], "gamma": 0.5},
        "clip_grad_norm": 0.05,
        "ema_decay": 0.9,
    }
    model = build(tmp_path, network, settings)
    net = copy.deepcopy(model.net_g)
    average = copy.deepcopy(net)
    optimizer = AdamW(net.parameters(), 1e-2, weight_decay=0.1, betas=(0.9, 0.9))
    for iteration in range(1, 5):
        model.update_learning_rate(iteration)
        model.feed_data(batch(iteration))
        model.optimize_parameters(iteration)

        data = batch(iteration)
        if iteration == 4:
            optimizer.param_groups[0]["lr"] = 5e-3
        optimizer.zero_grad()
        restored = net(data["lq"])
        l1, square = (restored - data["gt"]).abs().mean() * 0.7, (restored - data["gt"]).square().mean() * 2
        (l1 + square).backward()
        norm = torch.sqrt(sum((p.grad**2).sum() for p in net.parameters()))
        for parameter in net.parameters():
            parameter.grad *= min(1, 0.05 / (norm.item() + 1e-6))
        optimizer.step()
        with torch.no_grad():
            for mean, parameter in zip(average.parameters(), net.parameters(), strict=True):
                mean.copy_(0.9 * mean + 0.1 * parameter)

        assert list(model.log_dict) == ["l1", "square", "grad_norm"]
        assert list(model.log_dict.values()) == pytest.approx([l1.item(), square.item(), norm.item()], rel=1e-4)
    for expected, found in ((net, model.net_g), (average, model.net_g_ema)):
        for one, other in zip(expected.parameters(), found.parameters(), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_warm_up_then_steps(tmp_path: Path) -> None:
    settings = {
        "optim_g": {"type": "AdamW", "lr": 0.8},
        "scheduler": {"type": "MultiStepLR", "milestones": [6, 8], "gamma": 0.5},
        "warmup_iter": 4,
    }
    model = build(tmp_path, {"type": "MSRResNet", "num_feat": 4, "num_block": 1, "upscale": 2}, settings)
    found = []
    for iteration in range(1, 11):
        model.update_learning_rate(iteration, warmup_iter=4)
        model.optimizer_g.step()
        found.append(model.get_current_learning_rate()[0])
    # k/4 of 0.8 at iteration k < 4. After every milestone BasicSR halves what it finds: 3/4 of 0.8 here, 0.99995 of the
    # full value after a warm-up of 20,000 iterations.
    assert found == pytest.approx([0.2, 0.4, 0.6, 0.6, 0.6, 0.6, 0.3, 0.3, 0.15, 0.15])


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> dict[str, Any]:
    """Options of a data set at x2: the real Set5 where it lies beside the checkout, else textures."""
    real = shared_data / "Set5"
    section = {"name": "images", "type": "SuperResolutionPairDataset", "io_backend": {"type": "disk"}}
    if real.is_dir():
        low, high = real / "LR_bicubic" / "X2", real / "HR"
        return section | {"dataroot_lq": str(low), "dataroot_gt": str(high), "filename_tmpl": "{}x2"}
    root = tmp_path_factory.mktemp("textures")
    generator = np.random.default_rng(0)
    for side in ("LR", "HR"):
        (root / side).mkdir()
    for number in range(4):
        coarse = generator.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        image = cv2.resize(coarse, (96, 96), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(root / "HR" / f"{number}.png"), image)
        cv2.imwrite(str(root / "LR" / f"{number}.png"), imresize(image, (48, 48)))
    return section | {"dataroot_lq": str(root / "LR"), "dataroot_gt": str(root / "HR")}


def training_options(images: dict[str, Any], iterations: int = 6, **changes: Any) -> dict[str, Any]:
    stages = [{"iters": iterations, "patch_size": 16, "batch_size": 4}]
    options = {
        "name": "narrow",
        "model_type": "SuperResolutionModel",
        "scale": 2,
        "num_gpu": 0,
        "manual_seed": 7,
        "datasets": {"train": {**images, "patch_stages": stages, "batch_size_per_gpu": 4, "num_worker_per_gpu": 0}},
        "network_g": {**NARROW_ATD, "upscale": 2},
        "path": {"pretrain_network_g": None, "resume_state": None},
        "train": {
            "total_iter": iterations,
            "warmup_iter": 3,
            "optim_g": {"type": "AdamW", "lr": 2.0e-3, "weight_decay": 0, "betas": [0.9, 0.9]},
            "scheduler": {"type": "MultiStepLR", "milestones": [iterations - 2], "gamma": 0.5},
            "losses": {"l1": {"type": "L1Loss", "loss_weight": 1.0, "reduction": "mean"}},
            "clip_grad_norm": 0.01,
            "ema_decay": 0.9,
        },
        "logger": {"print_freq": 1, "save_checkpoint_freq": 3, "use_tb_logger": False},
    }
    return changed(options, changes)


def train_here(folder: Path, options: dict[str, Any], auto_resume: bool = False) -> Path:
    """Train in this process; return the run's folder."""
    folder.mkdir(exist_ok=True)
    run_training(Arguments(write_options(folder / "run.yml", options), auto_resume=auto_resume), folder)
    return folder / "experiments" / options["name"]


@pytest.fixture(scope="module")
def short_run(images: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run of six iterations at x2."""
    return train_here(tmp_path_factory.mktemp("short"), training_options(images))


@pytest.mark.slow
def test_loss_falls(images: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    losses: list[float] = []
    original = SuperResolutionModel.optimize_parameters

    def optimise(self: SuperResolutionModel, current_iter: int) -> None:
        original(self, current_iter)
        losses.append(self.log_dict["l1"])

    monkeypatch.setattr(SuperResolutionModel, "optimize_parameters", optimise)
    folder = train_here(tmp_path, training_options(images, iterations=40))
    assert len(losses) == 40
    assert np.mean(losses[-8:]) < 0.5 * np.mean(losses[:4])

    weights = load(folder / "models" / "net_g_39.pth")
    assert weights.keys() == {"params", "params_ema"}
    # The average is behind the weights: nearer to those of ten iterations ago than the weights are.
    earlier = load(folder / "models" / "net_g_30.pth")["params"]
    name = "conv_first.weight"
    distances = [(weights[key][name] - earlier[name]).norm() for key in ("params", "params_ema")]
    assert 0 < distances[1] < distances[0]


@pytest.mark.slow
def test_resumed_run_is_the_same_to_the_last_bit(
    images: dict[str, Any], short_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = SuperResolutionModel.optimize_parameters

    def optimise(self: SuperResolutionModel, current_iter: int) -> None:
        if current_iter == 5:
            raise StoppedError
        original(self, current_iter)

    with monkeypatch.context() as patch:
        patch.setattr(SuperResolutionModel, "optimize_parameters", optimise)
        with pytest.raises(StoppedError):
            train_here(tmp_path, training_options(images))
    torch.manual_seed(123)  # whatever a new process begins with
    folder = train_here(tmp_path, training_options(images), auto_resume=True)
    for name in ("models/net_g_6.pth", "training_states/6.state", "models/net_g_latest.pth"):
        assert differences(load(short_run / name), load(folder / name)) == [], name
    assert differences(load(folder / "models/net_g_3.pth"), load(folder / "models/net_g_6.pth")) != []


@pytest.mark.slow
def test_two_processes_train_as_one(images: dict[str, Any], short_run: Path, tmp_path: Path) -> None:
    options = write_options(tmp_path / "run.yml", training_options(images))
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")
    code, output = run(*torchrun, "-m", "deeprftv2_arch.train", "-opt", options, cwd=tmp_path)
    assert code == 0, output
    ends = [load(root / "models" / "net_g_6.pth") for root in (short_run, tmp_path / "experiments" / "narrow")]
    start = load(short_run / "models" / "net_g_3.pth")["params"]
    for key in ("params", "params_ema"):
        apart, way = (
            torch.cat([(one[key][name] - other[name]).double().flatten() for name in other]).norm()
            for one, other in ((ends[0], ends[1][key]), (ends[0], start))
        )
        assert apart < 1e-3 * way


def test_x4_starts_from_all_of_x2_but_the_upsampler(short_run: Path, tmp_path: Path) -> None:
    file = short_run / "models" / "net_g_6.pth"
    x2 = load(file)
    settings = {"ema_decay": 0.9}
    network = {**NARROW_ATD, "upscale": 4}
    fresh = build(tmp_path, network, settings).net_g.state_dict()
    paths = model_options(tmp_path)["path"] | {"pretrain_network_g": str(file), "strict_load_g": False}
    model = build(tmp_path, network, settings, path=paths)
    for net, key in ((model.net_g, "params"), (model.net_g_ema, "params_ema")):
        found = net.state_dict()
        assert {name for name in found if name.startswith(UPSAMPLER)} == {"upsample.0.weight", "upsample.0.bias"}
        for name, value in found.items():
            assert torch.equal(value, (fresh if name.startswith(UPSAMPLER) else x2[key])[name]), name
    assert differences(x2["params"], x2["params_ema"]) != []


def test_weights_of_another_scale_are_refused(images: dict[str, Any], short_run: Path, tmp_path: Path) -> None:
    (tmp_path / "experiments" / "narrow").mkdir(parents=True)
    weights = str(short_run / "models" / "net_g_6.pth")
    options = training_options(images, path__pretrain_network_g=weights, scale=4, network_g__upscale=4)
    low, high = tmp_path / "LR", tmp_path / "HR"
    for folder, size in ((low, 16), (high, 64)):
        folder.mkdir()
        cv2.imwrite(str(folder / "a.png"), np.zeros((size, size, 3), np.uint8))
    options["datasets"]["train"] |= {"dataroot_lq": str(low), "dataroot_gt": str(high), "filename_tmpl": "{}"}
    with pytest.raises(
        CheckpointError, match=r"net_g_6\.pth: does not fit .* x2 .*upscale 2 instead of 4.*upsample\.0\.weight"
    ) as caught:
        train_here(tmp_path, options)
    assert "\n" not in str(caught.value)
    assert [path.name for path in (tmp_path / "experiments").iterdir()] == ["narrow"]

    section = {key: options["datasets"]["train"][key] for key in ("name", "type", "io_backend", "dataroot_lq")}
    test_options = {
        **{key: options[key] for key in ("name", "model_type", "scale", "num_gpu", "network_g")},
        "datasets": {"test": {**section, "dataroot_gt": str(high)}},
        "path": {"pretrain_network_g": weights},
        "val": {"save_img": False},
    }
    with pytest.raises(CheckpointError, match="does not fit"):
        run_testing(Arguments(write_options(tmp_path / "test.yml", test_options)), tmp_path)
    assert not (tmp_path / "results").exists()


def test_loss_compares_in_float32_under_autocast(tmp_path: Path) -> None:
    network = {"type": "MSRResNet", "num_feat": 4, "num_block": 1, "upscale": 2}
    model = build(tmp_path, network, {"amp": "bf16", "losses": {"l1": {"type": "L1Loss"}}})
    data = batch(1)
    model.feed_data(data)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        restored = build_network_like(model)(data["lq"])
    model.optimize_parameters(1)
    expected = functional.l1_loss(restored.float(), data["gt"]).item()
    assert model.log_dict["l1"] == pytest.approx(expected, rel=1e-6)


def build_network_like(model: SuperResolutionModel) -> torch.nn.Module:
    """Return a network with a model's weights."""
    net = build_network(model.opt["network_g"])
    net.load_state_dict(model.net_g.state_dict())
    return net
