"""What an option file may say of blur that is made on the fly."""

from typing import Any

import pytest

from deeprftv2_arch.data.synthetic_blur import BlurSettings
from deeprftv2_arch.options.sections import HeldOutPhotographsSection, TrainingPhotographsSection
from deeprftv2_arch.options.validation import section_faults

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
    assert section_faults(TrainingPhotographsSection, SECTION, "train") == []
    section = TrainingPhotographsSection.model_validate(SECTION)
    assert section.blur == BlurSettings(path=(1.0, 20.0), objects=0.0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"blur": {"path": 5}}, "train: blur: path: "),
        ({"blur": {"shake": 0.5}}, "train: blur: unknown key 'shake'"),
        ({"blur": {"sharp": 1.5}}, "sharp must be in 0..1, got 1.5"),
        ({"curriculum": {"longest": 8}}, "train: curriculum: pairs: missing"),
        ({"dataroot_lq": "blurred"}, "train: unknown key 'dataroot_lq'"),
    ],
)
def test_mistakes(change: dict[str, Any], said: str) -> None:
    (fault,) = section_faults(TrainingPhotographsSection, SECTION | change, "train")
    assert said in fault


def test_section_of_a_validation_set() -> None:
    section = {key: SECTION[key] for key in ("name", "type", "dataroot_gt", "io_backend", "blur")}
    assert section_faults(HeldOutPhotographsSection, section | {"seed": 1, "pairs": 4}, "val") == []
