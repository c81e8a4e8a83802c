"""torch.compile on blocks and networks: no graph breaks, the values and gradients of eager mode, dynamic sizes."""

import shutil
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from compare_modules import assert_same, values_and_gradients, with_all_branches
from gpu_checks import check_compiled
from torch import nn
from torch._dynamo.testing import CompileCounterWithBackend

from deeprftv2_arch.layers.kernel_estimator import FourierKernelEstimator
from deeprftv2_arch.layers.naf_block import NAFBlock
from deeprftv2_arch.layers.nafevs_block import NAFEVSBlock
from deeprftv2_arch.layers.vs_block import VSBlock
from deeprftv2_arch.networks.atd import ATD
from deeprftv2_arch.networks.deeprftv2 import DeepRFTv2
from deeprftv2_arch.ops import scan_backend

pytestmark = pytest.mark.slow

BLOCKS: dict[str, Callable[[], nn.Module]] = {
    "NAF": lambda: NAFBlock(4),
    "NAFEVS, transposing": lambda: NAFEVSBlock(4, 0),
    "NAFEVS, turning": lambda: NAFEVSBlock(4, 1),
    "VS": lambda: VSBlock(4),
    "FKE": lambda: FourierKernelEstimator(4, (1,), "VS", True, "none"),
}
TINY: dict[str, Any] = {"dim": 2, "scales": 1, "blocks": (1, 1, 1), "full_kinds": ("NAF",) * 3}


@pytest.fixture(autouse=True)
def _nothing_compiled_before() -> Iterator[None]:
    """And the eps of a norm a constant at once: else PyTorch traces every graph a second time to make it one."""
    torch.compiler.reset()
    with torch._dynamo.config.patch(specialize_float=True):
        yield


@pytest.mark.parametrize(("name", "scan"), [*((name, "torch") for name in BLOCKS), ("VS", "numba")])
def test_a_block_is_one_graph_for_all_sizes(name: Any, scan: Any) -> None:
    block = with_all_branches(BLOCKS[name]())
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(block, fullgraph=True, dynamic=True, backend=counter)
    more = (None,) if name == "FKE" else ()
    with scan_backend(scan):
        for height, width in [(8, 12), (6, 20), (10, 16)]:
            x = torch.randn(2, 4, height, width, dtype=torch.float64).to(memory_format=torch.channels_last)
            x.requires_grad_()
            assert_same(values_and_gradients(compiled, block, x, *more), values_and_gradients(block, block, x, *more))
            assert counter.frame_count == 1


@pytest.mark.parametrize(("memory", "supervise"), [("reversible", True), ("lean", True), ("reversible", False)])
def test_a_network_trains_as_one_graph(memory: str, supervise: bool) -> None:
    network = with_all_branches(DeepRFTv2(**TINY, fke_blocks=(1,), fke_kind="NAF", memory=memory))
    compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
    image = torch.rand(1, 3, 8, 16, dtype=torch.float64)
    found, expected = (
        values_and_gradients(partial(run, supervise=supervise), network, image) for run in (compiled, network)
    )
    assert_same(found, expected)


def test_a_network_restores_sizes_that_need_padding_in_one_graph() -> None:
    network = with_all_branches(DeepRFTv2(**TINY, units=1, fke_blocks=())).eval()
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(network, fullgraph=True, dynamic=True, backend=counter)
    with torch.no_grad():
        for height, width in [(9, 17), (13, 41), (22, 14)]:
            image = torch.rand(2, 3, height, width, dtype=torch.float64)
            assert_same([compiled(image)], [network(image)])
            assert counter.frame_count == 1


ATD_TINY: dict[str, Any] = {
    "embed_dim": 8,
    "depths": (2,),
    "num_heads": (2,),
    "window_size": 4,
    "category_size": 10,
    "num_tokens": 4,
}


def test_atd_trains_as_one_graph() -> None:
    network = with_all_branches(ATD(**ATD_TINY))
    compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
    image = torch.rand(1, 3, 8, 8, dtype=torch.float64)
    assert_same(values_and_gradients(compiled, network, image), values_and_gradients(network, network, image))


def test_atd_with_estimators_enlarges_in_one_graph() -> None:
    network = with_all_branches(ATD(**ATD_TINY, fke=True)).eval()
    compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
    image = torch.rand(1, 3, 7, 9, dtype=torch.float64)
    with torch.no_grad():
        assert_same([compiled(image)], [network(image)])


@pytest.mark.skipif(shutil.which("g++") is None, reason="the default compiler of torch.compile needs g++ on a CPU")
@pytest.mark.parametrize("scan", ["numba", "torch"])
def test_a_scan_runs_in_generated_code(scan: str) -> None:
    block = with_all_branches(VSBlock(4))
    x = torch.randn(1, 4, 6, 10, dtype=torch.float64)
    with torch.no_grad(), scan_backend(scan):
        assert_same([torch.compile(block, fullgraph=True)(x)], [block(x)])


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["NAFEVS, transposing", "VS"])
def test_triton_kernels_run_in_generated_code(name: str) -> None:
    check_compiled(name, "cuda")
