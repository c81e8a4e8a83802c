"""Conversion of checkpoints of the authors' reference implementation."""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from deeprftv2_arch.checkpoints.deeprftv2_variant import deduce_arguments, describe
from deeprftv2_arch.checkpoints.io import load_params, save_atomically
from deeprftv2_arch.checkpoints.variant import mismatch
from deeprftv2_arch.errors import CheckpointError, DeepRFTv2Error
from deeprftv2_arch.networks.deeprftv2 import DeepRFTv2

# The reference's names and ours, applied one after the other. {i}: unit, {l}: level of a column, {k}: block.
RENAMES = (
    # places in the network
    (r"^global_model\.", ""),
    (r"^patch_embed_(max|mid)s\.(\d+)\.proj\.", r"\1.\2.embed."),
    (r"^patch_embed_(max|mid)s2\.(\d+)\.", r"\1.\2.merge."),
    (r"^subnets_(max|mid)\.(\d+)\.", r"\1.\2.encoder."),
    (r"^subdenets_(max|mid)\.(\d+)\.", r"\1.\2.decoder."),
    (r"^output_(max|mid)s\.(\d+)\.", r"\1.\2.decoded_head."),
    (r"^kernel_estimator\.(\d+)\.", r"max.\1.fke."),
    (r"^mid_kernel_estimator\.(\d+)\.", r"mid.\1.fke."),
    (r"\.fke\.end_feature1\.0\.", r".deblurred_head."),
    (r"^max\.(\d+)\.", r"units.\1.full_scale."),
    (r"^mid\.(\d+)\.", r"units.\1.half_scale."),
    (r"^down_max1\.(\d+)\.body\.0\.", r"units.\1.full_to_half.0."),
    (r"^down_max2\.(\d+)\.body\.0\.", r"units.\1.full_to_half.1."),
    (r"^down_max3\.(\d+)\.body\.0\.", r"units.\1.full_to_half.2."),
    (r"^down_mid2max\.(\d+)\.body\.0\.", r"units.\1.half_to_latent."),
    (r"^fusd_max_2\.(\d+)\.", r"units.\1.fuse_latent."),
    # Fourier Kernel Estimator
    (r"\.feature_extract\.intro_inp\.0\.", r".to_kernel."),
    (r"\.feature_extract\.intro_deconv\.0\.", r".to_blurred."),
    (r"\.intro\.ending\.0\.", r".stem."),
    (r"\.subnets_ker\.", r".sub_resnet."),
    (r"\.end_ker1\.norm\.", r".norm."),
    (r"\.end_ker1\.ending\.0\.", r".kernel_head."),
    (r"\.deblur_feature1\.0\.", r".merge."),
    # columns
    (r"\.alpha(\d+)$", r".alphas.\1"),
    (r"\.level(\d+)\.", r".levels.\1."),
    (r"sub_resnet\.levels\.(\d+)\.fusion\.down\.0\.", r"sub_resnet.levels.\1.fuse."),
    (r"\.fusion\.down\.0\.body\.0\.", r".before."),
    (r"\.fusion\.concat_conv\.0\.", r".fuse."),
    (r"\.fusion\.up\.0\.body\.0\.", r".after.0."),
    # blocks
    (r"(blocks\.\d+)\.norm1\.", r"\1.norm."),
    (r"(blocks\.\d+)\.norm2\.", r"\1.ffn_norm."),
    (r"(blocks\.\d+)\.norm_mamba\.", r"\1.scan_norm."),
    (r"(blocks\.\d+)\.conv1\.", r"\1.expand."),
    (r"(blocks\.\d+)\.conv2\.", r"\1.depthwise."),
    (r"(blocks\.\d+)\.sca\.1\.", r"\1.channel_attention.1."),
    (r"(blocks\.\d+)\.conv3\.", r"\1.project."),
    (r"(blocks\.\d+)\.conv4\.", r"\1.ffn_expand."),
    (r"(blocks\.\d+)\.conv5\.", r"\1.ffn_project."),
    (r"(blocks\.\d+)\.lamb_l$", r"\1.lambda_local"),
    (r"(blocks\.\d+)\.lamb_g$", r"\1.lambda_scan"),
    (r"(blocks\.\d+)\.attn\.", r"\1.scan."),
    (r"\.scan\.conv2d\.", r".scan.depthwise."),
    (r"\.scan\.dt_projs_(weight|bias)$", r".scan.dt_proj_\1"),
    (r"\.scan\.A_logs$", r".scan.A_log"),
    (r"\.scan\.Ds$", r".scan.D"),
)


def translate(key: str, tensor: Tensor) -> dict[str, Tensor]:
    """A tensor of the reference under our name. Its values are the same.

    The linear layers around the scan are 1x1 convolutions here, and the first of them is two.
    """
    for pattern, replacement in RENAMES:
        key = re.sub(pattern, replacement, key)
    if key.endswith(".scan.in_proj.weight") and tensor.dim() == 2 and tensor.shape[0] % 2 == 0:
        layer = key.removesuffix("in_proj.weight")
        scanned, gate = tensor[:, :, None, None].chunk(2)
        return {f"{layer}scan_proj.weight": scanned.clone(), f"{layer}gate_proj.weight": gate.clone()}
    if key.endswith(".scan.out_proj.weight") and tensor.dim() == 2:
        tensor = tensor[:, :, None, None]
    return {key: tensor}


def translate_all(params: dict[str, Tensor], source: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """:func:`translate` every tensor of the file ``source``; returns them, and the reference's name of each.

    Raises:
        CheckpointError: Two tensors get the same name.
    """
    converted: dict[str, Tensor] = {}
    names: dict[str, str] = {}
    for key, tensor in params.items():
        for name, translated in translate(key, tensor).items():
            if name in converted:
                raise CheckpointError(f"{source}: two tensors would become '{name}', the second is '{key}'")
            converted[name] = translated
            names[name] = key
    return converted, names


def convert_reference(source: Path, target: Path) -> str:
    """Turn a checkpoint of the authors' reference into one of BasicSR's form, ``{"params": ...}``.

    The values are handed over unchanged. Where the file holds both, the average weights
    (``params_ema``) are taken rather than ``params``. ``target`` appears when it is complete; an existing file is not
    replaced.

    Returns:
        What was converted: the number of tensors and the variant.

    Raises:
        CheckpointError: The source cannot be read safely, a tensor is missing, left over or mis-shaped, or ``target``
            exists.
    """
    if target.exists():
        raise CheckpointError(f"{target}: exists already; choose another name or remove it first")
    params = load_params(source, "params_ema")
    converted, names = translate_all(params, str(source))
    _check_complete(converted, source, names)
    save_atomically({"params": converted}, target)
    return f"{len(params)} tensors, {describe(converted)}"


def _check_complete(state: Mapping[str, Tensor], source: Path, names: Mapping[str, str]) -> None:
    """Raise CheckpointError unless ``state`` has every tensor of the DeepRFTv2 that it looks like, and no other.

    ``names`` has the names of the tensors in the file ``source``.
    """
    try:
        with torch.device("meta"):
            expected = DeepRFTv2(**deduce_arguments(state)).state_dict()
    except DeepRFTv2Error as error:
        raise CheckpointError(f"{source}: {error}") from error
    problem = mismatch(expected, state, names)
    if problem:
        raise CheckpointError(
            f"{source}: looks like {describe(state)}, but has tensors {problem} (missing ones in this package's names)"
        )
