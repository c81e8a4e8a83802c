"""The names in checkpoints of the authors' UFPNet, and ours."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from deeprftv2_arch.errors import CheckpointError

MARK = "kernel_extra.Conv_tail.var.2.weight"

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
    """A tensor of the reference under our name, with the same values; none for layers without effect and constants.

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


def left_out(params: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What of a whole checkpoint has no place here: tensors on "meta", by the reference's names.

    Raises:
        CheckpointError: ``flow.kernel_size`` is another than that of the weights.
    """
    entries = len(params[MARK])
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
    """What a constant of the flow must be; None for tensors that are none."""
    if mask := MASK.fullmatch(key):
        return ((torch.arange(tensor.numel()) + int(mask[1]) // 2) % 2).double()
    values = {"flow.normalization": 1, "flow.base_dist_mean": 0, "flow.base_dist_var": 1}
    return torch.full_like(tensor, values[key], dtype=torch.float64) if key in values else None
