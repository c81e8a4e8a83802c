"""DeepRFTv2 on a CUDA device."""

from typing import Any

import pytest
from gpu_checks import MEMORY_MODES, check_network


@pytest.mark.gpu
@pytest.mark.parametrize("memory", MEMORY_MODES)
def test_images_and_gradients_are_those_of_a_cpu(memory: Any) -> None:
    check_network(memory, "cuda")
