"""The benchmark of the whole network: its plain competitor, its bound, and its control flow on a narrow network."""

import argparse
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from oracle_deeprftv2 import random_state
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import network, network_on_cpu, network_on_gpu
from benchmarks.network_on_gpu import Floors, Rates, inference, running_in, training_step
from benchmarks.plain_network import PlainDeepRFTv2, leave_out_scans, weights_for_plain
from benchmarks.products import Product, find_bound, products_of, total_elements, total_macs
from benchmarks.sizes import Size, size
from benchmarks.timing import interleaved_medians
from deeprftv2_arch.checkpoints.reference import under_our_names
from deeprftv2_arch.networks.deeprftv2 import DeepRFTv2

NARROW: dict[str, Any] = {"dim": 4, "blocks": (1, 4, 1), "full_kinds": ("NAF", "NAFEVS", "NAF"), "fke_blocks": (1, 2)}
TINY: dict[str, Any] = {"dim": 2, "units": 1, "blocks": (1, 1, 1), "full_kinds": ("NAF",) * 3, "fke_blocks": (1,)}
CPU = torch.device("cpu")


def test_plain_network_is_the_network_in_float64() -> None:
    reference = random_state(dim=4, enc_blocks=(1, 4, 1), kinds=("naf", "nafevs", "naf"), fke_blocks=(1, 2))
    state = under_our_names(reference, "reference")
    ours, plain = DeepRFTv2(**NARROW, memory="none").double(), PlainDeepRFTv2(**NARROW).double()
    assert_equal_images(ours, plain, state, 1e-9)


def test_plain_network_is_the_network_in_float32() -> None:
    ours, plain = DeepRFTv2(**NARROW, memory="none"), PlainDeepRFTv2(**NARROW)
    state = {key: tensor + 0.1 * torch.randn_like(tensor) for key, tensor in ours.state_dict().items()}
    assert_equal_images(ours, plain, state, 1e-4)


def assert_equal_images(ours: Any, plain: Any, state: Any, tolerance: Any) -> None:
    image = torch.rand(2, 3, 16, 24, dtype=next(ours.parameters()).dtype)
    ours.load_state_dict(state)
    plain.load_state_dict(weights_for_plain(state))
    with torch.no_grad():
        expected = ours.train()(image, supervise=True)
        for scale, images in plain.train()(image, supervise=True).items():
            for found, wanted in zip(images, expected[scale], strict=True):
                assert (found - wanted).norm() <= tolerance * wanted.norm()
        wanted = ours.eval()(image)
        assert (plain.eval()(image) - wanted).norm() <= tolerance * wanted.norm()


def test_scans_that_are_left_out_are_the_identity() -> None:
    scan = leave_out_scans(PlainDeepRFTv2(**TINY)).units[0].full_scale.fke.sub_resnet.levels[0].blocks[0].scan
    x = torch.randn(1, 2, 4, 6)
    inner, gate = scan.in_proj(x.permute(0, 2, 3, 1)).chunk(2, dim=-1)
    u = F.gelu(scan.depthwise(inner.permute(0, 3, 1, 2))).permute(0, 2, 3, 1)
    expected = scan.out_proj(scan.out_norm(u) * F.gelu(gate)).permute(0, 3, 1, 2)
    torch.testing.assert_close(scan(x), expected)


def test_products_have_the_operations_that_pytorch_counts() -> None:
    for arguments in (TINY, NARROW):
        plain, image = PlainDeepRFTv2(**arguments).eval(), torch.rand(2, 3, 16, 24)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            plain(image)
        assert 2 * total_macs(products_of(plain, image)) == counter.get_total_flops()


@pytest.mark.parametrize(
    "product",
    [
        Product((2, 6, 5, 4), 3, bias=True),
        Product((1, 6, 8, 8), 4, kernel=(2, 2), stride=2),
        Product((1, 4, 5, 6), 4, kernel=(3, 3), padding=(1, 1), groups=4, bias=True),
        Product((2, 4, 1, 9), 4, kernel=(1, 7), padding=(0, 3), groups=4, bias=True),
    ],
)
def test_all_ways_of_a_product_give_the_same(product: Any) -> None:
    """Elements against the tensors that take part."""
    results = {name: call() for name, call in product.calls(CPU).items()}
    torch.testing.assert_close(results["channels_last"], results["NCHW"])
    if "matrix" in results:
        torch.testing.assert_close(results["matrix"], results["NCHW"].permute(0, 2, 3, 1).flatten(0, 2))
    convolution = torch.nn.Conv2d(
        product.source[1], product.channels, product.kernel, product.stride, product.padding, groups=product.groups
    )
    output = convolution(torch.zeros(product.source))
    assert output.shape == results["NCHW"].shape
    assert product.elements == torch.zeros(product.source).numel() + convolution.weight.numel() + output.numel()


def test_the_bound_runs_the_fastest_way_of_every_product_as_often_as_it_occurs(monkeypatch: pytest.MonkeyPatch) -> None:
    slow, fast = Product((1, 2, 4, 4), 3), Product((1, 2, 4, 4), 4, kernel=(3, 3), padding=(1, 1))
    ran: Counter[Any] = Counter()
    seconds = {(slow, "NCHW"): 3, (slow, "channels_last"): 2, (slow, "matrix"): 4, (fast, "NCHW"): 1}
    monkeypatch.setattr(
        Product,
        "calls",
        lambda product, device: {way: partial(ran.update, [(of, way)]) for of, way in seconds if of == product},
    )
    monkeypatch.setattr("benchmarks.products.seconds", lambda call, device: seconds[call.args[0][0]])
    bound = find_bound(Counter({slow: 5, fast: 2}), 1, CPU)
    bound.run()
    assert ran == {(slow, "channels_last"): 5, (fast, "NCHW"): 2}


def test_medians_leave_out_the_warming_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 200.0, 1.0, 10.0, 5.0, 30.0, 2.0, 20.0])
    monkeypatch.setattr("benchmarks.timing.seconds", lambda call, device: next(clock))
    assert interleaved_medians({"a": int, "b": int}, 3, CPU) == {"a": 2.0, "b": 20.0}


def test_sizes_are_width_height_and_batch() -> None:
    assert size("1280x720") == Size(1280, 720, 1)
    assert size("256x128x16") == Size(256, 128, 16)
    for text in ("256", "255x256", "0x8", "8x8x0", "8x8x1x1"):
        with pytest.raises(argparse.ArgumentTypeError, match=text):
            size(text)


def test_floor_is_the_slower_of_operations_and_bytes() -> None:
    image = torch.empty(2, 3, 16, 24, device="meta")
    products = products_of(PlainDeepRFTv2(**TINY).to("meta").eval(), image)
    macs, elements = total_macs(products), total_elements(products)
    floors = Floors(TINY, Size(24, 16, 2), Rates({"float32": 1e9, "bf16": 1e30}, 1e8))
    assert floors.of("float32", "training step") == pytest.approx(3 * max(macs / 1e9, 4 * elements / 1e8))
    assert floors.of("bf16", "inference") == pytest.approx(2 * elements / 1e8)


def test_a_precision_is_in_force_only_inside_its_context() -> None:
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    product = {}
    for precision in ("float32", "TF32", "bf16"):
        with running_in(precision, CPU):
            assert torch.backends.cuda.matmul.allow_tf32 == (precision != "float32")
            assert torch.backends.cudnn.allow_tf32 == (precision != "float32")
            product[precision] = (torch.ones(2, 2) @ torch.ones(2, 2)).dtype
    assert product == {"float32": torch.float32, "TF32": torch.float32, "bf16": torch.bfloat16}
    assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == before


def test_inference_and_training_are_what_they_are_called() -> None:
    net, image = DeepRFTv2(**TINY), torch.rand(1, 3, 16, 16)
    modes = []
    net.register_forward_hook(lambda module, *_: modes.append((module.training, torch.is_grad_enabled())))
    before = [parameter.clone() for parameter in net.parameters()]
    inference(net, image)(net)
    assert all(torch.equal(old, new) for old, new in zip(before, net.parameters(), strict=True))
    training_step(net, image, image)(net)
    assert modes == [(False, False), (True, True)]
    assert all(parameter.grad is not None for parameter in net.parameters())
    assert not torch.equal(before[0], next(net.parameters()))


def test_cpu_tables_hold_what_was_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    times = {"network": 2.0, "scanless": 1.0, "plain": 7.0, "bound": 0.5}

    def measured(calls: Any, *_: Any) -> Any:
        for call in calls.values():
            call()
        return {name: times[name] for name in calls}

    monkeypatch.setattr(network, "NETWORKS", {"tiny": TINY})
    monkeypatch.setattr(network_on_cpu, "interleaved_medians", measured)
    monkeypatch.setattr(network_on_cpu, "count", lambda *_: (0, 3_000_000_000, Counter()))
    output = tmp_path / "network.md"
    network.main(["--networks", "tiny", "--sizes", "24x16x2", "--quick", "--output", str(output)])
    text = output.read_text(encoding="utf-8")
    assert text == capsys.readouterr().out
    assert "| tiny | 24x16, 2 | 2.000 | 3.0 | 1.000 | 2.00 | 7.000 | 3.50 | 0.500 | 25 % |" in text
    assert f"PyTorch {torch.__version__}" in text
    assert "| depthwise |" in text


def test_gpu_tables_have_every_variant(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the CPU, and with a compiler that only notes in which precision and mode the network runs."""
    runs = []

    def compiled(module: Any, backend: Any) -> Any:
        def noted(image: Any, **how: Any) -> Any:
            runs.append((torch.is_autocast_enabled("cpu"), torch.is_grad_enabled()))
            return module(image, **how)

        return noted

    times = iter(range(1, 100))
    monkeypatch.setattr(torch, "compile", compiled)
    monkeypatch.setattr(
        network_on_gpu, "interleaved_medians", lambda calls, *_: {variant: float(next(times)) for variant in calls}
    )
    text = "".join(network_on_gpu.report({"tiny": TINY}, [Size(16, 16)], 1, ("float32", "bf16"), CPU))
    rows = [line for line in text.splitlines() if line.startswith(("| float32", "| bf16"))]
    expected = [(p, mode) for p in ("float32", "bf16") for mode in ("eager", "compiled")] * 2
    assert [tuple(cell.strip() for cell in row.split("|")[1:3]) for row in rows] == expected
    speed_ups = [float(row.split("|")[5]) for row in rows]
    assert speed_ups == [round(baseline / time, 2) for baseline in (1, 5) for time in range(baseline, baseline + 4)]
    assert runs == [(False, False), (True, False), (False, True), (True, True)]
    assert "tiny at 16x16, 1, inference" in text
    assert "tiny at 16x16, 1, training step" in text


def test_a_variant_that_does_not_fit_into_memory_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def full_memory(*_: Any) -> None:
        raise torch.cuda.OutOfMemoryError

    monkeypatch.setattr(network_on_gpu, "training_step", lambda *_: full_memory)
    monkeypatch.setattr(torch, "compile", lambda module, backend: module)
    text = "".join(network_on_gpu.report({"tiny": TINY}, [Size(16, 16)], 1, ("float32",), CPU))
    assert text.count("out of memory") == 2
