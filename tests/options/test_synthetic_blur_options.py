"""What an option file may say of blur that is made on the fly."""

from dataclasses import fields
from typing import Any

import pytest

from deeprftv2_arch.data.synthetic_blur import BlurSettings, Curriculum
from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.options import sections
from deeprftv2_arch.options.validation import raise_faults, section_faults

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
    assert section_faults(sections.TrainingBlurSection, SECTION, "train") == []


def test_option_files_have_the_options_and_defaults_of_the_simulator() -> None:
    options = {name: field.default for name, field in sections.BlurSection.model_fields.items()}
    assert options == {field.name: field.default for field in fields(BlurSettings)}
    assert set(sections.CurriculumSection.model_fields) == {field.name for field in fields(Curriculum)}


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
        raise_faults(section_faults(sections.TrainingBlurSection, SECTION | change, "train"))


def test_section_of_a_validation_set() -> None:
    section = {key: SECTION[key] for key in ("name", "type", "dataroot_gt", "io_backend", "blur")}
    assert section_faults(sections.HeldOutBlurSection, section | {"seed": 1, "pairs": 4}, "val") == []
