"""What BasicSR's training loop is given: tags, a time left that is never negative, one validation per iteration."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from deeprftv2_arch.launch.loop import LoopLogger, repair_wandb, tag_of, validating_once
from deeprftv2_arch.options import late_refusals

from launch_helpers import basicsr_log  # isort: skip


class Writer:
    """Stands for TensorBoard's."""

    def __init__(self) -> None:
        self.tags: list[str] = []

    def add_scalar(self, tag: str, value: float, iteration: int) -> None:
        self.tags.append(tag)


def test_tags_and_the_time_left_at_the_last_iteration() -> None:
    opt = {"name": "x", "logger": {"print_freq": 1, "use_tb_logger": True}, "train": {"total_iter": 3}}
    writer = Writer()
    with basicsr_log() as log:
        logger = LoopLogger(opt, 0, writer, ours=True)
        logger.start_time -= 100  # seconds that three iterations took
        logger({"epoch": 0, "iter": 3, "lrs": [1e-3], "time": 1.0, "data_time": 0.0, "l1": 1.0, "grad_norm": 2.0})
    assert "eta: 0:00:00" in log.getvalue()
    assert writer.tags == ["lr", "losses/l_l1", "grad_norm"]
    assert [tag_of(name, ours=False) for name in ("l_pix", "out_d_real")] == ["losses/l_pix", "out_d_real"]


def test_one_validation_of_an_iteration_and_a_data_set() -> None:
    done: list[tuple[str, int]] = []
    model = SimpleNamespace(
        validation=lambda loader, iteration, *_: done.append((loader.dataset.opt["name"], iteration))
    )
    loaders = [SimpleNamespace(dataset=SimpleNamespace(opt={"name": name})) for name in ("a", "b")]
    once: Any = validating_once(model, last_iter=4)
    for iteration in (2, 4, 5):  # BasicSR's loop over epochs ends one behind the last
        for loader in loaders:
            once.validation(loader, iteration, None, False)
    assert done == [("a", 2), ("b", 2), ("a", 4), ("b", 4)]


def test_wandb_without_the_function_that_basicsr_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = SimpleNamespace(util=SimpleNamespace())
    runid = SimpleNamespace(generate_id=lambda: "id")
    for name, module in (
        ("wandb", wandb),
        ("wandb.sdk", None),
        ("wandb.sdk.lib", None),
        ("wandb.sdk.lib.runid", runid),
    ):
        monkeypatch.setitem(sys.modules, name, module or SimpleNamespace())
    repair_wandb()
    assert wandb.util.generate_id() == "id"


@pytest.mark.parametrize("logged_in", [False, True])
@pytest.mark.parametrize("current", [False, True])
def test_whether_wandb_knows_its_user(monkeypatch: pytest.MonkeyPatch, current: bool, logged_in: bool) -> None:
    """Releases of today ask by `login(prompt=False)` and call `wandb.api` deprecated; earlier ones have that alone."""

    def login(key: str | None = None, prompt: bool = True) -> bool:
        assert not prompt
        return logged_in

    api = SimpleNamespace(api_key="key" if logged_in else None)
    wandb = SimpleNamespace(login=login) if current else SimpleNamespace(login=lambda key=None: None, api=api)
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    monkeypatch.setattr(late_refusals, "find_spec", lambda name: object())
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    content = {"name": "a", "logger": {"use_tb_logger": True, "wandb": {"project": "mine"}}}
    faults = list(late_refusals.logger_faults(content, "a.yml: logger"))
    assert faults == [] if logged_in else "nobody is logged in; run wandb login" in faults[0]
