"""Python functions on PyTorch's own threads."""

import threading
from collections.abc import Iterator

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from deeprftv2_arch.networks.deeprftv2 import DeepRFTv2
from deeprftv2_arch.ops import strips
from deeprftv2_arch.ops.strips import by_strips
from deeprftv2_arch.ops.thread_team import run_in_team, team_size


@pytest.fixture(autouse=True)
def _three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_every_number_is_given_once(count: int) -> None:
    numbers: list[int] = []
    run_in_team(numbers.append, count)
    assert sorted(numbers) == list(range(count))


@pytest.mark.skipif(not torch.backends.openmp.is_available(), reason="PyTorch without OpenMP")
def test_calls_wait_for_each_other_on_threads_of_their_own() -> None:
    meeting = threading.Barrier(3, timeout=20)
    grad, threads = [], []

    def meet(number: int) -> None:
        meeting.wait()
        grad.append(torch.is_grad_enabled())
        threads.append(threading.get_ident())

    run_in_team(meet, 3)
    assert grad == [False] * 3
    assert len(set(threads)) == 3
    assert torch.is_grad_enabled()


def test_what_a_call_raises_comes_out_and_the_team_goes_on() -> None:
    def fail(number: int) -> None:
        raise ArithmeticError(f"call {number}")

    with pytest.raises(ArithmeticError, match="call"):
        run_in_team(fail, 5)
    run_in_team(lambda number: None, 5)


def test_several_threads_have_teams_of_their_own() -> None:
    sums = [0, 0]

    def add_up(index: int) -> None:
        torch.set_num_threads(2)
        parts: list[int] = []
        for _ in range(20):
            run_in_team(parts.append, 4)
        sums[index] = sum(parts)

    callers = [threading.Thread(target=add_up, args=(index,)) for index in range(2)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert sums == [20 * 6] * 2


def test_what_watches_operations_sees_them_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strips, "WORTH_SHARING", 1)
    x, weight = torch.randn(1, 2, 6, 5), torch.randn(3, 2, 1, 1)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        assert team_size() == 1
        by_strips(lambda part: torch.nn.functional.conv2d(part, weight), x)
    assert counter.get_total_flops() == 2 * 6 * 5 * 2 * 3
    with torch.autocast("cpu", torch.bfloat16):
        assert team_size() == 1


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_strips_of_several_threads_are_put_together(mode: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strips, "WORTH_SHARING", 1)
    x, y = torch.randn(1, 2, 11, 5), torch.randn(1, 3, 11, 5)
    rows = []

    def both(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        rows.append(x.shape[2])
        return torch.cat([x.exp(), y], dim=1)

    with mode():
        result = by_strips(both, x, y)
    assert torch.equal(result, torch.cat([x.exp(), y], dim=1))
    assert sorted(rows) == ([3, 4, 4] if torch.backends.openmp.is_available() else [11])
    assert result.is_inference() == (mode is torch.inference_mode)


def test_networks_give_the_same_with_a_team(monkeypatch: pytest.MonkeyPatch) -> None:
    network = DeepRFTv2(4, 1, blocks=(1, 4, 1), full_kinds=("NAF", "NAFEVS", "NAF"), fke_blocks=(1,)).double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        x = torch.rand(1, 3, 40, 32, dtype=torch.float64)
        whole = network(x)
        monkeypatch.setattr(strips, "WORTH_SHARING", 1)
        torch.testing.assert_close(network(x), whole, rtol=1e-10, atol=1e-10)
