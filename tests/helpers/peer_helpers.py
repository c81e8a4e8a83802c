"""Networks of other projects, narrow ones, as spandrel builds them, and a set of images for super-resolution."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from basicsr.archs import build_network
from launch_helpers import TINY_NETWORK
from torch import nn


def nafnet() -> nn.Module:
    from spandrel.architectures.NAFNet import NAFNet

    network: nn.Module = NAFNet(width=8, middle_blk_num=1, enc_blk_nums=[1, 1], dec_blk_nums=[1, 1])
    return network


def fftformer() -> nn.Module:
    from spandrel.architectures.FFTformer import FFTformer

    network: nn.Module = FFTformer(dim=8, num_blocks=[1, 1, 1], num_refinement_blocks=1, ffn_expansion_factor=2)
    return network


def uformer() -> nn.Module:
    from spandrel.architectures.Uformer import Uformer

    network: nn.Module = Uformer(img_size=128, embed_dim=4, depths=[1] * 9, num_heads=[1] * 9, modulator=True)
    return network


def swinir() -> nn.Module:
    from spandrel.architectures.SwinIR import SwinIR

    network: nn.Module = SwinIR(
        img_size=16, embed_dim=12, depths=[2], num_heads=[2], window_size=8, upscale=2, upsampler="pixelshuffledirect"
    )
    return network


def hat() -> nn.Module:
    from spandrel.architectures.HAT import HAT

    network: nn.Module = HAT(
        img_size=16,
        embed_dim=12,
        depths=[1],
        num_heads=[2],
        window_size=8,
        upscale=2,
        upsampler="pixelshuffle",
        compress_ratio=3,
        squeeze_factor=3,
    )
    return network


def esrgan() -> nn.Module:
    from spandrel.architectures.ESRGAN.__arch.RRDB import RRDBNet

    network: nn.Module = RRDBNet(num_filters=8, num_blocks=1, scale=4)
    return network


def ours() -> nn.Module:
    network: nn.Module = build_network(TINY_NETWORK)
    return network


def save(build: Callable[[], nn.Module], path: Path) -> Path:
    torch.manual_seed(0)
    torch.save({"params": build().state_dict()}, path)
    return path


def write_set5(folder: Path, scales: tuple[int, ...], names: str = "abcde") -> Path:
    """Write a Set5 of small images as it circulates: HR, and LR_bicubic/X2 with names that end in x2."""
    generator = np.random.default_rng(0)
    for name in names:
        truth = cv2.resize(generator.integers(0, 256, (7, 9, 3), np.uint8), (48, 36), interpolation=cv2.INTER_CUBIC)
        (folder / "HR").mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / "HR" / f"{name}.png"), truth)
        for scale in scales:
            low = folder / "LR_bicubic" / f"X{scale}"
            low.mkdir(parents=True, exist_ok=True)
            image = cv2.resize(truth, (48 // scale, 36 // scale), interpolation=cv2.INTER_AREA)
            cv2.imwrite(str(low / f"{name}x{scale}.png"), image)
    return folder
