"""The reblur operator against plain loops, PyTorch's unfold, finite differences and counted bytes."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.reblur import by_unfold
from benchmarks.training_memory import cpu_bytes
from deeprftv2_arch.ops import reblur as module
from deeprftv2_arch.ops.reblur import reblur


def by_loop(image: Tensor, field: Tensor) -> Tensor:
    """Compute the definition, pixel by pixel."""
    size = math.isqrt(field.shape[1])
    height, width = image.shape[2:]
    blurred = torch.zeros_like(image)
    for sample in range(len(image)):
        for y in range(height):
            for x in range(width):
                for row in range(size):
                    for column in range(size):
                        seen_y = min(max(y + row - size // 2, 0), height - 1)
                        seen_x = min(max(x + column - size // 2, 0), width - 1)
                        weight = field[sample, row * size + column, y, x]
                        blurred[sample, :, y, x] += weight * image[sample, :, seen_y, seen_x]
    return blurred


def example(
    shape: tuple[int, ...], size: int, dtype: torch.dtype = torch.float64, seed: int = 0
) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(shape, generator=generator, dtype=dtype)
    field = torch.rand(shape[0], size**2, *shape[2:], generator=generator, dtype=dtype)
    return image, field


# Among them images of one pixel, one row and one column, and images smaller than the kernel.
@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((2, 3, 5, 7), 3),
        ((3, 2, 4, 3), 5),
        ((2, 3, 1, 1), 5),
        ((1, 1, 1, 6), 7),
        ((1, 3, 6, 1), 5),
        ((2, 3, 2, 3), 9),
        ((2, 3, 3, 4), 1),
    ],
)
def test_it_is_the_sum_of_its_definition(shape: tuple[int, ...], size: int) -> None:
    image, field = example(shape, size)
    torch.testing.assert_close(reblur(image, field), by_loop(image, field), rtol=0, atol=1e-13)


def test_the_kernel_is_not_turned() -> None:
    image = torch.arange(16.0).view(1, 1, 4, 4)
    field = torch.zeros(1, 9, 4, 4)
    field[:, 0 * 3 + 2] = 1  # first row, last column: the neighbour above and to the right
    expected = torch.tensor([[1.0, 2, 3, 3], [1, 2, 3, 3], [5, 6, 7, 7], [9, 10, 11, 11]])
    assert torch.equal(reblur(image, field)[0, 0], expected)


def test_every_sample_is_blurred_by_its_own_field() -> None:
    image, field = example((3, 3, 6, 5), 5)
    together = reblur(image, field)
    for sample in range(3):
        alone = reblur(image[sample : sample + 1], field[sample : sample + 1])
        assert torch.equal(together[sample], alone[0])
    other = field.clone()
    other[1] += 1
    changed = (reblur(image, other) != together).flatten(1).any(dim=1)
    assert changed.tolist() == [False, True, False]


@pytest.mark.parametrize("strip", [1, 60, 2**17])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_values_and_gradients_are_unfold_s(
    strip: int, layout: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STRIP_ON_CPU", strip)
    image, field = (x.to(memory_format=layout).requires_grad_() for x in example((2, 3, 13, 11), 19))
    grad = torch.randn(2, 3, 13, 11, dtype=torch.float64)
    results = [function(image, field) for function in (reblur, by_unfold)]
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=1e-12)
    ours, theirs = (torch.autograd.grad(result, (image, field), grad) for result in results)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-11)


@pytest.mark.parametrize(("shape", "size"), [((2, 2, 3, 4), 3), ((1, 3, 2, 1), 5), ((2, 1, 1, 2), 1)])
def test_gradients_are_finite_differences(shape: tuple[int, ...], size: int) -> None:
    image, field = (x.requires_grad_() for x in example(shape, size))
    assert torch.autograd.gradcheck(reblur, (image, field))


def test_only_the_gradients_that_are_asked_for_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    for name in ("_gradient_of_image", "_gradient_of_field"):
        original = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *args, o=original, n=name: asked.append(n) or o(*args))
    image, field = example((2, 3, 4, 5), 3)
    expected = torch.autograd.grad(
        by_unfold(image.requires_grad_(), field.requires_grad_()).square().sum(), (image, field)
    )
    reblur(image, field.detach()).square().sum().backward()
    torch.testing.assert_close(image.grad, expected[0])
    reblur(image.detach(), field).square().sum().backward()
    torch.testing.assert_close(field.grad, expected[1])
    assert asked == ["_gradient_of_image", "_gradient_of_field"]
    assert not reblur(image.detach(), field.detach()).requires_grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("autocast", [False, True])
def test_half_precision_is_summed_in_float32(dtype: torch.dtype, autocast: bool) -> None:
    image, field = (x.requires_grad_() for x in example((2, 3, 9, 8), 19, dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        blurred = reblur(image, field)
    blurred.square().mean().backward()
    image_64, field_64 = (x.detach().double().requires_grad_() for x in (image, field))
    exact = by_unfold(image_64, field_64)
    exact.square().mean().backward()
    assert blurred.dtype == torch.float32
    torch.testing.assert_close(blurred.double(), exact, rtol=1e-6, atol=0)  # bfloat16 alone would be 3 digits
    for ours, theirs in ((image, image_64), (field, field_64)):
        assert ours.grad.dtype == dtype
        rounding = torch.finfo(dtype).eps
        torch.testing.assert_close(ours.grad.double(), theirs.grad, rtol=max(rounding, 4e-6), atol=0)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_what_it_holds(layout: torch.memory_format, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kept: nothing but the inputs. At the peak: gradients and the continued image, but no copy for any offset."""
    monkeypatch.setattr(module, "STRIP_ON_CPU", 2**12)
    image, field = example((2, 3, 64, 48), 19, torch.float32)
    field = field.contiguous(memory_format=layout).requires_grad_()
    image.requires_grad_()

    def forward() -> Tensor:
        return reblur(image, field).sum()

    forward().backward()  # PyTorch allocates some things once
    image.grad = None
    field.grad = None
    held, peak = cpu_bytes(forward)
    padded = 2 * 3 * (64 + 18) * (48 + 18) * 4
    result_and_gradients = 2 * image.nbytes + field.nbytes
    strip = 0 if layout == torch.contiguous_format else 2**12 / 3 * 361 * 4
    gradient: Tensor = field.grad
    assert gradient.stride() == field.stride()
    assert held < 1024
    assert result_and_gradients <= peak <= result_and_gradients + padded + image.nbytes + strip + 1024


@pytest.mark.parametrize(
    ("image", "field", "message"),
    [
        ((1, 3, 4, 5), (2, 9, 4, 5), r"\(1, 3, 4, 5\) and a field \(2, 9, 4, 5\) do not belong together"),
        ((1, 3, 4, 5), (1, 9, 5, 4), "do not belong together"),
        ((3, 4, 5), (9, 4, 5), "do not belong together"),
        ((1, 3, 4, 5), (1, 16, 4, 5), "16 values are no square kernel of an odd size"),
        ((1, 3, 4, 5), (1, 10, 4, 5), "10 values are no square kernel"),
    ],
)
def test_shapes_that_do_not_belong_together_are_refused(
    image: tuple[Any, ...], field: tuple[Any, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        reblur(torch.zeros(image), torch.zeros(field))
