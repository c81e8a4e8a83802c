"""The cards of UFPNet and of the networks of its stages: their weights, and the authors' names of them."""

import math
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from deeprftv2_arch.errors import CheckpointError
from deeprftv2_arch.networks.card import AuthorsLayout, NetworkCard, State, count_entries

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
        "kernel_contrast": False,
        "kernel_unit_sum": False,
    }
}
# Weights do not tell these, which are the published ones. With the seed an image is restored the same way every time.
PUBLISHED_TRAIN_SIZE = 256
SEED = 10

# A weight that the networks of one stage have and no others, whose length is that of a kernel.
STAGES = {
    "layers.1.log_gamma": "a flow prior (stage 1)",
    "mean_head.2.weight": "a kernel estimator (stage 2)",
    "flow.layers.1.log_gamma": "a network that deblurs with kernels (stage 3)",
}

AUTHORS_MARK = "kernel_extra.Conv_tail.var.2.weight"

# The reference's names and ours, applied one after the other; the numbers of levels and layers stay where they fit.
RENAMES = (
    # kernel estimator
    (r"^kernel_extra\.", "estimator."),
    (r"\.Encoding_Block1\.", ".encoders.0."),
    (r"\.Encoding_Block2\.", ".encoders.1."),
    (r"\.Decoding_Block1\.", ".decoders.0."),
    (r"\.Decoding_Block2\.", ".decoders.1."),
    (r"\.Conv_head\.", ".head."),
    (r"\.ResBlock1\.body\.1\.", ".blocks.0.body.0."),
    (r"\.ResBlock1\.body\.3\.", ".blocks.0.body.2."),
    (r"\.ResBlock2\.body\.1\.", ".blocks.1.body.0."),
    (r"\.ResBlock2\.body\.3\.", ".blocks.1.body.2."),
    (r"\.downsample\.", ".down."),
    (r"\.Conv_t\.", ".up."),
    (r"\.Conv_mid\.body\.", ".middle."),
    (r"\.Conv_tail\.mean\.", ".mean_head."),
    (r"\.Conv_tail\.var\.", ".sigma_head."),
    # flow
    (r"^flow\.net\.", "flow.layers."),
    (r"\.s_net\.", ".scale."),
    (r"\.t_net\.", ".translation."),
    # the network that deblurs
    (r"^kernel_down\.", "pyramid.downs."),
    (r"^middle_blks\.", "middle."),
    (r"^encoders\.([012])\.0\.kernel_atttion\.", r"kernel_blocks.\1.attention."),
    (r"^encoders\.([012])\.0\.", r"kernel_blocks.\1.block."),
    (r"\.attention\.conv_1\.", ".attention.to_features."),
    (r"\.attention\.conv_kernel\.", ".attention.to_kernel_features."),
    (r"\.attention\.conv_2\.", ".attention.to_attention."),
    # blocks
    (r"\.norm1\.", ".norm."),
    (r"\.norm2\.", ".ffn_norm."),
    (r"\.conv1\.", ".expand."),
    (r"\.conv2\.", ".depthwise."),
    (r"\.sca\.1\.", ".channel_attention.1."),
    (r"\.conv3\.", ".project."),
    (r"\.conv4\.", ".ffn_expand."),
    (r"\.conv5\.", ".ffn_project."),
)

# Layers whose result the reference never takes, and a number that the shapes tell.
UNUSED = re.compile(r"kernel_down\.[23]\.(weight|bias)|flow\.kernel_size")
MASK = re.compile(r"flow\.net\.(\d+)\.mask")


def translate(key: str, tensor: Tensor) -> dict[str, Tensor]:
    """Put a tensor of the reference under our name; nothing comes of layers without effect and of constants.

    Raises:
        CheckpointError: A constant of the flow is not the one that is built in here.
    """
    constant = _constant(key, tensor)
    if constant is not None and not torch.allclose(tensor.double(), constant):
        raise CheckpointError(f"'{key}' of the reference is another constant than the one of UFPNet's flow")
    if constant is not None or UNUSED.fullmatch(key):
        return {}
    for pattern, replacement in RENAMES:
        key = re.sub(pattern, replacement, key)
    return {key: tensor}


def left_out(params: State) -> dict[str, Tensor]:
    """Return what of a whole checkpoint has no place here: tensors on "meta", by the reference's names.

    Raises:
        CheckpointError: ``flow.kernel_size`` is another than that of the weights.
    """
    entries = len(params[AUTHORS_MARK])
    size = params.get("flow.kernel_size")
    if size is not None and (size.numel() != 1 or int(size) ** 2 != entries):
        raise CheckpointError(f"'flow.kernel_size' of the reference does not fit its kernels of {entries} entries")
    shapes: dict[str, tuple[int, ...]] = {f"flow.{name}": (1,) for name in ("kernel_size", "normalization")}
    shapes |= {f"flow.{name}": (entries,) for name in ("base_dist_mean", "base_dist_var")}
    shapes |= {key.replace("s_net.0.weight", "mask"): (entries,) for key in params if key.endswith("s_net.0.weight")}
    for level in (2, 3):
        shapes[f"kernel_down.{level}.weight"] = (entries, entries, 2, 2)
        shapes[f"kernel_down.{level}.bias"] = (entries,)
    return {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}


def _constant(key: str, tensor: Tensor) -> Tensor | None:
    """Return what a constant of the flow must be; None for tensors that are none."""
    if mask := MASK.fullmatch(key):
        return ((torch.arange(tensor.numel()) + int(mask[1]) // 2) % 2).double()
    values = {"flow.normalization": 1, "flow.base_dist_mean": 0, "flow.base_dist_var": 1}
    return torch.full_like(tensor, values[key], dtype=torch.float64) if key in values else None


class UFPNetCard(NetworkCard):
    """See :class:`deeprftv2_arch.networks.ufpnet.UFPNet`."""

    mark = "kernel_blocks.0.attention.to_attention.0.weight"
    layout = AuthorsLayout("ufpnet", AUTHORS_MARK, translate, left_out)
    published = PUBLISHED
    spandrel_id = "UFPNet"
    spandrel_tags = (("width", "w"), ("kernel_size", "ks"))

    def arguments_of(self, state: State) -> dict[str, Any]:
        """Deduce all but ``samples``, ``seed`` and ``train_size``."""
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
            "kernel_contrast": "estimator.contrast_floor" in state,
            "kernel_unit_sum": "flow.least_sum" in state,
        }

    def untold(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return a seed, and the local pooling of the published network."""
        return {"seed": SEED, "train_size": PUBLISHED_TRAIN_SIZE if self.published_name(arguments) else None}


class StageCard(NetworkCard):
    """The card of a network of one stage of UFPNet's training, which weights alone do not build.

    Args:
        network: See :class:`NetworkCard`.
        stage_mark: One of ``STAGES``.
    """

    def __init__(self, network: type[nn.Module], stage_mark: str) -> None:
        super().__init__(network)
        self.stage_mark = stage_mark

    def recognises(self, state: State) -> bool:
        """Tell whether these are weights of the stage."""
        return self.stage_mark in state

    def describe(self, state: State) -> str:
        """Describe the stage."""
        return STAGES[self.stage_mark]


def describe_stage(state: State) -> str | None:
    """Describe the stage whose network has these weights; None if they are of no stage."""
    return STAGES.get(_stage_mark(state))


def kernel_size_of(state: State) -> int:
    """Return height and width of the kernels of a network of any stage."""
    return math.isqrt(len(state[_stage_mark(state)]))


def _stage_mark(state: State) -> str:
    return next((mark for mark in STAGES if mark in state), "")
