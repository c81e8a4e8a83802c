"""Which ATD a state dict belongs to."""

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from deeprftv2_arch.checkpoints.counting import count_entries
from deeprftv2_arch.errors import CheckpointError
from deeprftv2_arch.networks.atd import ATD

MARK = "layers.0.residual_group.td"  # a weight that every ATD has, and no other network
FIRST_LAYER = "layers.0.residual_group.layers.0"
LIGHT = {
    "in_chans": 3,
    "embed_dim": 48,
    "depths": [6, 6, 6, 6],
    "num_heads": [4, 4, 4, 4],
    "window_size": 16,
    "num_tokens": 64,
    "reducted_dim": 8,
    "convffn_kernel_size": 7,
    "mlp_ratio": 1.0,
    "qkv_bias": True,
    "upsampler": "pixelshuffledirect",
    "resi_connection": "1conv",
}
FULL = LIGHT | {
    "embed_dim": 210,
    "depths": [6] * 6,
    "num_heads": [6] * 6,
    "num_tokens": 128,
    "reducted_dim": 20,
    "convffn_kernel_size": 5,
    "mlp_ratio": 2.0,
    "upsampler": "pixelshuffle",
}
PUBLISHED = {"ATD-light": LIGHT, "ATD": FULL}
# Pixels that attend to each other in the full ATD; weights do not tell. Every other one takes the light one's.
FULL_CATEGORY_SIZE = 256


def deduce_arguments(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """The arguments of :class:`ATD` that build a network with these keys, as far as weights tell.

    ``category_size`` and ``img_range`` leave no trace in the weights.

    Raises:
        CheckpointError: The keys are not those of an ATD.
    """
    if MARK not in state:
        raise CheckpointError(f"these are not the keys of an ATD: '{MARK}' is missing")
    try:
        return _deduced(state)
    except KeyError as error:
        raise CheckpointError(f"these are not the keys of a whole ATD: {error} is missing") from error
    except (IndexError, ValueError, ZeroDivisionError) as error:
        raise CheckpointError("these are not the tensors of an ATD: they have other dimensions") from error


def _deduced(state: Mapping[str, Tensor]) -> dict[str, Any]:
    groups = range(count_entries(state, "layers"))
    attention = "residual_group.layers.0.attn_win.relative_position_bias_table"
    dim, channels = state["conv_first.weight"].shape[:2]
    return {
        "upscale": _upscale(state, channels),
        "in_chans": channels,
        "embed_dim": dim,
        "depths": [count_entries(state, f"layers.{group}.residual_group.layers") for group in groups],
        "num_heads": [state[f"layers.{group}.{attention}"].shape[1] for group in groups],
        "window_size": (math.isqrt(state[f"layers.0.{attention}"].shape[0]) + 1) // 2,
        "num_tokens": state["layers.0.residual_group.td"].shape[0],
        "reducted_dim": state[f"{FIRST_LAYER}.attn_atd.wq.weight"].shape[0],
        "convffn_kernel_size": state[f"{FIRST_LAYER}.convffn.dwconv.depthwise_conv.0.weight"].shape[2],
        "mlp_ratio": state[f"{FIRST_LAYER}.convffn.fc1.weight"].shape[0] / dim,
        "qkv_bias": f"{FIRST_LAYER}.wqkv.bias" in state,
        "upsampler": _upsampler(state),
        "resi_connection": "1conv" if "conv_after_body.weight" in state else "3conv",
        "fke": count_entries(state, "fkes") > 0,
    }


def build(state: Mapping[str, Tensor]) -> ATD:
    """The ATD that these weights fit, without them; ``category_size`` is the published one of this width.

    Raises:
        CheckpointError: The keys are not those of an ATD.
        OptionError: There is no such ATD.
    """
    arguments = deduce_arguments(state)
    if arguments["embed_dim"] == FULL["embed_dim"]:
        arguments["category_size"] = FULL_CATEGORY_SIZE
    return ATD(**arguments)


def _upsampler(state: Mapping[str, Tensor]) -> str:
    if "conv_up1.weight" in state:
        return "nearest+conv"
    return "pixelshuffle" if "conv_last.weight" in state else "pixelshuffledirect"


def _upscale(state: Mapping[str, Tensor], channels: int) -> int:
    kind = _upsampler(state)
    if kind == "nearest+conv":
        return 4
    outputs, inputs = state["upsample.0.weight"].shape[:2]
    if kind == "pixelshuffledirect":
        return math.isqrt(outputs // channels)
    return math.isqrt(outputs // inputs) ** count_entries(state, "upsample")


def published_name(arguments: Mapping[str, Any]) -> str | None:
    """The published ATD with these arguments of :func:`deduce_arguments`, whatever its scale; None if there is none."""
    return next((name for name, published in PUBLISHED.items() if published.items() <= arguments.items()), None)


def describe(state: Mapping[str, Tensor]) -> str:
    """One phrase for people: "ATD-light at x4 with fke" or "ATD at x2 with embed_dim 32, ..., without fke".

    Raises:
        CheckpointError: The keys are not those of an ATD.
    """
    arguments = deduce_arguments(state)
    name = published_name(arguments)
    upscale, fke = arguments.pop("upscale"), arguments.pop("fke")
    details = "" if name else " with " + ", ".join(f"{key} {value}" for key, value in arguments.items()) + ","
    return f"{name or 'an ATD'} at x{upscale}{details} {'with' if fke else 'without'} fke"
