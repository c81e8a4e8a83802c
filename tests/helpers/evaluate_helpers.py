"""Small test sets whose figures are known by hand, and evaluations of them in this process."""

import csv
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from basicsr.archs import build_network
from launch_helpers import TINY_NETWORK, data_section, evaluation_options, write_options

from deeprftv2_arch.launch.arguments import Arguments
from deeprftv2_arch.measuring.evaluation import Request, evaluate

IDENTITY = {"type": "Identity"}
SHIFTED = "units.0.full_scale.deblurred_head.bias"  # added to the input where all other weights are zero


def write_flat(folder: Path, levels: Mapping[str, tuple[int, int]], size: int = 16, border: int = 0) -> Path:
    """Write grey images of one level each, (blurred, sharp), the sharp ones with a black border."""
    for side in ("blur", "sharp"):
        (folder / side).mkdir(parents=True)
    for name, (blurred, sharp) in levels.items():
        image = np.zeros((size, size, 3), np.uint8)
        image[border : size - border, border : size - border] = sharp
        cv2.imwrite(str(folder / "blur" / f"{name}.png"), np.full((size, size, 3), blurred, np.uint8))
        cv2.imwrite(str(folder / "sharp" / f"{name}.png"), image)
    return folder


def flat_psnr(difference: float) -> float:
    """PSNR of two levels out of 255."""
    return 20 * math.log10(255 / difference)


def flat_ssim(one: float, other: float) -> float:
    """SSIM of two levels out of 255, which have no variance, whatever the window."""
    c1 = (0.01 * 255) ** 2
    return (2 * one * other + c1) / (one * one + other * other + c1)


def write_shift(path: Path, levels: float) -> Path:
    """Save weights with which the tiny network adds so many of 255 levels to its input."""
    state = {name: torch.zeros_like(value) for name, value in build_network(TINY_NETWORK).state_dict().items()}
    state[SHIFTED] += levels / 255
    torch.save({"params": state}, path)
    return path


def options_of(
    folder: Path, name: str, protocol: str | None, weights: Path | None = None, **changes: Any
) -> dict[str, Any]:
    """Return options that measure a test set called `name`; the images themselves where there are no weights."""
    sections: dict[str, Any] = {"datasets": {"test": data_section(folder, name=name)}, "protocol": protocol}
    if weights is None:
        sections["network_g"] = IDENTITY
    return evaluation_options(folder, weights, **(sections | changes))


def evaluated(folder: Path, options: dict[str, Any], **request: Any) -> str:
    """Evaluate in this process with a folder as the working directory, and return what is printed."""
    file = write_options(folder / "evaluate.yml", options)
    return "".join(evaluate(Request(Arguments(file), **({"workers": 0} | request)), folder))


def results(folder: Path, stem: str, name: str = "tiny_test") -> tuple[dict[str, Any], list[dict[str, str]], str]:
    """Return the JSON, the lines of the CSV and the Markdown of an evaluation."""
    path = folder / "results" / name / "evaluation" / stem
    content = json.loads(path.with_suffix(".json").read_text())
    return content, read_csv(path.with_suffix(".csv")), path.with_suffix(".md").read_text()


def read_csv(path: Path) -> list[dict[str, str]]:
    """Return the lines of a CSV."""
    return list(csv.DictReader(path.read_text().splitlines()))
