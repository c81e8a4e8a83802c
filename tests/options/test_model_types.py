"""What depends on a ``model_type``, and one of a user's own."""

from pathlib import Path

import pytest
from basicsr.utils.registry import MODEL_REGISTRY
from launch_helpers import training_options, write_options
from pydantic import Field

from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.models.deblur_model import DeblurModel
from deeprftv2_arch.options.arguments import Arguments
from deeprftv2_arch.options.loading import load_options
from deeprftv2_arch.options.model_types import (
    DATA_SET_TYPES,
    MODEL_TYPES,
    OTHER,
    Baseline,
    ModelType,
    model_type_named,
    register_model_type,
    unchanged,
)
from deeprftv2_arch.options.sections import DeblurTrainingOptions, DeblurTrainSection, Positive


class UsersTrainSection(DeblurTrainSection):
    """``train`` with a key of the user's."""

    my_steps: Positive = Field(description="A number of the user's.")


class UsersTrainingOptions(DeblurTrainingOptions):
    """An option file of the user's model."""

    train: UsersTrainSection


@pytest.fixture
def users_model(monkeypatch: pytest.MonkeyPatch) -> str:
    class UsersModel(DeblurModel):
        pass

    monkeypatch.setitem(MODEL_REGISTRY._obj_map, "UsersModel", UsersModel)
    monkeypatch.delitem(MODEL_TYPES, "UsersModel", raising=False)
    return "UsersModel"


def test_every_model_of_this_project_has_its_spec() -> None:
    own = {name for name, model in MODEL_REGISTRY if model.__module__.startswith("deeprftv2_arch.")}
    assert own == MODEL_TYPES.keys()
    assert {name for known in MODEL_TYPES.values() for name in known.data or ()} == DATA_SET_TYPES.keys()
    assert {name for name, known in MODEL_TYPES.items() if known.baseline is None} == {"KernelFlowModel"}
    assert model_type_named("SRModel") is model_type_named(None) is OTHER


def test_a_user_s_model_type_is_open_until_it_is_registered(tmp_path: Path, users_model: str) -> None:
    options = training_options(tmp_path, tmp_path, model_type=users_model, train__whatever=3)
    run = load_options(Arguments(write_options(tmp_path / "run.yml", options)), tmp_path, is_train=True)
    assert run.options.train.total_iter == 6
    assert run.options.train.whatever == 3


def test_a_user_s_model_type_is_checked_as_registered(
    tmp_path: Path, users_model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = ModelType(
        training=UsersTrainingOptions,
        data=("DeblurPairDataset",),
        baseline=Baseline("input", unchanged),
        check=lambda options, data, network: [f"train: my_steps: {options.train.my_steps} is my fault"],
    )
    register_model_type(users_model, spec)
    try:
        assert model_type_named(users_model) is spec
        with pytest.raises(ValueError, match="registered already"):
            register_model_type(users_model, spec)
        options = training_options(tmp_path, tmp_path, model_type=users_model, train__my_step=3)
        path = write_options(tmp_path / "run.yml", options)
        with pytest.raises(OptionError) as caught:
            load_options(Arguments(path), tmp_path, is_train=True)
        assert str(caught.value).splitlines() == [
            f"{path}: train: my_steps: missing",
            f"{path}: train: unknown key 'my_step'; did you mean 'my_steps'?",
        ]
        del options["train"]["my_step"]
        options["train"]["my_steps"] = 4
        with pytest.raises(OptionError, match="my_steps: 4 is my fault"):
            load_options(Arguments(write_options(path, options)), tmp_path, is_train=True)
    finally:
        MODEL_TYPES.pop(users_model, None)
