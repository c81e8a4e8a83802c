"""A network small enough to check by hand, options for it, and batches."""

import copy
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn

import deeprftv2_arch  # noqa: F401  (registers the model)
from deeprftv2_arch.models.deblur_model import DeblurModel

TINY_DEEPRFTV2 = {
    "type": "DeepRFTv2",
    "dim": 8,
    "units": 2,
    "blocks": [1, 1, 1],
    "full_kinds": ["NAF", "NAF", "NAF"],
    "half_kinds": ["NAF", "NAF", "NAF"],
    "fke_blocks": [1],
    "fke_kind": "VS",
}


class TwoScaleConvolutions(nn.Module):
    """Restores twice at full and once at half resolution, as the interface of DeepRFTv2 asks; counts its steps."""

    steps: Tensor
    mean: Tensor

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.second = nn.Conv2d(width, 3, 3, padding=1)
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        self.register_buffer("mean", torch.zeros(3))

    @property
    def supervised_scales(self) -> tuple[str, ...]:
        return ("full", "half")

    def forward(self, x: Tensor, supervise: bool = False) -> Tensor | dict[str, list[Tensor]]:
        restored: Tensor = self.second(torch.tanh(self.first(x)))
        if not supervise:
            return x + restored
        with torch.no_grad():
            self.steps += 1
            self.mean.copy_(x.mean(dim=(0, 2, 3)))
        half = nn.functional.avg_pool2d(restored, 2)
        return {"full": [restored, x + restored], "half": [half]}


if TwoScaleConvolutions.__name__ not in ARCH_REGISTRY:
    ARCH_REGISTRY.register(TwoScaleConvolutions)


def model_options(root: Path, train: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """Return the options of a training run in `root`, complete as BasicSR's parser leaves them."""
    paths = {name: str(root / name) for name in ("models", "training_states", "visualization")}
    for path in paths.values():
        Path(path).mkdir(parents=True, exist_ok=True)
    return {
        "name": "test",
        "model_type": "DeblurModel",
        "num_gpu": 0,
        "dist": False,
        "rank": 0,
        "world_size": 1,
        "is_train": True,
        "network_g": {"type": "TwoScaleConvolutions"},
        "path": {**paths, "pretrain_network_g": None},
        "datasets": {"train": {"patch_stages": [{"iters": 9, "patch_size": 16, "batch_size": 2}]}},
        "train": {
            "total_iter": 10,
            "optim_g": {"type": "AdamW", "lr": 1e-2, "weight_decay": 1e-3, "betas": [0.9, 0.9]},
            "scheduler": {"type": "CosineAnnealingLR", "T_max": 10, "eta_min": 1e-7},
            "losses": {
                "l1": {"type": "L1Loss", "loss_weight": 1.0},
                "frequency": {"type": "FrequencyLoss", "loss_weight": 0.01},
            },
            "scale_weights": {"full": 1.0, "half": 0.5},
            "clip_grad_norm": 0.01,
            **(train or {}),
        },
        "val": {"save_img": False, "pbar": False, "metrics": {"psnr": {"type": "calculate_psnr", "crop_border": 0}}},
        "logger": {},
        **more,
    }


def build(root: Path, train: dict[str, Any] | None = None, **more: Any) -> DeblurModel:
    """Build a model with the same weights every time."""
    torch.manual_seed(0)
    return DeblurModel(model_options(root, train, **more))


def batch(number: int, count: int = 2, size: int = 16, dtype: torch.dtype = torch.float32) -> dict[str, Any]:
    """Return the batch of an iteration."""
    generator = torch.Generator().manual_seed(number)
    lq, gt = torch.rand(2, count, 3, size, size, generator=generator, dtype=dtype)
    names = [f"{number}/{index}.png" for index in range(count)]
    return {"lq": lq, "gt": gt, "lq_path": names, "gt_path": names, "scheduled": torch.ones(count, dtype=torch.bool)}


def train(model: DeblurModel, iterations: Sequence[int], **settings: Any) -> list[dict[str, float]]:
    """Do what BasicSR's loop does in these iterations; return what it would log."""
    logs = []
    for iteration in iterations:
        model.update_learning_rate(iteration, warmup_iter=model.opt["train"].get("warmup_iter", -1))
        model.feed_data(batch(iteration, **settings))
        model.optimize_parameters(iteration)
        logs.append({**model.get_current_log(), "lr": model.get_current_learning_rate()[0]})
    return logs


@contextmanager
def logged() -> Iterator[list[str]]:
    """Collect what BasicSR's logger writes."""
    messages: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("basicsr").addHandler(handler)
    try:
        yield messages
    finally:
        logging.getLogger("basicsr").removeHandler(handler)


def weights(model: DeblurModel) -> dict[str, Tensor]:
    """Return a copy of the network's parameters and buffers."""
    return copy.deepcopy(dict(model.get_bare_model(model.net_g).state_dict()))


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Tell whether two networks are equal to the last bit."""
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())
