"""1x1 convolutions: what they compute, and that one thread of a CPU computes them fast."""

import pytest
import torch
from torch import Tensor

from deeprftv2_arch.layers.pointwise import PointwiseConv2d


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (1, 3, 96, 96)])  # the smaller one PyTorch does not give to oneDNN
def test_every_pixel_is_multiplied_by_the_matrix(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    convolution = PointwiseConv2d(3, 4).to(dtype)
    x = torch.randn(shape, dtype=dtype, requires_grad=True)
    y = convolution(x)
    weight = convolution.weight[:, :, 0, 0]
    assert convolution.bias is not None
    expected = torch.einsum("oc,bchw->bohw", weight.double(), x.double()) + convolution.bias.double()[:, None, None]
    tolerance = {"rtol": 0.02, "atol": 0.02} if dtype == torch.bfloat16 else {"rtol": 1e-5, "atol": 1e-5}
    torch.testing.assert_close(y.double(), expected, **tolerance)
    if dtype != torch.bfloat16:
        flow = torch.randn_like(y)
        found = torch.autograd.grad(y, [x, *convolution.parameters()], flow)
        wanted = torch.autograd.grad(expected, [x, *convolution.parameters()], flow.double())
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="PyTorch was built without oneDNN")
def test_one_thread_takes_no_slow_path() -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)

    def names(x: Tensor) -> set[str]:
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            PointwiseConv2d(8, 8)(x).sum().backward()
        return {event.key for event in profile.key_averages()}

    try:
        used = names(torch.randn(2, 8, 32, 32, requires_grad=True))
    finally:
        torch.set_num_threads(threads)
    assert "aten::mkldnn_convolution" in used
    assert not any("slow_conv" in name for name in used)
