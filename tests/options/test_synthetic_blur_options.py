"""What an option file may say of blur that is made on the fly."""

from typing import Any

import pytest

from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.options.checks import check_dataset

SECTION = {
    "name": "photographs",
    "type": "SyntheticBlurDataset",
    "dataroot_gt": "photographs",
    "io_backend": {"type": "disk"},
    "blur": {"path": [1, 20], "objects": 0},
    "curriculum": {"longest": 8, "pairs": 1000},
    "patch_stages": [{"iters": 10, "patch_size": 64, "batch_size": 8}],
    "batch_size_per_gpu": 8,
    "num_worker_per_gpu": 0,
}


def test_section_of_the_training_set() -> None:
    check_dataset("train", SECTION, "train", is_train=True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"blur": {"path": 5}}, "blur: path: expected a list of 2"),
        ({"blur": {"shake": 0.5}}, "unknown key 'shake'"),
        ({"curriculum": {"longest": 8}}, "curriculum: pairs: missing"),
        ({"dataroot_lq": "blurred"}, "unknown key 'dataroot_lq'"),
    ],
)
def test_mistakes(change: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        check_dataset("train", SECTION | change, "train", is_train=True)


def test_section_of_a_validation_set() -> None:
    section = {key: SECTION[key] for key in ("name", "type", "dataroot_gt", "io_backend", "blur")}
    check_dataset("val", section | {"seed": 1, "pairs": 4}, "val", is_train=True)
