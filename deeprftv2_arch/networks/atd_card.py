"""The card of ATD, with and without Fourier Kernel Estimators: its weights and its estimators."""

import math
from collections.abc import Mapping
from typing import Any

from deeprftv2_arch.networks.card import NetworkCard, State, count_entries

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


class ATDCard(NetworkCard):
    """See :class:`deeprftv2_arch.networks.atd.ATD`; without estimators its weights are named as the authors name them.

    spandrel itself opens an ATD without estimators.
    """

    mark = "layers.0.residual_group.td"
    published = PUBLISHED
    continuation = "mirror"
    spandrel_id = "ATD+FKE"
    spandrel_tags = (("embed_dim", "dim"), ("window_size", "w"))

    def arguments_of(self, state: State) -> dict[str, Any]:
        """Deduce all but ``category_size``, ``img_range`` and what only eval mode or training needs."""
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

    def untold(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the published ``category_size`` of this width."""
        return {"category_size": FULL_CATEGORY_SIZE} if arguments["embed_dim"] == FULL["embed_dim"] else {}

    def published_name(self, arguments: Mapping[str, Any]) -> str | None:
        """Return the published ATD with these arguments, whatever its scale and with or without estimators."""
        return next((name for name, known in self.published.items() if known.items() <= arguments.items()), None)

    def describe(self, state: State) -> str:
        """Describe as "ATD-light at x4 with fke" or "an ATD at x2 with embed_dim 32, ..., without fke"."""
        arguments = self.deduce_arguments(state)
        name = self.published_name(arguments)
        upscale, fke = arguments.pop("upscale"), arguments.pop("fke")
        details = "" if name else " with " + ", ".join(f"{key} {value}" for key, value in arguments.items()) + ","
        return f"{name or 'an ATD'} at x{upscale}{details} {'with' if fke else 'without'} fke"

    def estimator_label(self, name: str) -> str:
        """Return ``group1`` for ``fkes.0``."""
        return f"group{int(name.split('.')[-1]) + 1}"

    def spandrel_opens(self, state: State) -> bool:
        """Leave an ATD without estimators to spandrel."""
        return self.recognises(state) and any(name.startswith("fkes.") for name in state)


def _upsampler(state: State) -> str:
    if "conv_up1.weight" in state:
        return "nearest+conv"
    return "pixelshuffle" if "conv_last.weight" in state else "pixelshuffledirect"


def _upscale(state: State, channels: int) -> int:
    kind = _upsampler(state)
    if kind == "nearest+conv":
        return 4
    outputs, inputs = state["upsample.0.weight"].shape[:2]
    if kind == "pixelshuffledirect":
        return math.isqrt(outputs // channels)
    return math.isqrt(outputs // inputs) ** count_entries(state, "upsample")
