"""A small data set, a small option file and processes that use them."""

import copy
import io
import logging
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
PLUGIN_LINE = "plugin: !!python/name:deeprftv2_arch.__version__\n"
TINY_NETWORK: dict[str, Any] = {
    "type": "DeepRFTv2",
    "dim": 8,
    "units": 1,
    "blocks": [1, 1, 1],
    "full_kinds": ["NAF", "NAF", "NAF"],
    "half_kinds": ["NAF", "NAF", "NAF"],
    "fke_blocks": [1],
    "fke_kind": "NAF",
}


def write_images(folder: Path, count: int = 6, size: int = 48) -> None:
    """Write `count` smooth random images to `sharp/` and smoothed ones to `blur/`."""
    generator = np.random.default_rng(0)
    for side in ("sharp", "blur"):
        (folder / side).mkdir(parents=True)
    for number in range(count):
        noise = generator.integers(0, 256, (size // 4, size // 4, 3), dtype=np.uint8)
        sharp = cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / "sharp" / f"{number:03d}.png"), sharp)
        cv2.imwrite(str(folder / "blur" / f"{number:03d}.png"), cv2.blur(sharp, (7, 3)))


def data_section(folder: Path, **more: Any) -> dict[str, Any]:
    """Return the entry of a data set that `write_images` has made."""
    return {
        "name": folder.name,
        "type": "DeblurPairDataset",
        "dataroot_gt": str(folder / "sharp"),
        "dataroot_lq": str(folder / "blur"),
        "io_backend": {"type": "disk"},
        **more,
    }


def training_options(train: Path, val: Path, /, **changes: Any) -> dict[str, Any]:
    """Return options of six steps: four with batch 4 on 16x16 patches, then two with batch 2 on 32x32 patches.

    Args:
        train: Folder of the training images.
        val: Folder of the images for validation.
        changes: Values by keys with two underscores for every level: `train__ema_decay=0.9`.
    """
    options = {
        "name": "tiny",
        "model_type": "DeblurModel",
        "scale": 1,
        "num_gpu": 0,
        "manual_seed": 7,
        "datasets": {
            "train": data_section(
                train,
                patch_stages=[
                    {"iters": 4, "patch_size": 16, "batch_size": 4},
                    {"iters": 2, "patch_size": 32, "batch_size": 2},
                ],
                batch_size_per_gpu=4,
                num_worker_per_gpu=0,
            ),
            "val": data_section(val),
        },
        "network_g": TINY_NETWORK,
        "path": {"pretrain_network_g": None, "resume_state": None},
        "train": {
            "total_iter": 6,
            "optim_g": {"type": "AdamW", "lr": 1.0e-3, "weight_decay": 1.0e-3, "betas": [0.9, 0.9]},
            "scheduler": {"type": "CosineAnnealingLR", "T_max": 6, "eta_min": 1.0e-7},
            "losses": {
                "l1": {"type": "L1Loss", "loss_weight": 1.0, "reduction": "mean"},
                "frequency": {"type": "FrequencyLoss", "loss_weight": 0.01},
            },
            "clip_grad_norm": 0.01,
        },
        "val": {
            "val_freq": 2,
            "save_img": False,
            "metrics": {"psnr": {"type": "calculate_psnr", "crop_border": 0, "better": "higher"}},
        },
        "logger": {"print_freq": 1, "save_checkpoint_freq": 3, "use_tb_logger": False},
    }
    return changed(options, changes)


def evaluation_options(test: Path, weights: Path | None, /, **changes: Any) -> dict[str, Any]:
    """Return options that measure the tiny network on a folder of images."""
    options = {
        "name": "tiny_test",
        "model_type": "DeblurModel",
        "scale": 1,
        "num_gpu": 0,
        "manual_seed": 7,
        "datasets": {"test": data_section(test)},
        "network_g": TINY_NETWORK,
        "path": {"pretrain_network_g": weights and str(weights)},
        "val": {
            "save_img": True,
            "suffix": None,
            "metrics": {"psnr": {"type": "calculate_psnr", "crop_border": 0}},
        },
    }
    return changed(options, changes)


def changed(options: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return options with some values set; a key path is joined by two underscores."""
    options = copy.deepcopy(options)
    for path, value in changes.items():
        *sections, key = path.split("__")
        target = options
        for section in sections:
            target = target[section]
        target[key] = value
    return options


def write_options(path: Path, options: dict[str, Any]) -> Path:
    """Write an option file that begins with the plugin line."""
    path.write_text(PLUGIN_LINE + yaml.safe_dump(copy.deepcopy(options), sort_keys=False), encoding="utf-8")
    return path


def start(*words: object, cwd: Path, python_path: Path = REPOSITORY, **environment: str) -> subprocess.Popen[str]:
    """Start `python words...` in a folder, with one thread and without a GPU."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("SLURM_", "TORCHELASTIC_"))}
    settings = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONWARNINGS": "ignore"}
    return subprocess.Popen(
        [sys.executable, *map(str, words)],
        cwd=cwd,
        env=inherited | settings | {"PYTHONPATH": str(python_path)} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # so that what it starts, torchrun's workers, can be ended with it
    )


def finish(process: subprocess.Popen[str], seconds: float = 120) -> tuple[int, str]:
    """Wait for a process; return its exit code and everything that it wrote."""
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        raise AssertionError(f"still running after {seconds} s:\n{output}") from None
    return process.returncode, output


def run(*words: object, cwd: Path, python_path: Path = REPOSITORY, **environment: str) -> tuple[int, str]:
    """Start `python words...` and wait for it."""
    return finish(start(*words, cwd=cwd, python_path=python_path, **environment))


def build_wheel(kind: str, folder: Path) -> Path:
    """Build a `wheel` or an `editable` wheel of a copy of the sources, by the interface that pip uses."""
    sources = folder / "sources"
    sources.mkdir()
    for name in ("deeprftv2_arch", "datasets_prep", "quickstart"):
        shutil.copytree(REPOSITORY / name, sources / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml", "basicsr_torchvision_repair.py", "LICENSE", "README.md"):
        shutil.copy(REPOSITORY / name, sources)
    command = f"from setuptools.build_meta import build_{kind} as build; build({str(folder)!r})"
    subprocess.run([sys.executable, "-c", command], cwd=sources, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(wheel: Path, folder: Path) -> Path:
    """Unpack a wheel into a site-packages folder of its own; return the PYTHONPATH that makes Python start with it."""
    zipfile.ZipFile(wheel).extractall(folder / "site")
    python_path = folder / "python_path"
    python_path.mkdir()
    line = f"import site; site.addsitedir({str(folder / 'site')!r})"
    (python_path / "sitecustomize.py").write_text(line, encoding="utf-8")
    return python_path


@contextmanager
def basicsr_log() -> Iterator[io.StringIO]:
    """Collect what BasicSR's logger says; its own file is that of the first run of a process."""
    logger, stream = logging.getLogger("basicsr"), io.StringIO()
    handler, level = logging.StreamHandler(stream), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield stream
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def load(path: Path) -> Any:
    """Read a checkpoint or a training state."""
    return torch.load(path, map_location="cpu", weights_only=True)


def differences(one: Any, other: Any, where: str = "") -> list[str]:
    """Return where two nested structures differ by as much as one bit."""
    if isinstance(one, torch.Tensor):
        same = isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
        return [] if same else [where]
    if isinstance(one, dict):
        if not isinstance(other, dict) or one.keys() != other.keys():
            return [where]
        return [found for key in one for found in differences(one[key], other[key], f"{where}/{key}")]
    if isinstance(one, list | tuple):
        if not isinstance(other, list | tuple) or len(one) != len(other):
            return [where]
        pairs = enumerate(zip(one, other, strict=True))
        return [found for place, (a, b) in pairs for found in differences(a, b, f"{where}/{place}")]
    return [] if one == other else [where]
