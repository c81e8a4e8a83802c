"""Shared fixtures: reproducible seeds, few threads, and real images beside the checkout where there are any."""

import os
import random
from pathlib import Path

import numpy as np
import pytest
import torch

import deeprftv2_arch  # noqa: F401  (makes basicsr importable, also where its start-up hook is not installed)
from deeprftv2_arch.common import kept_memory

DATA_VARIABLE = "DEEPRFTV2_TEST_DATA"

torch.set_num_threads(1)  # the tensors are tiny, and other tests run on the other cores


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a GPU where there is none."""
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device, and this machine has none"))


@pytest.fixture(autouse=True)
def _same_random_numbers_in_every_run() -> None:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _freed_memory_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no command that runs in this process change how the tests after it allocate memory."""
    monkeypatch.setattr(kept_memory, "_glibc", lambda: None)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return where real images may lie: the folder that DEEPRFTV2_TEST_DATA names, or shared/data beside the checkout.

    Nothing of it has to be there: tests that would use what is missing are skipped, or make up images of their own.
    """
    return Path(os.environ.get(DATA_VARIABLE) or Path(__file__).resolve().parents[2] / "shared" / "data")


@pytest.fixture(scope="session")
def real_pair(shared_data: Path) -> tuple[Path, Path]:
    """Return the blurred and the sharp file of one real GoPro pair."""
    folder = _existing(shared_data / "gopro_pair")
    return folder / "blur" / "istanbul.png", folder / "sharp" / "istanbul.png"


@pytest.fixture(scope="session")
def real_photographs(shared_data: Path) -> list[Path]:
    """Return the files of sharp photographs."""
    return sorted(_existing(shared_data / "sharp").glob("*.png"))


@pytest.fixture(scope="session")
def real_set5(shared_data: Path) -> Path:
    """Return the folder of Set5 as it is distributed, with HR and LR_bicubic/X2, X3, X4."""
    return _existing(shared_data / "Set5")


def _existing(folder: Path) -> Path:
    if not folder.is_dir():
        pytest.skip(f"no real images in {folder} (another folder than {folder.parent}: {DATA_VARIABLE})")
    return folder
