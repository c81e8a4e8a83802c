"""The training step of DeblurModel against the recipe written out by hand, and its guards."""

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from deblur_model_helpers import TwoScaleConvolutions, batch, build, logged, model_options, same, train, weights
from torch import nn

from deeprftv2_arch.errors import NonFiniteError, OptionError
from deeprftv2_arch.models.deblur_model import DeblurModel

BASE, LAST, PERIOD = 1e-2, 1e-7, 10


def cosine(iteration: int) -> float:
    """Learning rate of an iteration, counted from 1."""
    return LAST + (BASE - LAST) * (1 + math.cos(math.pi * (iteration - 1) / PERIOD)) / 2


def losses_by_hand(restored: dict[str, list[torch.Tensor]], gt: torch.Tensor) -> dict[str, torch.Tensor]:
    """L1 + 0.01 frequency at both scales, means over the images, the half scale weighted by 0.5."""
    binomial = torch.tensor([1, 4, 6, 4, 1], dtype=gt.dtype)
    kernel = (binomial[:, None] * binomial / 256).expand(3, 1, 5, 5)
    blurred = nn.functional.conv2d(nn.functional.pad(gt, (2, 2, 2, 2), mode="reflect"), kernel, groups=3)
    sharp = {"full": gt, "half": nn.functional.avg_pool2d(blurred, 2)}
    losses: dict[str, torch.Tensor] = {}
    for scale, weight in (("full", 1.0), ("half", 0.5)):
        l1 = [(image - sharp[scale]).abs().mean() for image in restored[scale]]
        spectra = [torch.fft.rfft2(image) - torch.fft.rfft2(sharp[scale]) for image in restored[scale]]
        losses[f"l1_{scale}"] = weight * torch.stack(l1).sum() / len(l1)
        frequency = [torch.sqrt(s.real**2 + s.imag**2).mean() for s in spectra]
        losses[f"frequency_{scale}"] = weight * 0.01 * torch.stack(frequency).sum() / len(frequency)
    return losses


def test_steps_are_those_of_the_recipe(tmp_path: Path) -> None:
    model = build(tmp_path)
    model.net_g.double()
    net = copy.deepcopy(model.net_g)
    logs = train(model, range(1, 6), dtype=torch.float64)

    moments = {name: (torch.zeros_like(p), torch.zeros_like(p)) for name, p in net.named_parameters()}
    for iteration in range(1, 6):
        data = batch(iteration, dtype=torch.float64)
        losses = losses_by_hand(net(data["lq"], supervise=True), data["gt"])
        gradients = torch.autograd.grad(sum(losses.values()), list(net.parameters()))
        norm = math.sqrt(sum(float((gradient**2).sum()) for gradient in gradients))
        log, lr = logs[iteration - 1], cosine(iteration)
        assert log.pop("lr") == pytest.approx(lr, rel=1e-12)
        assert log.pop("grad_norm") == pytest.approx(norm, rel=1e-9)
        assert log == pytest.approx({name: loss.item() for name, loss in losses.items()}, rel=1e-9)
        with torch.no_grad():
            for (name, parameter), gradient in zip(net.named_parameters(), gradients, strict=True):
                clipped = gradient * (0.01 / (norm + 1e-6))
                first, second = moments[name]
                first.mul_(0.9).add_(clipped, alpha=0.1)
                second.mul_(0.9).add_(clipped**2, alpha=0.1)
                parameter.mul_(1 - lr * 1e-3)
                correction = 1 - 0.9**iteration
                parameter.sub_(lr * (first / correction) / ((second / correction).sqrt() + 1e-8))
    for name, parameter in net.named_parameters():
        torch.testing.assert_close(dict(model.net_g.named_parameters())[name], parameter, rtol=1e-8, atol=1e-12)


def test_without_clipping_the_gradient_stays_as_it_is(tmp_path: Path) -> None:
    clipped, whole = build(tmp_path), build(tmp_path, {"clip_grad_norm": 0})
    for model in (clipped, whole):
        train(model, [1])
    norm = clipped.log_dict["grad_norm"]
    assert norm == whole.log_dict["grad_norm"] > 0.01
    norms = [
        math.sqrt(sum(float((parameter.grad**2).sum()) for parameter in model.net_g.parameters()))
        for model in (clipped, whole)
    ]
    assert norms == pytest.approx([0.01, norm], rel=1e-4)


def test_schedule_is_pytorchs_and_not_spoilt_by_warm_up(tmp_path: Path) -> None:
    plain = [log["lr"] for log in train(build(tmp_path), range(1, 11))]
    reference = torch.optim.AdamW([nn.Parameter(torch.zeros(1))], BASE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(reference, PERIOD, LAST)
    expected = []
    for _ in range(10):
        expected.append(reference.param_groups[0]["lr"])
        reference.step()
        schedule.step()
    assert plain == pytest.approx(expected, rel=1e-9)
    warm = [log["lr"] for log in train(build(tmp_path, {"warmup_iter": 4}), range(1, 11))]
    assert warm[:3] == pytest.approx([BASE / 4, BASE / 2, BASE * 3 / 4])
    assert warm[3:] == pytest.approx(plain[3:])


def test_basicsr_schedules_and_optimisers_still_work(tmp_path: Path) -> None:
    model = build(
        tmp_path,
        {
            "optim_g": {"type": "Adam", "lr": 1e-2},
            "scheduler": {"type": "MultiStepLR", "milestones": [2, 4], "gamma": 0.5},
        },
    )
    assert type(model.optimizer_g) is torch.optim.Adam
    rates = [log["lr"] for log in train(model, range(1, 7))]
    assert rates == pytest.approx([1e-2, 1e-2, 5e-3, 5e-3, 2.5e-3, 2.5e-3])


def test_average_follows_parameters_and_buffers(tmp_path: Path) -> None:
    model = build(tmp_path, {"ema_decay": 0.8})
    assert same(dict(model.net_g_ema.state_dict()), weights(model))
    expected = {name: value.double() for name, value in weights(model).items()}
    for iteration in range(1, 4):
        train(model, [iteration])
        for name, value in weights(model).items():
            expected[name] = 0.8 * expected[name] + 0.2 * value.double()
    for name, value in model.net_g_ema.state_dict().items():
        if name == "steps":
            assert value == 3  # an integer is copied
        else:
            torch.testing.assert_close(value.double(), expected[name], rtol=1e-6, atol=1e-7)
    assert not torch.equal(model.net_g_ema.mean, model.net_g.mean)


@pytest.mark.parametrize(("amp", "dtype"), [(None, torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_precision_of_network_and_losses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, amp: str | None, dtype: torch.dtype
) -> None:
    seen = set()
    original = TwoScaleConvolutions.forward

    def forward(self: TwoScaleConvolutions, x: torch.Tensor, supervise: bool = False) -> Any:
        seen.add(self.first(x).dtype)
        return original(self, x, supervise)

    monkeypatch.setattr(TwoScaleConvolutions, "forward", forward)
    model, reference = build(tmp_path, {"amp": amp}), build(tmp_path)
    logs, expected = train(model, range(1, 4)), train(reference, range(1, 4))
    assert seen == {dtype, torch.float32}  # float32: the reference
    assert {parameter.dtype for parameter in model.net_g.parameters()} == {torch.float32}
    for log, wanted in zip(logs, expected, strict=True):
        assert log == pytest.approx(wanted, rel=0.02)
    if amp is not None:
        assert logs != expected
    model.lq = batch(9)["lq"]
    model.test()
    assert model.output.dtype == torch.float32


def test_overflow_while_the_scaler_calibrates_is_no_failure(tmp_path: Path) -> None:
    model = build(tmp_path, {"amp": "fp16", "ema_decay": 0.5})
    with torch.no_grad():  # an average that an update would move
        model.net_g_ema.first.weight.add_(1)
    average = copy.deepcopy(dict(model.net_g_ema.state_dict()))
    before = weights(model)
    model.net_g.second.weight.register_hook(lambda gradient: gradient * math.inf)
    scale = model.precision.scaler.get_scale()
    train(model, [1, 2])
    assert model.precision.scaler.get_scale() == scale / 4
    assert model.guard.skipped == 0
    assert same(dict(model.net_g_ema.state_dict()), average)
    after = weights(model)
    assert all(torch.equal(after[name], before[name]) for name, _ in model.net_g.named_parameters())
    while model.precision.scaler.get_scale() > 1:
        train(model, [3])
    with pytest.raises(NonFiniteError, match="iteration 4: grad_norm is "):
        train(model, [4])


def poisoned(number: int, value: float = math.nan) -> dict[str, Any]:
    data = batch(number)
    data["gt"][1, 0, 3, 3] = value
    return data


def step(model: DeblurModel, iteration: int, data: dict[str, Any]) -> None:
    model.update_learning_rate(iteration)
    model.feed_data(data)
    model.optimize_parameters(iteration)


def test_loss_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    model = build(tmp_path, {"ema_decay": 0.5})
    train(model, [1])
    before, average = weights(model), copy.deepcopy(model.net_g_ema.state_dict())
    moments = copy.deepcopy(model.optimizer_g.state_dict()["state"])
    with pytest.raises(NonFiniteError) as caught:
        step(model, 2, poisoned(2))
    message = str(caught.value)
    assert message.startswith("iteration 2: l1_full is nan, frequency_full is nan, ")
    assert "images: 2/0.png, 2/1.png" in message
    assert "\n" not in message
    after = weights(model)
    assert all(torch.equal(after[name], before[name]) for name, _ in model.net_g.named_parameters())
    assert same(dict(average), dict(model.net_g_ema.state_dict()))
    for index, state in model.optimizer_g.state_dict()["state"].items():
        assert all(torch.equal(value, moments[index][name]) for name, value in state.items())
    assert list(Path(model.opt["path"]["models"]).iterdir()) == []


def test_infinite_loss_with_a_finite_gradient_is_noticed(tmp_path: Path) -> None:
    model = build(tmp_path, {"losses": {"l1": {"type": "L1Loss"}}})
    with pytest.raises(NonFiniteError, match="iteration 1: l1_full is inf"):
        step(model, 1, poisoned(1, math.inf))


def test_gradient_that_is_not_finite_is_named(tmp_path: Path) -> None:
    model = build(tmp_path)
    model.net_g.first.weight.register_hook(lambda gradient: gradient * math.nan)
    with pytest.raises(NonFiniteError, match=r"iteration 1: grad_norm is nan; images: 1/0\.png"):
        train(model, [1])


def test_steps_are_skipped_as_often_in_a_row_as_allowed(tmp_path: Path) -> None:
    model = build(tmp_path, {"max_skipped_steps": 2})
    before = weights(model)
    with logged() as messages:
        for iteration in (1, 2):
            step(model, iteration, poisoned(iteration))
    assert [message.split("; ")[-1] for message in messages] == ["step skipped (1 of 2)", "step skipped (2 of 2)"]
    assert all(torch.equal(weights(model)[name], before[name]) for name, _ in model.net_g.named_parameters())
    train(model, [3])
    assert not torch.equal(weights(model)["first.weight"], before["first.weight"])
    for iteration in (4, 5):
        step(model, iteration, poisoned(iteration))
    with pytest.raises(NonFiniteError, match=r"iteration 6: .*the weights are those before iteration 4:"):
        step(model, 6, poisoned(6))


def test_channels_last_changes_the_layout_and_nothing_else(tmp_path: Path) -> None:
    plain, channels_last = build(tmp_path), build(tmp_path, {"channels_last": True})
    assert channels_last.net_g.first.weight.is_contiguous(memory_format=torch.channels_last)
    expected, found = train(plain, [1, 2]), train(channels_last, [1, 2])
    assert channels_last.lq.is_contiguous(memory_format=torch.channels_last)
    for one, other in zip(expected, found, strict=True):
        assert one == pytest.approx(other, rel=1e-4)


def test_compiled_network_keeps_the_names_of_its_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = []
    original = nn.Module.compile

    def compile_without_inductor(self: nn.Module) -> None:
        compiled.append(self)
        original(self, backend="eager")

    monkeypatch.setattr(nn.Module, "compile", compile_without_inductor)
    plain, model = build(tmp_path), build(tmp_path, {"compile": True})
    assert compiled == [model.net_g]
    assert train(model, [1, 2]) == train(plain, [1, 2])
    assert same(weights(model), weights(plain))
    model.save(0, 2)
    saved = torch.load(tmp_path / "models" / "net_g_2.pth", weights_only=True)
    assert list(saved["params"]) == list(plain.net_g.state_dict())


def test_options_of_the_caller_stay_as_they_are(tmp_path: Path) -> None:
    options = model_options(tmp_path, {"ema_decay": 0.5})
    before = copy.deepcopy(options)
    DeblurModel(options)
    assert options == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"losses": {}}, "train: losses: name at least one"),
        ({"scale_weights": {"eighth": 1}}, "scale_weights: unknown key 'eighth'; known are full, half, quarter"),
        ({"losses": {"l1": {"type": "L1Loss", "wieght": 1}}}, r"losses: l1: .*'wieght'"),
        ({"losses": {"l1": {"type": "L3Loss"}}}, r"losses: l1: .*'L3Loss'"),
        ({"amp": "fp8"}, "train: amp: expected 'bf16' or 'fp16', not 'fp8'"),
    ],
)
def test_bad_options_are_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        build(tmp_path, changes)


STAGES = [{"iters": 5, "patch_size": 16, "batch_size": 2}, {"iters": 5, "patch_size": 32, "batch_size": 1}]


@pytest.mark.parametrize(("stages", "scheduled", "warns"), [(2, False, True), (2, True, False), (1, False, False)])
def test_stages_that_the_loop_ignores_are_mentioned_once(
    tmp_path: Path, stages: int, scheduled: bool, warns: bool
) -> None:
    model = build(tmp_path, datasets={"train": {"patch_stages": STAGES[:stages]}})
    with logged() as messages:
        for iteration in (1, 2):
            model.feed_data({**batch(iteration), "scheduled": torch.full((2,), scheduled)})
    assert ["python -m deeprftv2_arch.train" in message for message in messages] == [True] * warns


def test_weights_of_the_scales_scale_the_losses(tmp_path: Path) -> None:
    logs = [
        train(build(tmp_path, {"scale_weights": values}), [1])[0]
        for values in (None, {"full": 2.0}, {"full": 1.0, "half": 0})
    ]
    for term in ("l1", "frequency"):
        assert logs[1][f"{term}_full"] == pytest.approx(2 * logs[0][f"{term}_full"])
        assert logs[1][f"{term}_half"] == pytest.approx(logs[0][f"{term}_half"])
        assert logs[2][f"{term}_half"] == 0
    assert np.isfinite(logs[2]["grad_norm"])
