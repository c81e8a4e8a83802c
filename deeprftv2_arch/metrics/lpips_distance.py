"""Learned perceptual image patch similarity (Zhang et al., 2018), by the authors' package ``lpips``."""

import pickle
import socket
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from deeprftv2_arch.common.images import AnyImage, FloatImage
from deeprftv2_arch.errors import MetricUnavailableError
from deeprftv2_arch.metrics.comparable import comparable

SMALLEST = 31  # below, AlexNet's poolings leave nothing
PATIENCE = 20  # seconds without an answer, after which weights count as not to be had


def calculate_lpips(img: AnyImage, img2: AnyImage, crop_border: int = 0, **_: Any) -> float:
    """Return the distance of two images in the features of AlexNet; 0 where they are equal.

    The first call loads the network, see :func:`lpips_network`.

    Args:
        img: (H, W, 3) BGR: uint8, uint16, or floats in 0..1.
        img2: Of the same shape.
        crop_border: How many pixels to leave out at each edge.

    Raises:
        DataError: The images cannot be compared.
        MetricUnavailableError: The package or its weights are not available.
    """
    restored, sharp = comparable(img, img2, crop_border, smallest=SMALLEST)
    network = lpips_network()
    with torch.no_grad():
        return float(network(_as_input(restored), _as_input(sharp)))


def lpips_network() -> nn.Module:
    """Return the network that compares images (1, 3, H, W) RGB in -1..1.

    The first call loads it; where that needs a download that fails, no later call tries again.

    Raises:
        MetricUnavailableError: The package or its weights are not available; says what to do.
    """
    loaded = _load_once()
    if isinstance(loaded, str):
        raise MetricUnavailableError(loaded)
    return loaded


@cache
def _load_once() -> nn.Module | str:
    """Return the network, or why there is none."""
    try:
        import lpips
    except (ImportError, OSError) as error:  # the latter where a library of torchvision's does not load
        return f"LPIPS needs the package lpips, which cannot be imported ({_line(error)}); pip install lpips"
    try:
        with _patience(), warnings.catch_warnings(), redirect_stdout(sys.stderr):
            warnings.simplefilter("ignore")  # lpips calls torchvision by arguments that it deprecates
            network: nn.Module = lpips.LPIPS(net="alex", verbose=False)
            return network
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        return (
            f"LPIPS needs torchvision's weights of AlexNet, which cannot be loaded ({_line(error)}); put the file "
            f"alexnet-owt-7be5be79.pth from https://download.pytorch.org/models into {folder}"
        )


@contextmanager
def _patience() -> Iterator[None]:
    """Let connections that are made inside fail after a while; torch.hub itself would wait for minutes."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _as_input(image: FloatImage) -> Tensor:
    """Turn BGR in 0..1 into RGB in -1..1, (1, 3, H, W) of float32."""
    rgb = image[..., ::-1].transpose(2, 0, 1)[None]
    return torch.from_numpy(np.ascontiguousarray(2 * rgb - 1, dtype=np.float32))


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
