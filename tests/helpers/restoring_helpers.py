"""Networks whose results are known, checkpoints of tiny ones, and images of every kind."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from deeprftv2_arch.__main__ import main
from deeprftv2_arch.networks.atd import ATD
from deeprftv2_arch.networks.deeprftv2 import DeepRFTv2

TINY_DEBLURRING: dict[str, Any] = {"dim": 4, "units": 1, "blocks": (1, 1, 1), "full_kinds": ("NAF", "NAF", "NAF")}
TINY_ATD: dict[str, Any] = {
    "upscale": 2,
    "embed_dim": 8,
    "depths": (1,),
    "num_heads": (2,),
    "window_size": 8,
    "category_size": 128,
    "num_tokens": 4,
    "reducted_dim": 2,
    "convffn_kernel_size": 3,
}


class Enlarging(nn.Module):
    """Repeats every pixel, `upscale` times in both directions; 1 returns the image itself."""

    def __init__(self, upscale: int) -> None:
        super().__init__()
        self.upscale = upscale

    def forward(self, x: Tensor) -> Tensor:
        return x.repeat_interleave(self.upscale, dim=2).repeat_interleave(self.upscale, dim=3)


class ShortSighted(nn.Module):
    """Three convolutions, whose receptive field is seven pixels, and something that is not linear."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1),
            nn.Tanh(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.Conv2d(width, 3, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        residual: Tensor = self.layers(x)
        return x + 0.1 * residual


def save_identity(path: Path) -> Path:
    """Save a tiny DeepRFTv2 that returns its input: it adds what its heads make of the features, here nothing."""
    state = DeepRFTv2(**TINY_DEBLURRING).state_dict()
    for name, value in state.items():
        if "_head." in name and "kernel_head" not in name:
            value.zero_()
    torch.save({"params": state}, path)
    return path


def save_atd(path: Path, fke: bool) -> Path:
    torch.save({"params_ema": ATD(**TINY_ATD, fke=fke).state_dict()}, path)
    return path


def noise(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    """Return an image of random values over the whole range of the type."""
    values = np.random.default_rng(0).random(shape, np.float32)
    scaled = values if np.issubdtype(dtype, np.floating) else (values * np.iinfo(dtype).max).round()
    return scaled.astype(dtype)


def run_command(*words: object) -> int:
    """Run `python -m deeprftv2_arch` with these words in this process; return its exit code."""
    arguments, sys.argv = sys.argv, ["deeprftv2_arch", *map(str, words)]
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        sys.argv = arguments
    return 0
