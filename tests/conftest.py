"""Shared fixtures: reproducible seeds, few threads, and the optional real images beside the checkout."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch

import deeprftv2_arch  # noqa: F401  (makes basicsr importable, also where its start-up hook is not installed)

torch.set_num_threads(1)  # the tensors are tiny, and other tests run on the other cores


def pytest_collection_modifyitems(items):
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device, and this machine has none"))


@pytest.fixture(autouse=True)
def _same_random_numbers_in_every_run():
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def real_pair() -> tuple[Path, Path]:
    """Blurred and sharp file of one real GoPro pair, where it lies beside the checkout."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data" / "gopro_pair"
    pair = folder / "blur" / "istanbul.png", folder / "sharp" / "istanbul.png"
    if not all(path.is_file() for path in pair):
        pytest.skip("no real GoPro pair beside the checkout (../shared/data/gopro_pair)")
    return pair
