"""The schedule of the learning rate."""

import math

import pytest
import torch

from deeprftv2_arch.options.cosine_annealing import CosineAnnealingLR


def rates(steps: int, **options: float) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 1.0)
    schedule = CosineAnnealingLR(optimizer, **options)
    values = []
    for _ in range(steps):
        values.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return values


def test_held_rate_then_half_a_cosine() -> None:
    by_hand = [1.0] * 5 + [0.1 + 0.9 * (1 + math.cos(math.pi * step / 4)) / 2 for step in range(5)] + [0.1] * 2
    assert rates(12, T_max=4, eta_min=0.1, hold=5) == pytest.approx(by_hand)
    assert rates(5, T_max=4, eta_min=0.1) == pytest.approx(by_hand[5:10])


@pytest.mark.parametrize(("steps", "hold"), [(3, 9), (5, 9), (6, 5)])
def test_a_training_that_holds_its_rate_is_lengthened(steps: int, hold: int) -> None:
    saved, resumed = (
        CosineAnnealingLR(torch.optim.SGD([torch.zeros(1)], 1.0), T_max, hold=own) for T_max, own in ((4, 5), (6, 9))
    )
    for _ in range(steps):
        saved.optimizer.step()
        saved.step()
    resumed.load_state_dict(saved.state_dict())
    assert (resumed.last_epoch, resumed.hold, resumed.T_max) == (steps, hold, 6 if hold == 9 else 4)
