"""What is refused in an option file, and what a user reads then."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from launch_helpers import data_section, evaluation_options, training_options, write_options

from deeprftv2_arch.errors import OptionError, shown
from deeprftv2_arch.launch.arguments import parse_arguments
from deeprftv2_arch.options import sections
from deeprftv2_arch.options.building import construct
from deeprftv2_arch.options.loading import Options, load_options
from deeprftv2_arch.options.option_file import change_options, read_option_file
from deeprftv2_arch.options.validation import argument_faults, section_faults, type_faults


def load(tmp_path: Path, options: dict[str, Any], *words: str, is_train: bool = True) -> Options:
    path = write_options(tmp_path / "run.yml", options)
    return load_options(parse_arguments(["-opt", str(path), *words]), tmp_path, is_train).to_basicsr()


def faults(tmp_path: Path, options: dict[str, Any], *words: str, is_train: bool = True) -> list[str]:
    """Return the lines that a user reads, without the file's name, and see that nothing was made."""
    with pytest.raises(OptionError) as caught:
        load(tmp_path, options, *words, is_train=is_train)
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.yml"]
    lines = str(caught.value).split("\n")
    beginning = f"{tmp_path / 'run.yml'}: "
    assert all(line.startswith(beginning) for line in lines)
    return [line.removeprefix(beginning) for line in lines]


def fault(tmp_path: Path, options: dict[str, Any], *words: str, is_train: bool = True) -> str:
    """Return the one line that a user reads."""
    (line,) = faults(tmp_path, options, *words, is_train=is_train)
    return line


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"network_g__dimm": 8}, "network_g: unknown key 'dimm'; did you mean 'dim'?"),
        ({"network_g__dim": "8"}, "network_g: dim: expected a whole number, not '8'"),
        (
            {"train__total_iter": "1e5"},
            "train: total_iter: expected a whole number, not '1e5' (write 100000,",
        ),
        ({"network_g__dim": 8.0}, "network_g: dim: expected a whole number, not 8.0 (write 8)"),
        ({"train__total_iter": "1e-3"}, "train: total_iter: expected a whole number, not '1e-3'"),
        ({"network_g__dim": 7}, "network_g: DeepRFTv2: dim must be an even number of channels, got 7"),
        ({"network_g__blocks": [1, 1.5, 1]}, "network_g: blocks: item 2: expected a whole number, not 1.5"),
        ({"network_g__full_kinds": ["NAF", "naf", "NAF"]}, "network_g: full_kinds: item 2: expected 'NAF' or"),
        ({"network_g__type": "DeepRFT2"}, "network_g: type: nothing is called 'DeepRFT2'; did you mean 'DeepRFTv2'?"),
        ({"network_g": None}, "network_g: expected keys with values, not None"),
        (
            {"train__losses__frequency__loss_weigth": 1},
            "train: losses: frequency: unknown key 'loss_weigth'; did you mean 'loss_weight'?",
        ),
        ({"train__losses__l1__loss_weight": "big"}, "train: losses: l1: loss_weight: expected a number, not 'big'"),
        ({"train__losses__l1__type": "L3Loss"}, "train: losses: l1: type: nothing is called 'L3Loss'; did you mean"),
        ({"train__losses": {}}, "train: losses: empty; name at least one loss"),
        ({"train__optim_g__lr": "1e-3"}, "train: optim_g: lr: expected a number or Tensor, not '1e-3' (without quotes"),
        ({"train__optim_g__momentum": 0.9}, "train: optim_g: unknown key 'momentum'; known are"),
        ({"train__scheduler__T_maxx": 6}, "train: scheduler: unknown key 'T_maxx'; did you mean 'T_max'?"),
        ({"train__scheduler__type": "Cosine"}, "train: scheduler: type: nothing is called 'Cosine'"),
        ({"train__ema": 0.9}, "train: unknown key 'ema'"),
        ({"train__amp": "fp8"}, "train: amp: expected 'bf16' or 'fp16', not 'fp8'"),
        ({"train__clip_grad_norm": True}, "train: clip_grad_norm: expected a number, not True"),
        ({"datasets__train__patchstages": []}, "datasets: train: unknown key 'patchstages'; did you mean"),
        ({"datasets__train__io_backend__type": "mdb"}, "datasets: train: io_backend: type: expected 'lmdb' or 'disk'"),
        (
            {"datasets__train__patch_stages": [{"iters": 4, "patch_size": 16}]},
            "datasets: train: patch_stages: item 1: batch_size: missing",
        ),
        ({"datasets__test": {}}, "datasets: test: data sets are called train, val or val_<anything> here"),
        ({"datasets__train_2": {}}, "datasets: train_2: data sets are called train, val or val_<anything> here"),
        (
            {"datasets__train__patch_stages": [{"iters": 6, "patch_size": 20, "batch_size": 1}]},
            "datasets: train: patch_stages: item 1: patch_size: 20 is no multiple of 8",
        ),
        ({"datasets__val__type": "Pairs"}, "datasets: val: type: nothing is called 'Pairs'"),
        ({"val__metrics__psnr__crop_boder": 0}, "val: metrics: psnr: unknown key 'crop_boder'; did you mean"),
        ({"val__val_frequency": 3}, "val: unknown key 'val_frequency'; did you mean 'val_freq'?"),
        ({"logger__print_freq": None}, "logger: print_freq: expected a whole number, not None"),
        ({"path__resume_state": "3.state"}, "path: resume_state: there is no file 3.state"),
        ({"model_typ": "DeblurModel"}, "unknown key 'model_typ'; did you mean 'model_type'?"),
        ({"logger__print_freq": 0}, "logger: print_freq: expected a whole number from 1 on, not 0"),
        ({"logger__save_checkpoint_freq": 0}, "logger: save_checkpoint_freq: expected a whole number from 1 on, not 0"),
        ({"val__val_freq": 0}, "val: val_freq: expected a whole number from 1 on, not 0"),
        ({"val": {"save_img": False}}, "val: val_freq: missing"),
        ({"val": {"val_freq": 5}}, "val: save_img: missing"),
        ({"val": 5}, "val: expected keys with values, not 5"),
        ({"train__total_iter": 0}, "train: total_iter: expected a whole number from 1 on, not 0"),
        ({"datasets__train__num_worker_per_gpu": -1}, "datasets: train: num_worker_per_gpu: expected a whole number"),
        ({"num_gpu": -3}, "num_gpu: expected a whole number from 0 on or 'auto', not -3"),
        ({"num_gpu": "all"}, "num_gpu: expected a whole number from 0 on or 'auto', not 'all'"),
        ({"manual_seed": -1}, "manual_seed: expected a whole number from 0 on and below 2147483648, not -1"),
        ({"train__losses": {"l1.0": {"type": "L1Loss"}}}, "train: losses: l1.0: expected letters, digits and"),
        ({"train__losses": {"": {"type": "L1Loss"}}}, "train: losses: : expected letters, digits and underscores"),
        ({"train__losses": {1: {"type": "L1Loss"}}}, "train: losses: 1: expected letters, digits and underscores"),
        ({"train__losses": {"type": {"type": "L1Loss"}}}, "train: losses: type: PyTorch needs this name itself"),
        ({"train__losses": {"items": {"type": "L1Loss"}}}, "train: losses: items: PyTorch needs this name itself"),
        ({"train__losses__l1__reduction": "foo"}, "train: losses: l1: Unsupported reduction mode: foo."),
        ({"train__optim_g": {"type": "AdamW"}}, "train: optim_g: lr: missing"),
        ({"train__optim_g__lr": -1}, "train: optim_g: Invalid learning rate: -1"),
        ({"train__optim_g__betas": [0.9, 1.5]}, "train: optim_g: Invalid beta parameter at index 1: 1.5"),
        ({"train__optim_g": {"type": "Adam", "lr": 1.0, "eps": -1.0}}, "train: optim_g: Invalid epsilon value: -1.0"),
        ({"train__scheduler__T_max": 0}, "train: scheduler: T_max: expected a whole number from 1 on, not 0"),
        (
            {"train__scheduler": {"type": "CosineAnnealingRestartLR", "periods": [6], "restart_weights": [1, 1]}},
            "train: scheduler: periods and restart_weights should have the same length.",
        ),
        ({"train__ema_decay": 1}, "train: ema_decay: expected a number from 0 on and below 1, not 1"),
        ({"train__ema_decay": -0.1}, "train: ema_decay: expected a number from 0 on and below 1, not -0.1"),
        ({"train__clip_grad_norm": -0.01}, "train: clip_grad_norm: expected a number from 0 on, not -0.01"),
        ({"train__max_skipped_steps": -1}, "train: max_skipped_steps: expected a whole number from 0 on, not -1"),
        ({"datasets__train__prefetch_mode": "cuda"}, "datasets: train: prefetch_mode: cuda needs a GPU"),
    ],
)
def test_fault_is_named_with_file_section_and_key(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    assert fault(tmp_path, training_options(tmp_path, tmp_path, **changes)).startswith(expected)


def test_all_faults_of_a_file_are_named_at_once(tmp_path: Path) -> None:
    changes = {
        "nmae": "a",
        "num_gpu": "all",
        "network_g__dimm": 8,
        "network_g__dim": "8",
        "datasets__train__patch_stages": [{"iters": 6, "patch_size": 16}, 5],
        "datasets__val__type": "Pairs",
        "train__losses__l1__loss_weigth": 1,
        "train__optim_g__lr": "1e-3",
        "train__clip_grad_norm": "x" * 1000,
        "val__metrics__psnr__type": "calculate_psn",
        "logger": {"print_freq": 1},
    }
    found = faults(tmp_path, training_options(tmp_path, tmp_path, **changes))
    expected = [
        "num_gpu: expected a whole number from 0 on or 'auto', not 'all'",
        f"train: clip_grad_norm: expected a number, not '{'x' * 76}...",
        "logger: save_checkpoint_freq: missing",
        "logger: use_tb_logger: missing",
        "unknown key 'nmae'; did you mean 'name'?",
        "datasets: train: patch_stages: item 1: batch_size: missing",
        "datasets: train: patch_stages: item 2: expected keys with values, not 5",
        "datasets: val: type: nothing is called 'Pairs'; known are ",
        "network_g: dim: expected a whole number, not '8' (write 8, without quotes)",
        "network_g: unknown key 'dimm'; did you mean 'dim'?",
        "val: metrics: psnr: type: nothing is called 'calculate_psn'; did you mean 'calculate_psnr'?",
        "train: losses: l1: unknown key 'loss_weigth'; did you mean 'loss_weight'?",
        "train: optim_g: lr: expected a number or Tensor, not '1e-3' (without quotes, ",
    ]
    assert len(found) == len(expected)
    for line, beginning in zip(found, expected, strict=True):
        assert line.startswith(beginning)


def test_what_a_network_refuses_is_named_with_the_other_faults(tmp_path: Path) -> None:
    found = faults(tmp_path, training_options(tmp_path, tmp_path, network_g__dim=7, nmae="a"))
    assert found == [
        "unknown key 'nmae'; did you mean 'name'?",
        "network_g: DeepRFTv2: dim must be an even number of channels, got 7",
    ]


def test_long_numbers_are_shortened(tmp_path: Path) -> None:
    path, number = tmp_path / "run.yml", f"0x1{'0' * 4000}"
    path.write_text(f"num_gpu: -{number}\n? {number}\n: 1\ntrain:\n  ? {number}\n  : 1\n", encoding="utf-8")
    with pytest.raises(OptionError) as caught:
        load_options(parse_arguments(["-opt", str(path)]), tmp_path, is_train=True)
    assert "num_gpu: expected a whole number from 0 on or 'auto', not -0x1000" in str(caught.value)
    assert ": unknown key " in str(caught.value)


def test_what_is_not_checked_is_said(tmp_path: Path) -> None:
    changes = {"model_type": "DeblurModl", "datasets__val__type": "Pairs"}
    model, data = faults(tmp_path, training_options(tmp_path, tmp_path, **changes))
    assert model.endswith("did you mean 'DeblurModel'? (what depends on it was not checked)")
    assert data.endswith(" (the rest of this section was not checked)")


def test_a_key_is_named_in_one_line_too(tmp_path: Path) -> None:
    key = "x" * 3000
    changes = {f"train__losses__{key}": {"type": "L3Loss"}, f"train__{key}": 1, f"datasets__{key}": {}, key: 2}
    found = faults(tmp_path, training_options(tmp_path, tmp_path, **changes))
    assert len(found) == 4
    assert all(len(line) < 800 for line in found)


def test_faults_of_values_that_do_not_fit_each_other_are_named_at_once(tmp_path: Path) -> None:
    stages = [{"iters": 6, "patch_size": 20, "batch_size": 1}]
    changes = {"path__resume_state": "3.state", "datasets__train__patch_stages": stages}
    assert faults(tmp_path, training_options(tmp_path, tmp_path, **changes)) == [
        "path: resume_state: there is no file 3.state",
        "datasets: train: patch_stages: item 1: patch_size: 20 is no multiple of 8, which this network trains on",
    ]


@pytest.mark.parametrize("model", ["DeblurModel", "SRModel"])
@pytest.mark.parametrize("name", ["", "  ", ".", "..", "../datasets", "a/b", "/a", "a\\b"])
def test_name_of_a_run_is_a_plain_folder_name(tmp_path: Path, name: str, model: str) -> None:
    options = training_options(tmp_path, tmp_path, name=name, model_type=model)
    if model == "SRModel":
        options["train"]["pixel_opt"] = {"type": "L1Loss"}
    message = fault(tmp_path, options)
    assert message == f"name: expected the name of a folder, without a path, not {name!r}"


@pytest.mark.parametrize("model", ["DeblurModel", "SRModel"])
def test_name_that_no_file_can_have_is_refused_as_the_file_is_read(tmp_path: Path, model: str) -> None:
    message = fault(tmp_path, training_options(tmp_path, tmp_path, name="a\0b", model_type=model))
    assert message == "not valid YAML: line 2: 'a\\x00b' has a character that no name has, \\0"


@pytest.mark.parametrize("name", ["../../../x", "/x", "a/b", "", "a\nb", "\x1b[2J", "x" * 300])
def test_names_of_data_sets_are_plain_folder_names(tmp_path: Path, name: str) -> None:
    message = fault(tmp_path, training_options(tmp_path, tmp_path, datasets__val__name=name))
    assert message == f"datasets: val: name: expected the name of a folder, without a path, not {shown(name)}"


def test_suffix_of_saved_images_is_a_part_of_their_names(tmp_path: Path) -> None:
    message = fault(tmp_path, training_options(tmp_path, tmp_path, val__suffix="/../x"))
    assert message == "val: suffix: expected the name of a folder, without a path, not '/../x'"


@pytest.mark.parametrize(
    "place",
    ["model_type", "network_g__type", "datasets__train__type", "train__losses__l1__type", "train__optim_g__type"],
)
def test_type_that_is_a_list_is_named(tmp_path: Path, place: str) -> None:
    found = faults(tmp_path, training_options(tmp_path, tmp_path, **{place: []}))
    assert any(line.startswith(f"{place.replace('__', ': ')}: expected text, not []") for line in found)


def test_seed_beyond_those_of_numpy_is_refused(tmp_path: Path) -> None:
    message = fault(tmp_path, training_options(tmp_path, tmp_path, manual_seed=2**31))
    assert message == "manual_seed: expected a whole number from 0 on and below 2147483648, not 2147483648"


def test_name_of_a_run_from_the_command_line(tmp_path: Path) -> None:
    message = fault(tmp_path, training_options(tmp_path, tmp_path), "--debug", "--force_yml", "name=..")
    assert message == "name: expected the name of a folder, without a path, not '..'"


SUPER_RESOLUTION: dict[str, Any] = {
    "model_type": "SuperResolutionModel",
    "scale": 2,
    "datasets__train__type": "SuperResolutionPairDataset",
    "datasets__val__type": "SuperResolutionPairDataset",
    "network_g": {"type": "ATD", "upscale": 2, "depths": [1], "num_heads": [1]},
}


def test_options_of_super_resolution_pass(tmp_path: Path) -> None:
    opt = load(tmp_path, training_options(tmp_path, tmp_path, **SUPER_RESOLUTION))
    assert [section["scale"] for section in opt["datasets"].values()] == [2, 2]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"scale": 4}, "scale: 4, but network_g: upscale: 2; the network must enlarge by the scale of the data"),
        ({"network_g__upscale": 3}, "scale: 2, but network_g: upscale: 3; the network must enlarge by the scale"),
        ({"network_g": {"type": "ATD"}, "scale": 3}, "scale: 3, but network_g: upscale: 2; the network must"),
        ({"scale": 0}, "scale: expected a whole number from 1 on, not 0"),
        ({"train__scale_weights": {"full": 1.0}}, "train: unknown key 'scale_weights'"),
        ({"datasets__train__scale": 2}, "datasets: train: unknown key 'scale'"),
        ({"datasets__train__gt_size": 128}, "datasets: train: unknown key 'gt_size'"),
        (
            {"datasets__val__type": "DeblurPairDataset"},
            "datasets: val: type: SuperResolutionModel takes SuperResolutionPairDataset, not DeblurPairDataset",
        ),
        ({"train__scheduler": {"type": "MultiStepLR"}}, "train: scheduler: milestones: missing"),
        ({"network_g__img_siz": 64}, "network_g: unknown key 'img_siz'; did you mean 'img_size'?"),
    ],
)
def test_fault_of_super_resolution_is_named(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    message = fault(tmp_path, training_options(tmp_path, tmp_path, **copy.deepcopy(SUPER_RESOLUTION) | changes))
    assert message.startswith(expected)


def test_deblurring_takes_no_pairs_of_two_resolutions(tmp_path: Path) -> None:
    options = training_options(tmp_path, tmp_path, datasets__val__type="SuperResolutionPairDataset")
    assert fault(tmp_path, options) == (
        "datasets: val: type: DeblurModel takes DeblurPairDataset or SyntheticBlurDataset, not "
        "SuperResolutionPairDataset"
    )


@pytest.mark.parametrize(
    ("published", "expected"),
    [
        ({"val": {"psnr": 34.5}}, "published: name: missing; say whose figures these are"),
        ({"name": 5}, "published: name: expected text, not 5"),
        (["a"], "published: expected keys with values, not ['a']"),
        ({"name": "paper", "val": {"psnr": "34.5"}}, "published: val: psnr: expected a number, not '34.5'"),
        ({"name": "paper", "val": 34.5}, "published: val: expected keys with values, not 34.5"),
    ],
)
def test_fault_in_published_figures_is_named(tmp_path: Path, published: Any, expected: str) -> None:
    options = evaluation_options(
        tmp_path / "val", tmp_path / "a.pth", datasets={"test": data_section(tmp_path / "val")}
    )
    message = fault(tmp_path, {**options, "published": published}, is_train=False)
    assert message.startswith(expected)


def test_published_figures_have_no_place_in_training(tmp_path: Path) -> None:
    options = {**training_options(tmp_path, tmp_path), "published": {"name": "paper"}}
    assert fault(tmp_path, options).startswith("unknown key 'published'")


def test_two_data_sets_of_one_name(tmp_path: Path) -> None:
    sections = {key: data_section(tmp_path / "Set5") for key in ("test_1", "test_2")}
    message = fault(tmp_path, evaluation_options(tmp_path, tmp_path / "a.pth", datasets=sections), is_train=False)
    assert message == "datasets: two are called 'Set5'; results are kept by name, so rename one"


@pytest.mark.parametrize(("num_gpu", "available"), [("auto", False), (1, False), (0, True)])
def test_prefetching_to_a_gpu_that_the_run_does_not_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_gpu: int | str, available: bool
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: available)
    options = training_options(tmp_path, tmp_path, num_gpu=num_gpu, datasets__train__prefetch_mode="cuda")
    assert fault(tmp_path, options) == (
        "datasets: train: prefetch_mode: cuda needs a GPU, and this run is on the CPU; set null or cpu"
    )


def test_prefetching_to_a_gpu_needs_pinned_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    options = training_options(tmp_path, tmp_path, num_gpu="auto", datasets__train__prefetch_mode="cuda")
    assert fault(tmp_path, options) == "datasets: train: pin_memory: prefetch_mode cuda needs true here"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"name": None}, "name: expected text, not None"),
        ({"num_gpu": -1}, "num_gpu: expected a whole number from 0 on or 'auto', not -1"),
        ({"path": None}, "path: expected keys with values, not None"),
        ({"train": None}, "train: expected keys with values, not None"),
        ({"train": {"optim_g": {}}}, "train: total_iter: missing"),
        ({"logger": {"print_freq": 1}}, "logger: save_checkpoint_freq: missing"),
        ({"val": 5}, "val: expected keys with values, not 5"),
        ({"val": {"save_img": False, "flip_seq": True}}, "val: val_freq: missing"),
        ({"datasets__train": {"name": "a", "type": "PairedImageDataset"}}, "datasets: train: num_worker_per_gpu: "),
        ({"datasets__val": {"type": "PairedImageDataset"}}, "datasets: val: name: missing"),
    ],
)
def test_sections_that_the_loop_reads_are_checked_for_every_model(
    tmp_path: Path, changes: dict[str, Any], expected: str
) -> None:
    found = faults(
        tmp_path,
        training_options(tmp_path, tmp_path, model_type="SRModel", train__pixel_opt={"type": "L1Loss"}, **changes),
    )
    assert found[0].startswith(expected)


def test_keys_of_other_models_pass(tmp_path: Path) -> None:
    further = {
        "network_d": {"type": "VGG"},
        "val__flip_seq": True,
        "train__gan_opt": {},
        "train__pixel_opt": {"type": "L1Loss"},
        "path__pretrain_network_d": None,
    }
    opt = load(tmp_path, training_options(tmp_path, tmp_path, model_type="SRModel", **further))
    assert opt["network_d"] == {"type": "VGG"}
    assert opt["val"]["flip_seq"] is True


def test_testing_needs_save_img(tmp_path: Path) -> None:
    options = evaluation_options(tmp_path, tmp_path / "a.pth", val={})
    assert fault(tmp_path, options, is_train=False) == "val: save_img: missing"


@pytest.mark.parametrize("key", ["name", "datasets", "train", "logger", "network_g", "path", "num_gpu"])
def test_missing_section(tmp_path: Path, key: str) -> None:
    options = training_options(tmp_path, tmp_path)
    del options[key]
    assert fault(tmp_path, options) == f"{key}: missing"


def test_missing_training_set(tmp_path: Path) -> None:
    options = training_options(tmp_path, tmp_path)
    del options["datasets"]["train"]
    assert fault(tmp_path, options) == "datasets: train: missing; training needs a training set"


def test_testing_needs_weights(tmp_path: Path) -> None:
    message = fault(tmp_path, evaluation_options(tmp_path, None), is_train=False)
    assert message == "path: pretrain_network_g: missing; testing needs the weights of a trained network"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "cannot read the option file: No such file or directory; check the path"),
        ("- a\n- b\n", "not an option file: expected keys with values, such as 'name: ...'"),
        ("name: [1, 2\n", "not valid YAML: "),
        ("plugin: !!python/name:no_such_package.x\n", "line 1: plugin: cannot import no_such_package.x (Module"),
    ],
)
def test_file_that_is_no_option_file(tmp_path: Path, text: str | None, expected: str) -> None:
    path = tmp_path / "run.yml"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(OptionError) as caught:
        read_option_file(path)
    assert str(caught.value).startswith(f"{path}: {expected}")
    assert "\n" not in str(caught.value)


def test_folder_in_place_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="cannot read the option file: Is a directory"):
        read_option_file(tmp_path)


def test_option_file_in_the_folder_of_its_run(tmp_path: Path) -> None:
    folder = tmp_path / "experiments" / "tiny"
    folder.mkdir(parents=True)
    path = write_options(folder / "run.yml", training_options(tmp_path, tmp_path))
    with pytest.raises(OptionError, match="start from a copy elsewhere"):
        load_options(parse_arguments(["-opt", str(path)]), tmp_path, is_train=True)


def test_options_are_completed_as_basicsr_does(tmp_path: Path) -> None:
    opt = load(tmp_path, training_options(tmp_path / "a", tmp_path / "b"), "--auto_resume", "--local-rank", "3")
    root = tmp_path / "experiments" / "tiny"
    assert opt["path"]["experiments_root"] == opt["path"]["log"] == str(root)
    assert opt["path"]["models"] == str(root / "models")
    assert opt["path"]["training_states"] == str(root / "training_states")
    assert opt["auto_resume"] is True
    assert opt["is_train"] is True
    assert [opt["datasets"][name]["phase"] for name in ("train", "val")] == ["train", "val"]
    assert not (tmp_path / "experiments").exists()


def test_debug_changes_name_and_intervals(tmp_path: Path) -> None:
    opt = load(tmp_path, training_options(tmp_path, tmp_path), "--debug", "--local_rank", "0")
    assert opt["name"] == "debug_tiny"
    assert (opt["logger"]["print_freq"], opt["logger"]["save_checkpoint_freq"], opt["val"]["val_freq"]) == (1, 8, 8)


def test_changes_from_the_command_line() -> None:
    opt: Options = {"train": {"ema_decay": 0, "optim_g": {"betas": [0.9, 0.999]}}, "name": "a"}
    change_options(opt, ["train:ema_decay=0.999", "train:optim_g:betas=[0.9, 0.9]", "name=b=c", "train:amp=~"])
    assert opt == {"train": {"ema_decay": 0.999, "optim_g": {"betas": [0.9, 0.9]}, "amp": None}, "name": "b=c"}


@pytest.mark.parametrize("change", ["train:ema_decay", "trian:ema_decay=1", "name:x=1", "name=[1"])
def test_change_that_cannot_be_made(change: str) -> None:
    with pytest.raises(OptionError, match="--force_yml"):
        change_options({"train": {}, "name": "a"}, [change])


def test_misspelt_change_is_an_unknown_key(tmp_path: Path) -> None:
    message = fault(tmp_path, training_options(tmp_path, tmp_path), "--force_yml", "train:ema_decy=0.9")
    assert message == "train: unknown key 'ema_decy'; did you mean 'ema_decay'?"


@dataclass
class Inner:
    number: int


def target(first: float, *, inner: Inner | None = None, names: Sequence[str] = (), kind: Literal["a", 2] = "a") -> None:
    """Stands for a network."""


def open_target(first: float, **rest: Any) -> None:
    """Stands for a network that takes anything."""


@pytest.mark.parametrize(
    "values",
    [
        {"first": 1},
        {"first": 1.5, "inner": {"number": 3}, "names": ["x", "y"], "kind": 2},
        {"first": 0, "inner": None, "names": [], "kind": "a"},
    ],
)
def test_values_that_fit_a_signature(values: Mapping[str, Any]) -> None:
    assert argument_faults(values, target, "f") == []


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "f: first: missing"),
        ({"first": True}, "f: first: expected a number, not True"),
        ({"first": 1, "inner": {"number": 1.0}}, "f: inner: number: expected a whole number, not 1.0 (write 1)"),
        ({"first": 1, "inner": {}}, "f: inner: number: missing"),
        ({"first": 1, "names": "xy"}, "f: names: expected a list, not 'xy'"),
        ({"first": 1, "names": [1]}, "f: names: item 1: expected text, not 1"),
        ({"first": 1, "kind": "b"}, "f: kind: expected 'a' or 2, not 'b'"),
        ({"first": 1, "frist": 2}, "f: unknown key 'frist'; did you mean 'first'?"),
        ([1], "f: expected keys with values, not [1]"),
        ({"first": 1, 7: 2}, "f: unknown key 7; known are first, inner, kind, names"),
    ],
)
def test_values_that_do_not_fit_a_signature(values: Any, message: str) -> None:
    assert argument_faults(values, target, "f") == [message]


def test_keys_are_text() -> None:
    assert type_faults({7: 1}, Mapping[str, Any], "f") == []
    assert section_faults(sections.TestingOptions, {"published": {7: {}}}, "f")[-1] == (
        "f: published: expected text as a key, not 7"
    )


def test_further_keys_pass_where_the_signature_takes_them() -> None:
    assert argument_faults({"first": 1, "else": 2}, open_target, "f") == []
    (line,) = argument_faults({"first": 1, "else": 2}, open_target, "f", open_ended=False)
    assert line == "f: unknown key 'else'; known are first"


@pytest.mark.parametrize(
    ("value", "hint", "fits"),
    [
        ([0.9, 0.9], tuple[float, float], True),
        ([0.9], tuple[float, float], False),
        ([1, 2, 3], tuple[int, ...], True),
        ([1, "2"], list[int], False),
        ({"a": 1}, dict[str, int], True),
        ({"a": "b"}, dict[str, int], False),
        (5, int | Literal["auto"], True),
        ("auto", int | Literal["auto"], True),
        ("none", int | Literal["auto"], False),
        (None, int | None, True),
        (None, int, False),
    ],
)
def test_values_against_annotations(value: Any, hint: Any, fits: bool) -> None:
    assert (type_faults(value, hint, "f") == []) is fits


@pytest.mark.parametrize("error", [KeyError("upconv1"), AttributeError("no upconv1"), ZeroDivisionError("by\nzero")])
def test_class_that_fails_in_any_way(error: Exception) -> None:
    def network(**arguments: object) -> None:
        raise error

    with pytest.raises(OptionError) as caught:
        construct(network, {"type": "Network", "upscale": 1}, "a.yml: network_g")
    message = str(caught.value)
    assert message.startswith(f"a.yml: network_g: cannot be built of these arguments ({type(error).__name__}: ")
    assert "\n" not in message
