"""Which stage of UFPNet's training weights are of."""

import math
from collections.abc import Mapping

from torch import Tensor

# A weight that the networks of one stage have and no others, whose length is that of a kernel.
STAGES = {
    "layers.1.log_gamma": "a flow prior (stage 1)",
    "mean_head.2.weight": "a kernel estimator (stage 2)",
    "flow.layers.1.log_gamma": "a network that deblurs with kernels (stage 3)",
}


def describe_stage(state: Mapping[str, Tensor]) -> str | None:
    """One phrase for people; None if the weights are of no stage."""
    return STAGES.get(_mark(state))


def kernel_size_of(state: Mapping[str, Tensor]) -> int:
    """Height and width of the kernels of a network of any stage."""
    return math.isqrt(len(state[_mark(state)]))


def _mark(state: Mapping[str, Tensor]) -> str:
    return next((mark for mark in STAGES if mark in state), "")
