"""Which UFPNet a state dict belongs to."""

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from deeprftv2_arch.checkpoints.counting import count_entries
from deeprftv2_arch.errors import CheckpointError
from deeprftv2_arch.networks.ufpnet import UFPNet

MARK = "kernel_blocks.0.attention.to_attention.0.weight"  # a weight that every UFPNet has, and no other network

PUBLISHED = {
    "UFPNet": {
        "width": 64,
        "enc_blocks": [1, 1, 1, 28],
        "middle_blocks": 1,
        "dec_blocks": [1, 1, 1, 1],
        "kernel_width": 64,
        "kernel_size": 19,
        "flow_blocks": 5,
        "flow_hidden": 25,
    }
}
# Weights do not tell these, which are the published ones. With the seed an image is restored the same way every time.
PUBLISHED_TRAIN_SIZE = 256
SEED = 10


def deduce_arguments(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """The arguments of :class:`UFPNet` that build a network with these keys, as far as weights tell.

    ``samples``, ``seed`` and ``train_size`` leave no trace in the weights.

    Raises:
        CheckpointError: The keys are not those of a UFPNet.
    """
    if MARK not in state:
        raise CheckpointError(f"these are not the keys of a UFPNet: '{MARK}' is missing")
    try:
        return _deduced(state)
    except KeyError as error:
        raise CheckpointError(f"these are not the keys of a whole UFPNet: {error} is missing") from error
    except IndexError as error:
        raise CheckpointError("these are not the tensors of a UFPNet: they have other dimensions") from error


def _deduced(state: Mapping[str, Tensor]) -> dict[str, Any]:
    levels = range(count_entries(state, "downs"))
    guided = count_entries(state, "kernel_blocks")  # levels that begin with a block of another kind
    return {
        "width": state["intro.weight"].shape[0],
        "enc_blocks": [count_entries(state, f"encoders.{level}") + (level < guided) for level in levels],
        "middle_blocks": count_entries(state, "middle"),
        "dec_blocks": [count_entries(state, f"decoders.{level}") for level in levels],
        "kernel_width": state["estimator.encoders.0.head.weight"].shape[0],
        "kernel_size": math.isqrt(state["flow.layers.1.running_mean"].shape[0]),
        "flow_blocks": count_entries(state, "flow.layers") // 2,
        "flow_hidden": state["flow.layers.0.scale.0.weight"].shape[0],
    }


def build(state: Mapping[str, Tensor]) -> UFPNet:
    """The UFPNet that these weights fit, without them, with a seed; local pooling is the published one's alone.

    Raises:
        CheckpointError: The keys are not those of a UFPNet.
        OptionError: There is no such UFPNet.
    """
    arguments = deduce_arguments(state)
    return UFPNet(**arguments, seed=SEED, train_size=PUBLISHED_TRAIN_SIZE if published_name(arguments) else None)


def published_name(arguments: Mapping[str, Any]) -> str | None:
    """The name of the published network with these arguments of :func:`deduce_arguments`; None if there is none."""
    return next((name for name, published in PUBLISHED.items() if published == arguments), None)


def describe(state: Mapping[str, Tensor]) -> str:
    """One phrase for people: "UFPNet with width 64, ..." or "a UFPNet with width 4, ...".

    Raises:
        CheckpointError: The keys are not those of a UFPNet.
    """
    arguments = deduce_arguments(state)
    details = ", ".join(f"{argument} {value}" for argument, value in arguments.items())
    return f"{published_name(arguments) or 'a UFPNet'} with {details}"
